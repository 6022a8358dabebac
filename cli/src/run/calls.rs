//! One call, as the sidecar's log tells it: events of the target `calls`. Everything else in the log is passed over.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The `target` of log lines that tell of calls.
const CALLS: &str = "calls";
/// Decisions that are no code of a refusal.
const ALLOWED: &str = "allowed";
const ABORTED: &str = "aborted";
/// The refusal of a host that the registry does not have.
const UNLISTED: &str = "call.unlisted_host";
/// The door for calls in the workload's own name.
const OWN: &str = "self";

/// A call that was let through or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) door: String,
    pub(super) direction: Direction,
    /// The workload at the other end; `None` at the edge.
    pub(super) who: Option<String>,
    /// The user for whom; `None` where none is known.
    pub(super) subject: Option<String>,
    /// The target's name.
    pub(super) target: Option<String>,
    /// The tool or route.
    pub(super) operation: Option<String>,
    pub(super) scope: Option<String>,
    pub(super) decision: Decision,
    /// The status of the answer.
    pub(super) status: Option<u16>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Allowed,
    /// Its caller did not wait for the answer.
    Aborted,
    /// The code.
    Refused(String),
}

/// Into the pod or out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    In,
    Out,
}

/// The members of a log line that are used.
#[derive(Debug, Deserialize)]
struct Written {
    target: String,
    door: String,
    direction: String,
    who: Option<String>,
    subject: Option<String>,
    called: Option<String>,
    operation: Option<String>,
    scope: Option<String>,
    decision: String,
    status: Option<u16>,
}

impl Call {
    /// The call of a log line, if it tells of one. `users` has names for subjects that are none.
    pub(super) fn read(line: &str, users: &BTreeMap<String, String>) -> Option<Self> {
        let written: Written = serde_json::from_str(line).ok()?;
        if written.target != CALLS {
            return None;
        }
        let direction = match written.direction.as_str() {
            "in" => Direction::In,
            "out" => Direction::Out,
            _other => return None,
        };
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        Some(Self {
            door: written.door,
            direction,
            who: filled(written.who).map(|id| short(&id)),
            subject: filled(written.subject).map(|subject| users.get(&subject).cloned().unwrap_or(subject)),
            target: filled(written.called),
            operation: filled(written.operation).and_then(|operation| operation_of(&operation, direction)),
            scope: filled(written.scope),
            decision: match written.decision.as_str() {
                ALLOWED => Decision::Allowed,
                ABORTED => Decision::Aborted,
                code => Decision::Refused(code.to_owned()),
            },
            status: written.status,
        })
    }

    /// Who called: the workload, at the edge the user. A user whom the broker did not let in is not named.
    pub(super) fn caller(&self) -> &str {
        self.who.as_deref().or(self.subject.as_deref()).unwrap_or("a user")
    }

    /// What was called. A call that belongs to nobody is refused before it is looked where it goes.
    pub(super) fn called(&self) -> &str {
        let unlisted = matches!(&self.decision, Decision::Refused(code) if code == UNLISTED);
        self.target.as_deref().unwrap_or(if unlisted { "an unlisted host" } else { "a call" })
    }

    /// In whose name.
    pub(super) fn whom(&self) -> String {
        match &self.subject {
            Some(subject) => format!("for {subject}"),
            None if self.door == OWN => "in its own name".to_owned(),
            None => "for nobody known".to_owned(),
        }
    }
}

/// A tool by its name alone. At the doors in, the method of a plain request says nothing to whoever reads beside the app.
fn operation_of(written: &str, direction: Direction) -> Option<String> {
    let tool = written.strip_prefix("tools/call ").unwrap_or(written);
    let is_method = tool.bytes().all(|byte| byte.is_ascii_uppercase());
    (direction == Direction::Out || !is_method).then(|| tool.to_owned())
}

/// The last part of a SPIFFE ID.
fn short(id: &str) -> String {
    id.rsplit('/').next().unwrap_or(id).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_tell_of_no_call_are_passed_over() {
        for line in [
            "",
            "not JSON",
            r#"{"target":"sidecar::app","message":"the sidecar serves"}"#,
            r#"{"target":"calls","door":"edge","direction":"sideways","decision":"allowed"}"#,
            r#"{"target":"calls"}"#,
        ] {
            assert_eq!(Call::read(line, &BTreeMap::new()), None, "{line}");
        }
    }
}
