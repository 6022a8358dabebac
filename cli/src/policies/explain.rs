//! `countersign policies explain`: which rules decide a question, and what would have to change where it is denied.

use std::{path::PathBuf, process::ExitCode};

use identity::Scopes;
use policies::{Considered, Decision, Denial, Explanation, Policies};
use runtime::clock;

use super::{
    USAGE,
    case::{self, Asked, Case, Person, To, Written},
    content_or_stdin, line, load, plain,
};
use crate::{
    look::Look,
    output,
    text::{Line, Tone},
};

/// Rules that almost speak of the question: more of them would hide the one that was meant.
const NEAR_MAX: usize = 5;
const COLUMN: usize = 12;

/// What to explain.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Folder of rules (`*.cedar`)
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// The question: a file with the keys of a case, or with a line of the broker's record; `-` is stdin
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// The user, in place of what the question says
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// Groups of the user, in place of what the question says
    #[arg(long = "group", value_name = "NAME")]
    groups: Vec<String>,
    /// Roles of the user, in place of what the question says
    #[arg(long = "role", value_name = "NAME")]
    roles: Vec<String>,
    /// Scopes that are asked for, in place of what the question says
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
}

pub(super) fn main(options: &Options) -> ExitCode {
    let policies = match load(&options.folder) {
        Ok(policies) => policies,
        Err(code) => return code,
    };
    let (cases, notes) = match questions(options) {
        Ok(read) => read,
        Err(mistakes) => {
            mistakes.iter().for_each(|mistake| output::pass_on(plain(mistake).as_bytes()));
            return output::refuse("there is no question to explain", USAGE);
        }
    };
    let look = Look::of_stdout();
    let told: Vec<String> = cases.iter().map(|case| rendered(&told(case, &policies), look)).collect();
    for note in notes {
        output::warn(&note);
    }
    output::say(&told.join("\n"))
}

/// The questions, and what has to be known of where they come from.
fn questions(options: &Options) -> Result<(Vec<Case>, Vec<String>), Vec<String>> {
    let file = &options.request;
    let text = content_or_stdin(file).map_err(|error| vec![format!("{}: cannot be read: {error}", file.display())])?;
    if line::is_one(&text) {
        let (mut written, notes) = line::question(&text).map_err(|fault| vec![fault])?;
        options.correct(&mut written);
        return Case::of(&written).map(|case| (vec![case], notes));
    }
    let mut written = case::read(file, &text).map_err(|mistake| vec![mistake])?;
    written.iter_mut().for_each(|written| options.correct(&mut written.value));
    let (mut cases, mut mistakes) = (Vec::new(), Vec::new());
    for written in &written {
        case::understood(file, written).map_or_else(|found| mistakes.extend(found), |case| cases.push(case));
    }
    if mistakes.is_empty() { Ok((cases, Vec::new())) } else { Err(mistakes) }
}

impl Options {
    fn correct(&self, written: &mut Written) {
        if self.subject.is_some() {
            written.subject.clone_from(&self.subject);
        }
        for (given, key) in [
            (&self.groups, &mut written.groups),
            (&self.roles, &mut written.roles),
            (&self.scopes, &mut written.scopes),
        ] {
            if !given.is_empty() {
                key.clone_from(given);
            }
        }
    }
}

fn rendered(lines: &[Line], look: Look) -> String {
    lines.iter().map(|line| line.render(look)).collect()
}

fn told(case: &Case, policies: &Policies) -> Vec<Line> {
    let explanation = case.explain(policies);
    let mut lines = vec![headline(&explanation.decision), Line::empty()];
    lines.extend(question(case));
    lines.push(Line::empty());
    match &explanation.decision {
        Decision::Permitted(permitted) => {
            lines.push(Line::new().add("Permitted by", Tone::Title));
            let decided = |rule: &&Considered| permitted.rules().contains(&rule.id);
            lines.extend(explanation.rules.iter().filter(decided).map(rule_line));
        }
        Decision::Denied(_) => {
            lines.push(Line::new().add("What would have to change", Tone::Title));
            lines.extend(changes(&explanation));
            let less = case.may_ask(policies);
            if less.anything {
                let scopes =
                    if less.scopes.is_empty() { "no scope at all".to_owned() } else { less.scopes.to_string() };
                lines.push(Line::indented(2).add("Or ask for less; each of these alone is permitted:", Tone::Plain));
                lines.push(Line::indented(4).add(scopes, Tone::Plain));
            }
        }
    }
    lines.extend(on_trial(&explanation));
    lines
}

/// What each rule on trial that is about the question would say to it.
fn on_trial(explanation: &Explanation) -> Vec<Line> {
    let mut lines = Vec::new();
    for rule in explanation.rules.iter().filter(|rule| rule.elsewhere.is_empty()) {
        let Some(trial) = &rule.observed else { continue };
        let through = trial.through();
        let (said, each): (String, &[String]) = if trial.is_over(clock::now()) {
            (format!("its trial ended with {through}; it does nothing"), &[])
        } else if rule.error.is_some() {
            ("cannot be evaluated; in force it would refuse, whatever others say:".to_owned(), rule.error.as_slice())
        } else if rule.applies() {
            let so = match &explanation.decision {
                Decision::Permitted(_) => "would permit it too",
                Decision::Denied(Denial::NoRule) => "would permit it",
                Decision::Denied(Denial::Forbidden(_) | Denial::Error(_)) => {
                    "would permit it, were it not refused above"
                }
            };
            (format!("{so} (on trial through {through})"), &[])
        } else {
            (format!("would permit it (on trial through {through}), but:"), &rule.unmet)
        };
        if lines.is_empty() {
            lines.extend([Line::empty(), Line::new().add("On trial, which decides nothing", Tone::Title)]);
        }
        lines.push(rule_line(rule).add(said, Tone::Plain));
        lines.extend(each.iter().map(|words| Line::indented(4).add(format!("- {words}"), Tone::Plain)));
    }
    lines
}

fn headline(decision: &Decision) -> Line {
    let denied =
        |code: &str, why: &str| Line::new().add("denied", Tone::Bad).add(format!("({code}: {why})"), Tone::Dim);
    match decision {
        Decision::Permitted(_) => Line::new().add("permitted", Tone::Good),
        Decision::Denied(Denial::NoRule) => denied("policy.no_rule", "no rule permits it"),
        Decision::Denied(Denial::Forbidden(rule)) => denied(&format!("policy.{rule}"), "a rule forbids it"),
        Decision::Denied(Denial::Error(_)) => denied("policy.error", "a rule cannot be evaluated"),
    }
}

/// The question in words, as it was understood.
fn question(case: &Case) -> Vec<Line> {
    let cell = |name: &str, said: String| {
        let said = if said.is_empty() { "none".to_owned() } else { said };
        Line::hanging(2, COLUMN.saturating_add(2)).column(name, COLUMN, Tone::Dim).add(said, Tone::Plain)
    };
    let mut lines = vec![cell("requester", case.requester.to_string())];
    match &case.asked {
        Asked::Own { target } => lines.push(cell("asks", format!("to call {target} in its own name"))),
        Asked::Administer { operation, what, .. } => {
            lines.push(cell("asks", format!("the broker to {} a {}", operation.name(), what.name())));
        }
        Asked::ForUser { to, person: Person { subject, groups, roles }, actors, scopes, passes_on } => {
            lines.push(cell(
                "asks",
                match to {
                    To::Begin(domain) => format!("to let the user's request into {domain}"),
                    To::Exchange(target) => format!("to call {target} for the user"),
                },
            ));
            lines.push(cell("user", subject.as_str().to_owned()));
            lines.push(cell("groups", groups.join(" ")));
            lines.push(cell("roles", roles.join(" ")));
            lines.push(cell("actors", actors.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")));
            lines.push(cell("scopes", words(scopes)));
            lines.push(cell("passes on", words(passes_on)));
        }
    }
    lines
}

fn words(scopes: &Scopes) -> String {
    scopes.to_string()
}

fn rule_line(rule: &Considered) -> Line {
    Line::indented(2).add(&rule.id, Tone::Plain).add(format!("({})", rule.file.display()), Tone::Dim)
}

/// For each rule that matters, what it lacks.
fn changes(explanation: &Explanation) -> Vec<Line> {
    let rules = || explanation.rules.iter().filter(|rule| rule.is_in_force());
    let mut lines = Vec::new();
    let mut add = |rule: &Considered, said: &str, each: &[String]| {
        lines.push(rule_line(rule).add(said, Tone::Plain));
        lines.extend(each.iter().map(|words| Line::indented(4).add(format!("- {words}"), Tone::Plain)));
    };
    for rule in rules() {
        if let Some(error) = &rule.error {
            add(rule, "cannot be evaluated, which refuses whatever others say:", std::slice::from_ref(error));
        }
    }
    for rule in rules().filter(|rule| !rule.permits && rule.applies()) {
        match rule.until.as_slice() {
            [] => add(rule, "forbids it under all circumstances", &[]),
            until => add(rule, "forbids it until one of these is so:", until),
        }
    }
    let about: Vec<&Considered> = rules().filter(|rule| rule.permits && rule.elsewhere.is_empty()).collect();
    for rule in &about {
        match rule.unmet.as_slice() {
            [] if rule.error.is_none() => add(rule, "permits it once nothing forbids it", &[]),
            [] => {}
            unmet => add(rule, "would permit it, but:", unmet),
        }
    }
    if about.is_empty() {
        for rule in rules().filter(|rule| rule.permits && rule.elsewhere.len() == 1).take(NEAR_MAX) {
            add(rule, "permits almost the same, but:", &rule.elsewhere);
        }
        lines.push(Line::indented(2).add(
            "No permit names this principal, action and resource: if it should be allowed, a rule is missing.",
            Tone::Plain,
        ));
    }
    lines
}

/// Why rules refuse, in one line.
pub(super) fn why(explanation: &Explanation) -> String {
    let rules = || explanation.rules.iter().filter(|rule| rule.is_in_force());
    let forbids: Vec<String> = rules()
        .filter(|rule| !rule.permits && rule.applies())
        .map(|rule| format!("`{}` forbids it", rule.id))
        .collect();
    if !forbids.is_empty() {
        return forbids.join(", ");
    }
    let lacking: Vec<String> = rules()
        .filter(|rule| rule.permits && rule.elsewhere.is_empty() && !rule.unmet.is_empty())
        .map(|rule| format!("`{}`: {}", rule.id, rule.unmet.join(", and ")))
        .collect();
    match lacking.as_slice() {
        [] => match &explanation.decision {
            Decision::Denied(Denial::Error(_)) => "a rule cannot be evaluated".to_owned(),
            Decision::Denied(Denial::NoRule | Denial::Forbidden(_)) | Decision::Permitted(_) => {
                "no permit names this principal, action and resource".to_owned()
            }
        },
        lacking => lacking.join("; or "),
    }
}
