//! The edge door: a user's token in, a transaction begun, the app called without any token (`protocol.md` §2).
//! The token is read here only to know what to ask; the broker alone verifies it.

use http::{Request, Response};
use hyper::body::Incoming;

use super::{Inbound, authenticate, authority, authorize, forward, metadata};
use crate::{answer::About, body::Body, perimeter::Payload, snapshot::EdgeEntry, strip};
use identity::{RawToken, Refusal, Scopes};

pub(super) async fn serve(
    door: &Inbound,
    request: Request<Incoming>,
    tls: bool,
    about: &mut About,
) -> Result<Response<Body>, Refusal> {
    let (mut parts, body) = request.into_parts();
    let shown = strip::request(&mut parts)?;
    let authority = authority(&parts)?;
    let snapshot = door.snapshots.current()?;
    let edge = snapshot.edge.as_ref().ok_or(Refusal::EdgeNotRegistered)?;
    let base = metadata::edge_base(&authority, tls);
    if let Some(answer) = metadata::of_edge(&parts, &base, edge) {
        return Ok(answer);
    }
    about.metadata = metadata::url_of_edge(&base, parts.uri.path());
    let bearer = authenticate::bearer(shown.authorization.as_ref())?.ok_or(Refusal::AccessTokenMissing)?;
    let user = RawToken::parse(bearer).map_err(Refusal::Subject)?;
    let asked = asked(&user, edge).inspect_err(|_refusal| about.scope = Some(edge.scopes.clone()))?;
    let held = door.broker.begin(&user, &asked, &snapshot).await?;
    drop(user);
    about.transaction = Some(held.proof().transaction().clone());
    forward::forward(door, authorize::begun(held), parts, Payload::Stream(body).into_body(), &authority).await
}

/// What to ask for: the user's scopes that this edge takes in, without those of the OpenID provider.
fn asked(user: &RawToken, edge: &EdgeEntry) -> Result<Scopes, Refusal> {
    let claimed = user.claimed_scopes().map_err(Refusal::Subject)?;
    let asked = claimed.intersect(&edge.scopes).without_openid();
    if asked.is_empty() { Err(Refusal::ScopeNoneForEdge) } else { Ok(asked) }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

    use super::*;
    use identity::TokenFault;

    fn user(payload: &str) -> RawToken {
        let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        let header = encode(r#"{"alg":"RS256","typ":"JWT","kid":"1"}"#);
        RawToken::parse(format!("{header}.{}.{}", encode(payload), encode("signature"))).expect("a token")
    }

    fn edge() -> EdgeEntry {
        let scopes = "tickets:read tickets:write openid".parse().expect("scopes");
        EdgeEntry { scopes, authorities: Vec::new() }
    }

    #[test]
    fn only_what_user_and_edge_share_is_asked() {
        let token = user(r#"{"scope":"openid tickets:read calendar:read"}"#);
        assert_eq!(asked(&token, &edge()).map(|scopes| scopes.to_string()).as_deref(), Ok("tickets:read"));
    }

    #[test]
    fn nothing_shared_is_refused_without_a_call() {
        assert_eq!(asked(&user(r#"{"scope":"openid email"}"#), &edge()), Err(Refusal::ScopeNoneForEdge));
        assert_eq!(asked(&user("{}"), &edge()), Err(Refusal::Subject(TokenFault::Claim("scope"))));
        let opaque = RawToken::parse("opaque".to_owned()).expect("a token");
        assert_eq!(asked(&opaque, &edge()), Err(Refusal::Subject(TokenFault::Malformed)));
    }
}
