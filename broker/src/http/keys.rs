//! Orders about the signing keys, for who runs the broker: over a Unix socket that nobody else can open. It tells names
//! and states of keys, never a key.

use axum::{
    Json, Router,
    extract::{Path, State},
    response::{IntoResponse as _, Response},
    routing,
};
use http::StatusCode;
use runtime::causes::causes;
use serde_json::{Value, json};

use crate::keys::{Listed, RingFault, Rotation, RotationFault};

/// The orders. Served on the broker's own socket alone.
pub(crate) fn keys(rotation: Rotation) -> Router {
    Router::new()
        .route("/keys", routing::get(list))
        .route("/keys/rotate", routing::post(rotate))
        .route("/keys/{kid}/revoke", routing::post(revoke))
        .with_state(rotation)
}

async fn list(State(rotation): State<Rotation>) -> Response {
    answer(rotation.list().await)
}

async fn rotate(State(rotation): State<Rotation>) -> Response {
    answer(rotation.rotate().await)
}

async fn revoke(State(rotation): State<Rotation>, Path(kid): Path<String>) -> Response {
    answer(rotation.revoke(&kid).await)
}

fn answer(done: Result<Vec<Listed>, RotationFault>) -> Response {
    match done {
        Ok(keys) => Json(json!({ "keys": keys.iter().map(told).collect::<Vec<_>>() })).into_response(),
        Err(fault) => {
            let message = causes(&fault);
            tracing::warn!(cause = message, "an order about keys was not carried out");
            (status(&fault), Json(json!({ "message": message }))).into_response()
        }
    }
}

fn status(fault: &RotationFault) -> StatusCode {
    match fault {
        RotationFault::Ring(RingFault::SuccessorWaits(_) | RingFault::Full) => StatusCode::CONFLICT,
        RotationFault::Ring(RingFault::Unknown(_)) => StatusCode::NOT_FOUND,
        RotationFault::Ring(RingFault::Key(_)) | RotationFault::Store(_) | RotationFault::Unstored(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        RotationFault::Stopping => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn told(key: &Listed) -> Value {
    json!({
        "kid": key.kid,
        "alg": key.algorithm.name(),
        "state": key.state.word(),
        "since": key.since.secs(),
        "next": key.next.map(|(change, at)| json!({ "state": change.word(), "at": at.secs() })),
    })
}
