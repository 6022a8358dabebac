//! `countersign policies diff`: which decisions of a record other rules would change. What the record does not say of the
//! user is tried for everybody whom the rules tell apart and for whom the old rules decide as the record says.

mod report;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use identity::Refusal;
use policies::{Decision, Denial, Policies};

use self::report::Report;
use super::{
    FAILED, USAGE,
    case::{Asked, Case},
    explain,
    line::{self, Decided, Left, Recorded},
    load,
    people::People,
};
use crate::{look::Look, output};

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
    decisions: Vec<(Recorded, u64)>,
    left: BTreeMap<Left, u64>,
    /// What rules on trial would have done, by rule.
    trials: BTreeMap<(String, &'static str), u64>,
}

/// What becomes of a recorded decision.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// As it was.
    Kept,
    /// The other way for everybody of whom it can have been; why, where it would be refused.
    Turned(String),
    /// The other way for some of them, or not everybody could be tried.
    Depends(String),
    /// The old rules do not decide so either, or by other rules.
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
    if record.decisions.is_empty() {
        let told = format!("{}: no decision in it that could be replayed", options.record.display());
        return output::refuse(&told, USAGE);
    }
    let mut report = Report::default();
    for (recorded, count) in &record.decisions {
        match Case::of(&recorded.written) {
            Ok(case) => report.add(&case, &recorded.decided, fate(&case, recorded, &old, &new), *count),
            Err(_mistakes) => report.add_unreadable(*count),
        }
    }
    let look = Look::of_stdout();
    let told: String = report.lines(&record).iter().map(|line| line.render(look)).collect();
    if !output::wrote(&told) || report.changes() { ExitCode::from(FAILED) } else { ExitCode::SUCCESS }
}

fn read(file: &Path) -> io::Result<Record> {
    // Opening anything but a file, such as a pipe, could wait for ever.
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let mut reader = BufReader::new(File::open(file)?);
    let mut record = Record::default();
    let mut counts: BTreeMap<String, (Recorded, u64)> = BTreeMap::new();
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        if reader.by_ref().take(LINE_LENGTH_MAX).read_until(b'\n', &mut bytes)? == 0 {
            record.decisions = counts.into_values().collect();
            return Ok(record);
        }
        let text = String::from_utf8_lossy(&bytes);
        for (rule, done) in
            line::trials(text.trim_end()).iter().flat_map(|(rules, done)| rules.iter().map(|r| (r, *done)))
        {
            add(record.trials.entry((rule.clone(), done)).or_default());
        }
        match line::recorded(text.trim_end()) {
            Ok(recorded) => {
                let key = format!("{recorded:?}");
                if counts.len() >= QUESTIONS_MAX && !counts.contains_key(&key) {
                    let told = format!("more than {QUESTIONS_MAX} different questions: give a part of it");
                    return Err(io::Error::other(told));
                }
                add(&mut counts.entry(key).or_insert((recorded, 0)).1);
            }
            Err(why) => add(record.left.entry(why).or_default()),
        }
    }
}

fn add(count: &mut u64) {
    *count = count.saturating_add(1);
}

fn fate(case: &Case, recorded: &Recorded, old: &Policies, new: &Policies) -> Fate {
    let (before, after) = (case.explain(old), case.explain(new));
    let people = match case.asked {
        Asked::ForUser { .. } => People::of([&before, &after]),
        Asked::Own { .. } | Asked::Administer { .. } => People { each: Vec::new(), everybody: true },
    };
    let cases: Vec<Case> = match people.each.as_slice() {
        [] => vec![case.clone()],
        people => people.iter().map(|person| case.with_person(person)).collect(),
    };
    // With another set than the one that decided, only whether it is allowed can be compared.
    let same_set = recorded.set == old.digest();
    let possible: Vec<&Case> =
        cases.iter().filter(|case| decided_so(&case.decide(old), &recorded.decided, same_set)).collect();
    let turned: Vec<&&Case> = possible.iter().filter(|case| turns(&case.decide(new), &recorded.decided)).collect();
    let Some(first) = turned.first() else {
        return match (possible.is_empty(), people.everybody) {
            (true, _) => Fate::Unexplained,
            (false, true) => Fate::Kept,
            (false, false) => Fate::Depends("the rules name too many groups and roles to try all".to_owned()),
        };
    };
    let why = match first.decide(new) {
        Decision::Permitted(permitted) => format!("by `{}`", permitted.rules().join("`, `")),
        Decision::Denied(_) => explain::why(&first.explain(new)),
    };
    if turned.len() == possible.len() && people.everybody { Fate::Turned(why) } else { Fate::Depends(why) }
}

/// Whether rules that say this can have decided as was recorded.
fn decided_so(decision: &Decision, recorded: &Decided, same_set: bool) -> bool {
    match (decision, recorded) {
        (Decision::Permitted(permitted), Decided::Granted(rules)) => !same_set || permitted.rules() == rules,
        (Decision::Denied(denial), Decided::Refused(code)) => !same_set || speaks(denial, code),
        (Decision::Permitted(_), Decided::Refused(_)) | (Decision::Denied(_), Decided::Granted(_)) => false,
    }
}

/// Whether a denial is told with this code; `scope.not_permitted` stands for any, where less would be permitted.
fn speaks(denial: &Denial, code: &Refusal) -> bool {
    match denial {
        Denial::Error(_) => false,
        Denial::NoRule => matches!(code, Refusal::PolicyNoRule | Refusal::ScopeNotPermitted),
        Denial::Forbidden(rule) => {
            *code == Refusal::ScopeNotPermitted || *code == Refusal::PolicyForbidden(rule.clone())
        }
    }
}

fn turns(decision: &Decision, recorded: &Decided) -> bool {
    match recorded {
        Decided::Granted(_) => matches!(decision, Decision::Denied(_)),
        Decided::Refused(_) => matches!(decision, Decision::Permitted(_)),
    }
}
