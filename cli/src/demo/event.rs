//! What happens in the demo, as values: the screen and the JSON lines show the same.

use std::{error::Error, path::PathBuf};

use dev::stack::StackFault;
use serde::Serialize;

/// Something to show.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event {
    /// The processes are being started; with real peers it takes a while.
    Starting { real: bool },
    /// They are not ready yet.
    StillStarting { seconds: f64 },
    /// All of them are ready.
    Started { processes: usize, seconds: f64 },
    /// A user asks.
    Asked { user: &'static str, question: &'static str },
    /// Authority was handed on.
    Hop(ShownHop),
    /// The answer came back.
    Answered { tickets: usize, broker_calls: usize, provider_calls: usize },
    /// How many tokens reached the control's process and the apps'.
    Tokens { control: usize, apps: usize },
    /// Something was refused, as it should be, or not.
    Refusal(ShownRefusal),
    /// A user was signed out in the middle of a transaction.
    SignedOut(SignedOut),
    /// Something was not as expected.
    Unexpected { what: String },
    /// Told to stop before the end; no process is left.
    Stopped,
    /// The story is over.
    Ended(Ended),
    /// The stack stays: what to play with.
    Kept(Box<Kept>),
    /// The stack or a step broke.
    Failed(Failed),
    /// All of it, last.
    Summary(Summary),
}

/// Everything that the summary says of one hop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Hop {
    /// SPIFFE ID of who holds the authority afterwards.
    pub(super) workload: String,
    /// For whom.
    pub(super) subject: String,
    /// Who acts, current first.
    pub(super) actors: Vec<String>,
    /// The access token's audience; at begin the trust domain.
    pub(super) audience: String,
    /// Scope of the transaction token handed on, else of the access token.
    pub(super) scope: Vec<String>,
    /// The transaction.
    pub(super) txn: String,
}

/// A hop with what only its own line shows.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ShownHop {
    /// What it is called: `begin`, or the target's name.
    pub(super) step: String,
    #[serde(flatten)]
    pub(super) hop: Hop,
    /// Scope of the token that was shown for it.
    pub(super) scope_before: Vec<String>,
    /// Seconds that the new token lives.
    pub(super) life_seconds: u64,
}

/// What the summary says of one refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Refusal {
    pub(super) case: &'static str,
    pub(super) code: String,
    pub(super) status: u16,
}

/// A refusal with what only its own line shows.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ShownRefusal {
    #[serde(flatten)]
    pub(super) refusal: Refusal,
    /// Who refused.
    pub(super) by: &'static str,
    /// What was seen beside it: the control.
    pub(super) control: String,
    /// Whether code, status and control are as they should be.
    pub(super) expected: bool,
}

/// What a transaction got after its user was signed out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct LogoutRefusal {
    pub(super) code: String,
    pub(super) status: u16,
}

/// A sign-out in the middle of a transaction.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SignedOut {
    #[serde(flatten)]
    pub(super) refusal: LogoutRefusal,
    /// From the provider's word to the refusal.
    pub(super) milliseconds: u64,
    /// Whether code and status are as they should be.
    pub(super) expected: bool,
}

/// Versions of the real peers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct PeerVersions {
    pub(super) keycloak: &'static str,
    pub(super) spire: &'static str,
}

/// How it ended.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Ended {
    pub(super) ok: bool,
    pub(super) seconds: f64,
    pub(super) txn: String,
    pub(super) record: PathBuf,
    pub(super) records: usize,
    /// The work folder, where it stays for what went wrong.
    pub(super) folder: Option<PathBuf>,
    /// Commands to try next.
    pub(super) next: Vec<String>,
}

/// What a kept stack offers.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Kept {
    /// Names and addresses.
    pub(super) addresses: Vec<(String, String)>,
    /// Command lines to paste, each of one or more lines.
    pub(super) commands: Vec<Vec<String>>,
}

/// What broke.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Failed {
    pub(super) process: Option<String>,
    pub(super) problem: String,
    pub(super) log_tail: Vec<String>,
    pub(super) folder: Option<PathBuf>,
}

/// The last line of `--json`.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Summary {
    pub(super) ok: bool,
    pub(super) hops: Vec<Hop>,
    pub(super) refusals: Vec<Refusal>,
    pub(super) tokens_seen_by_apps: usize,
    pub(super) control_tokens_seen: usize,
    /// Only where they are real.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) peers: Option<PeerVersions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logout_refusal: Option<LogoutRefusal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logout_to_refused_ms: Option<u64>,
}

impl Failed {
    pub(super) fn of(fault: &StackFault) -> Self {
        let mut problem = fault.problem.to_string();
        let mut cause = fault.problem.source();
        while let Some(deeper) = cause {
            problem.push_str(": ");
            problem.push_str(&deeper.to_string());
            cause = deeper.source();
        }
        Self { process: fault.process.clone(), problem, log_tail: fault.log_tail.clone(), folder: fault.folder.clone() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_summary_has_exactly_the_promised_shape() {
        let hop = Hop {
            workload: "spiffe://corp.example/ns/agents/sa/planner".to_owned(),
            subject: "alice".to_owned(),
            actors: vec!["spiffe://corp.example/ns/agents/sa/planner".to_owned()],
            audience: "corp.example".to_owned(),
            scope: vec!["tickets:read".to_owned()],
            txn: "1".to_owned(),
        };
        let summary = Summary {
            ok: true,
            hops: vec![hop],
            refusals: vec![Refusal { case: "bob", code: "policy.no_rule".to_owned(), status: 403 }],
            tokens_seen_by_apps: 0,
            control_tokens_seen: 1,
            peers: Some(PeerVersions { keycloak: "26.7.3", spire: "1.13.3" }),
            logout_refusal: Some(LogoutRefusal { code: "subject.session_ended".to_owned(), status: 401 }),
            logout_to_refused_ms: Some(12),
        };
        let expected = json!({
            "event": "summary",
            "ok": true,
            "hops": [{
                "workload": "spiffe://corp.example/ns/agents/sa/planner",
                "subject": "alice",
                "actors": ["spiffe://corp.example/ns/agents/sa/planner"],
                "audience": "corp.example",
                "scope": ["tickets:read"],
                "txn": "1",
            }],
            "refusals": [{ "case": "bob", "code": "policy.no_rule", "status": 403 }],
            "tokens_seen_by_apps": 0,
            "control_tokens_seen": 1,
            "peers": { "keycloak": "26.7.3", "spire": "1.13.3" },
            "logout_refusal": { "code": "subject.session_ended", "status": 401 },
            "logout_to_refused_ms": 12,
        });
        assert_eq!(serde_json::to_value(Event::Summary(summary)).expect("serialises"), expected);
    }
}
