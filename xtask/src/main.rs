//! `cargo xtask`: what a checkout can do without anything installed but Rust and a C compiler. It starts cargo and the
//! built programs; it must never contain a rule of the product, and never need more than the standard library and a
//! command line parser, because it is compiled before everything else.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "telling what happens is this program's output")]

mod bench;
mod build;
mod demo;
mod place;
mod test;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::place::Place;

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!(
    "Countersign runs on Linux x86_64 and aarch64; elsewhere build it in the container of `.devcontainer/`."
);

/// Exit code where the machine lacks something.
const MACHINE_LACKS: u8 = 2;

/// Tasks of this checkout
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build the programs and run the demo; arguments go to `countersign demo`
    #[command(disable_help_flag = true)]
    Demo {
        /// Such as `--json`, `--keep` or `--help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Preflight, then formatting, clippy, unit, doc, compile-fail and end-to-end tests
    ///
    /// Exit code 0: all passed; 1: a stage failed, and how to repeat it alone is printed; 2: the machine lacks something,
    /// and everything that it lacks is listed with the command that gets it.
    Test {
        /// Run on the embedded default only (the same as without it today; real peers come with the next piece of work)
        #[arg(long)]
        embedded: bool,
    },
    /// Measure figures and print them; nothing is asserted
    Bench {
        /// What to measure
        #[command(subcommand)]
        figures: Figures,
    },
}

#[derive(Debug, Subcommand)]
enum Figures {
    /// Cold build and run of the demo, size of the sidecar
    Story {
        /// Print one JSON object a figure
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let task = Arguments::parse().task;
    let place = match Place::find() {
        Ok(place) => place,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::from(MACHINE_LACKS);
        }
    };
    let outcome = match task {
        Task::Demo { arguments } => demo::main(&place, &arguments),
        // The embedded default is all there is: the flag says it, so that what says it today means the same tomorrow.
        Task::Test { embedded: _ } => test::main(&place),
        Task::Bench { figures: Figures::Story { json } } => bench::story(&place, json),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
