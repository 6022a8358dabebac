//! `countersign policies`: what is wrong with a folder of rules, what they decide, why, and what a change of them would
//! change. It asks the same engine as the broker, and none of its answers lets anybody do anything.

mod case;
mod check;
mod diff;
mod explain;
mod line;
mod people;
mod registry;
mod table;

use std::{
    fmt::Display,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;
use policies::{Policies, PolicyProblem};
use runtime::clock;

use crate::{look::Look, output, text::Line};

/// Largest file of cases or registry in bytes; a thousand cases fit.
const FILE_LENGTH_MAX: u64 = 1024 * 1024;
/// Exit codes: it failed, or a case came out otherwise; wrong usage, rules or cases.
const FAILED: u8 = 1;
const USAGE: u8 = 2;

const CHECK_EXAMPLES: &str = "\
Examples:
  countersign policies check policies/
  countersign policies check policies/ --registry broker.yaml";
const TEST_EXAMPLES: &str = "\
Examples:
  countersign policies test policies/
  countersign policies test policies/default --cases policies/cases

A case, in any *.yaml of the folder of cases:
  - case: bob has the role, not the group
    requester: spiffe://corp.example/ns/agents/sa/planner
    action: begin            # begin, exchange or use
    subject: bob
    roles: [tickets-reader]
    scopes: [tickets:read]
    expect: deny             # permit or deny
    rules: []                # which decide: permits, or the forbid";
const EXPLAIN_EXAMPLES: &str = "\
Examples:
  countersign policies explain policies/ --request question.yaml
  tail -n 1 record.jsonl | countersign policies explain policies/ --request - --group support

A question has the keys of a case: requester, action, target, subject, groups, roles, actors, scopes, passes_on.";
const DIFF_EXAMPLES: &str = "\
Examples:
  countersign policies diff policies/ policies.new/ --record record.jsonl";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check a folder of rules: all mistakes at once, with file, line, column and what was meant
    ///
    /// With a registry also every target, scope and trust domain that a rule names must exist.
    /// Exit code 0: fine, warnings included; 2: mistakes; 1: could not be checked.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(check::Options),
    /// Put cases to the rules: for each question the expected decision and the rules that make it
    ///
    /// Exit code 0: all as expected; 1: some were not; 2: rules or cases have mistakes.
    #[command(after_help = TEST_EXAMPLES)]
    Test(table::Options),
    /// Tell which rules decide a question, and where it is denied what would have to change
    ///
    /// Exit code 0: explained, whatever the decision; 2: rules or question have mistakes.
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(explain::Options),
    /// Tell which decisions of a record other rules would change
    ///
    /// The record has no names of people, no groups and no roles, and of a refusal only scopes that edge or target has:
    /// what cannot be known from it is told as such, never guessed.
    /// Exit code 0: no recorded decision would change; 1: some would, or might; 2: rules or record have mistakes.
    #[command(after_help = DIFF_EXAMPLES)]
    Diff(diff::Options),
}

/// Does it.
pub(crate) fn main(command: &Command) -> ExitCode {
    match command {
        Command::Check(options) => check::main(options),
        Command::Test(options) => table::main(options),
        Command::Explain(options) => explain::main(options),
        Command::Diff(options) => diff::main(options),
    }
}

/// The rules of a folder, or every problem told.
fn load(folder: &Path) -> Result<Policies, ExitCode> {
    Policies::load(folder, clock::now()).map_err(|problems| {
        for problem in &problems {
            output::pass_on(shown(problem).as_bytes());
        }
        output::refuse(&format!("{}: {}", folder.display(), counted(problems.len(), "problem")), USAGE)
    })
}

/// A problem with the line that it is about and a mark below it.
fn shown(problem: &PolicyProblem) -> String {
    let file = problem.file().display();
    let (Some(line), Some(column), Some(source)) = (problem.line(), problem.column(), problem.source_line()) else {
        return plain(&format!("{file}: {}", problem.message()));
    };
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    let before = " ".repeat(column.saturating_sub(1));
    [
        plain(&format!("{file}:{line}:{column}: {}", problem.message())),
        plain(&format!("  {number} | {source}")),
        plain(&format!("  {margin} | {before}^")),
    ]
    .concat()
}

/// A line that is not wrapped and brings no escape sequence to the terminal.
fn plain(text: &str) -> String {
    Line::verbatim(text).render(Look::new(None, false))
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// The text of a small file.
fn content(file: &Path) -> io::Result<String> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    bounded(File::open(file)?)
}

/// The text of a file, or of stdin where it is `-`.
fn content_or_stdin(file: &Path) -> io::Result<String> {
    if file == Path::new("-") { bounded(io::stdin()) } else { content(file) }
}

fn bounded(source: impl io::Read) -> io::Result<String> {
    let mut text = String::new();
    source.take(FILE_LENGTH_MAX.saturating_add(1)).read_to_string(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|length| length <= FILE_LENGTH_MAX) {
        return Ok(text);
    }
    Err(io::Error::other(format!("larger than {FILE_LENGTH_MAX} bytes")))
}

/// A mistake of a YAML file where it stands.
fn yaml_fault(file: &Path, error: &serde_saphyr::Error) -> String {
    let fault = error.without_snippet().to_string();
    let fault = fault.split_whitespace().collect::<Vec<_>>().join(" ");
    match error.location() {
        Some(place) => at(file, place.line(), place.column(), fault),
        None => format!("{}: {fault}", file.display()),
    }
}

fn at(file: &Path, line: u64, column: u64, what: impl Display) -> String {
    format!("{}:{line}:{column}: {what}", file.display())
}

/// The files of `folder` that end in `.yaml`, by name.
fn yaml_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
