//! The edge door: a user's token in, a transaction begun, the app called without any token (`protocol.md` §2).
//! The token is read here only to know what to ask; the broker alone verifies it.

use http::{Request, Response, request::Parts};
use hyper::body::Incoming;

use super::{
    Inbound, authenticate, authority, authorize,
    forward::{self, Asked},
    metadata,
};
use crate::{
    answer::About,
    body::Body,
    perimeter::{self, Payload},
    snapshot::EdgeEntry,
    strip,
};
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
    about.operation = Some(perimeter::method(&parts).to_owned());
    about.metadata = metadata::url_of_edge(&base, parts.uri.path());
    let bearer = authenticate::bearer(shown.authorization.as_ref())?.filter(|bearer| !bearer.is_empty());
    let bearer = bearer.ok_or(Refusal::SubjectMissing)?;
    let user = RawToken::parse(bearer).map_err(Refusal::Subject)?;
    if stands_elsewhere(&parts, user.expose()) {
        return Err(Refusal::CallCredentialHeaders);
    }
    let asked = asked(&user, edge).inspect_err(|_refusal| about.scope = Some(edge.scopes.clone()))?;
    let held = door.broker.begin(&user, &asked, &snapshot).await?;
    drop(user);
    about.transaction = Some(held.proof().transaction().clone());
    about.subject = Some(held.proof().subject().clone());
    about.actors = Some(held.proof().chain().clone());
    about.scope = Some(held.proof().scopes().clone());
    let (payload, trace) = (Payload::Stream(body), shown.trace);
    let asked = Asked { parts, payload, authority: &authority, trace, traceparent: None };
    forward::forward(door, authorize::begun(held), asked).await
}

/// Whether the token stands a second time in the head, where only `Authorization` was taken out: clients repeat it in
/// the query (RFC 6750 §2 forbids that), proxies in headers of their own.
fn stands_elsewhere(parts: &Parts, token: &str) -> bool {
    let target = parts.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
    let mut values = parts.headers.values().map(|value| String::from_utf8_lossy(value.as_bytes()));
    target.contains(token) || values.any(|value| value.contains(token))
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
    fn a_token_that_is_shown_twice_is_seen() {
        let head = |uri: &str, value: &str| {
            let request = Request::get(uri).header("x-other", "v").header("x-mine", value).body(());
            request.expect("a request").into_parts().0
        };
        assert!(stands_elsewhere(&head("/ask?access_token=a.b.c&x=1", "v"), "a.b.c"));
        assert!(stands_elsewhere(&head("/a.b.c/ask", "v"), "a.b.c"));
        assert!(stands_elsewhere(&head("/ask", "session=1; token=a.b.c"), "a.b.c"));
        assert!(!stands_elsewhere(&head("/ask?x=a.b", "a.b"), "a.b.c"));
    }

    #[test]
    fn nothing_shared_is_refused_without_a_call() {
        assert_eq!(asked(&user(r#"{"scope":"openid email"}"#), &edge()), Err(Refusal::ScopeNoneForEdge));
        assert_eq!(asked(&user("{}"), &edge()), Err(Refusal::Subject(TokenFault::Claim("scope"))));
        let opaque = RawToken::parse("opaque".to_owned()).expect("a token");
        assert_eq!(asked(&opaque, &edge()), Err(Refusal::Subject(TokenFault::Malformed)));
    }
}
