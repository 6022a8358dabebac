//! `/use`: whether a workload may call a target in its own name. One decision record for each request; the line of a yes
//! is on disk before the answer leaves.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    response::Response,
};
use identity::{DecisionRecord, Kind, Outcome, Refusal, SpiffeId, UnixTime};
use runtime::{clock, mtls::Peer};

use super::{answer, inside::InsideDoor, read};
use crate::{
    own_use::{self, Leave},
    request,
};

/// Longest body in bytes: one URL in percent-encoding, with room.
const BODY_LENGTH_MAX: usize = 16 * 1024;

/// Answers one request of `peer`. Dropped half-way, because the requester left, the record says `aborted`.
pub(super) async fn ask(
    State(door): State<InsideDoor>,
    Extension(peer): Extension<Arc<Peer>>,
    request: Request,
) -> Response {
    let now = clock::now();
    let request_id = uuid::Uuid::now_v7().to_string();
    let mut record = door.parties().recorder.decision(now, peer.id().clone(), request_id.clone());
    record.note(|entry| entry.kind = Some(Kind::Use));
    match decide(&door, peer.id(), request, &mut record, now).await {
        Ok(leave) => {
            record.finish(Outcome::Granted);
            answer::allowed(leave.expires_in(now))
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
    request: Request,
    record: &mut DecisionRecord,
    now: UnixTime,
) -> Result<Leave, Refusal> {
    let place = door.enter(requester)?;
    let form = read::form(request, BODY_LENGTH_MAX).await?;
    let parties = door.parties();
    request::check_client(&form, requester)?;
    let target = request::target(&form, parties.registry.workload(), parties.registry.mesh())?;
    record.note(|entry| entry.target = Some(target.name().to_owned()));
    let leave = own_use::decide(&parties.policies.current(), &parties.issuer.trust_domain, requester, &target, now)?;
    record.note(|entry| leave.describe(entry));
    parties.recorder.granted(record.entry()).await?;
    drop(place);
    Ok(leave)
}
