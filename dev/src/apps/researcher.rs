//! The agent that looks things up: on each call it asks the tickets tool over MCP and answers with what it found.

use axum::{Json, Router, extract::State, routing::post};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::{agent::Errand, frame::Counted};

/// Where the tickets tool is.
const TICKETS: &str = "http://tickets.tool/mcp";

/// `POST /research`.
pub(super) fn program(proxy: Option<String>, counted: Counted) -> Router {
    Router::new().route("/research", post(research)).with_state((proxy, counted))
}

async fn research(
    State((proxy, counted)): State<(Option<String>, Counted)>,
    headers: HeaderMap,
) -> (StatusCode, Json<Value>) {
    let errand = Errand::new(proxy, &headers, counted);
    let (status, told) = errand.tool(TICKETS, "list_tickets", &json!({})).await;
    (status, Json(told))
}
