//! `/backchannel-logout`: an authority tells that a session ended (OpenID Connect Back-Channel Logout 1.0 §2.5–2.8).
//! Anybody may come here. So a request is small and short, a refusal leaves no line in the record, and no number of them
//! makes anybody ask an authority more often than its key cache allows.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    response::Response,
};
use http::StatusCode;
use identity::{RawToken, Refusal, UnixTime};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use runtime::{clock, telemetry::Telemetry};

use super::{answer, read::Posted, turns::Turns};
use crate::{logout::log_out, parties::Parties};

/// Longest body in bytes: a token of 8 KiB, which needs no percent-encoding, with room. Keycloak's has about 900.
/// All connections together are read no more than 160 MiB of what strangers send.
const BODY_LENGTH_MAX: usize = 10 * 1024;

/// The door's parties and what it counts.
#[derive(Clone, Debug)]
pub(super) struct LogoutDoor {
    parties: Arc<Parties>,
    logouts: Family<LogoutLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LogoutLabels {
    outcome: &'static str,
    code: String,
}

impl LogoutDoor {
    pub(super) fn new(parties: Arc<Parties>, telemetry: &Telemetry) -> Self {
        let logouts = Family::default();
        telemetry.register("logouts", "Back-channel logouts that were received", logouts.clone());
        Self { parties, logouts }
    }

    fn count(&self, outcome: &'static str, code: &str) {
        self.logouts.get_or_create(&LogoutLabels { outcome, code: code.to_owned() }).inc();
    }
}

/// Answers 200 with nothing once the session has ended, 400 where the token is not one to believe, 503 where it could
/// not be done. Dropped half-way: see [`log_out`].
pub(super) async fn receive(
    State(door): State<LogoutDoor>,
    Extension(turns): Extension<Turns>,
    request: Request,
) -> Response {
    let request_id = uuid::Uuid::now_v7().to_string();
    match decide(&door.parties, &turns, request, &request_id, clock::now()).await {
        Ok(()) => {
            door.count("accepted", "");
            answer::done()
        }
        Err(refusal) => {
            let code = refusal.code();
            door.count("refused", &code);
            tracing::debug!(%code, request_id, "logout refused");
            let mut response = answer::refused(&refusal, &request_id);
            // §2.8 has one status for every request that is not a good one.
            if response.status() == StatusCode::PAYLOAD_TOO_LARGE {
                *response.status_mut() = StatusCode::BAD_REQUEST;
            }
            response
        }
    }
}

async fn decide(
    parties: &Parties,
    turns: &Turns,
    request: Request,
    request_id: &str,
    now: UnixTime,
) -> Result<(), Refusal> {
    // What waits for its turn has let go of its head: a stranger's headers are compressed on the way and large here.
    let posted = Posted::head(request, BODY_LENGTH_MAX).await?;
    let turn = turns.take().await?;
    let form = posted.form().await?;
    let token = form.value("logout_token").ok_or(Refusal::RequestMissingParameter)?;
    let token = RawToken::parse(token.to_owned()).map_err(Refusal::LogoutToken)?;
    log_out(parties, &token, request_id, now).await?;
    drop(turn);
    Ok(())
}
