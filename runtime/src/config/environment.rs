//! Overrides from the environment: `COUNTERSIGN_BROKER__PUBLIC__LISTEN` sets `public.listen`.

use super::{
    Problems,
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

/// Sets what `environment` overrides, in the order of names: `__` separates keys, a number is an element of a list.
pub(super) fn apply(
    document: &mut Node,
    short: &str,
    environment: impl IntoIterator<Item = (String, String)>,
    problems: &mut Problems,
) {
    let prefix = format!("COUNTERSIGN_{}__", short.to_uppercase());
    let mut overrides: Vec<_> = environment.into_iter().filter(|(name, _value)| name.starts_with(&prefix)).collect();
    overrides.sort();
    for (name, value) in overrides {
        let keys = name.strip_prefix(&prefix).unwrap_or_default().to_lowercase();
        let origin = Origin::Environment(name);
        if keys.split("__").any(str::is_empty) || keys.split("__").count() > DEPTH_MAX {
            problems.push(origin, "", "names no key".to_owned());
            continue;
        }
        let Some(value) = read(&value, &origin, problems) else { continue };
        set(document, &keys, value, problems);
    }
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
