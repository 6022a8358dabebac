//! What `countersign run` writes on stderr beside the command: how to reach it, then one line a call. No token, no
//! handle and no header is ever in one.

use std::{collections::BTreeSet, io::Write};

use dev::up::Invitation;

use super::{
    Doors,
    calls::{Call, Decision, Direction},
};
use crate::{
    demo::called_as,
    look::Look,
    text::{Line, Tone},
};

/// Tells our lines from the command's.
const PREFIX: &str = "cs │";
/// Each code is explained once; more codes than this do not exist.
const CODES_MAX: usize = 512;
/// From here on a status tells of a failure (RFC 9110 §15.5).
const FAILURE: u16 = 400;

/// Writes lines. An output that nobody reads is no reason to end.
pub(super) struct Screen<W> {
    out: W,
    look: Look,
    explained: BTreeSet<String>,
}

impl<W: Write> Screen<W> {
    pub(super) fn new(out: W, look: Look) -> Self {
        Self { out, look, explained: BTreeSet::new() }
    }

    /// Something that takes a while.
    pub(super) fn note(&mut self, text: &str) {
        self.show(&prefixed().add(text, Tone::Dim));
    }

    /// The sidecar serves; the command comes next.
    pub(super) fn joined(&mut self, invitation: &Invitation, doors: &Doors, own: bool) {
        let Invitation { name, id, port, .. } = invitation;
        self.show(&prefixed().add(name.as_str(), Tone::Title).add(format!("is {id}"), Tone::Dim));
        self.show(&prefixed().add(format!("its app is expected on port {port}"), Tone::Dim));
        if own {
            let door = format!("calls go out in its own name, by http://{}", doors.own);
            self.show(&prefixed().add(door, Tone::Dim));
        }
        if doors.edge.is_empty() {
            return;
        }
        let edge = format!("http://{}", doors.edge);
        self.show(&prefixed().add("users enter at", Tone::Dim).add(edge.as_str(), Tone::Title));
        if !invitation.sign_in.is_empty() {
            self.show(&prefixed().add("to paste: sign alice in, and ask as alice", Tone::Dim));
            for line in &invitation.sign_in {
                self.show(&Line::verbatim(line));
            }
            self.show(&Line::verbatim(&format!("curl -s --noproxy '*' -w '\\n' {edge}/ \\")));
            self.show(&Line::verbatim("  -H \"Authorization: Bearer $TOKEN\""));
        }
    }

    /// One call.
    pub(super) fn call(&mut self, call: &Call, workload: &str) {
        let line = call_line(call, workload);
        let line = match &call.decision {
            Decision::Allowed => match call.status.filter(|status| *status >= FAILURE) {
                None => line.add("allowed", Tone::Good),
                Some(status) => line.add("allowed,", Tone::Good).add(format!("answered {status}"), Tone::Plain),
            },
            Decision::Aborted => line.add("given up by its caller", Tone::Dim),
            Decision::Refused(code) => {
                let line = line.add("refused", Tone::Bad).add(code.as_str(), Tone::Bad);
                let is_new = self.explained.len() < CODES_MAX && self.explained.insert(code.clone());
                let explain = || format!(" ({} explain {code})", called_as());
                if is_new { line.add(explain(), Tone::Dim) } else { line }
            }
        };
        self.show(&line);
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self) {
        // Nobody reads; the exit code still tells how it ended.
        drop(self.out.flush());
    }

    /// One line whatever the width: it is read beside the command's own, and searched.
    fn show(&mut self, line: &Line) {
        let text = line.render(Look { width: usize::MAX, ..self.look });
        // As above.
        drop(self.out.write_all(text.as_bytes()));
    }
}

fn prefixed() -> Line {
    Line::new().add(PREFIX, Tone::Dim)
}

/// `← alice via edge  planner`, `← planner for alice via mesh  researcher  scope tickets:read`,
/// `→ tickets list_tickets  for alice  scope tickets:read`.
fn call_line(call: &Call, workload: &str) -> Line {
    let mut line = prefixed();
    match call.direction {
        Direction::In => {
            line = line.add("←", Tone::Dim).add(call.caller(), Tone::Title);
            if let Some(subject) = call.subject.as_deref().filter(|_subject| call.who.is_some()) {
                line = line.add(format!("for {subject}"), Tone::Plain);
            }
            line = line.add(format!("via {} ", call.door), Tone::Dim).add(workload, Tone::Plain);
            if let Some(operation) = &call.operation {
                line = line.add(operation.as_str(), Tone::Plain);
            }
        }
        Direction::Out => {
            line = line.add("→", Tone::Dim).add(call.called(), Tone::Title);
            if let Some(operation) = &call.operation {
                line = line.add(operation.as_str(), Tone::Plain);
            }
            line = line.add(format!(" {}", call.whom()), Tone::Plain);
        }
    }
    if let Some(scope) = call.scope.as_deref().filter(|scope| !scope.is_empty()) {
        line = line.add(format!(" scope {scope}"), Tone::Plain);
    }
    line.add("", Tone::Plain)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn shown(events: &[serde_json::Value]) -> Vec<String> {
        let mut screen = Screen::new(Vec::new(), Look::new(None, false));
        let users = BTreeMap::from([("0d5f".to_owned(), "bob".to_owned())]);
        for event in events {
            screen.call(&Call::read(&event.to_string(), &users).expect("a call"), "planner");
        }
        let text = String::from_utf8(screen.out).expect("text");
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_call_is_one_line() {
        let event = |more: serde_json::Value| {
            let mut event = json!({ "target": "calls", "level": "INFO", "door": "edge", "direction": "in" });
            event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            event
        };
        let lines = shown(&[
            event(json!({ "subject": "alice", "decision": "allowed", "status": 200 })),
            event(json!({ "subject": "alice", "decision": "allowed", "status": 502 })),
            event(json!({ "subject": "alice", "decision": "aborted" })),
            event(json!({ "operation": "POST", "decision": "policy.no_rule", "status": 403 })),
            event(json!({
                "door": "mesh", "who": "spiffe://corp.example/ns/agents/sa/front", "subject": "alice",
                "scope": "tickets:read", "decision": "allowed",
            })),
            event(json!({
                "door": "agent", "direction": "out", "called": "tickets", "operation": "tools/call list_tickets",
                "subject": "0d5f", "scope": "tickets:read", "decision": "allowed",
            })),
        ]);
        assert_eq!(
            lines,
            [
                "cs │ ← alice via edge  planner  allowed",
                "cs │ ← alice via edge  planner  allowed, answered 502",
                "cs │ ← alice via edge  planner  given up by its caller",
                &format!(
                    "cs │ ← a user via edge  planner  refused policy.no_rule  ({} explain policy.no_rule)",
                    called_as()
                ),
                "cs │ ← front for alice via mesh  planner  scope tickets:read  allowed",
                "cs │ → tickets list_tickets  for bob  scope tickets:read  allowed",
            ]
        );
    }

    #[test]
    fn a_code_is_explained_where_it_first_occurs() {
        let refused =
            json!({ "target": "calls", "door": "agent", "direction": "out", "decision": "call.no_transaction" });
        let lines = shown(&[refused.clone(), refused]);
        assert!(
            lines[0].contains("refused call.no_transaction  (") && lines[0].contains("explain call.no_transaction)")
        );
        assert!(lines[1].ends_with("refused call.no_transaction"), "{lines:?}");
    }

    #[test]
    fn a_call_that_is_nobodys_is_not_one_in_the_workloads_own_name() {
        let out =
            |door: &str, code: &str| json!({ "target": "calls", "door": door, "direction": "out", "decision": code });
        let lines = shown(&[
            out("agent", "call.trace_ended"),
            out("self", "policy.no_rule"),
            out("self", "call.unlisted_host"),
        ]);
        let begin = |line: usize, text: &str| assert!(lines[line].starts_with(text), "{lines:?}");
        begin(0, "cs │ → a call  for nobody known  refused call.trace_ended");
        begin(1, "cs │ → a call  in its own name  refused policy.no_rule");
        begin(2, "cs │ → an unlisted host  in its own name  refused call.unlisted_host");
    }
}
