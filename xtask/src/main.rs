//! `cargo xtask`: what a checkout can do without anything installed but Rust and a C compiler. It starts cargo and the
//! built programs, and gets the real peers; it must never contain a rule of the product, and never need more than the
//! standard library and a command line parser, because it is compiled before everything else.

/// Tells a line on standard output, as `println!` does, which would end the program where nobody reads.
macro_rules! say {
    ($($words:tt)*) => { $crate::output::line(std::io::stdout(), format_args!($($words)*)) };
}
/// Tells a line on standard error.
macro_rules! note {
    ($($words:tt)*) => { $crate::output::line(std::io::stderr(), format_args!($($words)*)) };
}

mod bench;
mod build;
mod demo;
mod output;
mod place;
mod prove;
mod real;
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
    ///
    /// With `--real` the real Keycloak and SPIRE are got first, where they are not in the cache.
    #[command(disable_help_flag = true)]
    Demo {
        /// Such as `--json`, `--keep`, `--real` or `--help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Preflight, then formatting, clippy, unit, doc, compile-fail and end-to-end tests
    ///
    /// Before clippy it gets what is missing of the real peers (Keycloak, SPIRE, Python environments); the first time that
    /// takes about 12 minutes on two cores. They stay in the cache folder; `cargo xtask peers status` says where.
    ///
    /// Exit code 0: all passed; 1: a stage failed, and how to repeat it alone is printed; 2: the machine lacks something,
    /// and everything that it lacks is listed with the command that gets it, or a real peer cannot be had.
    Test {
        /// Leave the real peers out: no fetch, and end-to-end tests on the embedded default only
        #[arg(long)]
        embedded: bool,
    },
    /// The laws of issuing (issued ≤ input), on a million generated requests each; half an hour or more on two cores
    ///
    /// Tells every few seconds how far each law is. Exit code 0: all held; 1: a case failed, and it is printed with the
    /// seed that repeats it.
    Prove {
        /// Cases for each law; `cargo xtask test` takes 10,000
        #[arg(long, default_value_t = 1_000_000)]
        cases: u64,
        /// Where the seeds begin; else they are others each time
        #[arg(long)]
        seed: Option<u64>,
    },
    /// The real Keycloak, SPIRE and Python environments of the tests
    Peers {
        /// What to do
        #[command(subcommand)]
        command: Peers,
    },
    /// Measure figures and print them; nothing is asserted
    Bench {
        /// What to measure
        #[command(subcommand)]
        figures: Figures,
    },
}

#[derive(Debug, Subcommand)]
enum Peers {
    /// Get what is missing, by `mvn`, `go` and `pip`; nothing to do where all is there
    ///
    /// Exit code 2: something cannot be had, and why is printed.
    Fetch,
    /// Say what is in the cache, what is missing and how to get it, and what runs
    Status,
    /// Start a Keycloak and a SPIRE that go on until `down`, and say where they are and what to do with them
    ///
    /// What is missing is got and built first. Where they run already, only the addresses are printed.
    Up,
    /// Stop what `up` started
    Down,
}

#[derive(Debug, Subcommand)]
enum Figures {
    /// Cold build and run of the demo, size of the sidecar
    Story {
        /// Print one JSON object a figure
        #[arg(long)]
        json: bool,
    },
    /// Calls of the broker beside a floor and beside a real, warm Keycloak; policy; memory. About a quarter of an hour
    ///
    /// Builds the programs as they ship, tells how far it is, and writes the figures with date and machine into
    /// docs/benchmarks.md.
    Broker {
        /// Print one JSON object a figure
        #[arg(long)]
        json: bool,
        /// Measure this part alone (calls, keycloak, begins, policy, memory), and leave the page as it is
        #[arg(long)]
        only: Vec<String>,
    },
}

fn main() -> ExitCode {
    let task = Arguments::parse().task;
    let place = match Place::find() {
        Ok(place) => place,
        Err(error) => {
            note!("error: {error:#}");
            return ExitCode::from(MACHINE_LACKS);
        }
    };
    let outcome = match task {
        Task::Demo { arguments } => demo::main(&place, &arguments),
        Task::Test { embedded } => test::main(&place, embedded),
        Task::Prove { cases, seed } => prove::main(&place, cases, seed),
        Task::Peers { command: Peers::Fetch } => real::fetch_all(),
        Task::Peers { command: Peers::Status } => real::status(),
        Task::Peers { command: Peers::Up } => real::up(&place),
        Task::Peers { command: Peers::Down } => real::down(),
        Task::Bench { figures: Figures::Story { json } } => bench::story(&place, json),
        Task::Bench { figures: Figures::Broker { json, only } } => bench::broker::main(&place, &only, json),
    };
    outcome.unwrap_or_else(|error| {
        note!("error: {error:#}");
        ExitCode::FAILURE
    })
}
