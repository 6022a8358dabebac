//! A condition in plain words, as far as it is one of those that rules are written in; else as it is written.

use serde_json::Value;

use super::condition::{Part, apart};

/// What must hold, or must not.
pub(super) fn words(part: &Part) -> String {
    let joint = if part.must { "||" } else { "&&" };
    if part.body.get(joint).is_some() {
        // What must not hold of several is any one that must hold otherwise, and the reverse.
        let others = apart(Part { body: part.body.clone(), must: !part.must });
        let each: Vec<String> =
            others.into_iter().map(|other| words(&Part { must: !other.must, body: other.body })).collect();
        return each.join(", or ");
    }
    known(&part.body, part.must).unwrap_or_else(|| {
        let must = if part.must { "must hold" } else { "must not hold" };
        format!("`{}` {must}", Part { must: true, ..part.clone() }.written())
    })
}

fn known(body: &Value, must: bool) -> Option<String> {
    let (operator, sides) = body.as_object()?.iter().next()?;
    let (left, right) = (sides.get("left"), sides.get("right"));
    let be = if must { "must" } else { "must not" };
    match operator.as_str() {
        "in" if attribute(left?)? == "subject" => {
            let (kind, name) = entity(right?)?;
            match kind {
                "Group" => Some(format!("the user {be} be in the group `{name}`")),
                "Role" => Some(format!("the user {be} have the role `{name}`")),
                _other => None,
            }
        }
        "==" | "!=" => {
            let (attributed, other) = if attribute(left?).is_some() { (left?, right?) } else { (right?, left?) };
            let be = if must == (operator == "==") { "must" } else { "must not" };
            match (attribute(attributed)?, entity(other)) {
                ("subject", Some(("User", name))) => Some(format!("the user {be} be `{name}`")),
                _other => None,
            }
        }
        "contains" => {
            let (plural, be) = (attribute(left?)?, be);
            match (plural, right?.get("Value").and_then(Value::as_str), entity(right?)) {
                ("actors", _text, Some((_kind, name))) => Some(format!("`{name}` {be} be among the actors")),
                ("scopes", Some(scope), _entity) => Some(format!("the scopes {be} include `{scope}`")),
                ("passes_on", Some(scope), _entity) => Some(format!("what is passed on {be} include `{scope}`")),
                _other => None,
            }
        }
        "containsAll" | "containsAny" => sets(operator, left?, right?, must),
        "isEmpty" => {
            let plural = noun(attribute(sides.get("arg")?)?)?;
            Some(format!("{plural} {be} be empty"))
        }
        _other => None,
    }
}

/// A set that is written out beside one of the question.
fn sets(operator: &str, left: &Value, right: &Value, must: bool) -> Option<String> {
    if operator == "containsAny" {
        let (asked, listed) = match (attribute(left), attribute(right)) {
            (Some(asked), None) => (asked, list(right)?),
            (None, Some(asked)) => (asked, list(left)?),
            (Some(_), Some(_)) | (None, None) => return None,
        };
        let be = if must { "must include at least one" } else { "must include none" };
        return Some(format!("{} {be} of {listed}", noun(asked)?));
    }
    match (attribute(left), attribute(right)) {
        (None, Some(asked)) => {
            let (asked, listed) = (noun(asked)?, list(left)?);
            let only = format!("{asked} may hold only {listed}");
            Some(if must { only } else { format!("{asked} must hold something else than {listed}") })
        }
        (Some(asked), None) => {
            let be = if must { "must include all" } else { "must not include all" };
            Some(format!("{} {be} of {}", noun(asked)?, list(right)?))
        }
        (Some(_), Some(_)) | (None, None) => None,
    }
}

fn noun(attribute: &str) -> Option<&'static str> {
    match attribute {
        "scopes" => Some("the scopes"),
        "passes_on" => Some("what is passed on"),
        "actors" => Some("the actors"),
        _other => None,
    }
}

/// The name of `context.name`.
fn attribute(value: &Value) -> Option<&str> {
    let access = value.get(".")?;
    let context = access.get("left")?.get("Var")?.as_str()? == "context";
    access.get("attr")?.as_str().filter(|_name| context)
}

/// Kind and id of an entity that is written out.
fn entity(value: &Value) -> Option<(&str, &str)> {
    let entity = value.get("Value")?.get("__entity")?;
    Some((entity.get("type")?.as_str()?, entity.get("id")?.as_str()?))
}

/// The texts or entities of a set that is written out.
fn list(value: &Value) -> Option<String> {
    let name = |value: &Value| match entity(value) {
        Some((_kind, name)) => Some(format!("`{name}`")),
        None => value.get("Value")?.as_str().map(|text| format!("`{text}`")),
    };
    let names: Option<Vec<String>> = value.get("Set")?.as_array()?.iter().map(name).collect();
    Some(names?.join(", "))
}
