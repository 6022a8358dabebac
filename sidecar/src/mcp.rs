//! The peek into an MCP message: one JSON-RPC object, read strictly, to learn which operation it asks for
//! (`protocol.md` §6, `crates.md` §13). The bytes that were read are the bytes that are sent on; a document that
//! another reader could understand differently is refused, never repaired.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::HeaderMap;
use serde_json::{Map, Value};

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
    /// How to answer it.
    pub(crate) rpc: Rpc,
}

/// What a message asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// `initialize`, which may open a session.
    Initialize,
    /// `tools/list`, whose answer is filtered.
    ListTools,
    /// Another method that needs no scope, a notification or a response.
    Free,
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
            Self::Initialize | Self::ListTools | Self::Free => None,
            Self::Tool(name) => Some(McpOperation::Tool(name)),
            Self::Resource(uri) => Some(McpOperation::Resource(uri)),
            Self::Prompt(name) => Some(McpOperation::Prompt(name)),
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
    let ask = match ask(&members) {
        Ok(ask) => ask,
        Err(refusal) => return Err(McpFault { refusal, rpc }),
    };
    if agrees(headers, &members, &ask) {
        Ok(Message { ask, rpc })
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
        None if answered => return Ok(Ask::Free),
        Some(_) | None => return Err(Refusal::CallMalformed),
    };
    match method {
        "initialize" => Ok(Ask::Initialize),
        "tools/list" => Ok(Ask::ListTools),
        "tools/call" => parameter(members, "name").map(Ask::Tool),
        "resources/read" => parameter(members, "uri").map(Ask::Resource),
        "prompts/get" => parameter(members, "name").map(Ask::Prompt),
        "ping" | "server/discover" | "logging/setLevel" => Ok(Ask::Free),
        other if other.starts_with("notifications/") || other.ends_with("/list") => Ok(Ask::Free),
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

fn agrees(headers: &HeaderMap, members: &Map<String, Value>, ask: &Ask) -> bool {
    let name = match ask {
        Ask::Initialize | Ask::ListTools | Ask::Free => None,
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
mod tests {
    use serde_json::json;

    use super::*;

    fn read_plain(body: &str) -> Result<Message, McpFault> {
        read(body.as_bytes(), &HeaderMap::new())
    }

    fn asked(method: &str, params: &Value) -> Result<Ask, Refusal> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        read_plain(&body.to_string()).map(|message| message.ask).map_err(|fault| fault.refusal)
    }

    fn refusal(body: &str) -> Option<Refusal> {
        read_plain(body).err().map(|fault| fault.refusal)
    }

    #[test]
    fn operations_that_need_a_scope_are_told_with_their_name() {
        assert_eq!(asked("tools/call", &json!({"name": "list_tickets"})), Ok(Ask::Tool("list_tickets".into())));
        assert_eq!(asked("resources/read", &json!({"uri": "ticket://1"})), Ok(Ask::Resource("ticket://1".into())));
        assert_eq!(asked("prompts/get", &json!({"name": "summary"})), Ok(Ask::Prompt("summary".into())));
    }

    #[test]
    fn methods_without_scope_are_known() {
        assert_eq!(asked("initialize", &json!({})), Ok(Ask::Initialize));
        assert_eq!(asked("tools/list", &json!({})), Ok(Ask::ListTools));
        for method in [
            "ping",
            "notifications/initialized",
            "notifications/cancelled",
            "resources/list",
            "resources/templates/list",
            "prompts/list",
            "server/discover",
            "logging/setLevel",
        ] {
            assert_eq!(asked(method, &json!({})), Ok(Ask::Free), "{method}");
        }
        let answer = r#"{"jsonrpc":"2.0","id":"a","result":{"name":"x"}}"#;
        assert_eq!(read_plain(answer).map(|message| message.ask), Ok(Ask::Free));
    }

    #[test]
    fn every_other_method_is_unmapped() {
        for method in ["resources/subscribe", "completion/complete", "tools/Call", "TOOLS/CALL", "", "tools", "ping "] {
            assert_eq!(asked(method, &json!({"name": "x"})), Err(Refusal::CallUnmapped), "{method}");
        }
    }

    #[test]
    fn a_batch_is_refused() {
        assert_eq!(refusal("[]"), Some(Refusal::CallBatch));
        assert_eq!(refusal(r#" [{"jsonrpc":"2.0","id":1,"method":"ping"}]"#), Some(Refusal::CallBatch));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for body in [
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","paramſ":{"name":"x"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"NAME":"b"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","x":{"y":1,"y":2}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["a"]}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":1}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":["ping"]}"#,
            r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
            r#"{"id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"} {}"#,
            "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}",
            "null",
            "",
        ] {
            assert_eq!(refusal(body), Some(Refusal::CallMalformed), "{body}");
        }
    }

    #[test]
    fn a_body_nested_too_deep_is_refused() {
        let deep = format!("{}1{}", r#"{"a":"#.repeat(20), "}".repeat(20));
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"x","arguments":{deep}}}}}"#);
        assert_eq!(refusal(&body), Some(Refusal::CallMalformed));
    }

    #[test]
    fn ids_are_kept_for_the_answer() {
        for (id, kept) in [("7", json!(7)), (r#""seven""#, json!("seven")), ("null", Value::Null)] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tasks/get"}}"#);
            let fault = read_plain(&body).expect_err("unmapped");
            assert_eq!(fault.rpc.id, kept);
        }
        let notification = read_plain(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).expect("a message");
        assert_eq!(notification.rpc.id, Value::Null);
    }

    #[test]
    fn headers_that_differ_from_the_body_are_refused() {
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"close_ticket"}}"#;
        let with = |headers: &[(&'static str, &str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, value.parse().expect("a value"));
            }
            read(body.as_bytes(), &map)
        };
        assert!(with(&[("mcp-method", "tools/call"), ("mcp-name", "close_ticket")]).is_ok());
        assert!(with(&[("mcp-name", "=?base64?Y2xvc2VfdGlja2V0?=")]).is_ok());
        for headers in [
            &[("mcp-method", "tools/list")][..],
            &[("mcp-name", "list_tickets")],
            &[("mcp-name", "=?base64?bGlzdF90aWNrZXRz?=")],
            &[("mcp-name", "=?base64?!?=")],
            &[("mcp-name", "close_ticket"), ("mcp-name", "list_tickets")],
        ] {
            let fault = with(headers).expect_err("differs");
            assert_eq!(fault.rpc.code, HEADER_MISMATCH, "{headers:?}");
        }
    }
}
