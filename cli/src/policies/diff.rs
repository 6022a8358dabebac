//! `countersign policies diff`: which grants of a record other rules would refuse. What the record does not say of the
//! user is tried for everybody whom the rules tell apart and for whom the old rules decide as the record says.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use policies::{Decision, Policies};

use super::{
    FAILED, USAGE,
    case::{Asked, Case, To},
    counted, explain,
    line::{self, Granted, Left},
    load,
    people::People,
};
use crate::{
    look::Look,
    output,
    text::{Line, Tone},
};

/// Longest line of a record in bytes: eight actors and 64 scopes fit many times.
const LINE_LENGTH_MAX: u64 = 256 * 1024;
/// Most different questions of a record; a day of a hundred workloads has a few thousand.
const QUESTIONS_MAX: usize = 100_000;

/// What to compare.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Folder of the rules that decided
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// Folder of the rules that would decide
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// The record, `record.jsonl` in the broker's `ledger`
    #[arg(long, value_name = "FILE")]
    record: PathBuf,
}

/// What a record holds, each question once.
#[derive(Debug, Default)]
struct Record {
    grants: Vec<(Granted, u64)>,
    left: BTreeMap<Left, u64>,
}

/// What becomes of a recorded grant.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// Still allowed.
    Kept,
    /// Refused for everybody who can have got it.
    Refused(String),
    /// Refused for some of them, or not everybody could be tried.
    Depends(String),
    /// The old rules do not allow it either, or by other rules.
    Unexplained,
}

pub(super) fn main(options: &Options) -> ExitCode {
    let (old, new) = match (load(&options.old), load(&options.new)) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(code), _) | (_, Err(code)) => return code,
    };
    let record = match read(&options.record) {
        Ok(record) => record,
        Err(error) => return output::refuse(&format!("{}: {error}", options.record.display()), USAGE),
    };
    if record.grants.is_empty() {
        return output::refuse(&format!("{}: no grant in it that could be replayed", options.record.display()), USAGE);
    }
    let mut report = Report::default();
    for (granted, count) in &record.grants {
        match Case::of(&granted.written) {
            Ok(case) => report.add(&case, fate(&case, granted, &old, &new), *count),
            Err(_mistakes) => report.unreadable = report.unreadable.saturating_add(*count),
        }
    }
    let look = Look::of_stdout();
    let told: String = report.lines(&record.left).iter().map(|line| line.render(look)).collect();
    let changes = report.changes();
    if !output::wrote(&told) || changes { ExitCode::from(FAILED) } else { ExitCode::SUCCESS }
}

fn read(file: &Path) -> io::Result<Record> {
    let mut reader = BufReader::new(File::open(file)?);
    let mut counts: BTreeMap<String, (Granted, u64)> = BTreeMap::new();
    let mut left: BTreeMap<Left, u64> = BTreeMap::new();
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        if reader.by_ref().take(LINE_LENGTH_MAX).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(Record { grants: counts.into_values().collect(), left });
        }
        match line::granted(String::from_utf8_lossy(&bytes).trim_end()) {
            Ok(granted) => {
                let key = format!("{granted:?}");
                if counts.len() >= QUESTIONS_MAX && !counts.contains_key(&key) {
                    return Err(io::Error::other(format!(
                        "more than {QUESTIONS_MAX} different questions: give a part of it"
                    )));
                }
                let (_granted, count) = counts.entry(key).or_insert((granted, 0));
                *count = count.saturating_add(1);
            }
            Err(why) => {
                let count = left.entry(why).or_default();
                *count = count.saturating_add(1);
            }
        }
    }
}

fn fate(case: &Case, granted: &Granted, old: &Policies, new: &Policies) -> Fate {
    let (before, after) = (case.explain(old), case.explain(new));
    let people = match case.asked {
        Asked::ForUser { .. } => People::of([&before, &after]),
        Asked::Own { .. } => People { each: Vec::new(), everybody: true },
    };
    let cases: Vec<Case> = match people.each.as_slice() {
        [] => vec![case.clone()],
        people => people.iter().map(|person| case.with_person(person)).collect(),
    };
    // With another set than the one that decided, only that it is allowed can be compared.
    let same_set = granted.set == old.digest();
    let allowed = |case: &&Case| match case.decide(old) {
        Decision::Permitted(permitted) => !same_set || permitted.rules() == granted.rules,
        Decision::Denied(_) => false,
    };
    let possible: Vec<&Case> = cases.iter().filter(allowed).collect();
    let refused: Vec<&&Case> =
        possible.iter().filter(|case| !matches!(case.decide(new), Decision::Permitted(_))).collect();
    let Some(first) = refused.first() else {
        return match (possible.is_empty(), people.everybody) {
            (true, _) => Fate::Unexplained,
            (false, true) => Fate::Kept,
            (false, false) => Fate::Depends("the rules name too many groups and roles to try all".to_owned()),
        };
    };
    let why = explain::why(&first.explain(new));
    if refused.len() == possible.len() && people.everybody { Fate::Refused(why) } else { Fate::Depends(why) }
}

/// What is told in the end: each kind of grant with how often it stands in the record.
#[derive(Debug, Default)]
struct Report {
    kept: u64,
    unreadable: u64,
    unexplained: u64,
    refused: BTreeMap<String, (String, u64)>,
    depends: BTreeMap<String, (String, u64)>,
}

impl Report {
    fn add(&mut self, case: &Case, fate: Fate, count: u64) {
        let mut put = |refused: bool, why: String| {
            let kinds = if refused { &mut self.refused } else { &mut self.depends };
            let (_why, sum) = kinds.entry(words(case)).or_insert((why, 0));
            *sum = sum.saturating_add(count);
        };
        match fate {
            Fate::Kept => self.kept = self.kept.saturating_add(count),
            Fate::Unexplained => self.unexplained = self.unexplained.saturating_add(count),
            Fate::Refused(why) => put(true, why),
            Fate::Depends(why) => put(false, why),
        }
    }

    fn changes(&self) -> bool {
        !self.refused.is_empty() || !self.depends.is_empty()
    }

    fn lines(&self, left: &BTreeMap<Left, u64>) -> Vec<Line> {
        let mut lines = Vec::new();
        for (title, kinds) in [
            ("Would be refused", &self.refused),
            ("Depends on who the user was, which the record does not say", &self.depends),
        ] {
            if kinds.is_empty() {
                continue;
            }
            lines.push(Line::new().add(title, Tone::Title));
            for (what, (why, count)) in kinds {
                lines.push(Line::indented(2).add(of(*count, "time"), Tone::Bad).add(what, Tone::Plain));
                lines.push(Line::indented(4).add(why, Tone::Plain));
            }
            lines.push(Line::empty());
        }
        lines.push(Line::new().add(format!("{} would still be allowed.", of(self.kept, "grant")), Tone::Plain));
        if self.unexplained > 0 {
            let told = "not as the old rules would decide for anybody: were they the rules of that time?";
            lines.push(Line::new().add(format!("{} {told}", of(self.unexplained, "grant")), Tone::Plain));
        }
        let mut left = left.clone();
        if self.unreadable > 0 {
            let count = left.entry(Left::Unreadable).or_default();
            *count = count.saturating_add(self.unreadable);
        }
        for (why, count) in &left {
            lines.push(Line::hanging(0, 2).add(format!("Not replayed: {count} {}.", why.why()), Tone::Plain));
        }
        lines
    }
}

fn of(count: u64, what: &str) -> String {
    usize::try_from(count).map_or_else(|_huge| format!("{count} {what}s"), |count| counted(count, what))
}

fn words(case: &Case) -> String {
    let requester = &case.requester;
    match &case.asked {
        Asked::Own { target } => format!("{requester} called {target} in its own name"),
        Asked::ForUser { to, scopes, passes_on, .. } => {
            let what = match to {
                To::Begin(domain) => format!("{requester} began in {domain}"),
                To::Exchange(target) => format!("{requester} called {target}"),
            };
            let scopes = if scopes.is_empty() { "no scope".to_owned() } else { format!("`{scopes}`") };
            let passed = if passes_on.is_empty() { String::new() } else { format!(", passing `{passes_on}` on") };
            format!("{what} with {scopes}{passed}")
        }
    }
}
