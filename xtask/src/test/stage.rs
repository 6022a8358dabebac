//! One stage: some commands of cargo, one after the other, or the fetch of real peers. What the tests say is held back
//! until something fails; cargo's own progress, and the fetch's, is shown as it comes.

use std::{
    io::{self, BufRead as _, BufReader},
    path::PathBuf,
    process::Stdio,
};

use anyhow::Context as _;

use super::count::Count;
use crate::{place::Place, real::Peers};

/// A numbered step of the test run.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) name: &'static str,
    /// Whether its commands run tests; then at least one must have run.
    pub(super) counts: bool,
    work: Work,
}

/// What a stage does.
#[derive(Debug)]
enum Work {
    /// Commands of cargo, with a variable of the environment.
    Cargo { arguments: Vec<Vec<String>>, variable: Option<(&'static str, PathBuf)> },
    /// Gets what is missing of these.
    Fetch(Peers),
}

/// How a stage ended. Where it did not pass, the reason was printed.
#[derive(Debug)]
pub(super) enum Outcome {
    Passed(Count),
    Failed,
    MachineLacks,
}

impl Stage {
    /// A stage of these commands of cargo.
    pub(super) fn of<const N: usize>(name: &'static str, commands: [&[&str]; N]) -> Self {
        let owned = |arguments: &[&str]| arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let arguments = commands.into_iter().map(owned).collect();
        Self { name, counts: false, work: Work::Cargo { arguments, variable: None } }
    }

    /// A stage that gets what is missing of these peers.
    pub(super) fn of_peers(peers: Peers) -> Self {
        Self { name: "real peers", counts: false, work: Work::Fetch(peers) }
    }

    /// This stage, with tests that count.
    pub(super) fn counting(self) -> Self {
        Self { counts: true, ..self }
    }

    /// This stage of cargo's, with a variable of the environment.
    pub(super) fn with(self, name: &'static str, value: PathBuf) -> Self {
        let work = match self.work {
            Work::Cargo { arguments, .. } => Work::Cargo { arguments, variable: Some((name, value)) },
            Work::Fetch(peers) => Work::Fetch(peers),
        };
        Self { work, ..self }
    }

    /// Runs it.
    pub(super) fn run(&self, place: &Place) -> anyhow::Result<Outcome> {
        let (arguments, variable) = match &self.work {
            Work::Cargo { arguments, variable } => (arguments, variable.as_ref()),
            Work::Fetch(peers) => {
                let fetched = peers.fetch(&mut |line| say!("{line}"));
                return Ok(if fetched { Outcome::Passed(Count::default()) } else { Outcome::MachineLacks });
            }
        };
        let mut count = Count::default();
        for arguments in arguments {
            let counted = run_cargo(place, arguments, variable).context("cargo cannot be started")?;
            let Some(counted) = counted else { return Ok(Outcome::Failed) };
            count = count.and(counted);
        }
        if self.counts && count.passed == 0 {
            say!("No test ran, so nothing is proved.");
            return Ok(Outcome::Failed);
        }
        Ok(Outcome::Passed(count))
    }

    /// The commands as one types them in the checkout.
    pub(super) fn commands(&self, place: &Place) -> Vec<String> {
        let place = place.root.display();
        match &self.work {
            Work::Cargo { arguments, variable } => {
                let variable = variable.as_ref().map(|(name, value)| format!("{name}={} ", value.display()));
                let variable = variable.unwrap_or_default();
                let line = |arguments: &Vec<String>| format!("cd {place} && {variable}cargo {}", arguments.join(" "));
                arguments.iter().map(line).collect()
            }
            Work::Fetch(_) => vec![format!("cd {place} && cargo xtask peers fetch")],
        }
    }
}

fn run_cargo(
    place: &Place,
    arguments: &[String],
    variable: Option<&(&'static str, PathBuf)>,
) -> io::Result<Option<Count>> {
    let mut cargo = place.cargo();
    cargo.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    if let Some((name, value)) = variable {
        cargo.env(name, value);
    }
    let mut child = cargo.spawn()?;
    let mut count = Count::default();
    let mut said = String::new();
    if let Some(output) = child.stdout.take() {
        // Bytes, not text: a test may print anything.
        for line in BufReader::new(output).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            count = count.and(Count::of_line(&line));
            said.push_str(&line);
            said.push('\n');
        }
    }
    if child.wait()?.success() && count.failed == 0 {
        return Ok(Some(count));
    }
    say!("{}", said.trim_end());
    Ok(None)
}
