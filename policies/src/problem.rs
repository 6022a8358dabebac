//! What is wrong with a policy file, and where. Every problem is one line of text.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use miette::Diagnostic;

use crate::terms::LIKENESS_MIN;

/// The actions of `schema.cedarschema`.
const ACTIONS: [&str; 4] = ["begin", "exchange", "use", "administer"];

/// One problem of one file, shown as `file:line: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyProblem {
    file: PathBuf,
    place: Option<Place>,
    message: String,
}

/// Where in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// From 1.
    line: usize,
    /// In characters, from 1.
    column: usize,
    /// The line's text.
    text: String,
}

impl PolicyProblem {
    /// A problem of the file or folder as a whole.
    pub(crate) fn of(file: &Path, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), place: None, message: message.into() }
    }

    /// A problem at a byte of the file's text.
    pub(crate) fn at(file: &Path, text: &str, offset: usize, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), place: Some(Place::of(text, offset)), message: message.into() }
    }

    /// What Cedar found, with its place and its suggestion.
    pub(crate) fn from_cedar(file: &Path, text: &str, found: &dyn Diagnostic) -> Self {
        let mut message = found.to_string();
        let label = found.labels().and_then(|mut labels| labels.next());
        if let Some(expected) = label.as_ref().and_then(miette::LabeledSpan::label) {
            message = format!("{message}: {expected}");
        }
        if let Some(help) = found.help() {
            message = format!("{message}; {help}");
        }
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        Self::at(file, text, label.map_or(0, |label| label.offset()), message)
    }

    /// The file, or the folder where no file is to blame.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The line, from 1.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.place.as_ref().map(|place| place.line)
    }

    /// The column in characters, from 1.
    #[must_use]
    pub fn column(&self) -> Option<usize> {
        self.place.as_ref().map(|place| place.column)
    }

    /// The text of that line, as it stands in the file.
    #[must_use]
    pub fn source_line(&self) -> Option<&str> {
        self.place.as_ref().map(|place| place.text.as_str())
    }

    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same problem without words at its start that say nothing to a reader.
    pub(crate) fn without(mut self, noise: &str) -> Self {
        if let Some(rest) = self.message.strip_prefix(noise) {
            self.message = rest.trim_start().to_owned();
        }
        self
    }
}

impl PolicyProblem {
    /// The same problem of an unknown action with a better suggestion: Cedar's own is the shortest word, however little
    /// it is like the one that was written.
    pub(crate) fn meaning_action(mut self) -> Self {
        let (told, _suggestion) = self.message.split_once("; did you mean").unwrap_or((&self.message, ""));
        let written = told.split('"').nth(1).unwrap_or_default();
        let likeness = ACTIONS.map(|known| (strsim::jaro_winkler(written, known), known));
        let meant = likeness.into_iter().max_by(|(one, _), (other, _)| one.total_cmp(other));
        let suggestion = match meant.filter(|(likeness, _known)| *likeness >= LIKENESS_MIN) {
            Some((_likeness, known)) => format!("did you mean `Action::\"{known}\"`?"),
            None => format!("the actions are {}", ACTIONS.map(|known| format!("`{known}`")).join(", ")),
        };
        self.message = format!("{told}; {suggestion}");
        self
    }
}

impl Place {
    /// The place of the byte at `offset`; one past the end belongs to the last line.
    fn of(text: &str, offset: usize) -> Self {
        let (mut begin, mut line, mut found) = (0_usize, 0_usize, "");
        for piece in text.split_inclusive('\n') {
            let end = begin.saturating_add(piece.len());
            line = line.saturating_add(1);
            found = piece;
            if offset < end || end >= text.len() {
                break;
            }
            begin = end;
        }
        let within = offset.saturating_sub(begin);
        let column = found.char_indices().take_while(|(at, _character)| *at < within).count().saturating_add(1);
        Self { line: line.max(1), column, text: found.trim_end().to_owned() }
    }
}

impl fmt::Display for PolicyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(Place { line, .. }) = self.place {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for PolicyProblem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_in_lines_and_characters() {
        let text = "one\ntwö three\n";
        for (offset, line, column, shown) in [
            (0, 1, 1, "one"),
            (3, 1, 4, "one"),
            (4, 2, 1, "twö three"),
            (9, 2, 5, "twö three"),
            (99, 2, 11, "twö three"),
        ] {
            let problem = PolicyProblem::at(Path::new("a"), text, offset, "wrong");
            let found = (problem.line(), problem.column(), problem.source_line());
            assert_eq!(found, (Some(line), Some(column), Some(shown)), "{offset}");
        }
        assert_eq!(PolicyProblem::at(Path::new("a"), "", 0, "wrong").line(), Some(1));
    }
}
