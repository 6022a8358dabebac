//! `countersign`: the command for people. It shows, explains and prepares; it issues nothing and decides nothing.

mod check;
mod demo;
mod development;
mod explain;
mod keys;
mod look;
mod output;
mod policies;
mod revoke;
mod run;
mod text;
mod token;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

const UP_EXAMPLES: &str = "\
Examples:
  countersign up
  countersign up --registry registry.yaml --policies policies/
  countersign up --real";
const RUN_EXAMPLES: &str = "\
Examples:
  countersign run --as planner --edge -- python agent.py
  countersign run --as tickets --port 8000 -- python server.py
  countersign run --as planner -- sh -c 'exec uvicorn app:app --port $PORT'
  countersign run --as spiffe://corp.example/ns/jobs/sa/nightly --self -- ./nightly.sh";
const CHECK_EXAMPLES: &str = "\
Examples:
  countersign check broker.yaml
  countersign check deploy/*.yaml
  countersign check --kind sidecar --values planner.yaml";

/// No call without a countersign: attested identities for agents and tools, and the smallest token that each call needs.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, propagate_version = true, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one user's request through a whole stack on this machine, then try five ways to cheat
    ///
    /// Broker, sidecars, programs, a Workload API and an OpenID provider are started as processes of their own. Nothing
    /// is installed, no network and no root are needed, and nothing is left running.
    /// Exit code 0 means that everything, refusals included, was as expected.
    Demo(demo::Options),
    /// Run broker, provider and Workload API on this machine until Ctrl-C, for your own programs
    ///
    /// Everything that a deployment has, with an embedded identity server and OpenID provider instead of SPIRE and
    /// Keycloak, or with `--real` the real ones. Nothing is installed, and nothing is left running. Programs join with
    /// `countersign run`. For development only.
    #[command(after_help = UP_EXAMPLES)]
    Up(up::Options),
    /// Run a program of yours behind a sidecar, as one of the workloads of `countersign up`
    ///
    /// The program finds HTTP_PROXY and NO_PROXY set, and PORT, where it should listen. It never gets a token. Each call
    /// that its sidecar lets through or refuses is told on stderr. The exit code is the program's.
    #[command(after_help = RUN_EXAMPLES)]
    Run(run::Options),
    /// Look into a token
    Token {
        #[command(subcommand)]
        command: token::Command,
    },
    /// Check configuration files of broker and sidecar: all mistakes at once, with file, line and key
    ///
    /// Exit code 0: all are fine; 2: mistakes; 1: a file could not be checked.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(check::Options),
    /// Tell what a refusal's code means and what to do about it, without a network
    Explain {
        /// The code, such as `scope.not_permitted`; without one, all codes are listed
        code: Option<String>,
    },
    /// Rules: check a folder of them, put cases to it, explain a decision, compare with other rules
    Policies {
        #[command(subcommand)]
        command: policies::Command,
    },
    /// Keys of the broker: make the one that encrypts its store, list, rotate and revoke those that sign
    Keys {
        #[command(subcommand)]
        command: keys::Command,
    },
    /// End a token, a transaction, a session, a signing key, or everything of a user or workload
    ///
    /// The broker's rules say who may (`administer`): this command asks as the workload that the Workload API says it is.
    /// Sidecars refuse what ended within a second. It cannot be undone.
    /// Exit code 0: it has ended; 1: not; 2: usage.
    Revoke {
        #[command(subcommand)]
        command: revoke::Command,
    },
    /// Development only: the servers that stand in for SPIRE and Keycloak
    #[command(hide = true)]
    Dev {
        #[command(subcommand)]
        command: development::Command,
    },
    /// Print the version
    Version,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Demo(options) => demo::main(options),
        Command::Up(options) => up::main(&options),
        Command::Run(options) => run::main(options),
        Command::Token { command } => token::main(&command),
        Command::Check(options) => check::main(&options),
        Command::Explain { code } => explain::main(code.as_deref()),
        Command::Policies { command } => policies::main(&command),
        Command::Keys { command } => keys::main(&command),
        Command::Revoke { command } => revoke::main(&command),
        Command::Dev { command } => development::main(command),
        Command::Version => output::say(&format!("countersign {}\n", env!("CARGO_PKG_VERSION"))),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn development_servers_are_not_in_the_help() {
        let help = Arguments::command().render_long_help().to_string();
        assert!(help.contains("demo") && help.contains("explain") && !help.contains("Development only"), "{help}");
    }
}
