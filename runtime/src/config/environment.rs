//! Overrides from the environment: `COUNTERSIGN_BROKER__PUBLIC__LISTEN` sets `public.listen`.

use serde_json::Value;

use super::{
    Problems,
    check::{fields, options, resolve},
    node::{Content, Node, Origin, member},
    yaml::{self, DEPTH_MAX},
};

/// The process's environment, what is not text left out.
#[must_use]
pub fn environment() -> Vec<(String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

/// The variable that overrides the value at `path`; `None` where a key cannot be said in one.
pub(super) fn variable(short: &str, path: &str) -> Option<String> {
    let sayable = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || "_.[]".contains(char);
    let keys = path.replace(['.', '['], "__").replace(']', "").to_uppercase();
    path.chars().all(sayable).then(|| format!("{}__{keys}", prefix(short)))
}

fn prefix(short: &str) -> String {
    format!("COUNTERSIGN_{}", short.to_uppercase())
}

/// Sets what `environment` overrides, in the order of names: `__` separates keys, a number is an element of a list.
pub(super) fn apply(
    document: &mut Node,
    short: &str,
    environment: impl IntoIterator<Item = (String, String)>,
    schema: &Value,
    problems: &mut Problems,
) {
    let prefix = prefix(short);
    let ours = |name: &str| name.strip_prefix(&prefix).is_some_and(|rest| rest.starts_with('_'));
    let mut overrides: Vec<_> = environment.into_iter().filter(|(name, _value)| ours(name)).collect();
    overrides.sort();
    for (name, value) in overrides {
        let rest = name.strip_prefix(&prefix).and_then(|rest| rest.strip_prefix('_')).unwrap_or_default();
        let Some(keys) = rest.strip_prefix('_').map(str::to_lowercase) else {
            if !is_service_link(rest, &value) {
                let keys = rest.to_lowercase();
                let meant = spelled(schema, schema, &keys, 0).unwrap_or(keys).to_uppercase();
                problems.push(Origin::Environment(name), "", format!("did you mean {prefix}__{meant}?"));
            }
            continue;
        };
        let origin = Origin::Environment(name);
        if keys.split("__").any(str::is_empty) || keys.split("__").count() > DEPTH_MAX {
            problems.push(origin, "", "names no key".to_owned());
            continue;
        }
        let Some(value) = read(&value, &origin, problems) else { continue };
        set(document, &keys, value, problems);
    }
}

/// Whether Kubernetes sets such a variable for a Service that is named like us: `…_SERVICE_HOST`, `…_SERVICE_PORT_X`,
/// `…_PORT=tcp://…`, `…_PORT_8443_TCP_ADDR`. Nobody wrote those, so they are no mistake.
fn is_service_link(rest: &str, value: &str) -> bool {
    rest.ends_with("SERVICE_HOST")
        || rest.contains("SERVICE_PORT")
        || rest.ends_with("PORT") && value.contains("://")
        || rest.contains("PORT_") && ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| rest.contains(protocol))
}

/// `keys`, written with single underscores, as the schema's keys joined by `__`.
fn spelled(root: &Value, schema: &Value, keys: &str, depth: usize) -> Option<String> {
    if depth > DEPTH_MAX {
        return None;
    }
    let schema = resolve(root, schema);
    let inner = options(schema).into_iter().flatten().chain([schema]);
    inner.flat_map(|schema| fields(root, schema)).find_map(|(key, schema)| {
        let rest = keys.strip_prefix(key)?;
        if rest.is_empty() {
            return Some(key.to_owned());
        }
        let inner = spelled(root, schema, rest.strip_prefix('_')?, depth.saturating_add(1))?;
        Some(format!("{key}__{inner}"))
    })
}

/// Text as it stands; a list, a mapping or quoted text where it begins like one.
fn read(value: &str, origin: &Origin, problems: &mut Problems) -> Option<Node> {
    if !value.starts_with(['[', '{', '"']) {
        return Some(Node::scalar(origin.clone(), value, true));
    }
    let mut found = Problems::new("");
    let parsed = yaml::parse(value, &mut found);
    for problem in found.found {
        problems.push(origin.clone(), &problem.path, problem.message);
    }
    parsed.map(|mut node| {
        stamp(&mut node, origin);
        node
    })
}

fn stamp(node: &mut Node, origin: &Origin) {
    node.origin = origin.clone();
    match &mut node.content {
        Content::Scalar { .. } => {}
        Content::Sequence(items) => items.iter_mut().for_each(|item| stamp(item, origin)),
        Content::Mapping(entries) => entries.iter_mut().for_each(|(_key, value)| stamp(value, origin)),
    }
}

fn set(document: &mut Node, keys: &str, value: Node, problems: &mut Problems) {
    let origin = value.origin.clone();
    let (mut place, mut path) = (document, String::new());
    for key in keys.split("__") {
        let wider = path.clone();
        path = member(&path, key);
        place = match step(place, key, &origin) {
            Some(inner) => inner,
            None => {
                problems.push(origin, &path, format!("there is no element `{key}` in `{wider}`"));
                return;
            }
        };
    }
    *place = value;
}

/// The place of `key` in `node`, made if missing: what was a value becomes a mapping.
fn step<'n>(node: &'n mut Node, key: &str, origin: &Origin) -> Option<&'n mut Node> {
    if matches!(node.content, Content::Scalar { .. }) {
        *node = Node { origin: origin.clone(), content: Content::Mapping(Vec::new()) };
    }
    match &mut node.content {
        Content::Scalar { .. } => None,
        Content::Sequence(items) => items.get_mut(key.parse::<usize>().ok()?),
        Content::Mapping(entries) => {
            if !entries.iter().any(|(name, _value)| name == key) {
                entries.push((key.to_owned(), Node::scalar(origin.clone(), "", true)));
            }
            entries.iter_mut().find(|(name, _value)| name == key).map(|(_name, value)| value)
        }
    }
}
