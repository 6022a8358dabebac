//! `/use`: whether a workload may call a target in its own name. One decision record for each request; the line of a yes
//! is on disk before the answer leaves.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    response::Response,
};
use http::header;
use identity::{DecisionRecord, Kind, Outcome, Refusal, UnixTime};
use runtime::{clock, mtls::Peer};

use super::{answer, inside::InsideDoor, read};
use crate::{
    client::{Client, Said},
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
    let challenge = answer::challenge(request.headers());
    let client = Client::of_peer(&peer);
    let mut record = door.parties().recorder.decision(now, client.id().clone(), request_id.clone());
    record.note(|entry| entry.kind = Some(Kind::Use));
    let answered = match decide(&door, &client, request, &mut record, now).await {
        Ok(leave) => {
            record.finish(Outcome::Granted);
            answer::allowed(leave.expires_in(now))
        }
        Err(refusal) => {
            record.finish(Outcome::Refused(refusal.code().into_owned()));
            answer::refused(&refusal, &request_id)
        }
    };
    answer::challenged(answered, challenge)
}

async fn decide(
    door: &InsideDoor,
    client: &Client,
    request: Request,
    record: &mut DecisionRecord,
    now: UnixTime,
) -> Result<Leave, Refusal> {
    let place = door.enter(client)?;
    let authorization = request.headers().contains_key(header::AUTHORIZATION);
    let form = read::form(request, BODY_LENGTH_MAX).await?;
    let parties = door.parties();
    client.confirm(parties, Said { authorization, form: &form }, now).await?;
    let target = request::target(&form, parties.registry.workload(), parties.registry.mesh())?;
    record.note(|entry| entry.target = Some(target.name().to_owned()));
    let (mut would, trust_domain) = (None, &parties.issuer.trust_domain);
    let asked = (client.id(), &*target);
    let leave = own_use::decide(&parties.policies.current(), trust_domain, asked, now, &mut would);
    record.note(|entry| entry.would = would);
    let leave = leave?;
    record.note(|entry| leave.describe(entry));
    parties.recorder.granted(record.entry()).await?;
    drop(place);
    Ok(leave)
}
