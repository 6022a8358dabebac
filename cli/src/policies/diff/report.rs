//! What is told in the end: each kind of decision that would be another with how often it stands in the record.

use std::collections::BTreeMap;

use super::{Fate, Record};
use crate::{
    policies::{
        case::{Asked, Case, To},
        counted,
        line::{Decided, Left},
    },
    text::{Line, Tone},
};

/// Kinds of decisions by what was asked, each with why and how often.
type Kinds = BTreeMap<String, (String, u64)>;

#[derive(Debug, Default)]
pub(super) struct Report {
    granted: Outcomes,
    refused: Outcomes,
    unreadable: u64,
    unexplained: u64,
}

/// Of the grants, or of the refusals.
#[derive(Debug, Default)]
struct Outcomes {
    kept: u64,
    turned: Kinds,
    depends: Kinds,
}

impl Report {
    pub(super) fn add(&mut self, case: &Case, decided: &Decided, fate: Fate, count: u64) {
        let outcomes = match decided {
            Decided::Granted(_) => &mut self.granted,
            Decided::Refused(_) => &mut self.refused,
        };
        let put = |kinds: &mut Kinds, why: String| {
            let (_why, sum) = kinds.entry(words(case)).or_insert((why, 0));
            *sum = sum.saturating_add(count);
        };
        match fate {
            Fate::Kept => outcomes.kept = outcomes.kept.saturating_add(count),
            Fate::Unexplained => self.unexplained = self.unexplained.saturating_add(count),
            Fate::Turned(why) => put(&mut outcomes.turned, why),
            Fate::Depends(why) => put(&mut outcomes.depends, why),
        }
    }

    pub(super) const fn add_unreadable(&mut self, count: u64) {
        self.unreadable = self.unreadable.saturating_add(count);
    }

    pub(super) fn changes(&self) -> bool {
        let changes = |outcomes: &Outcomes| !outcomes.turned.is_empty() || !outcomes.depends.is_empty();
        changes(&self.granted) || changes(&self.refused)
    }

    pub(super) fn lines(&self, record: &Record) -> Vec<Line> {
        let mut lines = Vec::new();
        for (title, kinds, tone) in [
            ("Would be refused", &self.granted.turned, Tone::Bad),
            (
                "Might be refused: it depends on who the user was, which the record does not say",
                &self.granted.depends,
                Tone::Bad,
            ),
            ("Would be allowed", &self.refused.turned, Tone::Good),
            (
                "Might be allowed: it depends on who the user was, which the record does not say",
                &self.refused.depends,
                Tone::Good,
            ),
        ] {
            if kinds.is_empty() {
                continue;
            }
            lines.push(Line::new().add(title, Tone::Title));
            for (what, (why, count)) in kinds {
                lines.push(Line::indented(2).add(of(*count, "time"), tone).add(what, Tone::Plain));
                lines.push(Line::indented(4).add(why, Tone::Plain));
            }
            lines.push(Line::empty());
        }
        lines.push(Line::new().add(format!("{} would still be allowed.", of(self.granted.kept, "grant")), Tone::Plain));
        if self.refused.kept > 0 {
            let told = format!("{} would still be refused.", of(self.refused.kept, "refusal"));
            lines.push(Line::new().add(told, Tone::Plain));
        }
        if self.unexplained > 0 {
            let told = "not as the old rules would decide for anybody: were they the rules of that time?";
            lines.push(Line::new().add(format!("{} {told}", of(self.unexplained, "decision")), Tone::Plain));
        }
        lines.extend(self.left(&record.left));
        lines.extend(trials(&record.trials));
        lines
    }

    fn left(&self, left: &BTreeMap<Left, u64>) -> Vec<Line> {
        let mut left = left.clone();
        if self.unreadable > 0 {
            let count = left.entry(Left::Unreadable).or_default();
            *count = count.saturating_add(self.unreadable);
        }
        let told = |(why, count): (&Left, &u64)| format!("Not replayed: {count} {}.", why.why());
        left.iter().map(|left| Line::hanging(0, 2).add(told(left), Tone::Plain)).collect()
    }
}

/// What rules on trial would have done, as the record says.
fn trials(trials: &BTreeMap<(String, &'static str), u64>) -> Vec<Line> {
    let told = |((rule, done), count): (&(String, &'static str), &u64)| {
        format!("On trial: `{rule}` would have {done}, {}.", of(*count, "time"))
    };
    trials.iter().map(|trial| Line::hanging(0, 2).add(told(trial), Tone::Plain)).collect()
}

fn of(count: u64, what: &str) -> String {
    usize::try_from(count).map_or_else(|_huge| format!("{count} {what}s"), |count| counted(count, what))
}

fn words(case: &Case) -> String {
    let requester = &case.requester;
    match &case.asked {
        Asked::Own { target } => format!("{requester} called {target} in its own name"),
        Asked::Administer { operation, what, .. } => {
            format!("{requester} asked to {} a {}", operation.name(), what.name())
        }
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
