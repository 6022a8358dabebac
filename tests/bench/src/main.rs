//! `cargo xtask bench broker`: what a call of the broker costs, beside a floor that does only what cannot be left out and
//! beside a real, warm Keycloak. Each figure is one JSON object on standard output; progress goes to standard error.
//! Nothing here asserts: machines are noisy, and a figure that misses says so.

mod anchors;
mod begins;
mod calls;
mod costs;
mod figure;
mod floor;
mod keycloak;
mod load;
mod memory;
mod policy;
mod progress;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};

use crate::progress::note;

/// Measures the broker
#[derive(Debug, Parser)]
#[command(name = "countersign-bench")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Print the figures of the broker, one JSON object each
    Broker {
        /// Only these; else all
        #[arg(long = "only")]
        only: Vec<Part>,
    },
    /// Serve what a call of the broker cannot do without, and nothing else; the first line says where
    #[command(hide = true)]
    Floor {
        /// The Workload API: `unix:///…`
        #[arg(long)]
        workload_api: String,
        /// The broker's public keys, as it publishes them
        #[arg(long)]
        jwks: PathBuf,
    },
}

/// What can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Calls per CPU-second against the floors
    Calls,
    /// The same against a warm Keycloak too
    Keycloak,
    /// Begins per second against Keycloak's exchanges
    Begins,
    /// Policy decisions
    Policy,
    /// Resident memory
    Memory,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Broker { only } => measure(&only),
        Task::Floor { workload_api, jwks } => floor::main(&workload_api, &jwks),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn measure(only: &[Part]) -> anyhow::Result<()> {
    runtime::tls::install_provider();
    let wanted = |part: Part| only.is_empty() || only.contains(&part);
    if wanted(Part::Policy) {
        policy::measure()?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        if wanted(Part::Memory) {
            memory::measure().await?;
        }
        let (beside_keycloak, begins) = (wanted(Part::Keycloak), wanted(Part::Begins));
        let keycloak = if beside_keycloak || begins { Some(Box::pin(keycloak::warm()).await?) } else { None };
        if wanted(Part::Calls) || beside_keycloak {
            Box::pin(calls::measure(keycloak.as_ref().filter(|_warm| beside_keycloak))).await?;
        }
        if let Some(keycloak) = keycloak {
            if begins {
                begins::measure(&keycloak).await?;
            }
            keycloak.close().await;
        }
        Ok(())
    })
}
