//! An MCP tool server (2025-11-25, streamable HTTP, JSON answers) with two tools over a few tickets.
//! It shows and closes only the tickets of the user that `Countersign-Subject` names; without that header, none.

mod desk;

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse as _, Response},
    routing::post,
};
use http::{HeaderMap, HeaderName, StatusCode};
use serde_json::{Value, json};

use self::desk::Desk;
pub(super) use self::desk::{ALICE, BOB};
use super::mcp::{PROTOCOL_VERSION, SESSION_HEADER};

/// Who asks, as the sidecar says it (`protocol.md` §10).
const SUBJECT_HEADER: &str = "countersign-subject";
/// JSON-RPC 2.0 §5.1: the method does not exist.
const METHOD_UNKNOWN: i32 = -32601;
/// JSON-RPC 2.0 §5.1: the parameters do not fit.
const PARAMETERS_WRONG: i32 = -32602;

/// `POST /mcp`, and `DELETE /mcp` to end a session. No stream is offered, so `GET` is 405.
pub(super) fn program(alice: &str, bob: &str) -> Router {
    let desk = Arc::new(Mutex::new(Desk::of(alice, bob)));
    Router::new().route("/mcp", post(receive).delete(end)).with_state(desk)
}

async fn receive(State(desk): State<Arc<Mutex<Desk>>>, headers: HeaderMap, Json(message): Json<Value>) -> Response {
    let mut desk = desk.lock().unwrap_or_else(PoisonError::into_inner);
    let method = message.get("method").and_then(Value::as_str).unwrap_or_default();
    let id = message.get("id").unwrap_or(&Value::Null);
    if method == "initialize" {
        let session = desk.open_session();
        let body = result(
            id,
            &json!({
                "protocolVersion": PROTOCOL_VERSION,
                "capabilities": { "tools": {} },
                "serverInfo": { "name": "tickets", "version": env!("CARGO_PKG_VERSION") },
            }),
        );
        return ([(HeaderName::from_static(SESSION_HEADER), session)], body).into_response();
    }
    match text(&headers, SESSION_HEADER) {
        None => return StatusCode::BAD_REQUEST.into_response(),
        Some(session) if !desk.knows_session(session) => return StatusCode::NOT_FOUND.into_response(),
        Some(_known) => {}
    }
    match method {
        _notification if id.is_null() => StatusCode::ACCEPTED.into_response(),
        "ping" => result(id, &json!({})).into_response(),
        "tools/list" => result(id, &json!({ "tools": tools() })).into_response(),
        "tools/call" => {
            match call(&mut desk, text(&headers, SUBJECT_HEADER), message.get("params").unwrap_or(&Value::Null)) {
                Ok(said) => result(id, &said).into_response(),
                Err(unknown) => error(id, PARAMETERS_WRONG, &unknown).into_response(),
            }
        }
        _unknown => error(id, METHOD_UNKNOWN, "the method is not known").into_response(),
    }
}

async fn end(State(desk): State<Arc<Mutex<Desk>>>, headers: HeaderMap) -> StatusCode {
    let ended = text(&headers, SESSION_HEADER)
        .is_some_and(|session| desk.lock().unwrap_or_else(PoisonError::into_inner).end_session(session));
    if ended { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

/// Runs a tool for `subject`, or says which tool is not known.
fn call(desk: &mut Desk, subject: Option<&str>, parameters: &Value) -> Result<Value, String> {
    let subject = subject.unwrap_or_default();
    match text_at(parameters, "/name") {
        "list_tickets" => Ok(content(&json!({ "tickets": desk.open_tickets_of(subject) }), false)),
        "close_ticket" => {
            let id = text_at(parameters, "/arguments/id");
            let closed = desk.close(id, subject);
            Ok(content(&json!({ "closed": closed }), !closed))
        }
        unknown => Err(format!("the tool `{unknown}` is not known")),
    }
}

fn tools() -> Value {
    json!([
        { "name": "list_tickets", "description": "Lists the user's open tickets.", "inputSchema": { "type": "object" } },
        {
            "name": "close_ticket",
            "description": "Closes one of the user's tickets.",
            "inputSchema": { "type": "object", "properties": { "id": { "type": "string" } }, "required": ["id"] },
        },
    ])
}

/// A tool's result: structured, and as text for older clients.
fn content(structured: &Value, is_error: bool) -> Value {
    json!({
        "content": [{ "type": "text", "text": structured.to_string() }],
        "structuredContent": structured,
        "isError": is_error,
    })
}

fn result(id: &Value, result: &Value) -> Json<Value> {
    Json(json!({ "jsonrpc": "2.0", "id": id, "result": result }))
}

fn error(id: &Value, code: i32, message: &str) -> Json<Value> {
    Json(json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } }))
}

/// The text at `pointer` (RFC 6901); empty where there is none.
fn text_at<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}
