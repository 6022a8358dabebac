//! A line of the broker's record as a question. The record holds no names of people, no groups and no roles, and which
//! scopes a refused request asked for only where edge or target has them; what is missing is told.

use identity::Refusal;
use serde_json::{Map, Value};

use super::case::Written;

/// Stands for the user whom the record does not name.
pub(super) const SOMEBODY: &str = "somebody";

/// Why a line cannot be put to the rules again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Left {
    /// Renewals: what was asked when the authority was given does not stand in their line.
    Renewal,
    /// Refusals that no rule decided, or of which too little is known.
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
            Self::Refusal => "refusals that no rule decided, or whose lines do not say what was asked for",
            Self::Other => "about something else than a decision",
            Self::Unreadable => "no lines of a record",
        }
    }
}

/// A decision of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recorded {
    pub(super) written: Written,
    pub(super) decided: Decided,
    /// Digest of the set of rules that decided.
    pub(super) set: String,
}

/// How it was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decided {
    /// By these rules.
    Granted(Vec<String>),
    /// With this code, which rules gave.
    Refused(Refusal),
}

/// What a line says of rules on trial: their ids, and in a word what they would have done.
pub(super) type Trials = (Vec<String>, &'static str);

/// Whether `text` is a line of a record, and not a case.
pub(super) fn is_one(text: &str) -> bool {
    serde_json::from_str::<Map<String, Value>>(text).is_ok_and(|line| line.contains_key("v") && line.contains_key("t"))
}

/// What a line says of a decision, or why it cannot be replayed.
pub(super) fn recorded(text: &str) -> Result<Recorded, Left> {
    let line: Map<String, Value> = serde_json::from_str(text).map_err(|_not_json| Left::Unreadable)?;
    let decided = match word(&line, "t").ok_or(Left::Unreadable)? {
        "begin" | "exchange" | "use" => Decided::Granted(list(&line, "rule")),
        "renew" => return Err(Left::Renewal),
        "refuse" => Decided::Refused(refused_by_rules(&line).ok_or(Left::Refusal)?),
        _other => return Err(Left::Other),
    };
    let written = written(&line).ok_or(Left::Unreadable)?;
    Ok(Recorded { written, decided, set: word(&line, "pol").ok_or(Left::Unreadable)?.to_owned() })
}

/// What rules on trial would have done, where a line says it.
pub(super) fn trials(text: &str) -> Option<Trials> {
    let line: Map<String, Value> = serde_json::from_str(text).ok()?;
    let would = line.get("would")?.as_object()?;
    let done = match (word(would, "dec")?, word(&line, "dec")?) {
        ("allow", "allow") => "allowed too",
        ("allow", _refused) => "allowed what was refused",
        _fails => "failed",
    };
    Some((list(would, "rule"), done))
}

/// The code of a refusal that rules gave, and that says what was asked.
fn refused_by_rules(line: &Map<String, Value>) -> Option<Refusal> {
    let code = Refusal::from_code(word(line, "code")?)?;
    let of_rules = matches!(code, Refusal::PolicyNoRule | Refusal::PolicyForbidden(_) | Refusal::ScopeNotPermitted);
    let is_whole = match word(line, "op")? {
        "begin" | "exchange" => line.contains_key("asked"),
        "use" => true,
        _other => false,
    };
    (of_rules && is_whole).then_some(code)
}

/// The question of a line, refusals too, and what it lacks.
///
/// # Errors
/// Why there is none.
pub(super) fn question(text: &str) -> Result<(Written, Vec<String>), String> {
    let line: Map<String, Value> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if word(&line, "op") == Some("renew") {
        return Err("the line is about a renewal, which asks what was asked when the authority was given: explain the line of that".to_owned());
    }
    let written = written(&line).ok_or("the line does not say who asked for what: such lines are not explained")?;
    let mut notes = Vec::new();
    if written.action != "use" {
        notes.push("the record names no users, groups and roles: --subject, --group and --role give them".to_owned());
    }
    let scopes = ["asked", "scope"].iter().any(|key| line.contains_key(*key));
    if written.action != "use" && !scopes {
        notes.push(
            "the record does not hold which scopes a refused request asked for, where edge or target does not have them (--scope gives them)"
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
    let scopes = words(word(line, "scope").or_else(|| word(line, "asked")).unwrap_or_default());
    let passes_on = words(word(line, "passes_on").unwrap_or_default());
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
