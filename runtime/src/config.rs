//! One YAML file and overrides from the environment become a checked configuration. All problems are found and told at
//! once, each with its line. The only place that reads the environment; it never prints a secret.

mod check;
mod deserialize;
mod doors;
mod effective;
mod environment;
mod node;
mod published;
mod repair;
mod words;
mod yaml;

use std::{collections::BTreeMap, error::Error, fmt, path::Path};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::{
    deserialize::NodeDeserializer,
    node::{Node, Origin},
};
pub use self::{
    effective::{Danger, Effective},
    environment::environment,
};
use crate::process::App;

/// Largest configuration file in bytes; a thousand targets fit. More is not a configuration.
pub const FILE_LENGTH_MAX: usize = 1024 * 1024;

/// A configuration without problems.
#[derive(Debug)]
pub struct Loaded<C> {
    /// What [`App::config`] made of it.
    pub config: C,
    /// The values in force and where each came from.
    pub effective: Effective,
    /// Keys that weaken security and are set.
    pub dangers: Vec<Danger>,
    /// What is right and most likely not meant, one line each, with where it stands.
    pub warnings: Vec<String>,
}

/// Reads `text`, the content of the file at `path`, with overrides of `environment` (name and value).
///
/// # Errors
/// All problems, sorted by line.
pub fn load<A: App>(
    path: &Path,
    text: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded<A::Config>, Report> {
    let mut problems = Problems::new(&path.display().to_string());
    let schema = schema::<A::Raw>();
    let Some((document, raw)) = read::<A::Raw>(A::SHORT, text, environment, &schema, &mut problems) else {
        return Err(problems.report());
    };
    let config = A::config(raw, &mut problems);
    match config {
        Some(config) if problems.is_empty() => {
            let effective = Effective::of(&document, &schema, &problems.file);
            let dangers = effective.dangers();
            Ok(Loaded { config, effective, dangers, warnings: problems.warnings() })
        }
        Some(_) | None => Err(problems.report()),
    }
}

/// The JSON schema of an app's configuration, as text, for editors.
#[must_use]
pub fn schema_text<A: App>() -> String {
    format!("{:#}", published::publish(schema::<A::Raw>(), A::NAME))
}

fn schema<R: JsonSchema>() -> Value {
    schemars::schema_for!(R).to_value()
}

/// The document and what serde makes of it, or `None` with the reasons in `problems`.
fn read<R: DeserializeOwned>(
    short: &str,
    text: &str,
    environment: impl IntoIterator<Item = (String, String)>,
    schema: &Value,
    problems: &mut Problems,
) -> Option<(Node, R)> {
    if text.len() > FILE_LENGTH_MAX {
        problems.push(Origin::File, "", format!("larger than {FILE_LENGTH_MAX} bytes"));
        return None;
    }
    let mut document = yaml::parse(text, problems)?;
    environment::apply(&mut document, short, environment, schema, problems);
    problems.learn(&document);
    let findings = check::check(&document, schema, short);
    let (document, stand_ins) = repair::repair(&document, schema, &findings);
    problems.learn(&document);
    for finding in findings {
        problems.push(problems.origin(&finding.path), &finding.path, finding.message);
    }
    problems.stand_ins = stand_ins;
    match R::deserialize(NodeDeserializer::new(&document)) {
        Ok(raw) => Some((document, raw)),
        Err(fault) => {
            problems.at(fault.path(), fault.to_string());
            None
        }
    }
}

/// What is wrong with a configuration, and where.
#[derive(Debug)]
pub struct Problems {
    file: String,
    origins: BTreeMap<String, Origin>,
    /// Paths where nothing usable was written, which was told already; what is there now means nothing.
    stand_ins: Vec<String>,
    warned: Vec<Problem>,
    found: Vec<Problem>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    origin: Origin,
    path: String,
    message: String,
}

impl Problem {
    /// Where, what and why.
    fn line(&self, file: &str) -> String {
        let Self { origin, path, message } = self;
        let place = origin.place(file);
        if path.is_empty() { format!("{place}: {message}") } else { format!("{place}: {path}: {message}") }
    }
}

impl Problems {
    fn new(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            origins: BTreeMap::new(),
            stand_ins: Vec::new(),
            warned: Vec::new(),
            found: Vec::new(),
        }
    }

    /// A problem with the value at `path`, as in `targets[1].resource`. Where nothing was written there, the line is
    /// that of the nearest thing around it. `message` must hold no secret; the password of a URL in it is hidden.
    ///
    /// Nothing is added where the value, or one in it, was already refused for its key or type.
    pub fn at(&mut self, path: &str, message: impl Into<String>) {
        if self.stand_ins.iter().any(|known| is_within(path, known) || is_within(known, path)) {
            return;
        }
        let origin = self.origin(path);
        self.push(origin, path, message.into());
    }

    /// Something at `path` that is right and most likely not meant: told, and nothing is refused for it.
    pub fn warn(&mut self, path: &str, message: impl Into<String>) {
        let origin = self.origin(path);
        self.warned.push(Problem { origin, path: path.to_owned(), message: message.into() });
    }

    /// Whether nothing was found yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    fn push(&mut self, origin: Origin, path: &str, message: String) {
        self.found.push(Problem { origin, path: path.to_owned(), message });
    }

    fn learn(&mut self, document: &Node) {
        document.visit("", &mut |path, node| {
            self.origins.insert(path.to_owned(), node.origin.clone());
        });
    }

    fn origin(&self, path: &str) -> Origin {
        let mut around = path;
        loop {
            if let Some(origin) = self.origins.get(around) {
                return origin.clone();
            }
            match around.rfind(['.', '[']).and_then(|end| around.get(..end)) {
                Some(shorter) => around = shorter,
                None if around.is_empty() => return Origin::File,
                None => around = "",
            }
        }
    }

    fn warnings(mut self) -> Vec<String> {
        self.warned.sort();
        let line = |warned: &Problem| effective::without_password(&warned.line(&self.file));
        self.warned.iter().map(line).collect()
    }

    fn report(mut self) -> Report {
        if self.found.is_empty() {
            self.push(Origin::File, "", "the configuration was refused without a reason".to_owned());
        }
        for problem in &mut self.found {
            problem.message = effective::without_password(&problem.message);
        }
        self.found.sort();
        self.found.dedup();
        Report { file: self.file, found: self.found }
    }
}

fn is_within(inner: &str, outer: &str) -> bool {
    outer.is_empty() || inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// All problems of a configuration; printed one a line, sorted by line, then how many.
#[derive(Debug)]
pub struct Report {
    file: String,
    found: Vec<Problem>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.found {
            writeln!(f, "{}", problem.line(&self.file))?;
        }
        match self.found.len() {
            1 => writeln!(f, "1 problem"),
            count => writeln!(f, "{count} problems"),
        }
    }
}

impl Error for Report {}

#[cfg(test)]
mod tests;
