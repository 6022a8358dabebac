//! What `countersign up` shows: what runs, where, how to sign in, and what to do next. Plain lines, no cursor moves.

use std::{
    cell::RefCell,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use dev::up::{Event, Up, Workload};

use crate::{
    look::Look,
    text::{Line, Tone},
};

/// Column of what is said of a name.
const NAME_COLUMN: usize = 11;

/// How the user called it: what goes into commands to paste.
#[derive(Clone, Debug)]
pub(super) struct Kit {
    /// This program, as one would type it here.
    pub(super) program: String,
    /// The instance's name where it is not the default one.
    pub(super) name: Option<String>,
    /// Whether the registry is the user's.
    pub(super) own_registry: bool,
    /// Where the user's policies lie.
    pub(super) policies: Option<PathBuf>,
}

/// Writes lines. An output that nobody reads is no reason to end.
pub(super) struct Screen<W> {
    out: RefCell<W>,
    look: Look,
}

impl<W: Write> Screen<W> {
    pub(super) const fn new(out: W, look: Look) -> Self {
        Self { out: RefCell::new(out), look }
    }

    fn starting(&self, real: bool) {
        let what = if real {
            "starts broker, Keycloak and SPIRE on this machine, in about 15 s …"
        } else {
            "starts broker, OpenID provider and Workload API on this machine …"
        };
        self.show(&[Line::new().add("Countersign", Tone::Title).add(what, Tone::Dim)]);
    }

    pub(super) fn still_starting(&self, since: Duration) {
        self.show(&[Line::indented(2).add(format!("still starting, {} s", since.as_secs()), Tone::Dim)]);
    }

    fn cleared(&self) {
        self.show(&[Line::indented(2).add("removed what a killed instance had left", Tone::Dim)]);
    }

    pub(super) fn stopped(&self) {
        self.show(&[Line::new().add("Stopped before it was ready; nothing is left running", Tone::Bad)]);
    }

    pub(super) fn ready(&self, up: &Up, kit: &Kit, took: Duration) {
        let mut lines = vec![
            Line::new()
                .add("Ready", Tone::Good)
                .add(format!("after {:.1} s; Ctrl-C ends it", took.as_secs_f64()), Tone::Dim),
        ];
        lines.extend(facts(up, kit));
        lines.push(Line::empty());
        lines.push(Line::new().add("Next, in other terminals: your programs, each beside its sidecar", Tone::Title));
        lines.extend(up.workloads().iter().map(|workload| Line::verbatim(&run_command(workload, kit))));
        if let Some(workload) = up.workloads().iter().find(|workload| workload.edge.is_some()) {
            let scope = workload.edge.as_ref().map(|scopes| scopes.join(" ")).unwrap_or_default();
            lines.push(Line::empty());
            lines.push(Line::new().add("Then as alice: sign her in, and ask at the edge that it prints", Tone::Title));
            lines.extend(up.sign_in(&scope).iter().map(|line| Line::verbatim(line)));
        }
        lines.push(Line::empty());
        let program = &kit.program;
        for (name, what) in [
            (format!("{program} explain CODE"), "what a refusal means, and what to do"),
            (format!("{program} token inspect"), "what a token says, and whether it verifies"),
        ] {
            lines.push(Line::hanging(2, 4).add(name, Tone::Plain).add(format!(" {what}"), Tone::Dim));
        }
        lines.push(Line::empty());
        self.show(&lines);
    }

    pub(super) fn event(&self, event: &Event<'_>, real: bool) {
        let line = match event {
            Event::Starting => return self.starting(real),
            Event::Cleared(_) => return self.cleared(),
            Event::Joined(name) => Line::new().add(*name, Tone::Title).add("joined", Tone::Good),
            Event::Left(name) => Line::new().add(*name, Tone::Title).add("left", Tone::Dim),
        };
        self.show(&[line]);
    }

    pub(super) fn ending(&self) {
        self.show(&[Line::empty(), Line::new().add("Ending programs and sidecars, then the rest …", Tone::Dim)]);
    }

    pub(super) fn killed(&self) {
        self.show(&[Line::new().add("Killed what had not ended", Tone::Bad)]);
    }

    pub(super) fn ended(&self, record: Option<&Path>) {
        let mut lines = vec![Line::new().add("Ended; nothing is left running", Tone::Good)];
        lines.extend(record.map(|record| fact("record", &record.display().to_string())));
        self.show(&lines);
    }

    fn show(&self, lines: &[Line]) {
        let text: String = lines.iter().map(|line| line.render(self.look)).collect();
        let mut out = self.out.borrow_mut();
        // Nobody reads; the exit code still tells how it ended.
        drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    }
}

fn facts(up: &Up, kit: &Kit) -> Vec<Line> {
    let stack = up.stack();
    let mut facts = Vec::new();
    facts.extend(kit.name.as_deref().map(|name| fact("instance", name)));
    facts.push(fact("provider", stack.issuer()));
    facts.push(fact("users", "alice (group support) and bob"));
    facts.push(fact("broker", &format!("{}/jwks", stack.broker_public().unwrap_or_default())));
    let registry = if kit.own_registry { "your own" } else { "the demo's: planner → researcher → tickets" };
    facts.push(fact("registry", registry));
    let policies = match &kit.policies {
        Some(folder) => folder.display().to_string(),
        // They name the demo's workloads and targets; whoever has other ones is refused everything.
        None if kit.own_registry => "the demo's, which do not know your registry: give --policies FOLDER".to_owned(),
        None => "the demo's".to_owned(),
    };
    facts.push(fact("policies", &policies));
    facts.push(fact("files, logs", &stack.folder().display().to_string()));
    facts
}

fn fact(name: &str, value: &str) -> Line {
    let hang = NAME_COLUMN.saturating_add(4);
    Line::hanging(2, hang).column(name, NAME_COLUMN.saturating_add(2), Tone::Dim).add(value, Tone::Plain)
}

fn run_command(workload: &Workload, kit: &Kit) -> String {
    let instance = kit.name.as_ref().map(|name| format!(" --name {name}")).unwrap_or_default();
    let edge = if workload.edge.is_some() { " --edge" } else { "" };
    format!("  {} run{instance} --as {}{edge} -- YOUR PROGRAM", kit.program, workload.name)
}
