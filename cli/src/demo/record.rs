//! One line of the broker's record, as far as the demo shows it. Reads only; what it does not know it leaves out.

use dev::stack::StackOptions;
use serde_json::Value;

/// Unit of `ts`.
const MILLIS_PER_SECOND: u64 = 1000;

/// A grant that was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// `begin`, or the target's name.
    pub(super) name: String,
    pub(super) workload: String,
    pub(super) subject: String,
    pub(super) actors: Vec<String>,
    pub(super) audience: String,
    pub(super) txn: String,
    pub(super) life_seconds: u64,
    /// Scope of the token that was shown for it.
    pub(super) shown: Vec<String>,
    /// Of the access token; at begin of the transaction token.
    scope: Vec<String>,
    /// Of the transaction token handed on; `None` where there is none.
    passes_on: Option<Vec<String>>,
}

impl Record {
    /// Reads a grant; `None` for a refusal, a renewal, or a line that is something else.
    pub(super) fn read(line: &Value, options: &StackOptions) -> Option<Self> {
        let text = |name: &str| line.get(name).and_then(Value::as_str).map(str::to_owned);
        let number = |name: &str| line.get(name).and_then(Value::as_u64);
        if text("dec")? != "allow" {
            return None;
        }
        let scope = |name: &str| text(name).map(|scope| words(&scope));
        let target = text("target")?;
        let (name, workload, audience) = match text("t")?.as_str() {
            "begin" => ("begin".to_owned(), text("req")?, target),
            "exchange" => {
                let known =
                    options.targets.iter().find(|known| known.get("name").is_some_and(|name| *name == target))?;
                let of_target = |name: &str| known.get(name).and_then(Value::as_str).map(str::to_owned);
                (target, of_target("workload")?, of_target("resource")?)
            }
            _other => return None,
        };
        let began = number("ts")?.checked_div(MILLIS_PER_SECOND)?;
        Some(Self {
            name,
            workload,
            audience,
            subject: text("sub")?,
            actors: list(line.get("act")?)?,
            txn: text("txn")?,
            life_seconds: number("exp")?.saturating_sub(began),
            shown: scope("shown")?,
            scope: scope("scope")?,
            passes_on: scope("passes_on"),
        })
    }

    /// Scope of the transaction token that was handed on, else of the access token.
    pub(super) fn scope_handed_on(&self) -> Vec<String> {
        self.passes_on.as_ref().unwrap_or(&self.scope).clone()
    }

    /// Whether its authority is used for the user: not so where MCP's `initialize` got a token without scope.
    pub(super) fn is_used(&self) -> bool {
        !self.scope_handed_on().is_empty()
    }
}

fn list(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

fn words(scope: &str) -> Vec<String> {
    scope.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line() -> Value {
        json!({
            "t": "exchange", "ts": 1_000_500, "dec": "allow", "code": "", "req": "spiffe://corp.example/ns/agents/sa/planner",
            "sub": "blinded", "act": ["spiffe://corp.example/ns/agents/sa/planner"], "target": "researcher", "scope": "",
            "exp": 1120, "txn": "1", "shown": "tickets:read tickets:write", "passes_on": "tickets:read",
        })
    }

    #[test]
    fn a_call_is_read_with_who_holds_the_authority_afterwards() {
        let record = Record::read(&line(), &StackOptions::story()).expect("a grant");
        assert_eq!(record.workload, "spiffe://corp.example/ns/agents/sa/researcher");
        assert_eq!(record.audience, "https://researcher.agents.svc");
        assert_eq!(record.shown, ["tickets:read", "tickets:write"]);
        assert_eq!(record.scope_handed_on(), ["tickets:read"]);
        assert_eq!(record.life_seconds, 120);
        assert!(record.is_used());
    }

    #[test]
    fn a_token_without_scope_for_a_tool_is_not_used_for_the_user() {
        let mut line = line();
        line["target"] = json!("tickets");
        line.as_object_mut().expect("an object").remove("passes_on");
        assert!(!Record::read(&line, &StackOptions::story()).expect("a grant").is_used());
    }

    #[test]
    fn refusals_and_renewals_are_no_hops() {
        for (name, value) in [("dec", "deny"), ("t", "renew"), ("t", "void"), ("target", "elsewhere")] {
            let mut line = line();
            line[name] = json!(value);
            assert_eq!(Record::read(&line, &StackOptions::story()), None, "{value}");
        }
    }
}
