//! A line of the broker's record as a question. The record holds no names of people, no groups and no roles, and of a
//! refusal neither the scopes that were asked for nor what would have been passed on; what is missing is told.

use serde_json::{Map, Value};

use super::case::Written;

/// Stands for the user whom the record does not name.
pub(super) const SOMEBODY: &str = "somebody";

/// Why a line cannot be put to the rules again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Left {
    /// Renewals: what was asked when the authority was given does not stand in their line.
    Renewal,
    /// Refusals: what was asked does not stand in their line.
    Refusal,
    /// Void lines, logouts, gaps.
    Other,
    /// Not a line of a record.
    Unreadable,
}

impl Left {
    pub(super) const fn why(self) -> &'static str {
        match self {
            Self::Renewal => "renewals: their lines do not say which call they renew",
            Self::Refusal => "refusals: their lines do not say which scopes were asked for",
            Self::Other => "lines about something else than a decision",
            Self::Unreadable => "lines that are none of a record",
        }
    }
}

/// A grant of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Granted {
    pub(super) written: Written,
    /// The rules that allowed it.
    pub(super) rules: Vec<String>,
    /// Digest of the set that they were in.
    pub(super) set: String,
}

/// Whether `text` is a line of a record, and not a case.
pub(super) fn is_one(text: &str) -> bool {
    serde_json::from_str::<Map<String, Value>>(text).is_ok_and(|line| line.contains_key("v") && line.contains_key("t"))
}

/// What a line says of a grant, or why it cannot be replayed.
pub(super) fn granted(text: &str) -> Result<Granted, Left> {
    let line: Map<String, Value> = serde_json::from_str(text).map_err(|_not_json| Left::Unreadable)?;
    match word(&line, "t").ok_or(Left::Unreadable)? {
        "begin" | "exchange" | "use" => {}
        "renew" => return Err(Left::Renewal),
        "refuse" => return Err(Left::Refusal),
        _other => return Err(Left::Other),
    }
    let written = written(&line).ok_or(Left::Unreadable)?;
    Ok(Granted { written, rules: list(&line, "rule"), set: word(&line, "pol").ok_or(Left::Unreadable)?.to_owned() })
}

/// The question of a line, refusals too, and what it lacks.
///
/// # Errors
/// Why there is none.
pub(super) fn question(text: &str) -> Result<(Written, Vec<String>), String> {
    let line: Map<String, Value> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let kind = word(&line, "t").unwrap_or_default();
    if word(&line, "op") == Some("renew") {
        return Err("the line is about a renewal, which asks what was asked when the authority was given: explain the line of that".to_owned());
    }
    let written = written(&line).ok_or("the line does not say who asked for what: such lines are not explained")?;
    let mut notes = Vec::new();
    if written.action != "use" {
        notes.push("the record names no users, groups and roles: --subject, --group and --role give them".to_owned());
    }
    if kind == "refuse" && written.action != "use" {
        notes.push(
            "the record does not hold which scopes a refused request asked for (--scope gives them), nor what would have been passed on"
                .to_owned(),
        );
    }
    Ok((written, notes))
}

fn written(line: &Map<String, Value>) -> Option<Written> {
    let action = word(line, "op").filter(|op| matches!(*op, "begin" | "exchange" | "use"))?.to_owned();
    let requester = word(line, "req")?.to_owned();
    let target = Some(word(line, "target")?.to_owned());
    if action == "use" {
        return Some(Written { requester, action, target, ..Written::default() });
    }
    let mut actors = list(line, "act");
    // A refusal tells the chain that was shown, to which the requester would have been added.
    if actors.first() != Some(&requester) {
        actors.insert(0, requester.clone());
    }
    let scopes = |key: &str| words(word(line, key).unwrap_or_default());
    let (scopes, passes_on) = (scopes("scope"), scopes("passes_on"));
    let subject = Some(SOMEBODY.to_owned());
    Some(Written { requester, action, target, subject, actors, scopes, passes_on, ..Written::default() })
}

fn word<'a>(line: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    line.get(key).and_then(Value::as_str)
}

fn list(line: &Map<String, Value>, key: &str) -> Vec<String> {
    let values = line.get(key).and_then(Value::as_array);
    values.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn words(scopes: &str) -> Vec<String> {
    scopes.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
}
