//! `/token`: one decision record for each request, from accept to answer.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::{Request as HttpRequest, State},
    response::Response,
};
use http::{Method, header, request::Parts};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use identity::{DecisionRecord, Outcome, Refusal, SpiffeId, UnixTime};
use runtime::{clock, mtls::Peer};
use tokio::{sync::Semaphore, time::timeout};
use zeroize::Zeroizing;

use super::{answer, form::Form};
use crate::{
    exchange,
    grant::Issued,
    parties::Parties,
    quota::Quota,
    request::{Known, Request},
};

/// Longest body in bytes: two tokens of 8 KiB in percent-encoding, with room (`security.md` §1).
const BODY_LENGTH_MAX: usize = 64 * 1024;
/// Longest wait for a body; a form comes in one piece.
const BODY_TIME_MAX: Duration = Duration::from_secs(5);
/// Exchanges in progress: each may wait seconds for the provider, and holds some 100 KiB.
const IN_PROGRESS_MAX: usize = 512;
/// Of those, what one workload may have: a quarter, far more than a sidecar asks at once.
const IN_PROGRESS_EACH_MAX: usize = 128;
/// How much of a refused body is read to no purpose, and how long.
const DISCARD_LENGTH_MAX: usize = 256 * 1024;
const DISCARD_TIME_MAX: Duration = Duration::from_secs(1);
const FORM: &str = "application/x-www-form-urlencoded";

/// The door's parties and its limits.
#[derive(Clone, Debug)]
pub(super) struct TokenDoor {
    parties: Arc<Parties>,
    slots: Arc<Semaphore>,
    shares: Quota,
}

impl TokenDoor {
    pub(super) fn new(parties: Arc<Parties>) -> Self {
        let slots = Arc::new(Semaphore::new(IN_PROGRESS_MAX));
        Self { parties, slots, shares: Quota::new(IN_PROGRESS_EACH_MAX) }
    }
}

/// Answers one request of `peer`. Dropped half-way, because the requester left, the record says `aborted`.
pub(super) async fn exchange(
    State(door): State<TokenDoor>,
    Extension(peer): Extension<Arc<Peer>>,
    request: HttpRequest,
) -> Response {
    let now = clock::now();
    let request_id = uuid::Uuid::now_v7().to_string();
    let mut record = door.parties.recorder.decision(now, peer.id().clone(), request_id.clone());
    match decide(&door, peer.id(), request, &mut record, now).await {
        Ok(issued) => {
            record.finish(Outcome::Granted);
            answer::issued(&issued)
        }
        Err(refusal) => {
            record.finish(Outcome::Refused(refusal.code().into_owned()));
            answer::refused(&refusal, &request_id)
        }
    }
}

async fn decide(
    door: &TokenDoor,
    requester: &SpiffeId,
    request: HttpRequest,
    record: &mut DecisionRecord,
    now: UnixTime,
) -> Result<Issued, Refusal> {
    let share = door.shares.take(requester).ok_or(Refusal::FaultOverloaded)?;
    let slot = door.slots.try_acquire().map_err(|_full| Refusal::FaultOverloaded)?;
    let form = read(request).await?;
    let parties = &*door.parties;
    let known = Known { registry: &parties.registry, trust_domain: &parties.issuer.trust_domain };
    let request = Request::read(&form, requester, known)?;
    // On the heap: the exchange's future is large, and the connection holds one for each stream.
    let issued = Box::pin(exchange::exchange(parties, requester, request, record, now)).await;
    drop((slot, share));
    issued
}

async fn read(request: HttpRequest) -> Result<Form, Refusal> {
    let (parts, mut body) = request.into_parts();
    let bytes = match check_head(&parts) {
        Ok(()) => collect(&mut body).await,
        Err(refusal) => Err(refusal),
    };
    if bytes.is_err() {
        discard(body).await;
    }
    Form::parse(&bytes?)
}

async fn collect(body: &mut Body) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let collected = timeout(BODY_TIME_MAX, Limited::new(body, BODY_LENGTH_MAX).collect()).await;
    let collected = collected.map_err(|_elapsed| Refusal::RequestMalformed)?.map_err(|fault| too_long(&*fault))?;
    Ok(Zeroizing::new(collected.to_bytes().to_vec()))
}

/// Reads on for a moment after a refusal: a requester that is still writing when the connection closes would see a reset
/// instead of the answer.
async fn discard(body: Body) {
    let rest = timeout(DISCARD_TIME_MAX, Limited::new(body, DISCARD_LENGTH_MAX).collect()).await;
    if !matches!(rest, Ok(Ok(_))) {
        tracing::debug!("a refused request went on for too long");
    }
}

fn check_head(parts: &Parts) -> Result<(), Refusal> {
    if parts.method != Method::POST {
        return Err(Refusal::RequestMethod);
    }
    let media_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(FORM) {
        return Err(Refusal::RequestMediaType);
    }
    let declared = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: usize| length > BODY_LENGTH_MAX) {
        return Err(Refusal::RequestTooLarge);
    }
    Ok(())
}

fn too_long(fault: &(dyn std::error::Error + Send + Sync + 'static)) -> Refusal {
    if fault.is::<LengthLimitError>() { Refusal::RequestTooLarge } else { Refusal::RequestMalformed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(media_type: &str, body: impl Into<Body>) -> HttpRequest {
        let request = http::Request::post("/token?grant_type=ignored").header(header::CONTENT_TYPE, media_type);
        request.body(body.into()).expect("a request")
    }

    #[tokio::test]
    async fn only_a_posted_form_is_read() {
        let get = http::Request::get("/token").body(Body::empty()).expect("a request");
        assert_eq!(read(get).await.err(), Some(Refusal::RequestMethod));
        for media_type in ["application/json", "", "text/plain; x=application/x-www-form-urlencoded"] {
            assert_eq!(read(post(media_type, "{}")).await.err(), Some(Refusal::RequestMediaType), "{media_type}");
        }
        let form = read(post("Application/X-WWW-Form-urlencoded; charset=UTF-8", "a=b")).await.expect("a form");
        assert_eq!((form.value("a"), form.value("grant_type")), (Some("b"), None));
    }

    #[tokio::test]
    async fn one_byte_more_than_the_limit_is_refused() {
        let body = |length: usize| format!("a={}", "x".repeat(length - 2));
        assert!(read(post(FORM, body(BODY_LENGTH_MAX))).await.is_ok());
        assert_eq!(read(post(FORM, body(BODY_LENGTH_MAX + 1))).await.err(), Some(Refusal::RequestTooLarge));
        let unannounced = Body::from_stream(futures_util::stream::iter(vec![
            Ok::<_, std::io::Error>(body(BODY_LENGTH_MAX)),
            Ok("x".to_owned()),
        ]));
        assert_eq!(read(post(FORM, unannounced)).await.err(), Some(Refusal::RequestTooLarge));
    }
}
