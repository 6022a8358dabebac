//! `/token`: one decision record for each request, from accept to answer.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request as HttpRequest, State},
    response::Response,
};
use identity::{DecisionRecord, Outcome, Refusal, SpiffeId, UnixTime};
use runtime::{clock, mtls::Peer};

use super::{answer, inside::InsideDoor, read};
use crate::{
    exchange,
    grant::Issued,
    request::{Known, Request},
};

/// Longest body in bytes: two tokens of 8 KiB in percent-encoding, with room (`security.md` §1).
const BODY_LENGTH_MAX: usize = 64 * 1024;
/// Answers one request of `peer`. Dropped half-way, because the requester left, the record says `aborted`.
pub(super) async fn exchange(
    State(door): State<InsideDoor>,
    Extension(peer): Extension<Arc<Peer>>,
    request: HttpRequest,
) -> Response {
    let now = clock::now();
    let request_id = uuid::Uuid::now_v7().to_string();
    let mut record = door.parties().recorder.decision(now, peer.id().clone(), request_id.clone());
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
    door: &InsideDoor,
    requester: &SpiffeId,
    request: HttpRequest,
    record: &mut DecisionRecord,
    now: UnixTime,
) -> Result<Issued, Refusal> {
    let place = door.enter(requester)?;
    let form = read::form(request, BODY_LENGTH_MAX).await?;
    let parties = door.parties();
    let known = Known { registry: &parties.registry, trust_domain: &parties.issuer.trust_domain };
    let request = Request::read(&form, requester, known)?;
    // On the heap: the exchange's future is large, and the connection holds one for each stream.
    let issued = Box::pin(exchange::exchange(parties, requester, request, record, now)).await;
    drop(place);
    issued
}
