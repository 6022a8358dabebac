//! The values in force and where each came from, for `check` and for the warnings at start. Secrets are never shown.
//! Defaults come from the schema; schemars knows only those whose type is `Serialize`.

use std::fmt;

use serde_json::Value;

use super::{
    check::{options, resolve},
    node::{Content, Meaning, Node, Origin, element, member},
};

/// What is shown in place of a secret.
const HIDDEN: &str = "(hidden)";
const DEFAULT: &str = "default";

/// One line for each value: `key = value  (where from)`.
#[derive(Debug)]
pub struct Effective(Vec<Line>);

#[derive(Debug)]
struct Line {
    path: String,
    value: String,
    origin: String,
}

/// A key that weakens security and is set; such keys begin with `danger_`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Danger {
    /// Its path.
    pub key: String,
    /// Where it was set.
    pub origin: String,
}

impl Effective {
    pub(super) fn of(document: &Node, schema: &Value, file: &str) -> Self {
        let mut lister = Lister { root: schema, file, lines: Vec::new() };
        lister.node(document, Some(schema), "");
        Self(lister.lines)
    }

    pub(super) fn dangers(&self) -> Vec<Danger> {
        let is_danger = |path: &str| path.split('.').any(|key| key.starts_with("danger_"));
        self.0
            .iter()
            .filter(|line| is_danger(&line.path) && line.origin != DEFAULT && line.value != "false")
            .map(|line| Danger { key: line.path.clone(), origin: line.origin.clone() })
            .collect()
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(f, "{} = {}  ({})", line.path, line.value, line.origin))
    }
}

/// Whether the value at `path` must not be shown: the schema says `x-secret`, or the key's name does.
pub(super) fn is_secret(path: &str, schema: Option<&Value>) -> bool {
    let marked = schema.and_then(|schema| schema.get("x-secret")).and_then(Value::as_bool).unwrap_or_default();
    let key = path.rsplit('.').next().unwrap_or_default();
    marked || key.contains("password") || key.contains("secret")
}

struct Lister<'s, 'f> {
    root: &'s Value,
    file: &'f str,
    lines: Vec<Line>,
}

impl<'s> Lister<'s, '_> {
    fn node(&mut self, node: &Node, schema: Option<&'s Value>, path: &str) {
        let marked = schema;
        let schema = schema.map(|schema| self.concrete(schema));
        match &node.content {
            Content::Scalar { text, .. } => {
                let secret = is_secret(path, marked) || is_secret(path, schema);
                let value = match node.meaning() {
                    _ if secret => HIDDEN.to_owned(),
                    Meaning::Null => "null".to_owned(),
                    Meaning::Bool(_)
                    | Meaning::Integer(_)
                    | Meaning::Unsigned(_)
                    | Meaning::Float(_)
                    | Meaning::Text => without_password(text),
                };
                self.line(path, value, &node.origin);
            }
            Content::Sequence(items) if items.is_empty() => self.line(path, "[]".to_owned(), &node.origin),
            Content::Sequence(items) => {
                let schema = schema.and_then(|schema| schema.get("items"));
                for (index, item) in items.iter().enumerate() {
                    self.node(item, schema, &element(path, index));
                }
            }
            Content::Mapping(entries) => self.mapping(entries, schema, path),
        }
    }

    fn mapping(&mut self, entries: &[(String, Node)], schema: Option<&'s Value>, path: &str) {
        let fields = schema.and_then(|schema| schema.get("properties")).and_then(Value::as_object);
        for (key, value) in entries {
            self.node(value, fields.and_then(|fields| fields.get(key)), &member(path, key));
        }
        for (key, schema) in fields.into_iter().flatten() {
            if entries.iter().any(|(written, _value)| written == key) {
                continue;
            }
            if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
                self.default(default, &member(path, key));
            }
        }
    }

    fn default(&mut self, value: &Value, path: &str) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    self.default(value, &member(path, key));
                }
            }
            Value::Null => {}
            Value::String(text) => self.push(path, without_password(text), DEFAULT.to_owned()),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
                self.push(path, value.to_string(), DEFAULT.to_owned());
            }
        }
    }

    /// The schema with the fields, through references and `Option`.
    fn concrete(&self, schema: &'s Value) -> &'s Value {
        let schema = resolve(self.root, schema);
        let inner = options(schema).and_then(|options| {
            options.iter().map(|option| resolve(self.root, option)).find(|option| option.get("properties").is_some())
        });
        inner.unwrap_or(schema)
    }

    fn line(&mut self, path: &str, value: String, origin: &Origin) {
        self.push(path, value, origin.place(self.file));
    }

    fn push(&mut self, path: &str, value: String, origin: String) {
        self.lines.push(Line { path: path.to_owned(), value, origin });
    }
}

/// The text with the password of every URL in it hidden: `postgres://broker:(hidden)@db/broker`. A password may hold
/// any character but spaces and backticks, so that also one that somebody forgot to escape stays hidden.
pub(super) fn without_password(text: &str) -> String {
    let mut parts = text.split("://");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        shown.push_str("://");
        let end = part.find(|char: char| char.is_whitespace() || char == '`').unwrap_or(part.len());
        let (url, rest) = part.split_at_checked(end).unwrap_or((part, ""));
        match url.rsplit_once('@').and_then(|(user_info, host)| Some((user_info.split_once(':')?.0, host))) {
            Some((user, host)) => shown.push_str(&format!("{user}:{HIDDEN}@{host}{rest}")),
            None => shown.push_str(part),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_of_a_url_is_hidden_wherever_it_stands() {
        for (text, shown) in [
            ("postgres://me:secret@db/x", "postgres://me:(hidden)@db/x"),
            ("postgres://me:se/cr@et@db/x", "postgres://me:(hidden)@db/x"),
            ("https://:secret@host", "https://:(hidden)@host"),
            (
                "`https://me:secret@host/a` is no `https://<host>`",
                "`https://me:(hidden)@host/a` is no `https://<host>`",
            ),
            ("https://host:8443/path", "https://host:8443/path"),
            ("https://me@host/path", "https://me@host/path"),
            ("no URL: a@b", "no URL: a@b"),
        ] {
            assert_eq!(without_password(text), shown);
        }
    }
}
