//! Calls to the doors of sidecars, and what every refusal there has in common.

use dev::apps::{Answer, Call};
use http::Method;
use serde_json::{Value, json};

use crate::tells_token;

/// The resource of the target `researcher`.
pub const RESEARCHER: &str = "https://researcher.agents.svc";
/// The resource of the target `tickets`.
pub const TICKETS: &str = "https://tickets.tools.svc/mcp";

/// An MCP message that calls the tool `name`.
#[must_use]
pub fn tool(name: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": name, "arguments": {}}})
}

/// A message to the mesh door of tickets.
#[must_use]
pub fn to_tickets(access: &str, body: &Value) -> Call {
    Call::new(Method::POST, TICKETS)
        .header("authorization", &format!("Bearer {access}"))
        .header("accept", "application/json, text/event-stream")
        .json(body)
}

/// A call to the mesh door of researcher.
#[must_use]
pub fn to_researcher(access: &str, txn: &str) -> Call {
    Call::new(Method::POST, &format!("{RESEARCHER}/research"))
        .header("authorization", &format!("Bearer {access}"))
        .header("txn-token", txn)
        .json(&json!({"question": "which tickets are open?"}))
}

/// A door refused with this status and code. Nothing of it may be cached, it tells no token, and a fault says when to
/// try again.
///
/// # Panics
/// Where it did not.
pub fn assert_turned_away(case: &str, answer: &Answer, status: u16, refusal: &str) {
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!((answer.status.as_u16(), answer.refusal().as_deref()), (status, Some(refusal)), "{case}: {text}");
    assert_eq!(answer.header("cache-control"), "no-store", "{case}");
    for member in ["error", "message", "request_id", "help"] {
        assert!(text.contains(&format!("\"{member}\":")), "{case}: {member} in {text}");
    }
    assert!(!tells_token(&text), "{case}: {text}");
    assert_eq!(answer.header("retry-after").is_empty(), status != 503, "{case}: Retry-After");
}

/// A mesh door refused a token: as above, with a challenge that names the error (RFC 6750 §3).
///
/// # Panics
/// Where it did not.
pub fn assert_challenged(case: &str, answer: &Answer, status: u16, refusal: &str) {
    assert_turned_away(case, answer, status, refusal);
    let challenge = answer.header("www-authenticate");
    if matches!(status, 401 | 403) {
        assert!(challenge.starts_with("Bearer ") && challenge.contains("resource_metadata=\""), "{case}: {challenge}");
    }
    if status == 401 && refusal != "access_token.missing" {
        assert!(challenge.contains("error=\"invalid_token\""), "{case}: {challenge}");
    }
}
