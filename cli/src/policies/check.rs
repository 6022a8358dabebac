//! `countersign policies check`.

use std::{path::PathBuf, process::ExitCode};

use policies::{Checked, Policies};
use runtime::clock;

use super::{FAILED, USAGE, counted, registry, shown};
use crate::output;

/// What to check.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Folder of rules (`*.cedar`), as `policies` in broker.yaml names it
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// broker.yaml, or the registry of `countersign up`: what the rules name must exist there
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
}

pub(super) fn main(options: &Options) -> ExitCode {
    let known = match options.registry.as_deref().map(registry::read).transpose() {
        Ok(known) => known,
        Err(told) => return output::refuse(&told, FAILED),
    };
    let Checked { rules, problems, warnings } = Policies::check(&options.folder, known.as_ref(), clock::now());
    for warning in &warnings {
        output::pass_on(shown(warning).as_bytes());
    }
    for problem in &problems {
        output::pass_on(shown(problem).as_bytes());
    }
    let folder = options.folder.display();
    if !problems.is_empty() {
        return output::refuse(&format!("{folder}: {}", counted(problems.len(), "problem")), USAGE);
    }
    let warned = if warnings.is_empty() { String::new() } else { format!(", {}", counted(warnings.len(), "warning")) };
    output::say(&format!("{folder}: fine: {}{warned}\n", counted(rules, "rule")))
}
