//! What an agent's program has in hand while it works on one request: its proxy and the handle it was given.
//! This is the whole of what Countersign asks of an agent: pass the handle on.

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::{Answer, AnswerFault, Call, HANDLE_HEADER, frame::Counted, mcp};

/// The outbound side of an agent's program, for one request.
#[derive(Clone, Debug)]
pub(super) struct Errand {
    proxy: Option<String>,
    handle: Option<String>,
    counted: Counted,
}

impl Errand {
    pub(super) fn new(proxy: Option<String>, received: &HeaderMap, counted: Counted) -> Self {
        let handle = received.get(HANDLE_HEADER).and_then(|handle| handle.to_str().ok()).map(str::to_owned);
        Self { proxy, handle, counted }
    }

    /// Makes `call`, with the handle, through the proxy where there is one.
    pub(super) async fn send(&self, call: Call) -> Result<Answer, AnswerFault> {
        let call = match &self.handle {
            Some(handle) => call.header(HANDLE_HEADER, handle),
            None => call,
        };
        let answer = match &self.proxy {
            Some(proxy) => call.send_through(proxy).await,
            None => call.send().await,
        }?;
        self.counted.look_at_answer(&answer);
        Ok(answer)
    }

    /// Calls `tool` of the MCP server at `url`, and reports as [`report`] does.
    pub(super) async fn tool(&self, url: &str, tool: &str, arguments: &Value) -> (StatusCode, Value) {
        report(url, mcp::call_tool(self, url, tool, arguments).await)
    }
}

/// What an agent tells its caller: where it called and what came back, with that status.
pub(super) fn report(url: &str, answer: Result<Answer, AnswerFault>) -> (StatusCode, Value) {
    match answer {
        Ok(answer) => {
            let told = json!({ "called": url, "status": answer.status.as_u16(), "answer": answer.json() });
            (answer.status, told)
        }
        Err(fault) => (StatusCode::BAD_GATEWAY, json!({ "called": url, "error": fault.to_string() })),
    }
}
