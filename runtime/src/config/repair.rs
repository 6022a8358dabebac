//! Goes on after findings, so that one kind of problem hides no other: a tree that serde accepts, with stand-ins for
//! what is missing or wrong. Only problems are looked for in it; nothing is ever started with it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    check::{Cure, Finding, constants, fields, kinds, options, resolve},
    node::{Content, Node, Origin, element, member},
};

/// Deepest stand-in; the deepest real mapping of required keys has 4 levels.
const DEPTH_MAX: usize = 16;

/// The tree to look further in, and the paths of its stand-ins.
pub(super) fn repair(document: &Node, root: &Value, findings: &[Finding<'_>]) -> (Node, Vec<String>) {
    let mut repair = Repair { root, values: BTreeMap::new(), missing: BTreeMap::new(), stand_ins: Vec::new() };
    for Finding { path, cure, .. } in findings {
        match cure {
            Cure::None => {}
            Cure::Rename(_) | Cure::Replace(_) => drop(repair.values.insert(path, cure)),
            Cure::Add { around, key, schema } => repair.missing.entry(around).or_default().push((key, schema)),
        }
    }
    let repaired = repair.node(document, "");
    (repaired, repair.stand_ins)
}

struct Repair<'f> {
    root: &'f Value,
    values: BTreeMap<&'f str, &'f Cure<'f>>,
    missing: BTreeMap<&'f str, Vec<(&'f str, &'f Value)>>,
    stand_ins: Vec<String>,
}

impl Repair<'_> {
    fn node(&mut self, node: &Node, path: &str) -> Node {
        if let Some(Cure::Replace(schema)) = self.values.get(path) {
            self.stand_ins.push(path.to_owned());
            return stand_in(self.root, schema, &node.origin, 0);
        }
        let content = match &node.content {
            Content::Scalar { .. } => node.content.clone(),
            Content::Sequence(items) => {
                let items = items.iter().enumerate().map(|(index, item)| self.node(item, &element(path, index)));
                Content::Sequence(items.collect())
            }
            Content::Mapping(entries) => Content::Mapping(self.mapping(entries, path, &node.origin)),
        };
        Node { origin: node.origin.clone(), content }
    }

    fn mapping(&mut self, entries: &[(String, Node)], path: &str, origin: &Origin) -> Vec<(String, Node)> {
        let mut repaired = Vec::new();
        for (key, value) in entries {
            let key = match self.values.get(member(path, key).as_str()) {
                Some(Cure::Rename(None)) => continue,
                Some(Cure::Rename(Some(meant))) => meant,
                Some(Cure::None | Cure::Add { .. } | Cure::Replace(_)) | None => key.as_str(),
            };
            repaired.push((key.to_owned(), self.node(value, &member(path, key))));
        }
        for (key, schema) in self.missing.remove(path).unwrap_or_default() {
            self.stand_ins.push(member(path, key));
            repaired.push((key.to_owned(), stand_in(self.root, schema, origin, 0)));
        }
        repaired
    }
}

/// The smallest value that the schema accepts.
fn stand_in(root: &Value, schema: &Value, origin: &Origin, depth: usize) -> Node {
    let schema = resolve(root, schema);
    let below = depth.saturating_add(1);
    if depth < DEPTH_MAX
        && let Some(options) = options(schema)
        && let Some(option) = options.iter().find(|option| !kinds(resolve(root, option)).contains(&"null"))
        && schema.get("properties").is_none()
    {
        return stand_in(root, option, origin, below);
    }
    if let Some(word) = constants(schema).next() {
        return Node::scalar(origin.clone(), word, false);
    }
    match kinds(schema).first().copied() {
        Some("object") => {
            let known = fields(root, schema);
            let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
            let required = required.filter_map(Value::as_str).filter(|_| depth < DEPTH_MAX);
            let entries = required.filter_map(|key| Some((key, known.get(key)?)));
            let entries = entries.map(|(key, schema)| (key.to_owned(), stand_in(root, schema, origin, below)));
            Node { origin: origin.clone(), content: Content::Mapping(entries.collect()) }
        }
        Some("array") => Node { origin: origin.clone(), content: Content::Sequence(Vec::new()) },
        Some("integer" | "number") => {
            let least = schema.get("minimum").and_then(Value::as_i64).unwrap_or_default();
            Node::scalar(origin.clone(), &least.to_string(), true)
        }
        Some("boolean") => Node::scalar(origin.clone(), "false", true),
        Some(_) | None => Node::scalar(origin.clone(), "", false),
    }
}
