//! Writes configuration files as people would. Only what JSON can say; a string that YAML could read as something else
//! is quoted.

use serde_json::Value;

/// Words that YAML 1.1 or 1.2 reads as no string.
const RESERVED: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

/// `value` in block style, with a line feed at the end.
pub(super) fn to_yaml(value: &Value) -> String {
    let mut text = String::new();
    write_block(&mut text, value, 0);
    text
}

/// Changes `target` as RFC 7396 says: members of `patch` replace, `null` removes, all else stays.
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Some(members) = target.as_object_mut() else { return };
    for (name, value) in patch {
        if value.is_null() {
            members.remove(name);
        } else {
            merge(members.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Writes a value whose lines start at `indent`; the cursor stands at the start of a line.
fn write_block(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                pad(text, indent);
                text.push_str(&scalar(&Value::String(name.clone())));
                text.push(':');
                write_nested(text, value, indent.saturating_add(2));
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                pad(text, indent);
                text.push('-');
                write_item(text, item, indent.saturating_add(2));
            }
        }
        Value::Object(_) | Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            pad(text, indent);
            text.push_str(&scalar(value));
            text.push('\n');
        }
    }
}

/// After `name:`.
fn write_nested(text: &mut String, value: &Value, indent: usize) {
    if is_block(value) {
        text.push('\n');
        write_block(text, value, indent);
    } else {
        text.push(' ');
        text.push_str(&scalar(value));
        text.push('\n');
    }
}

/// After `-`: the first line of a block stands on the same line.
fn write_item(text: &mut String, value: &Value, indent: usize) {
    let mut block = String::new();
    write_block(&mut block, value, indent);
    text.push(' ');
    text.push_str(block.trim_start_matches(' '));
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(members) => !members.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        // JSON is YAML: quoted strings, numbers, `{}` and `[]` alike.
        Value::Object(_) | Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            value.to_string()
        }
    }
}

fn is_plain(text: &str) -> bool {
    let ordinary = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/')
        && text.bytes().all(ordinary)
        && !text.ends_with(':')
        && !RESERVED.contains(&text.to_ascii_lowercase().as_str())
}

fn pad(text: &mut String, indent: usize) {
    text.extend(std::iter::repeat_n(' ', indent));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_reads_as_people_write_it() {
        let value = json!({
            "edges": [{ "scopes": ["tickets:read"], "workload": "spiffe://corp.example/ns/agents/sa/planner" }],
            "issuer": "https://broker.agents.svc",
            "listen": "127.0.0.1:8443",
            "routes": [],
            "tls": { "yes": true },
        });
        let lines = [
            "edges:",
            "  - scopes:",
            "      - tickets:read",
            "    workload: spiffe://corp.example/ns/agents/sa/planner",
            "issuer: https://broker.agents.svc",
            "listen: \"127.0.0.1:8443\"",
            "routes: []",
            "tls:",
            "  \"yes\": true",
            "",
        ];
        assert_eq!(to_yaml(&value), lines.join("\n"));
    }

    #[test]
    fn a_patch_replaces_removes_and_keeps() {
        let mut value = json!({ "a": { "b": 1, "c": 2 }, "d": [1] });
        merge(&mut value, &json!({ "a": { "b": null, "e": 3 }, "d": [2] }));
        assert_eq!(value, json!({ "a": { "c": 2, "e": 3 }, "d": [2] }));
    }
}
