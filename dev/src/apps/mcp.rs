//! The client's side of MCP 2025-11-25 over streamable HTTP, as far as one tool call needs it
//! (modelcontextprotocol.io, specification 2025-11-25, "Lifecycle" and "Transports").

use http::Method;
use serde_json::{Value, json};

use super::{Answer, AnswerFault, Call, agent::Errand};

/// The protocol's version.
pub const PROTOCOL_VERSION: &str = "2025-11-25";
/// The header that carries a session.
pub(super) const SESSION_HEADER: &str = "mcp-session-id";
/// The header that carries the version after `initialize`.
pub(super) const VERSION_HEADER: &str = "mcp-protocol-version";

/// Opens a session at `url` and calls `tool`. The first answer that is no success is returned as it is.
pub(super) async fn call_tool(
    errand: &Errand,
    url: &str,
    tool: &str,
    arguments: &Value,
) -> Result<Answer, AnswerFault> {
    let opened = errand.send(post(url, &initialize())).await?;
    if !opened.status.is_success() {
        return Ok(opened);
    }
    let in_session = |message: &Value| {
        let call = post(url, message).header(VERSION_HEADER, PROTOCOL_VERSION);
        match opened.header(SESSION_HEADER) {
            "" => call,
            session => call.header(SESSION_HEADER, session),
        }
    };
    let told = errand.send(in_session(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))).await?;
    if !told.status.is_success() {
        return Ok(told);
    }
    errand.send(in_session(&tool_call(tool, arguments))).await
}

/// A POST as the transport wants it: both kinds of answer are accepted.
pub(super) fn post(url: &str, message: &Value) -> Call {
    Call::new(Method::POST, url).header(http::header::ACCEPT, "application/json, text/event-stream").json(message)
}

/// A `tools/call`.
pub(super) fn tool_call(tool: &str, arguments: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": { "name": tool, "arguments": arguments } })
}

/// The message that opens a session.
pub(super) fn initialize() -> Value {
    json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": PROTOCOL_VERSION,
            "capabilities": {},
            "clientInfo": { "name": "countersign-demo-app", "version": env!("CARGO_PKG_VERSION") },
        },
    })
}
