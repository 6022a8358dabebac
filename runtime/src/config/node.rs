//! The configuration as written: a tree whose every node knows where it came from.

/// Where a value came from. Sorts as problems are shown: by line, then what the environment set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// The file as a whole.
    File,
    /// This line of the file, from 1.
    Line(usize),
    /// The environment variable of this name.
    Environment(String),
}

impl Origin {
    /// In words; `file` is the file's name.
    pub(crate) fn place(&self, file: &str) -> String {
        match self {
            Self::File => file.to_owned(),
            Self::Line(line) => format!("{file}:{line}"),
            Self::Environment(name) => format!("environment variable {name}"),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) origin: Origin,
    pub(crate) content: Content,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// `plain` scalars may be numbers and so on; quoted and block ones are text.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Node>),
    Mapping(Vec<(String, Node)>),
}

/// What a plain scalar means (YAML 1.2 core schema §10.3.2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Meaning {
    Null,
    Bool(bool),
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    Text,
}

impl Node {
    pub(crate) fn scalar(origin: Origin, text: &str, plain: bool) -> Self {
        Self { origin, content: Content::Scalar { text: text.to_owned(), plain } }
    }

    pub(crate) fn meaning(&self) -> Meaning {
        match &self.content {
            Content::Scalar { text, plain: true } => meaning(text),
            Content::Scalar { plain: false, .. } | Content::Sequence(_) | Content::Mapping(_) => Meaning::Text,
        }
    }

    /// Calls `visit` for this node and all below, with their paths.
    pub(crate) fn visit(&self, path: &str, visit: &mut impl FnMut(&str, &Self)) {
        visit(path, self);
        match &self.content {
            Content::Scalar { .. } => {}
            Content::Sequence(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.visit(&element(path, index), visit);
                }
            }
            Content::Mapping(entries) => {
                for (key, value) in entries {
                    value.visit(&member(path, key), visit);
                }
            }
        }
    }
}

/// The path of a key below `path`.
pub(crate) fn member(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The path of an element below `path`.
pub(crate) fn element(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

fn meaning(text: &str) -> Meaning {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Meaning::Null,
        "true" | "True" | "TRUE" => return Meaning::Bool(true),
        "false" | "False" | "FALSE" => return Meaning::Bool(false),
        _ => {}
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).map_or(Meaning::Text, Meaning::Unsigned);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8).map_or(Meaning::Text, Meaning::Unsigned);
    }
    if let Ok(number) = text.parse() {
        return Meaning::Unsigned(number);
    }
    if let Ok(number) = text.parse() {
        return Meaning::Integer(number);
    }
    // Rust also reads `inf` and `nan`, which YAML spells otherwise: those stay text.
    let numeric = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    text.parse().ok().filter(|_| numeric).map_or(Meaning::Text, Meaning::Float)
}
