//! The peek into an MCP message: one JSON-RPC object, read strictly, to learn which operation it asks for
//! (`protocol.md` §6, `crates.md` §13). The bytes that were read are the bytes that are sent on, save what rides in
//! `_meta`; a document that another reader could understand differently is refused, never repaired.

mod meta;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Map, Value};

pub(crate) use self::meta::without_riders;
use identity::{McpOperation, Refusal, parse_strict};

/// Names that a JSON-RPC 2.0 message may have at its top. Some servers match names in any case, so a `Method` beside
/// `method` would be a second reading; unknown names are refused for that reason.
const TOP: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
/// `HeaderMismatch` of MCP 2026-07-28 (streamable HTTP).
const HEADER_MISMATCH: i64 = -32020;
/// A refusal of this sidecar, in the range that JSON-RPC 2.0 leaves to servers.
const REFUSED: i64 = -32000;

/// One message, understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// What it asks for.
    pub(crate) ask: Ask,
    /// `_meta.traceparent`, as it is written (MCP 2026-07-28).
    pub(crate) traceparent: Option<String>,
    /// How to answer it.
    pub(crate) rpc: Rpc,
}

/// What a message asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// `initialize`, which may open a session.
    Initialize,
    /// `notifications/initialized`, which ends the opening.
    Initialized,
    /// `tools/list`, whose answer is filtered.
    ListTools,
    /// Another method that needs no scope, a notification or a response; by a name of ours, for logs.
    Free(&'static str),
    /// `tools/call` of this tool.
    Tool(String),
    /// `resources/read` of this URI.
    Resource(String),
    /// `prompts/get` of this prompt.
    Prompt(String),
}

impl Ask {
    /// The operation that needs a scope, if it is one.
    pub(crate) fn operation(&self) -> Option<McpOperation<'_>> {
        match self {
            Self::Initialize | Self::Initialized | Self::ListTools | Self::Free(_) => None,
            Self::Tool(name) => Some(McpOperation::Tool(name)),
            Self::Resource(uri) => Some(McpOperation::Resource(uri)),
            Self::Prompt(name) => Some(McpOperation::Prompt(name)),
        }
    }

    /// Its name in logs. To be told only of a message that the target maps: names come from the app.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Initialize => "initialize".to_owned(),
            Self::Initialized => "notifications/initialized".to_owned(),
            Self::ListTools => "tools/list".to_owned(),
            Self::Free(name) => (*name).to_owned(),
            Self::Tool(name) => format!("tools/call {name}"),
            Self::Resource(uri) => format!("resources/read {uri}"),
            Self::Prompt(name) => format!("prompts/get {name}"),
        }
    }
}

/// What a JSON-RPC error needs of the message that it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rpc {
    /// The request's id; `null` for a notification.
    pub(crate) id: Value,
    /// The error's code.
    pub(crate) code: i64,
}

/// Why a message is refused, with the way to answer it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct McpFault {
    pub(crate) refusal: Refusal,
    pub(crate) rpc: Rpc,
}

/// Reads one message. Where `Mcp-Method` or `Mcp-Name` stand (MCP 2026-07-28), they must agree with the body.
///
/// # Errors
/// [`Refusal::CallBatch`], [`Refusal::CallMalformed`] or, for a method that no target maps, [`Refusal::CallUnmapped`].
pub(crate) fn read(body: &[u8], headers: &HeaderMap) -> Result<Message, McpFault> {
    // What has no id that can be read is answered with `null` (JSON-RPC 2.0 §5).
    let bare = |refusal| McpFault { refusal, rpc: Rpc { id: Value::Null, code: REFUSED } };
    let members = match parse_strict(body) {
        Ok(Value::Object(members)) => members,
        Ok(Value::Array(_)) => return Err(bare(Refusal::CallBatch)),
        Ok(_) | Err(_) => return Err(bare(Refusal::CallMalformed)),
    };
    let id = match members.get("id") {
        None | Some(Value::Null) => Value::Null,
        Some(id @ (Value::String(_) | Value::Number(_))) => id.clone(),
        Some(_) => return Err(bare(Refusal::CallMalformed)),
    };
    let rpc = Rpc { id, code: REFUSED };
    let understood = ask(&members).and_then(|ask| Ok((ask, meta::traceparent(&members)?)));
    let (ask, traceparent) = match understood {
        Ok(understood) => understood,
        Err(refusal) => return Err(McpFault { refusal, rpc }),
    };
    if agrees(headers, &members, &ask) {
        Ok(Message { ask, traceparent, rpc })
    } else {
        Err(McpFault { refusal: Refusal::CallMalformed, rpc: Rpc { code: HEADER_MISMATCH, ..rpc } })
    }
}

fn ask(members: &Map<String, Value>) -> Result<Ask, Refusal> {
    let version = members.get("jsonrpc").and_then(Value::as_str);
    if version != Some("2.0") || members.keys().any(|name| !TOP.contains(&name.as_str())) {
        return Err(Refusal::CallMalformed);
    }
    let answered = members.contains_key("result") || members.contains_key("error");
    let method = match members.get("method") {
        Some(Value::String(method)) if !answered => method.as_str(),
        None if answered => return Ok(Ask::Free("response")),
        Some(_) | None => return Err(Refusal::CallMalformed),
    };
    match method {
        "initialize" => Ok(Ask::Initialize),
        "tools/list" => Ok(Ask::ListTools),
        "tools/call" => parameter(members, "name").map(Ask::Tool),
        "resources/read" => parameter(members, "uri").map(Ask::Resource),
        "prompts/get" => parameter(members, "name").map(Ask::Prompt),
        "ping" => Ok(Ask::Free("ping")),
        "server/discover" => Ok(Ask::Free("server/discover")),
        "logging/setLevel" => Ok(Ask::Free("logging/setLevel")),
        "notifications/initialized" if !members.contains_key("id") => Ok(Ask::Initialized),
        other if other.starts_with("notifications/") => Ok(Ask::Free("notifications")),
        other if other.ends_with("/list") => Ok(Ask::Free("list")),
        _unmapped => Err(Refusal::CallUnmapped),
    }
}

/// A string in `params`. Another spelling of its name beside it would be a second reading.
fn parameter(members: &Map<String, Value>, name: &str) -> Result<String, Refusal> {
    let params = members.get("params").and_then(Value::as_object).ok_or(Refusal::CallMalformed)?;
    if params.keys().filter(|key| key.eq_ignore_ascii_case(name)).count() != 1 {
        return Err(Refusal::CallMalformed);
    }
    params.get(name).and_then(Value::as_str).map(str::to_owned).ok_or(Refusal::CallMalformed)
}

/// `message` with `to` in its `_meta` in the place of the `traceparent` that is written there: a server that takes its
/// trace from there must not take one that a caller chose. It stands nowhere else: a caller that gets it into an argument
/// could read it in the answer.
///
/// # Errors
/// [`Refusal::CallMalformed`] where it is not found again.
pub(crate) fn retraced(message: Bytes, to: &str) -> Result<Bytes, Refusal> {
    let changed = meta::with_traceparent(message, to);
    match parse_strict(&changed) {
        Ok(Value::Object(members)) if meta::traceparent(&members)?.as_deref() == Some(to) => Ok(changed),
        Ok(_) | Err(_) => Err(Refusal::CallMalformed),
    }
}

fn agrees(headers: &HeaderMap, members: &Map<String, Value>, ask: &Ask) -> bool {
    let name = match ask {
        Ask::Initialize | Ask::Initialized | Ask::ListTools | Ask::Free(_) => None,
        Ask::Tool(name) | Ask::Resource(name) | Ask::Prompt(name) => Some(name.as_str()),
    };
    says(headers, "mcp-method", members.get("method").and_then(Value::as_str)) && says(headers, "mcp-name", name)
}

/// Whether every header of this name says `truth`. Absent is no disagreement: 2025-11-25 has no such headers.
fn says(headers: &HeaderMap, name: &str, truth: Option<&str>) -> bool {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    match first {
        None => true,
        Some(_) if second.is_some() => false,
        Some(value) => value.to_str().ok().and_then(decoded).as_deref() == truth,
    }
}

/// A header value, plain or as `=?base64?…?=` (MCP 2026-07-28).
fn decoded(value: &str) -> Option<String> {
    match value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        Some(encoded) => String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok(),
        None => Some(value.to_owned()),
    }
}

#[cfg(test)]
mod tests;
