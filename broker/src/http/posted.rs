//! One request of a workload about a token or the broker, from accept to answer: one decision record for each.

use std::sync::Arc;

use axum::{extract::Request, response::Response};
use http::header;
use identity::{DecisionRecord, Kind, Outcome, RawToken, Refusal, UnixTime};
use runtime::{clock, mtls::Peer};

use super::{Form, answer, inside::InsideDoor, read};
use crate::{
    client::{Client, Said},
    parties::Parties,
};

/// Longest body in bytes: a token of 8 KiB in percent-encoding, with room.
const BODY_LENGTH_MAX: usize = 32 * 1024;

/// A request that was read, of a client who has proved who it is.
pub(super) struct Asked<'a> {
    pub(super) parties: &'a Parties,
    pub(super) client: &'a Client,
    pub(super) form: &'a Form,
    pub(super) record: &'a mut DecisionRecord,
    pub(super) now: UnixTime,
}

/// Answers `request` of `peer` with what `decide` says. Dropped half-way, because the requester left, the record says so.
pub(super) async fn ask(
    door: &InsideDoor,
    peer: &Arc<Peer>,
    request: Request,
    kind: Kind,
    decide: impl AsyncFnOnce(Asked<'_>) -> Result<Response, Refusal>,
) -> Response {
    let now = clock::now();
    let request_id = uuid::Uuid::now_v7().to_string();
    let challenge = answer::challenge(request.headers());
    let client = Client::of_peer(peer);
    let mut record = door.parties().recorder.decision(now, client.id().clone(), request_id.clone());
    record.note(|entry| entry.kind = Some(kind));
    let decided = async {
        let place = door.enter(&client)?;
        let authorization = request.headers().contains_key(header::AUTHORIZATION);
        let form = read::form(request, BODY_LENGTH_MAX).await?;
        let parties = door.parties();
        client.confirm(parties, Said { authorization, form: &form }, now).await?;
        let answer = decide(Asked { parties, client: &client, form: &form, record: &mut record, now }).await;
        drop(place);
        answer
    };
    let answered = match decided.await {
        Ok(answer) => {
            record.finish(Outcome::Granted);
            answer
        }
        Err(refusal) => {
            record.finish(Outcome::Refused(refusal.code().into_owned()));
            match (kind, &refusal) {
                // Not to be told from a token that does not exist (N75).
                (Kind::Introspect, Refusal::ClientNotPermitted) => answer::introspected(None),
                _other => answer::refused(&refusal, &request_id),
            }
        }
    };
    answer::challenged(answered, challenge)
}

/// The token that is shown; `None` for text that can be no token (N76, N77). A hint of its type is not needed, and a wrong
/// one must not matter (RFC 7009 §2.1).
///
/// # Errors
/// `request.missing_parameter`.
pub(super) fn token(form: &Form) -> Result<Option<RawToken>, Refusal> {
    let token = form.value("token").ok_or(Refusal::RequestMissingParameter)?;
    Ok(RawToken::parse(token.to_owned()).ok())
}
