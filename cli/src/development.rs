//! `countersign dev …`: the development servers as processes of their own. A supervisor starts them, not a person.

use std::{net::SocketAddr, os::fd::AsFd as _, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use dev::{
    identity::{self as identity_server, Lives},
    provider::{self, Realm, SvidKeys},
};
use identity::TrustDomain;
use runtime::{
    process::{self, Process, RunOptions},
    workload::Workload,
};

use crate::output;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// A SPIFFE Workload API. Registrations come over stdin, a socket that a supervisor made
    Identity(Identity),
    /// An OpenID provider that stands in for Keycloak. Its users' passwords are their names
    Provider(Provider),
}

/// Flags that both servers take.
#[derive(Debug, Args)]
struct Common {
    /// The trust domain
    #[arg(long, value_name = "NAME")]
    trust_domain: TrustDomain,
    /// Write the bound addresses here as one JSON object once everything listens
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// What to log, as in `info,runtime=debug`
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: String,
}

#[derive(Debug, Args)]
pub(crate) struct Identity {
    #[command(flatten)]
    common: Common,
    /// Where the socket is made
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// Life of X509-SVIDs
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    x509_life: u64,
    /// Life of JWT-SVIDs
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    jwt_life: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Provider {
    #[command(flatten)]
    common: Common,
    /// Where it listens: loopback only
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The Workload API whose keys verify the JWT-SVIDs of clients
    #[arg(long, value_name = "unix:///PATH")]
    workload_api: String,
    /// Stop when stdin is closed, so that a killed parent leaves no orphan
    #[arg(long)]
    exit_on_stdin_close: bool,
    /// Let `POST /dev/sign` sign any token: for tests that forge
    #[arg(long)]
    danger_sign_anything: bool,
}

/// Runs the server until it is told to stop.
pub(crate) fn main(command: Command) -> ExitCode {
    match command {
        Command::Identity(arguments) => match Lives::new(seconds(arguments.x509_life), seconds(arguments.jwt_life)) {
            Ok(lives) => {
                // Its stdin is the control channel; the server itself ends when that closes.
                let options = arguments.common.run_options(false);
                process::run(&options, |process| serve_identity(arguments, lives, process))
            }
            Err(fault) => output::refuse(&fault.to_string(), 2),
        },
        Command::Provider(arguments) => {
            let options = arguments.common.run_options(arguments.exit_on_stdin_close);
            process::run(&options, |process| serve_provider(arguments, process))
        }
    }
}

async fn serve_identity(arguments: Identity, lives: Lives, process: Process) -> anyhow::Result<()> {
    let control = std::io::stdin().as_fd().try_clone_to_owned().context("stdin cannot be used")?;
    let options =
        identity_server::Options { socket: arguments.socket, trust_domain: arguments.common.trust_domain, lives };
    Ok(identity_server::serve(options, control, &process).await?)
}

async fn serve_provider(arguments: Provider, process: Process) -> anyhow::Result<()> {
    let broker = Realm::demo_broker(&arguments.common.trust_domain).context("the trust domain's name is too long")?;
    let options = provider::Options {
        listen: arguments.listen,
        realm: Realm::demo(broker),
        svid_keys: SvidKeys::Workload(Workload::connect(&arguments.workload_api, &process)),
        danger_sign_anything: arguments.danger_sign_anything,
    };
    Ok(provider::serve(options, &process).await?)
}

impl Common {
    fn run_options(&self, exit_on_stdin_close: bool) -> RunOptions {
        RunOptions {
            ready_file: self.ready_file.clone(),
            exit_on_stdin_close,
            // Nobody routes to a development server: it ends at once.
            lame_duck: Duration::ZERO,
            log: self.log.clone(),
            danger_dumpable: false,
        }
    }
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
