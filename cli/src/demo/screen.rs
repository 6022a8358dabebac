//! The demo for people: plain lines that fit the terminal, in one screen of 80 columns. It never moves the cursor, so a
//! file or a pipe reads the same.

use std::io::{self, Write};

use super::event::{Ended, Event, Failed, Kept, ShownHop, ShownRefusal, SignedOut};
use crate::{
    look::Look,
    text::{Line, Tone},
};

/// Narrower than this, columns give way to lines.
const TABLE_COLUMNS: usize = 80;
/// Columns of the hop table.
const HOP: [usize; 3] = [14, 24, 31];
/// Columns of the refusal table.
const REFUSAL: [usize; 3] = [16, 24, 5];

/// Writes events as lines of text.
pub(super) struct Screen<W> {
    out: W,
    look: Look,
    refusals_shown: bool,
}

impl<W: Write> Screen<W> {
    pub(super) const fn new(out: W, look: Look) -> Self {
        Self { out, look, refusals_shown: false }
    }

    pub(super) fn show(&mut self, event: &Event) -> io::Result<()> {
        for line in self.lines(event) {
            self.out.write_all(line.render(self.look).as_bytes())?;
        }
        self.out.flush()
    }

    fn lines(&mut self, event: &Event) -> Vec<Line> {
        match event {
            Event::Starting { real } => starting(*real),
            Event::StillStarting { seconds } => {
                vec![Line::indented(2).add(format!("{seconds:.0} s, still starting …"), Tone::Dim)]
            }
            Event::Started { processes, seconds } => {
                vec![Line::new().add(format!("{processes} processes are ready after {seconds:.1} s"), Tone::Dim)]
            }
            Event::Asked { user, question } => self.asked(user, question),
            Event::Hop(hop) => self.hop(hop),
            Event::Answered { tickets, broker_calls, provider_calls } => vec![Line::indented(2).add(
                format!("{tickets} tickets came back; {broker_calls} broker calls, {provider_calls} at the provider"),
                Tone::Dim,
            )],
            Event::Tokens { control, apps } => tokens(*control, *apps),
            Event::Refusal(refusal) => self.refusal(refusal),
            Event::SignedOut(signed_out) => signed_out_lines(signed_out),
            Event::Unexpected { what } => {
                vec![Line::new().add("not as expected:", Tone::Bad).add(what.as_str(), Tone::Plain)]
            }
            Event::Stopped => {
                vec![Line::empty(), Line::new().add("Stopped before the end; nothing is left running", Tone::Bad)]
            }
            Event::Ended(ended) => end(ended),
            Event::Kept(kept) => keep(kept),
            Event::Failed(failed) => failure(failed),
            // Everything in it was shown already.
            Event::Summary(_) => Vec::new(),
        }
    }

    fn asked(&self, user: &str, question: &str) -> Vec<Line> {
        let mut lines = vec![
            Line::empty(),
            Line::new()
                .add(user, Tone::Title)
                .add("asks planner:", Tone::Plain)
                .add(format!("“{question}”"), Tone::Plain),
        ];
        if self.has_columns() {
            let heading = Line::indented(2).column("hop", HOP[0], Tone::Dim);
            let heading = heading.column("actors, current first", HOP[1], Tone::Dim);
            lines.push(heading.column("audience", HOP[2], Tone::Dim).add("life", Tone::Dim));
        }
        lines
    }

    fn hop(&self, shown: &ShownHop) -> Vec<Line> {
        let step = if shown.step == "begin" { "begin".to_owned() } else { format!("→ {}", shown.step) };
        let actors: Vec<_> = shown.hop.actors.iter().map(|actor| short(actor)).collect();
        let (actors, audience, life) =
            (actors.join(" ← "), shown.hop.audience.as_str(), format!("{} s", shown.life_seconds));
        let scope = |line: Line| {
            line.add("scope", Tone::Dim)
                .add(words(&shown.scope_before), Tone::Plain)
                .add("→", Tone::Dim)
                .add(words(&shown.hop.scope), Tone::Good)
        };
        if self.has_columns() {
            let first = Line::indented(2).column(step, HOP[0], Tone::Title).column(actors, HOP[1], Tone::Plain);
            let indent = HOP[0].saturating_add(2);
            return vec![
                first.column(audience, HOP[2], Tone::Plain).add(life, Tone::Plain),
                scope(Line::indented(indent)),
            ];
        }
        vec![
            Line::indented(2).add(step, Tone::Title).add(life, Tone::Plain),
            Line::indented(4).add("actors", Tone::Dim).add(actors, Tone::Plain),
            Line::indented(4).add("audience", Tone::Dim).add(audience, Tone::Plain),
            scope(Line::indented(4)),
        ]
    }

    fn refusal(&mut self, shown: &ShownRefusal) -> Vec<Line> {
        let mut lines = Vec::new();
        if !std::mem::replace(&mut self.refusals_shown, true) {
            lines.extend([Line::empty(), Line::new().add("Refused, live", Tone::Title)]);
        }
        let refusal = &shown.refusal;
        let (code, tone) =
            if shown.expected { (refusal.code.clone(), Tone::Good) } else { (format!("{}?", refusal.code), Tone::Bad) };
        let by =
            if shown.control.is_empty() { shown.by.to_owned() } else { format!("{}; {}", shown.by, shown.control) };
        let status = refusal.status.to_string();
        if self.has_columns() {
            let hang = REFUSAL.iter().sum::<usize>().saturating_add(2);
            let line =
                Line::hanging(2, hang).column(refusal.case, REFUSAL[0], Tone::Plain).column(code, REFUSAL[1], tone);
            lines.push(line.column(status, REFUSAL[2], tone).add(by, Tone::Dim));
        } else {
            lines.push(Line::indented(2).add(refusal.case, Tone::Plain).add(status, tone).add(code, tone));
            lines.push(Line::indented(4).add(by, Tone::Dim));
        }
        lines
    }

    const fn has_columns(&self) -> bool {
        self.look.width >= TABLE_COLUMNS
    }
}

fn starting(real: bool) -> Vec<Line> {
    let what = if real {
        "starts a whole stack on this machine, with Keycloak and SPIRE …"
    } else {
        "starts a whole stack on this machine …"
    };
    vec![Line::new().add("Countersign", Tone::Title).add(what, Tone::Dim)]
}

fn signed_out_lines(shown: &SignedOut) -> Vec<Line> {
    let (code, tone) = if shown.expected { ("", Tone::Good) } else { ("?", Tone::Bad) };
    let code = format!("{}{code}", shown.refusal.code);
    vec![
        Line::empty(),
        Line::new().add("Signed out in Keycloak, while planner works for alice", Tone::Title),
        Line::hanging(2, REFUSAL.iter().sum::<usize>().saturating_add(2))
            .column("list_tickets", REFUSAL[0], Tone::Plain)
            .column(code, REFUSAL[1], tone)
            .column(shown.refusal.status.to_string(), REFUSAL[2], tone)
            .add(format!("{} ms after the sign-out", shown.milliseconds), Tone::Dim),
        Line::indented(2).add("access tokens that a sidecar holds already end by themselves, within 60 s", Tone::Dim),
    ]
}

fn tokens(control: usize, apps: usize) -> Vec<Line> {
    let count =
        |found: usize, right: usize| (format!("{found} found"), if found == right { Tone::Good } else { Tone::Bad });
    let ((control, control_tone), (apps, apps_tone)) = (count(control, 1), count(apps, 0));
    let row = |found: String, tone, whose: &str| Line::hanging(2, 11).column(found, 9, tone).add(whose, Tone::Plain);
    vec![
        Line::empty(),
        Line::new().add("Tokens that reached an app’s process", Tone::Title),
        row(control, control_tone, "control: alice’s token sent to an app without a sidecar"),
        row(apps, apps_tone, "planner, researcher and tickets, each behind its sidecar"),
    ]
}

fn end(ended: &Ended) -> Vec<Line> {
    let (verdict, tone) = if ended.ok { ("All as expected", Tone::Good) } else { ("NOT as expected", Tone::Bad) };
    let fact = |name: &str, value: String| Line::hanging(2, 9).column(name, 7, Tone::Dim).add(value, Tone::Plain);
    let mut lines = vec![
        Line::empty(),
        Line::new().add(format!("{verdict}, in {:.1} s", ended.seconds), tone),
        fact("txn", ended.txn.clone()),
        fact("record", format!("{} ({} lines)", ended.record.display(), ended.records)),
        fact("agents", "pass on one header, Countersign-Handle, and hold no line about tokens".to_owned()),
    ];
    if let Some(folder) = &ended.folder {
        lines.push(fact("folder", folder.display().to_string()));
    }
    for (index, command) in ended.next.iter().enumerate() {
        lines.push(fact(if index == 0 { "next" } else { "" }, command.clone()));
    }
    lines
}

fn keep(kept: &Kept) -> Vec<Line> {
    let mut lines = vec![Line::empty(), Line::new().add("Left running; Ctrl-C ends it", Tone::Title)];
    let address = |(name, address): &(String, String)| {
        Line::hanging(2, 21).column(name.as_str(), 19, Tone::Dim).add(address.as_str(), Tone::Plain)
    };
    lines.extend(kept.addresses.iter().map(address));
    let what = "To paste: sign alice in, ask as alice, have planner try what its rule forbids";
    lines.extend([Line::empty(), Line::new().add(what, Tone::Dim)]);
    for command in &kept.commands {
        lines.push(Line::empty());
        lines.extend(command.iter().map(|line| Line::verbatim(line)));
    }
    lines
}

fn failure(failed: &Failed) -> Vec<Line> {
    let who =
        failed.process.as_deref().map_or_else(|| "The demo failed".to_owned(), |process| format!("`{process}` failed"));
    let mut lines =
        vec![Line::empty(), Line::new().add(format!("{who}:"), Tone::Bad).add(failed.problem.as_str(), Tone::Plain)];
    if !failed.log_tail.is_empty() {
        lines.push(Line::new().add(format!("its last {} log lines:", failed.log_tail.len()), Tone::Dim));
        lines.extend(failed.log_tail.iter().map(|line| Line::verbatim(line)));
    }
    if let Some(folder) = &failed.folder {
        lines.push(Line::new().add("work folder:", Tone::Dim).add(folder.display().to_string(), Tone::Plain));
    }
    lines
}

/// The last part of a SPIFFE ID.
fn short(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

fn words(scope: &[String]) -> String {
    if scope.is_empty() { "none".to_owned() } else { scope.join(" ") }
}

#[cfg(test)]
mod tests;
