//! `/token` for clients without a certificate, who show a JWT-SVID with each request (`jwt-spiffe`). Until that is
//! verified a client is a stranger: it takes none of the places of those who have proved who they are, and leaves a count
//! and no line in the record (`protocol.md` §9). Afterwards it is a client as any other.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    response::Response,
};
use http::header;
use identity::{Refusal, UnixTime};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use runtime::{clock, telemetry::Telemetry};
use tokio::sync::Semaphore;

use super::{
    Form, answer,
    inside::InsideDoor,
    read::Posted,
    token::{self, BODY_LENGTH_MAX},
    turns::{Turns, turn},
};
use crate::client::{Client, Said};

/// Strangers' bodies and assertions in the works at once: 16 MiB of what they send at most.
const STRANGERS_MAX: usize = 256;

/// The door behind which clients are, and the one before it.
#[derive(Clone, Debug)]
pub(super) struct AssertionDoor {
    inside: InsideDoor,
    strangers: Arc<Semaphore>,
    refusals: Family<RefusalLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    code: String,
}

impl AssertionDoor {
    pub(super) fn new(inside: InsideDoor, telemetry: &Telemetry) -> Self {
        let refusals = Family::default();
        let help = "Requests whose client did not prove who it is";
        telemetry.register("client_refusals", help, refusals.clone());
        Self { inside, strangers: Arc::new(Semaphore::new(STRANGERS_MAX)), refusals }
    }

    /// Who asks, and what. A stranger's head is let go of before it waits for its turn.
    async fn authenticate(&self, turns: &Turns, request: Request, now: UnixTime) -> Result<(Client, Form), Refusal> {
        let authorization = request.headers().contains_key(header::AUTHORIZATION);
        let posted = Posted::head(request, BODY_LENGTH_MAX).await?;
        let _of_the_connection = turns.take().await?;
        let _of_all = turn(&self.strangers).await?;
        let form = posted.form().await?;
        let client = Client::asserted(self.inside.parties(), Said { authorization, form: &form }, now).await?;
        Ok((client, form))
    }

    fn turn_away(&self, refusal: &Refusal, request_id: &str) -> Response {
        let code = refusal.code();
        self.refusals.get_or_create(&RefusalLabels { code: code.clone().into_owned() }).inc();
        tracing::debug!(%code, request_id, "client refused");
        answer::refused(refusal, request_id)
    }
}

/// Answers one request of a client that shows who it is.
pub(super) async fn exchange(
    State(door): State<AssertionDoor>,
    Extension(turns): Extension<Turns>,
    request: Request,
) -> Response {
    let now = clock::now();
    let request_id = uuid::Uuid::now_v7().to_string();
    let challenge = answer::challenge(request.headers());
    let answered = match door.authenticate(&turns, request, now).await {
        Ok((client, form)) => {
            let inside = &door.inside;
            let mut record = inside.parties().recorder.decision(now, client.id().clone(), request_id.clone());
            let issued = match inside.enter(&client) {
                Ok(_place) => token::issue(inside.parties(), &client, &form, &mut record, now).await,
                Err(full) => Err(full),
            };
            token::answered(issued, record, &request_id)
        }
        Err(refusal) => door.turn_away(&refusal, &request_id),
    };
    answer::challenged(answered, challenge)
}
