//! One stage: some commands of cargo, one after the other. What the tests say is held back until something fails;
//! cargo's own progress is shown as it comes.

use std::{
    io::{self, BufRead as _, BufReader},
    path::PathBuf,
    process::Stdio,
};

use anyhow::Context as _;

use super::count::Count;
use crate::place::Place;

/// A numbered step of the test run.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) name: &'static str,
    /// Whether its commands run tests; then at least one must have run.
    pub(super) counts: bool,
    arguments: Vec<Vec<String>>,
    variable: Option<(&'static str, PathBuf)>,
}

impl Stage {
    /// A stage of these commands of cargo.
    pub(super) fn of<const N: usize>(name: &'static str, commands: [&[&str]; N]) -> Self {
        let owned = |arguments: &[&str]| arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self { name, counts: false, arguments: commands.into_iter().map(owned).collect(), variable: None }
    }

    /// This stage, with tests that count.
    pub(super) fn counting(self) -> Self {
        Self { counts: true, ..self }
    }

    /// This stage, with a variable of the environment.
    pub(super) fn with(self, name: &'static str, value: PathBuf) -> Self {
        Self { variable: Some((name, value)), ..self }
    }

    /// Runs it. `None`: it failed, and the reason was printed.
    pub(super) fn run(&self, place: &Place) -> anyhow::Result<Option<Count>> {
        let mut count = Count::default();
        for arguments in &self.arguments {
            let Some(counted) = self.run_one(place, arguments).context("cargo cannot be started")? else {
                return Ok(None);
            };
            count = count.and(counted);
        }
        if self.counts && count.passed == 0 {
            println!("No test ran, so nothing is proved.");
            return Ok(None);
        }
        Ok(Some(count))
    }

    /// The commands as one types them in the checkout.
    pub(super) fn commands(&self, place: &Place) -> Vec<String> {
        let variable = self.variable.as_ref().map(|(name, value)| format!("{name}={} ", value.display()));
        let variable = variable.unwrap_or_default();
        let place = place.root.display();
        let line = |arguments: &Vec<String>| format!("cd {place} && {variable}cargo {}", arguments.join(" "));
        self.arguments.iter().map(line).collect()
    }

    fn run_one(&self, place: &Place, arguments: &[String]) -> io::Result<Option<Count>> {
        let mut cargo = place.cargo();
        cargo.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        if let Some((name, value)) = &self.variable {
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
        print!("{said}");
        Ok(None)
    }
}
