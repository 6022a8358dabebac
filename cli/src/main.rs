//! `countersign`: the command for people. It shows, explains and prepares; it issues nothing and decides nothing.

mod demo;
mod development;
mod explain;
mod keys;
mod look;
mod output;
mod text;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

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
    /// Tell what a refusal's code means and what to do about it, without a network
    Explain {
        /// The code, such as `scope.not_permitted`; without one, all codes are listed
        code: Option<String>,
    },
    /// Keys of the broker
    Keys {
        #[command(subcommand)]
        command: Keys,
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

#[derive(Debug, Subcommand)]
enum Keys {
    /// Make the key that encrypts what the broker's store keeps: 32 random bytes, mode 0600
    ///
    /// An existing file is never overwritten: whoever loses the key loses what it encrypts.
    Init {
        /// Where, as `wrapping_key` in broker.yaml names it
        path: PathBuf,
    },
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Demo(options) => demo::main(options),
        Command::Explain { code } => explain::main(code.as_deref()),
        Command::Keys { command: Keys::Init { path } } => keys::init(&path),
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
