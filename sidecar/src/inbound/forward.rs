//! The way to the app, open only with a [`Permit`], which is used up. The exchange's handle lives until the last byte of
//! the answer, a reset, or the end of the transaction.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Response, header, request::Parts};

use super::{Inbound, Permit, callers::Caller, identity_headers, listing::Listing, session};
use crate::{
    body::{Body, Flow},
    causes::causes,
    outgoing,
    perimeter::Kind,
    pool::Leased,
    strip,
    transactions::keep_alive,
};
use identity::{AccessToken, Refusal, Target};
use runtime::clock;

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Forwards one request to the app and returns its answer. Dropped half-way, the app may have got the request; the
/// handle is dead.
pub(super) async fn forward(
    door: &Inbound,
    permit: Permit,
    mut parts: Parts,
    body: Body,
    authority: &str,
) -> Result<Response<Body>, Refusal> {
    let kind = permit.kind();
    let turn = door.callers.enter(Caller::of(&permit))?;
    say_who_calls(&mut parts.headers, &permit, authority);
    let session = session::id(&parts.headers);
    let (held, called) = permit.spend();
    let renews = held.is_some();
    let exchange = door.transactions.open(held, clock::now())?;
    parts.headers.insert(strip::HANDLE, exchange.handle().ok_or(Refusal::CallNoTransaction)?);
    if matches!(kind, Kind::ListTools | Kind::Listen) {
        parts.headers.remove(header::ACCEPT_ENCODING);
    }
    let transaction = Arc::clone(exchange.transaction());
    if renews {
        let renewal = keep_alive(Arc::clone(&transaction), door.broker.clone(), door.snapshots.clone());
        door.shutdown.spawn("renewal", renewal);
    }
    let request = outgoing::request(parts, body, &door.app)?;
    let upstream = door.upstream();
    let answered = async {
        let sent = door.pool.send(&upstream, request).await;
        let mut response = sent.map_err(|fault| {
            tracing::warn!(error = causes(&fault), "the app gave no answer");
            fault.refusal()
        })?;
        strip::response(response.headers_mut());
        finish(door, kind, called, session, response).await
    };
    let response = tokio::select! {
        answered = answered => answered?,
        () = Arc::clone(&transaction).ended() => return Err(Refusal::SubjectTransactionEnded),
    };
    Ok(response.map(|body| Body::of(Flow::new(body, transaction.ended(), (exchange, turn), &door.shutdown))))
}

/// What the app may know of its caller. The app's own address is its `Host`: servers on loopback refuse any other one
/// (DNS rebinding); the name that the caller used stands in `X-Forwarded-Host`.
fn say_who_calls(headers: &mut HeaderMap, permit: &Permit, authority: &str) {
    if let Some((target, access)) = permit.called() {
        strip::proxy_claims(headers);
        identity_headers::add(headers, target, access);
    }
    // An ingress in front of an edge may have said it better.
    if let Ok(host) = HeaderValue::try_from(authority)
        && !headers.contains_key(FORWARDED_HOST)
    {
        headers.insert(FORWARDED_HOST, host);
    }
}

/// What is left to do with an MCP answer.
async fn finish(
    door: &Inbound,
    kind: Kind,
    called: Option<(Arc<Target>, AccessToken)>,
    session: Option<String>,
    response: Response<Leased>,
) -> Result<Response<Body>, Refusal> {
    let Some((target, access)) = called else { return Ok(response.map(Body::of)) };
    match kind {
        Kind::Http | Kind::Message => Ok(response.map(Body::of)),
        Kind::ListTools => Listing::new(target, access).answer(response).await,
        Kind::Listen => Listing::new(target, access).stream(response),
        Kind::Initialize => {
            door.sessions.note(target.name(), response.headers(), &access).await?;
            Ok(response.map(Body::of))
        }
        Kind::EndSession => {
            if response.status().is_success() {
                door.sessions.end(target.name(), session).await;
            }
            Ok(response.map(Body::of))
        }
    }
}

#[cfg(test)]
mod tests;
