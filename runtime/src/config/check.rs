//! The structural check: the tree against the JSON schema that schemars derives (draft 2020-12, the part it emits).
//! It finds every unknown key, missing key and wrong type at once; serde would stop at the first.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    effective::is_secret,
    environment,
    node::{Content, Meaning, Node, Origin, element, member},
    words::{nearest, unknown_key},
};

/// Deepest chain of `$ref` and choices; a schema that goes on is recursive without end.
const DEPTH_MAX: usize = 64;
/// Keeps the hint at a missing or empty key to what a line can hold, in characters.
const HINT_LENGTH_MAX: usize = 120;

/// Something that does not fit the schema.
pub(super) struct Finding<'s> {
    pub(super) path: String,
    pub(super) message: String,
    pub(super) cure: Cure<'s>,
}

/// How to go on in spite of a finding, so that it hides no other.
pub(super) enum Cure<'s> {
    /// Nothing to do.
    None,
    /// An unknown key: read it as this one, or leave it out.
    Rename(Option<&'s str>),
    /// The mapping at `around` gets a stand-in for `key`.
    Add { around: String, key: &'s str, schema: &'s Value },
    /// A stand-in takes the value's place.
    Replace(&'s Value),
}

/// All findings; `short` names the app's environment variables.
pub(super) fn check<'s>(document: &Node, schema: &'s Value, short: &str) -> Vec<Finding<'s>> {
    let mut checker = Checker { root: schema, short, found: Vec::new() };
    checker.node(document, schema, "", 0);
    checker.found
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

/// The known keys of a mapping and their schemas, with those of flattened parts.
pub(super) fn fields<'s>(root: &'s Value, schema: &'s Value) -> BTreeMap<&'s str, &'s Value> {
    let mut found = BTreeMap::new();
    collect_fields(root, resolve(root, schema), &mut found, 0);
    found
}

fn collect_fields<'s>(root: &'s Value, schema: &'s Value, found: &mut BTreeMap<&'s str, &'s Value>, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    let own = schema.get("properties").and_then(Value::as_object).map(Map::iter).into_iter().flatten();
    found.extend(own.map(|(key, schema)| (key.as_str(), schema)));
    let parts = ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|name| schema.get(name)?.as_array());
    for part in parts.flatten() {
        collect_fields(root, resolve(root, part), found, depth.saturating_add(1));
    }
}

struct Checker<'s, 'n> {
    root: &'s Value,
    short: &'n str,
    found: Vec<Finding<'s>>,
}

impl<'s> Checker<'s, '_> {
    /// A value that somebody wrote under a key or into a list: it must be there, and be what it says.
    fn value(&mut self, node: &Node, schema: &'s Value, path: &str, depth: usize) {
        if let Content::Scalar { text, plain } = &node.content {
            if *plain && text.is_empty() {
                let hint = hint(schema).map(|hint| format!(" ({hint})")).unwrap_or_default();
                let message = format!("is empty: give {}{hint}", self.wanted(schema));
                self.problem(path, message, Cure::Replace(schema));
                return;
            }
            if text.contains("${") {
                let variable =
                    environment::variable(self.short, path).filter(|_| matches!(node.origin, Origin::Line(_)));
                let or = variable.map(|name| format!(" or use an environment override, {name}")).unwrap_or_default();
                let message = format!("`${{…}}` is not replaced here; write the value{or}");
                self.problem(path, message, Cure::Replace(schema));
                return;
            }
        }
        self.node(node, schema, path, depth.saturating_add(1));
    }

    fn node(&mut self, node: &Node, schema: &'s Value, path: &str, depth: usize) {
        let schema = resolve(self.root, schema);
        if depth > DEPTH_MAX {
            return;
        }
        // Flattened enums have fields of their own beside the alternatives: those are one mapping.
        if options(schema).is_some() && schema.get("properties").is_none() {
            self.choice(node, schema, path, depth);
        } else {
            self.shape(node, schema, path, depth);
        }
    }

    /// Takes the alternative that fits best.
    fn choice(&mut self, node: &Node, schema: &'s Value, path: &str, depth: usize) {
        let options = options(schema).map(Vec::as_slice).unwrap_or_default();
        let words: Vec<&str> = options.iter().flat_map(|option| constants(resolve(self.root, option))).collect();
        if let Content::Scalar { text, .. } = &node.content
            && !words.is_empty()
            && node.meaning() != Meaning::Null
        {
            let free = options.iter().any(|option| is_free_text(resolve(self.root, option)));
            if !free {
                self.word(text, &words, path, schema);
                return;
            }
        }
        let attempt = |option: &'s Value| {
            let mut checker = Checker { root: self.root, short: self.short, found: Vec::new() };
            checker.node(node, option, path, depth.saturating_add(1));
            checker.found
        };
        let attempts = options.iter().filter(|option| kind_fits(node, resolve(self.root, option))).map(attempt);
        match attempts.min_by_key(Vec::len) {
            Some(best) => self.found.extend(best),
            None => {
                self.wrong_kind(node, schema, path);
            }
        }
    }

    fn shape(&mut self, node: &Node, schema: &'s Value, path: &str, depth: usize) {
        if !kind_fits(node, schema) {
            self.wrong_kind(node, schema, path);
            return;
        }
        match &node.content {
            Content::Scalar { text, .. } => self.scalar(node, text, schema, path),
            Content::Sequence(items) => {
                if let Some(schema) = schema.get("items") {
                    for (index, item) in items.iter().enumerate() {
                        self.value(item, schema, &element(path, index), depth);
                    }
                }
            }
            Content::Mapping(entries) => self.mapping(entries, schema, path, depth),
        }
    }

    fn scalar(&mut self, node: &Node, text: &str, schema: &'s Value, path: &str) {
        let words: Vec<&str> = constants(schema).collect();
        if !words.is_empty() && node.meaning() != Meaning::Null {
            self.word(text, &words, path, schema);
        }
        let number = match node.meaning() {
            Meaning::Unsigned(number) => i128::from(number),
            Meaning::Integer(number) => i128::from(number),
            Meaning::Null | Meaning::Bool(_) | Meaning::Float(_) | Meaning::Text => return,
        };
        let bound = |name: &str| schema.get(name).and_then(Value::as_i64).map(i128::from);
        if bound("minimum").is_some_and(|minimum| number < minimum) {
            self.problem(
                path,
                format!("must be at least {}", bound("minimum").unwrap_or_default()),
                Cure::Replace(schema),
            );
        }
        if bound("maximum").is_some_and(|maximum| number > maximum) {
            self.problem(
                path,
                format!("must be at most {}", bound("maximum").unwrap_or_default()),
                Cure::Replace(schema),
            );
        }
    }

    fn mapping(&mut self, entries: &[(String, Node)], schema: &'s Value, path: &str, depth: usize) {
        let fields = fields(self.root, schema);
        let others = schema.get("additionalProperties");
        let open = fields.is_empty() && others.is_none();
        let mut meant = Vec::new();
        for (key, value) in entries {
            let here = member(path, key);
            match (fields.get(key.as_str()), others) {
                (Some(schema), _) => self.value(value, schema, &here, depth),
                (None, Some(schema @ Value::Object(_))) => self.value(value, schema, &here, depth),
                (None, Some(Value::Bool(true))) => {}
                (None, _) if open => {}
                (None, _) => {
                    let free = |name: &&str| !meant.contains(name) && !entries.iter().any(|(key, _value)| key == name);
                    let name = nearest(key, fields.keys().copied()).filter(free);
                    self.problem(&here, unknown_key(key, fields.keys().copied()), Cure::Rename(name));
                    // A slip hides nothing: its value is looked at as what was meant.
                    if let Some((name, schema)) = name.and_then(|name| Some((name, fields.get(name)?))) {
                        meant.push(name);
                        self.value(value, schema, &member(path, name), depth);
                    }
                }
            }
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        for key in required.filter_map(Value::as_str) {
            if entries.iter().any(|(written, _value)| written == key) {
                continue;
            }
            let Some(schema) = fields.get(key) else { continue };
            let cure =
                if meant.contains(&key) { Cure::None } else { Cure::Add { around: path.to_owned(), key, schema } };
            let hint = hint(schema).map(|hint| format!(": {hint}")).unwrap_or_default();
            self.problem(&member(path, key), format!("missing{hint}"), cure);
        }
    }

    fn word(&mut self, text: &str, words: &[&str], path: &str, schema: &'s Value) {
        if words.contains(&text) {
            return;
        }
        let listed = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        let message = match nearest(text, words.iter().copied()) {
            Some(meant) => format!("unknown value `{text}`, did you mean `{meant}`?"),
            None => format!("unknown value `{text}`, expected one of {listed}"),
        };
        self.problem(path, message, Cure::Replace(schema));
    }

    fn wrong_kind(&mut self, node: &Node, schema: &'s Value, path: &str) {
        let wanted = self.wanted(schema);
        let found = match &node.content {
            Content::Mapping(_) => "a mapping".to_owned(),
            Content::Sequence(_) => "a list".to_owned(),
            Content::Scalar { .. } if node.meaning() == Meaning::Null => "nothing".to_owned(),
            Content::Scalar { .. } if is_secret(path, None) => "something else".to_owned(),
            Content::Scalar { text, .. } => format!("`{text}`"),
        };
        self.problem(path, format!("expected {wanted}, found {found}"), Cure::Replace(schema));
    }

    /// What may stand there, in words.
    fn wanted(&self, schema: &'s Value) -> String {
        let schema = resolve(self.root, schema);
        let kinds = match options(schema) {
            Some(options) => options.iter().flat_map(|option| kinds(resolve(self.root, option))).collect(),
            None => kinds(schema),
        };
        let mut words: Vec<&str> = kinds.into_iter().filter(|kind| *kind != "null").map(in_words).collect();
        words.dedup();
        words.join(" or ")
    }

    fn problem(&mut self, path: &str, message: String, cure: Cure<'s>) {
        self.found.push(Finding { path: path.to_owned(), message, cure });
    }
}

/// The first sentence of what the schema says about a key.
fn hint(schema: &Value) -> Option<String> {
    let description = schema.get("description")?.as_str()?;
    let first = description.split(". ").next()?.trim_end_matches('.').replace('\n', " ");
    let mut characters = first.chars();
    let initial = characters.next().filter(|_| first.chars().count() <= HINT_LENGTH_MAX)?;
    Some(format!("{}{}", initial.to_lowercase(), characters.as_str()))
}

/// The words that a schema allows, where it lists them.
pub(super) fn constants(schema: &Value) -> impl Iterator<Item = &str> {
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    listed.chain(schema.get("const")).filter_map(Value::as_str)
}

fn is_free_text(schema: &Value) -> bool {
    kinds(schema).contains(&"string") && constants(schema).next().is_none()
}

/// The JSON types that a schema allows; none means any.
pub(super) fn kinds(schema: &Value) -> Vec<&str> {
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
