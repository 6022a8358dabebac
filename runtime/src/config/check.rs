//! The structural check: the tree against the JSON schema that schemars derives (draft 2020-12, the part it emits).
//! It finds every unknown key, missing key and wrong type at once; serde would stop at the first.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    Problems,
    effective::is_secret,
    node::{Content, Meaning, Node, element, member},
};

/// Deepest chain of `$ref` and choices; a schema that goes on is recursive without end.
const DEPTH_MAX: usize = 64;
/// Edits by which a key may differ from a known one and still be taken for a slip.
const SLIP_MAX: usize = 3;

pub(super) fn check(document: &Node, schema: &Value, problems: &mut Problems) {
    let mut checker = Checker { root: schema, found: Vec::new() };
    checker.node(document, schema, "", 0);
    for (path, message) in checker.found {
        problems.at(&path, message);
    }
}

/// The schema that `schema` refers to, within `root`.
pub(super) fn resolve<'s>(root: &'s Value, mut schema: &'s Value) -> &'s Value {
    for _ in 0..DEPTH_MAX {
        let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { return schema };
        match reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer)) {
            Some(target) => schema = target,
            None => return schema,
        }
    }
    schema
}

/// The alternatives of a schema: `anyOf` (as for `Option`) or `oneOf` (as for enums).
pub(super) fn options(schema: &Value) -> Option<&Vec<Value>> {
    schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array)
}

struct Checker<'s> {
    root: &'s Value,
    found: Vec<(String, String)>,
}

impl<'s> Checker<'s> {
    fn node(&mut self, node: &Node, schema: &'s Value, path: &str, depth: usize) {
        let schema = resolve(self.root, schema);
        if depth > DEPTH_MAX {
            return;
        }
        // Flattened enums have fields of their own beside the alternatives: those are one mapping.
        match options(schema) {
            Some(options) if schema.get("properties").is_none() => self.choice(node, options, path, depth),
            Some(_) | None => self.shape(node, schema, path, depth),
        }
    }

    /// Takes the alternative that fits best.
    fn choice(&mut self, node: &Node, options: &'s [Value], path: &str, depth: usize) {
        let words: Vec<&str> = options.iter().flat_map(|option| constants(resolve(self.root, option))).collect();
        if let Content::Scalar { text, .. } = &node.content
            && !words.is_empty()
            && node.meaning() != Meaning::Null
        {
            let free = options.iter().any(|option| is_free_text(resolve(self.root, option)));
            if !free {
                self.word(text, &words, path);
                return;
            }
        }
        let attempt = |option: &'s Value| {
            let mut checker = Checker { root: self.root, found: Vec::new() };
            checker.node(node, option, path, depth.saturating_add(1));
            checker.found
        };
        let attempts = options.iter().filter(|option| kind_fits(node, resolve(self.root, option))).map(attempt);
        match attempts.min_by_key(Vec::len) {
            Some(best) => self.found.extend(best),
            None => {
                let kinds: Vec<&str> = options.iter().flat_map(|option| kinds(resolve(self.root, option))).collect();
                self.wrong_kind(node, &kinds, path);
            }
        }
    }

    fn shape(&mut self, node: &Node, schema: &'s Value, path: &str, depth: usize) {
        if !kind_fits(node, schema) {
            self.wrong_kind(node, &kinds(schema), path);
            return;
        }
        match &node.content {
            Content::Scalar { text, .. } => self.scalar(node, text, schema, path),
            Content::Sequence(items) => {
                if let Some(schema) = schema.get("items") {
                    for (index, item) in items.iter().enumerate() {
                        self.node(item, schema, &element(path, index), depth.saturating_add(1));
                    }
                }
            }
            Content::Mapping(entries) => self.mapping(entries, schema, path, depth),
        }
    }

    fn scalar(&mut self, node: &Node, text: &str, schema: &'s Value, path: &str) {
        let words: Vec<&str> = constants(schema).collect();
        if !words.is_empty() && node.meaning() != Meaning::Null {
            self.word(text, &words, path);
        }
        let number = match node.meaning() {
            Meaning::Unsigned(number) => i128::from(number),
            Meaning::Integer(number) => i128::from(number),
            Meaning::Null | Meaning::Bool(_) | Meaning::Float(_) | Meaning::Text => return,
        };
        let bound = |name: &str| schema.get(name).and_then(Value::as_i64).map(i128::from);
        if bound("minimum").is_some_and(|minimum| number < minimum) {
            self.problem(path, format!("must be at least {}", bound("minimum").unwrap_or_default()));
        }
        if bound("maximum").is_some_and(|maximum| number > maximum) {
            self.problem(path, format!("must be at most {}", bound("maximum").unwrap_or_default()));
        }
    }

    fn mapping(&mut self, entries: &[(String, Node)], schema: &'s Value, path: &str, depth: usize) {
        let mut fields = BTreeMap::new();
        self.fields(schema, &mut fields, 0);
        let others = schema.get("additionalProperties");
        let open = fields.is_empty() && others.is_none();
        for (key, value) in entries {
            let path = member(path, key);
            match (fields.get(key.as_str()), others) {
                (Some(schema), _) => self.node(value, schema, &path, depth.saturating_add(1)),
                (None, Some(schema @ Value::Object(_))) => self.node(value, schema, &path, depth.saturating_add(1)),
                (None, Some(Value::Bool(true))) => {}
                (None, _) if open => {}
                (None, _) => self.problem(&path, unknown_key(key, &fields)),
            }
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        for key in required.filter_map(Value::as_str) {
            if !entries.iter().any(|(written, _value)| written == key) {
                self.problem(&member(path, key), "missing".to_owned());
            }
        }
    }

    /// The known keys of a mapping, with those of flattened parts.
    fn fields(&self, schema: &'s Value, fields: &mut BTreeMap<&'s str, &'s Value>, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        let own = schema.get("properties").and_then(Value::as_object).map(Map::iter).into_iter().flatten();
        fields.extend(own.map(|(key, schema)| (key.as_str(), schema)));
        let parts = ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|name| schema.get(name)?.as_array());
        for part in parts.flatten() {
            self.fields(resolve(self.root, part), fields, depth.saturating_add(1));
        }
    }

    fn word(&mut self, text: &str, words: &[&str], path: &str) {
        if words.contains(&text) {
            return;
        }
        let listed = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        let message = match nearest(text, words.iter().copied()) {
            Some(meant) => format!("unknown value `{text}`, did you mean `{meant}`?"),
            None => format!("unknown value `{text}`, expected one of {listed}"),
        };
        self.problem(path, message);
    }

    fn wrong_kind(&mut self, node: &Node, kinds: &[&str], path: &str) {
        let wanted = kinds.iter().filter(|kind| **kind != "null").map(|kind| in_words(kind));
        let wanted = wanted.collect::<Vec<_>>().join(" or ");
        let found = match &node.content {
            Content::Mapping(_) => "a mapping".to_owned(),
            Content::Sequence(_) => "a list".to_owned(),
            Content::Scalar { .. } if node.meaning() == Meaning::Null => "nothing".to_owned(),
            Content::Scalar { .. } if is_secret(path, None) => "something else".to_owned(),
            Content::Scalar { text, .. } => format!("`{text}`"),
        };
        self.problem(path, format!("expected {wanted}, found {found}"));
    }

    fn problem(&mut self, path: &str, message: String) {
        self.found.push((path.to_owned(), message));
    }
}

fn unknown_key(key: &str, fields: &BTreeMap<&str, &Value>) -> String {
    match nearest(key, fields.keys().copied()) {
        Some(meant) => format!("unknown key `{key}`, did you mean `{meant}`?"),
        None => {
            let known = fields.keys().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
            format!("unknown key `{key}`, known here: {known}")
        }
    }
}

/// The known word that `word` is most likely a slip of.
fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let allowed = word.len().div_ceil(3).min(SLIP_MAX);
    let distances = known.map(|known| (strsim::damerau_levenshtein(word, known), known));
    distances.filter(|(distance, _known)| *distance <= allowed).min().map(|(_distance, known)| known)
}

/// The words that a schema allows, where it lists them.
fn constants(schema: &Value) -> impl Iterator<Item = &str> {
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    listed.chain(schema.get("const")).filter_map(Value::as_str)
}

fn is_free_text(schema: &Value) -> bool {
    kinds(schema).contains(&"string") && constants(schema).next().is_none()
}

/// The JSON types that a schema allows; none means any.
fn kinds(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        Some(_) | None if schema.get("properties").is_some() => vec!["object"],
        Some(_) | None => Vec::new(),
    }
}

fn kind_fits(node: &Node, schema: &Value) -> bool {
    let kinds = kinds(schema);
    kinds.is_empty() || kinds.iter().any(|kind| is_of_kind(node, kind))
}

fn is_of_kind(node: &Node, kind: &str) -> bool {
    match (&node.content, node.meaning()) {
        (Content::Mapping(_), _) => kind == "object",
        (Content::Sequence(_), _) => kind == "array",
        (Content::Scalar { .. }, Meaning::Null) => kind == "null",
        // A text field takes any scalar as it is written.
        (Content::Scalar { .. }, _) if kind == "string" => true,
        (Content::Scalar { .. }, Meaning::Bool(_)) => kind == "boolean",
        (Content::Scalar { .. }, Meaning::Integer(_) | Meaning::Unsigned(_)) => matches!(kind, "integer" | "number"),
        (Content::Scalar { .. }, Meaning::Float(_)) => kind == "number",
        (Content::Scalar { .. }, Meaning::Text) => false,
    }
}

fn in_words(kind: &str) -> &str {
    match kind {
        "object" => "a mapping",
        "array" => "a list",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "string" => "text",
        other => other,
    }
}
