//! The way to the app, open only with a [`Permit`], which is used up. The exchange's handle and trace live until the last
//! byte of the answer, a reset, or the end of the transaction. No trace that a caller chose reaches the app.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Response, header, request::Parts};

use super::{
    Inbound, Permit,
    authorize::Hop,
    callers::{Caller, Turn},
    identity_headers,
    listing::Listing,
    session,
};
use crate::{
    body::{Body, Flow, Guard},
    causes::causes,
    mcp, outgoing,
    perimeter::{Kind, Payload},
    pool::Leased,
    sessions::SessionKey,
    strip,
    trace::{self, TraceContext},
    transactions::{Brought, Exchange, keep_alive},
};
use identity::Refusal;
use runtime::clock;

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// A request on its way to the app.
pub(super) struct Asked<'a> {
    pub(super) parts: Parts,
    pub(super) payload: Payload,
    /// The name that the caller used.
    pub(super) authority: &'a str,
    /// The caller's trace.
    pub(super) trace: Option<TraceContext>,
    /// `_meta.traceparent` of a message that is held.
    pub(super) traceparent: Option<String>,
}

/// Forwards one request to the app and returns its answer. Dropped half-way, the app may have got the request; the
/// handle is dead.
pub(super) async fn forward(door: &Inbound, permit: Permit, asked: Asked<'_>) -> Result<Response<Body>, Refusal> {
    let Asked { mut parts, payload, authority, trace, traceparent } = asked;
    let kind = permit.kind();
    let turn = door.callers.enter(Caller::of(&permit))?;
    say_who_calls(&mut parts.headers, &permit, authority);
    let (held, called) = permit.spend();
    let renews = held.is_some();
    let brought = Brought { access: called.as_ref().map(|hop| Arc::clone(&hop.access)), held, trace };
    let exchange = door.transactions.open(brought, clock::now())?;
    // Here and not before it is open: what is revoked from here on finds it.
    let snapshot = door.snapshots.current()?;
    exchange.transaction().admit(&snapshot)?;
    drop(snapshot);
    let payload = mark(&mut parts.headers, payload, traceparent, &exchange)?;
    if matches!(kind, Kind::ListTools | Kind::Listen) {
        parts.headers.remove(header::ACCEPT_ENCODING);
    }
    let transaction = Arc::clone(exchange.transaction());
    if renews {
        let renewal = keep_alive(Arc::clone(&transaction), door.broker.clone(), door.snapshots.clone());
        door.shutdown.spawn("renewal", renewal);
    }
    let ended = match (&called, kind) {
        (Some(Hop { target, .. }), Kind::EndSession) => SessionKey::of(target.name(), &parts.headers)?,
        (Some(_) | None, _) => None,
    };
    let request = outgoing::request(parts, payload.into_body(Arc::clone(&transaction).over()), &door.app)?;
    let upstream = door.upstream();
    let answered = async {
        // A GET of MCP listens to a session, in which others are at work.
        exchange.set_at_work(kind != Kind::Listen);
        let sent = door.pool.send(&upstream, request).await;
        let mut response = sent.map_err(|fault| {
            if fault.is_unsent() {
                exchange.set_at_work(false);
            }
            tracing::warn!(error = causes(&fault), "the app gave no answer");
            fault.refusal()
        })?;
        strip::response(response.headers_mut());
        transaction.traces().take_out(response.headers_mut());
        finish(door, kind, called, ended, response).await
    };
    let response = tokio::select! {
        biased;
        why = Arc::clone(&transaction).ended() => return Err(why),
        answered = answered => answered?,
    };
    Ok(response.map(|body| Body::of(Flow::new(body, transaction.over(), (exchange, turn), &door.shutdown))))
}

impl Guard for (Exchange, Turn) {
    fn finish(self) {
        self.0.set_at_work(false);
    }
}

/// What makes the app's calls found again: the handle, and the trace of the exchange in head and message, whatever the
/// caller wrote there.
fn mark(
    headers: &mut HeaderMap,
    payload: Payload,
    written: Option<String>,
    exchange: &Exchange,
) -> Result<Payload, Refusal> {
    headers.insert(strip::HANDLE, exchange.handle().ok_or(Refusal::CallNoTransaction)?);
    headers.insert(trace::TRACEPARENT, exchange.traceparent().ok_or(Refusal::CallNoTransaction)?);
    match (payload, written) {
        (Payload::Held(message), Some(_written)) => {
            let inward = exchange.transaction().traces().inward();
            mcp::retraced(message, &inward).map(Payload::Held)
        }
        (payload, _) => Ok(payload),
    }
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
    called: Option<Hop>,
    ended: Option<SessionKey>,
    response: Response<Leased>,
) -> Result<Response<Body>, Refusal> {
    let Some(Hop { target, access }) = called else { return Ok(response.map(Body::of)) };
    match kind {
        Kind::Http | Kind::Message | Kind::Initialized => Ok(response.map(Body::of)),
        Kind::ListTools => Listing::new(target, access).answer(response).await,
        Kind::Listen => Listing::new(target, access).stream(response),
        Kind::Initialize => {
            session::note(&door.sessions, target.name(), response.headers(), &access).await?;
            Ok(response.map(Body::of))
        }
        Kind::EndSession => {
            if response.status().is_success()
                && let Some(session) = ended
            {
                door.sessions.end(&session).await;
            }
            Ok(response.map(Body::of))
        }
    }
}

#[cfg(test)]
mod tests;
