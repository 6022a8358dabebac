//! The table of negative cases, number by number: one thing is wrong with a request, and its status, error, code,
//! headers and line in the record are these, and nothing is issued. A row holds what is sent and what comes of it.

mod chain;
mod client;
mod form;
mod numbers;
mod parameters;
mod subject;

use std::collections::BTreeMap;

use dev::apps::{Answer, Call};
use harness::{Desk, assert_refused, eventually};
use serde_json::Value;

/// What is sent, by whom, and what comes of it.
pub(super) struct Row {
    case: &'static str,
    sender: Sender,
    call: Call,
    expect: Expect,
}

/// Who sends it.
pub(super) enum Sender {
    /// A caller of the desk, over mTLS.
    Peer(&'static str),
    /// Somebody without a certificate, at the door for client assertions; where he proves himself, as this workload.
    Asserting(Option<&'static str>),
}

/// What comes of it.
#[derive(Clone, Copy)]
pub(super) enum Expect {
    Granted,
    Refused { status: u16, error: &'static str, code: &'static str, challenge: &'static str },
}

/// `case` is sent over mTLS by `caller`.
pub(super) fn row(case: &'static str, caller: &'static str, call: impl Into<Call>, expect: Expect) -> Row {
    Row { case, sender: Sender::Peer(caller), call: call.into(), expect }
}

/// `case` is sent to the door for client assertions by somebody who does not prove himself.
pub(super) fn stranger(case: &'static str, call: impl Into<Call>, expect: Expect) -> Row {
    Row { case, sender: Sender::Asserting(None), call: call.into(), expect }
}

/// `case` is sent to that door, and proves `client`.
pub(super) fn asserting(case: &'static str, client: &'static str, call: impl Into<Call>, expect: Expect) -> Row {
    Row { case, sender: Sender::Asserting(Some(client)), call: call.into(), expect }
}

/// A refusal with this status.
pub(super) fn refused(status: u16, error: &'static str, code: &'static str) -> Expect {
    Expect::Refused { status, error, code, challenge: "" }
}

/// The request, or a token in it, is not acceptable.
pub(super) fn invalid(code: &'static str) -> Expect {
    refused(400, "invalid_request", code)
}

/// The target is not.
pub(super) fn target(code: &'static str) -> Expect {
    refused(400, "invalid_target", code)
}

/// The scope is not.
pub(super) fn scope(code: &'static str) -> Expect {
    refused(400, "invalid_scope", code)
}

/// Who asks is not proved.
pub(super) fn client(code: &'static str) -> Expect {
    refused(401, "invalid_client", code)
}

/// Sends every row, and holds what comes back and what the record says against it.
///
/// # Panics
/// Where a row does not hold, or the record says anything else than the rows do.
pub(super) async fn hold(desk: &Desk, rows: Vec<Row>) {
    let mut expected = recorded(desk);
    for Row { case, sender, call, expect } in rows {
        let (who, answer) = match sender {
            Sender::Peer(caller) => (Some(caller), desk.to_broker(caller, call).await),
            Sender::Asserting(client) => (client, desk.to_assertion_door(call).await),
        };
        let line = match expect {
            Expect::Granted => granted(case, &answer),
            Expect::Refused { status, error, code, challenge } => {
                assert_refused(case, &answer, status, error, code);
                assert_eq!(answer.header("www-authenticate"), challenge, "{case}");
                code
            }
        };
        // Who did not prove himself leaves no line.
        if let Some(who) = who {
            *expected.entry((id(who), line.to_owned())).or_default() += 1;
        }
    }
    let told = || async { (recorded(desk) == expected).then_some(()) };
    if tokio::time::timeout(std::time::Duration::from_secs(10), eventually("the record tells it", told)).await.is_err()
    {
        assert_eq!(
            recorded(desk),
            expected,
            "the record tells what was answered, and of nothing else that was granted"
        );
    }
}

fn granted(case: &str, answer: &Answer) -> &'static str {
    let body = answer.json();
    assert_eq!(answer.status, 200, "{case}: {body}");
    assert_eq!(answer.header("cache-control"), "no-store", "{case}");
    assert!(body["access_token"].is_string() && body["issued_token_type"].is_string(), "{case}: {body}");
    "granted"
}

/// How often the record tells each outcome, by requester: `granted`, or a refusal's code.
fn recorded(desk: &Desk) -> BTreeMap<(String, String), u64> {
    let mut told = BTreeMap::new();
    for line in desk.stack.records() {
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let outcome = match line["t"].as_str() {
            Some("begin" | "exchange" | "renew" | "use") => "granted".to_owned(),
            Some("refuse") => text("code"),
            Some("void") => "void".to_owned(),
            _others => continue,
        };
        *told.entry((text("req"), outcome)).or_default() += line["count"].as_u64().unwrap_or(1);
    }
    told
}

fn id(name: &str) -> String {
    let member = harness::MEMBERS.iter().find(|(known, _id)| *known == name);
    member.map_or_else(|| format!("spiffe://corp.example/{name}"), |(_name, id)| (*id).to_owned())
}

/// `claims` with `name` set to `value`; `null` takes it away.
pub(super) fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut changed = claims.clone();
    match value {
        Value::Null => changed.as_object_mut().expect("claims").remove(name).map_or((), drop),
        value => changed[name] = value,
    }
    changed
}
