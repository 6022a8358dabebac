//! `/token`: one decision record for each request of a client, from accept to answer.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request as HttpRequest, State},
    response::Response,
};
use http::header;
use identity::{DecisionRecord, Outcome, Refusal, UnixTime};
use runtime::{clock, mtls::Peer};

use super::{Form, answer, inside::InsideDoor, read};
use crate::{
    client::{Client, Said},
    exchange,
    grant::Issued,
    parties::Parties,
    request::{Known, Request},
};

/// Longest body in bytes: two tokens of 8 KiB in percent-encoding, with room (`security.md` §1).
pub(super) const BODY_LENGTH_MAX: usize = 64 * 1024;

/// Answers one request of `peer`. Dropped half-way, because the requester left, the record says `aborted`.
pub(super) async fn exchange(
    State(door): State<InsideDoor>,
    Extension(peer): Extension<Arc<Peer>>,
    request: HttpRequest,
) -> Response {
    let now = clock::now();
    let request_id = uuid::Uuid::now_v7().to_string();
    let challenge = answer::challenge(request.headers());
    let client = Client::of_peer(&peer);
    let mut record = door.parties().recorder.decision(now, client.id().clone(), request_id.clone());
    let issued = decide(&door, &client, request, &mut record, now).await;
    answer::challenged(answered(issued, record, &request_id), challenge)
}

async fn decide(
    door: &InsideDoor,
    client: &Client,
    request: HttpRequest,
    record: &mut DecisionRecord,
    now: UnixTime,
) -> Result<Issued, Refusal> {
    let place = door.enter(client)?;
    let authorization = request.headers().contains_key(header::AUTHORIZATION);
    let form = read::form(request, BODY_LENGTH_MAX).await?;
    client.confirm(door.parties(), Said { authorization, form: &form }, now).await?;
    let issued = issue(door.parties(), client, &form, record, now).await;
    drop(place);
    issued
}

/// What `client` asks for with `form`.
pub(super) async fn issue(
    parties: &Parties,
    client: &Client,
    form: &Form,
    record: &mut DecisionRecord,
    now: UnixTime,
) -> Result<Issued, Refusal> {
    let known = Known { registry: &parties.registry, trust_domain: &parties.issuer.trust_domain };
    let request = Request::read(form, known)?;
    // On the heap: the exchange's future is large, and the connection holds one for each stream.
    Box::pin(exchange::exchange(parties, client.id(), request, record, now)).await
}

/// The answer, and the end of the record.
pub(super) fn answered(issued: Result<Issued, Refusal>, record: DecisionRecord, request_id: &str) -> Response {
    match issued {
        Ok(issued) => {
            record.finish(Outcome::Granted);
            answer::issued(&issued)
        }
        Err(refusal) => {
            record.finish(Outcome::Refused(refusal.code().into_owned()));
            answer::refused(&refusal, request_id)
        }
    }
}
