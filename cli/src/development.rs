//! `countersign dev …`: the development servers as processes of their own. A supervisor starts them, not a person.

use std::{
    collections::BTreeMap, ffi::OsString, net::SocketAddr, os::fd::AsFd as _, path::PathBuf, process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use dev::{
    identity::{self as identity_server, Lives},
    provider::{self, Realm, SvidKeys},
    stack::PeersAlone,
    tether::{self, Ending},
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
    /// A foreign program, such as a real Keycloak, that ends with us
    Tether(Tether),
    /// A real Keycloak and a real SPIRE, until it is told to stop
    Peers(Peers),
    /// Becomes a program that the kernel ends with its parent: what `tether` starts
    Become(Become),
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
    /// One more scope that the realm knows and every user may have; may be repeated
    #[arg(long, value_name = "NAME")]
    scope: Vec<String>,
    /// Where a login client is told that a session of its own ended: `http` on loopback; may be repeated
    #[arg(long, value_name = "CLIENT=URL", value_parser = name_and_address)]
    backchannel_logout_url: Vec<(String, String)>,
    /// Let `POST /dev/sign` sign any token: for tests that forge
    #[arg(long)]
    danger_sign_anything: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Tether {
    /// Write the process id and the addresses here as one JSON object once the program is ready
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// The program is ready once this URL answers 200
    #[arg(long, value_name = "URL")]
    ready_url: Option<String>,
    /// A folder that is removed once the program ended
    #[arg(long, value_name = "FOLDER")]
    scratch: Option<PathBuf>,
    /// An address for the ready file; may be repeated
    #[arg(long, value_name = "NAME=ADDRESS", value_parser = name_and_address)]
    address: Vec<(String, String)>,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct Peers {
    /// Write the addresses here as one JSON object once both are ready
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Stop when stdin is closed
    #[arg(long)]
    exit_on_stdin_close: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Become {
    /// The process that it ends with
    #[arg(long, value_name = "PID")]
    parent: u32,
    /// It is killed then, and not asked to end
    #[arg(long)]
    killed: bool,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
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
        Command::Tether(arguments) => {
            let options = run_options(arguments.ready_file.clone(), true, "info");
            process::run(&options, |process| hold(arguments, process))
        }
        Command::Peers(arguments) => {
            let options = run_options(arguments.ready_file, arguments.exit_on_stdin_close, "info");
            process::run(&options, serve_peers)
        }
        Command::Become(arguments) => {
            let ending = if arguments.killed { Ending::Killed } else { Ending::Asked };
            let fault = tether::become_program(arguments.parent, ending, &arguments.command);
            output::refuse(&format!("the program cannot be started: {fault}"), 1)
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
    let mut realm = Realm::demo(broker).with_scopes(&arguments.scope);
    for (client, url) in &arguments.backchannel_logout_url {
        realm.set_backchannel_logout(client, Some(url)).with_context(|| format!("`{client}={url}`"))?;
    }
    let options = provider::Options {
        listen: arguments.listen,
        realm,
        svid_keys: SvidKeys::Workload(Workload::connect(&arguments.workload_api, &process)),
        danger_sign_anything: arguments.danger_sign_anything,
    };
    Ok(provider::serve(options, &process).await?)
}

async fn hold(arguments: Tether, process: Process) -> anyhow::Result<()> {
    let addresses: BTreeMap<_, _> = arguments.address.iter().cloned().collect();
    let Tether { ready_url, scratch, command, .. } = arguments;
    let options = tether::Options { ready_url, addresses, scratch, command };
    tether::serve(options, &process).await
}

async fn serve_peers(process: Process) -> anyhow::Result<()> {
    let mut peers = tokio::select! {
        started = PeersAlone::start() => started?,
        () = process.shutdown.cancelled() => return Ok(()),
    };
    process.ready_file.write(peers.addresses())?;
    let ended = tokio::select! {
        fault = peers.first_ended() => Err(fault.into()),
        () = process.shutdown.cancelled() => Ok(()),
    };
    peers.stop().await;
    ended
}

impl Common {
    fn run_options(&self, exit_on_stdin_close: bool) -> RunOptions {
        run_options(self.ready_file.clone(), exit_on_stdin_close, &self.log)
    }
}

fn run_options(ready_file: Option<PathBuf>, exit_on_stdin_close: bool, log: &str) -> RunOptions {
    RunOptions {
        ready_file,
        exit_on_stdin_close,
        // Nobody routes to a development server: it ends at once.
        lame_duck: Duration::ZERO,
        log: log.to_owned(),
        danger_dumpable: false,
    }
}

fn name_and_address(text: &str) -> Result<(String, String), String> {
    let (name, address) = text.split_once('=').ok_or("it is written as NAME=ADDRESS")?;
    Ok((name.to_owned(), address.to_owned()))
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
