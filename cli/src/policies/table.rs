//! `countersign policies test`: decision tables. A case is a question with the decision that is expected and the rules
//! that make it, so that a rule that starts to decide where another did is noticed too.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::ExitCode,
};

use policies::{Decision, Denial, Explanation, Policies};
use serde_saphyr::Spanned;

use super::{
    FAILED, USAGE, at,
    case::{self, Case, Expect, Written},
    content, counted, load, plain, yaml_files,
};
use crate::output;

/// Where cases lie where nothing else is said: in the folder of rules, or beside it.
const CASES: &str = "cases";

/// What to put to the rules.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Folder of rules (`*.cedar`)
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Folder of cases (`*.yaml`); else `cases` in the folder of rules, or beside it
    #[arg(long, value_name = "FOLDER")]
    cases: Option<PathBuf>,
}

/// A case, and where it stands.
#[derive(Debug)]
struct Row {
    place: String,
    case: Case,
    expected: Verdict,
    /// Rules on trial that would permit it; `None`: not looked at.
    would: Option<BTreeSet<String>>,
}

/// A decision and the rules that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Permit(BTreeSet<String>),
    Deny(BTreeSet<String>),
    Error(String),
}

/// How the cases came out.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    cases: usize,
    /// One line for each that was not as expected.
    otherwise: Vec<String>,
    /// Rules by which no case is decided.
    untried: Vec<String>,
}

pub(super) fn main(options: &Options) -> ExitCode {
    let policies = match load(&options.folder) {
        Ok(policies) => policies,
        Err(code) => return code,
    };
    let cases = options.cases.clone().unwrap_or_else(|| beside(&options.folder));
    let rows = match rows(&cases) {
        Ok(rows) => rows,
        Err(mistakes) => {
            mistakes.iter().for_each(|mistake| output::pass_on(plain(mistake).as_bytes()));
            return output::refuse(&format!("{}: {}", cases.display(), counted(mistakes.len(), "mistake")), USAGE);
        }
    };
    let outcome = put(&policies, &rows);
    for told in &outcome.otherwise {
        output::pass_on(plain(told).as_bytes());
    }
    let folder = options.folder.display();
    let untried = match outcome.untried.as_slice() {
        [] => String::new(),
        rules => format!("by no case decided: {}\n", rules.join(", ")),
    };
    let counted = counted(outcome.cases, "case");
    if outcome.otherwise.is_empty() {
        return output::say(&format!("{folder}: {counted}, all as expected\n{untried}"));
    }
    output::refuse(&format!("{folder}: {counted}, {} not as expected", outcome.otherwise.len()), FAILED)
}

fn beside(folder: &Path) -> PathBuf {
    let within = folder.join(CASES);
    let above = || folder.canonicalize().ok().and_then(|folder| folder.parent().map(|above| above.join(CASES)));
    if within.is_dir() { within } else { above().unwrap_or(within) }
}

/// Every case of every file, or every mistake.
fn rows(folder: &Path) -> Result<Vec<Row>, Vec<String>> {
    let unreadable = |path: &Path, error: std::io::Error| format!("{}: cannot be read: {error}", path.display());
    let missing = |error| vec![format!("{}; cases lie there, or where --cases says", unreadable(folder, error))];
    let files = yaml_files(folder).map_err(missing)?;
    let (mut rows, mut mistakes) = (Vec::new(), Vec::new());
    for file in &files {
        let text = content(file).map_err(|error| unreadable(file, error));
        match text.and_then(|text| case::read(file, &text)) {
            Ok(cases) => {
                for written in &cases {
                    row(file, written).map_or_else(|found| mistakes.extend(found), |row| rows.push(row));
                }
            }
            Err(mistake) => mistakes.push(mistake),
        }
    }
    if rows.is_empty() && mistakes.is_empty() {
        mistakes.push(format!("{}: no case: no `*.yaml` with one", folder.display()));
    }
    if mistakes.is_empty() { Ok(rows) } else { Err(mistakes) }
}

fn row(file: &Path, written: &Spanned<Written>) -> Result<Row, Vec<String>> {
    let (line, column) = (written.referenced.line(), written.referenced.column());
    let mut mistakes = Vec::new();
    let understood = case::understood(file, written).map_err(|found| mistakes.extend(found)).ok();
    let Written { case: name, expect, rules, would, .. } = &written.value;
    let names = |rules: &Option<Vec<String>>| rules.as_ref().map(|rules| rules.iter().cloned().collect());
    let (rules, would): (Option<BTreeSet<String>>, Option<BTreeSet<String>>) = (names(rules), names(would));
    let expected = match (expect, rules) {
        (Some(Expect::Permit), Some(rules)) if !rules.is_empty() => Some(Verdict::Permit(rules)),
        (Some(Expect::Permit), _none) => {
            mistakes.push(at(file, line, column, "rules: missing: which rules should permit it?"));
            None
        }
        (Some(Expect::Deny), rules) => Some(Verdict::Deny(rules.unwrap_or_default())),
        (None, _rules) => {
            mistakes.push(at(file, line, column, "expect: missing: `permit` or `deny`?"));
            None
        }
    };
    let place = at(file, line, column, name.as_deref().unwrap_or("a case without a name"));
    match (understood, expected) {
        (Some(case), Some(expected)) if mistakes.is_empty() => Ok(Row { place, case, expected, would }),
        _incomplete => Err(mistakes),
    }
}

fn put(policies: &Policies, rows: &[Row]) -> Outcome {
    let mut outcome = Outcome { cases: rows.len(), ..Outcome::default() };
    let mut tried = BTreeSet::new();
    let mut known = BTreeSet::new();
    for Row { place, case, expected, would } in rows {
        let explanation = case.explain(policies);
        known.extend(explanation.rules.iter().map(|rule| rule.id.clone()));
        let found = Verdict::of(&explanation);
        let permitting = explanation.would.as_ref().filter(|would| would.allow);
        let permitting: BTreeSet<String> = permitting.into_iter().flat_map(|would| would.rules.clone()).collect();
        tried.extend(found.rules().chain(&permitting).cloned());
        if found != *expected {
            outcome.otherwise.push(format!("{place}: expected {}, found {}", expected.words(), found.words()));
        }
        if let Some(would) = would.as_ref().filter(|would| **would != permitting) {
            let (expected, found) = (named(would), named(&permitting));
            outcome.otherwise.push(format!("{place}: expected on trial: permit by {expected}, found {found}"));
        }
    }
    outcome.untried = known.difference(&tried).cloned().collect();
    outcome
}

impl Verdict {
    fn of(explanation: &Explanation) -> Self {
        match &explanation.decision {
            Decision::Permitted(permitted) => Self::Permit(permitted.rules().iter().cloned().collect()),
            Decision::Denied(Denial::Error(error)) => Self::Error(error.clone()),
            Decision::Denied(Denial::NoRule) => Self::Deny(BTreeSet::new()),
            Decision::Denied(Denial::Forbidden(_first)) => {
                let forbids = explanation.rules.iter().filter(|rule| !rule.permits && rule.applies());
                Self::Deny(forbids.map(|rule| rule.id.clone()).collect())
            }
        }
    }

    fn rules(&self) -> impl Iterator<Item = &String> {
        match self {
            Self::Permit(rules) | Self::Deny(rules) => Some(rules),
            Self::Error(_) => None,
        }
        .into_iter()
        .flatten()
    }

    fn words(&self) -> String {
        match self {
            Self::Permit(rules) => format!("permit by {}", named(rules)),
            Self::Deny(rules) => format!("deny by {}", named(rules)),
            Self::Error(error) => format!("a rule that cannot be evaluated: {error}"),
        }
    }
}

fn named(rules: &BTreeSet<String>) -> String {
    match rules.len() {
        0 => "no rule".to_owned(),
        _some => rules.iter().map(|rule| format!("`{rule}`")).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(folder: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies").join(folder)
    }

    #[test]
    fn the_default_rules_decide_as_their_cases_say_and_each_of_them_is_tried() {
        let policies = Policies::load(&ours("default"), runtime::clock::now()).expect("the default rules load");
        let rows = rows(&ours("cases")).expect("the cases are right");
        assert!(rows.len() >= 15, "{}", rows.len());
        assert_eq!(put(&policies, &rows), Outcome { cases: rows.len(), ..Outcome::default() });
    }

    #[test]
    fn the_examples_decide_as_their_cases_say_and_each_of_them_is_tried() {
        let policies = Policies::load(&ours("examples"), runtime::clock::now()).expect("the examples load");
        let rows = rows(&beside(&ours("examples"))).expect("the cases are right");
        assert_eq!(put(&policies, &rows), Outcome { cases: rows.len(), ..Outcome::default() });
    }

    #[test]
    fn the_cases_are_found_in_the_folder_of_rules_or_beside_it() {
        assert!(beside(&ours("default")).join("default.yaml").is_file());
        assert!(beside(&ours("")).join("default.yaml").is_file());
    }
}
