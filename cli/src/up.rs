//! `countersign up`: broker, provider and identity server on this machine, for as long as it runs. Own programs join
//! with `countersign run`. Development only: who signs in, who is who and what is stored ends with it.

mod screen;

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    pin::pin,
    process::ExitCode,
    time::Duration,
};

use dev::{
    stack::{Leave, Peers, Problem, StackFault, StackOptions},
    up::{Event, Line, OwnRegistry, Place, PlaceFault, Up, UpFault, UpOptions, read_policies},
};
use runtime::{causes::causes, ready_file::ReadyFile};
use tokio::time::{Instant, sleep};

use self::screen::{Kit, Screen};
use crate::{
    demo::{Interrupts, called_as},
    look::Look,
    output,
};

/// What is left of the process at the end is background work; it is not waited for longer.
const RUNTIME_END_MAX: Duration = Duration::from_millis(500);
/// The trust domain of the realm that a real Keycloak is restored with.
const REAL_DOMAIN: &str = "corp.example";
/// How often a start that takes long is told to go on.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

/// What to start.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Targets and edges instead of the demo's: YAML with the keys `targets`, `edges`, `trust_domain` of broker.yaml
    ///
    /// `connect` may be left out, and is not used: where workloads listen is chosen here.
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
    /// Cedar rules instead of the demo's: a folder with `*.cedar`
    #[arg(long, value_name = "FOLDER")]
    policies: Option<PathBuf>,
    /// With a real Keycloak and a real SPIRE, which `cargo xtask peers fetch` gets
    #[arg(long)]
    real: bool,
    /// Name of this instance, where several run side by side
    #[arg(long, value_name = "NAME", default_value = "default")]
    name: String,
    /// Write the addresses here as one JSON object once all is ready
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

/// Starts and stays until it is told to stop. Exit codes: 0 ended in order, 1 failed, 2 usage or configuration.
pub(crate) fn main(options: &Options) -> ExitCode {
    runtime::tls::install_provider();
    let place = match Place::of_user(&options.name) {
        Ok(place) => place,
        Err(fault) => return output::refuse(&causes(&fault), 2),
    };
    let stack = match stack_options(options) {
        Ok(stack) => stack,
        Err(told) => return output::refuse(&told, 2),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::refuse(&format!("cannot start: {error}"), 1),
    };
    let code = runtime.block_on(Box::pin(run(options, UpOptions { place, stack })));
    runtime.shutdown_timeout(RUNTIME_END_MAX);
    code
}

/// The demo's stack without its programs, or what the user brings.
fn stack_options(options: &Options) -> Result<StackOptions, String> {
    let mut stack = StackOptions::story();
    stack.peers = if options.real { Peers::Real } else { Peers::Embedded };
    if let Some(file) = &options.registry {
        let own = OwnRegistry::read(file).map_err(|fault| causes(&fault))?;
        if let Some(domain) = own.trust_domain.clone().or_else(|| own.trust_domain().map(|domain| domain.to_string())) {
            stack.trust_domain = domain;
        }
        (stack.targets, stack.edges) = (own.targets, own.edges);
    }
    if options.real && stack.trust_domain != REAL_DOMAIN {
        let told = "with --real the trust domain is";
        return Err(format!(
            "{told} {REAL_DOMAIN}, as the realm's clients are bound to it, not {}",
            stack.trust_domain
        ));
    }
    if let Some(folder) = &options.policies {
        stack.policies = read_policies(folder).map_err(|fault| causes(&fault))?;
    }
    Ok(stack)
}

async fn run(options: &Options, up: UpOptions) -> ExitCode {
    let screen = Screen::new(std::io::stdout(), Look::of_stdout());
    let place = up.place.clone();
    let began = Instant::now();
    let mut interrupts = Interrupts::listen();
    let started = tokio::select! {
        started = start(up, &screen, options.real, began) => started,
        () = interrupts.next() => {
            screen.stopped();
            return ExitCode::FAILURE;
        }
    };
    let mut up = match started {
        Ok(up) => up,
        Err(UpFault::Place(PlaceFault::Taken)) => return output::refuse(&already(&place).await, 1),
        Err(UpFault::Stack(fault)) => return refuse_stack(&fault, options),
        Err(fault @ (UpFault::Place(_) | UpFault::Port(_))) => return output::refuse(&causes(&fault), 1),
        Err(fault @ UpFault::TrustDomain(_)) => return output::refuse(&causes(&fault), 2),
    };
    if let Err(fault) = ReadyFile::new(options.ready_file.clone()).write(&addresses(&up)) {
        up.end(Leave::Nothing).await;
        return output::refuse(&causes(&fault), 1);
    }
    screen.ready(&up, &kit(options), began.elapsed());
    let served = up.serve(interrupts.next(), &mut |event| screen.event(&event, options.real)).await;
    match served {
        Ok(()) => {
            let record = (!up.stack().records().is_empty()).then(|| up.stack().record_file());
            screen.ending();
            let leave = if record.is_some() { Leave::Record } else { Leave::Nothing };
            tokio::select! {
                () = up.end(leave) => screen.ended(record.as_deref()),
                // Told twice: what has not ended in order is killed.
                () = interrupts.next() => screen.killed(),
            }
            ExitCode::SUCCESS
        }
        Err(fault) => {
            up.end(Leave::Everything).await;
            match fault {
                UpFault::Stack(fault) => refuse_stack(&fault, options),
                UpFault::Place(_) | UpFault::TrustDomain(_) | UpFault::Port(_) => output::refuse(&causes(&fault), 1),
            }
        }
    }
}

/// Starts, and says that it goes on where it takes long.
async fn start<W: Write>(options: UpOptions, screen: &Screen<W>, real: bool, began: Instant) -> Result<Up, UpFault> {
    let mut tell = |event: Event<'_>| screen.event(&event, real);
    let mut starting = pin!(Up::start(options, &mut tell));
    loop {
        tokio::select! {
            started = &mut starting => return started,
            () = sleep(PROGRESS_EVERY) => screen.still_starting(began.elapsed()),
        }
    }
}

fn addresses(up: &Up) -> BTreeMap<&'static str, String> {
    let stack = up.stack();
    BTreeMap::from([
        ("issuer", stack.issuer().to_owned()),
        ("public", stack.broker_public().unwrap_or_default()),
        ("token", stack.broker_token_address().to_owned()),
        ("workload_api", stack.workload_api().to_owned()),
        ("folder", stack.folder().display().to_string()),
        ("record", stack.record_file().display().to_string()),
    ])
}

fn kit(options: &Options) -> Kit {
    Kit {
        program: called_as(),
        name: (options.name != "default").then(|| options.name.clone()),
        own_registry: options.registry.is_some(),
        policies: options.policies.clone(),
    }
}

/// What to say to who starts a second one.
async fn already(place: &Place) -> String {
    let status = match Line::connect(place).await {
        Ok(Some(mut line)) => line.status().await.ok(),
        Ok(None) | Err(_) => None,
    };
    let name = place.name();
    let Some(status) = status else {
        return format!("an instance named `{name}` is just starting or ending; try again in a moment");
    };
    let (pid, folder) = (status.pid, status.folder.display());
    let program = called_as();
    format!(
        "an instance named `{name}` runs already: process {pid}, files in {folder}\nend it with Ctrl-C where it was \
         started, or with `kill {pid}`; for another beside it: `{program} up --name other`"
    )
}

/// Which process failed and why; where the user's own files are to blame, in their names.
fn refuse_stack(fault: &StackFault, options: &Options) -> ExitCode {
    let mut told = causes(fault);
    let lines: Vec<_> =
        fault.log_tail.iter().map(|line| in_own_words(line, fault.folder.as_deref(), options)).collect();
    if !lines.is_empty() {
        told.push_str(&format!("\nits last {} lines:\n{}", lines.len(), lines.join("\n")));
    }
    if let Some(folder) = &fault.folder {
        told.push_str(&format!("\nfiles and logs: {}", folder.display()));
    }
    let by_user = options.registry.is_some() || options.policies.is_some();
    let is_configuration = matches!(&fault.problem, Problem::Ended(status) if status.code() == Some(2));
    output::refuse(&told, if by_user && is_configuration { 2 } else { 1 })
}

/// The broker speaks of the copies in its work folder; who wrote the originals looks there.
fn in_own_words(line: &str, folder: Option<&Path>, options: &Options) -> String {
    let Some(folder) = folder.map(|folder| folder.display().to_string()) else { return line.to_owned() };
    let of_copy = line.strip_prefix(&format!("{folder}/broker.yaml:")).and_then(|rest| rest.split_once(": "));
    let rest = of_copy.map_or(line, |(_line, rest)| rest);
    let of_policy = rest.strip_prefix("policies: ").unwrap_or(rest).strip_prefix(&format!("{folder}/policies/"));
    if let (Some(own), Some(of_policy)) = (&options.policies, of_policy) {
        return own.join(of_policy).display().to_string();
    }
    let of_registry = ["targets", "edges", "trust_domain"].iter().any(|key| rest.starts_with(key));
    match &options.registry {
        Some(own) if of_copy.is_some() && of_registry => format!("{}: {rest}", own.display()),
        Some(_) | None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_broker_says_of_its_copies_is_told_of_the_originals() {
        let options = Options {
            registry: Some("own/registry.yaml".into()),
            policies: Some("own/policies".into()),
            real: false,
            name: "default".into(),
            ready_file: None,
        };
        let told = |line: &str| in_own_words(line, Some(Path::new("/tmp/countersign-1")), &options);
        assert_eq!(
            told("/tmp/countersign-1/broker.yaml:31: targets[1].resource: `x` must be an absolute URL"),
            "own/registry.yaml: targets[1].resource: `x` must be an absolute URL"
        );
        for written in ["", "/tmp/countersign-1/broker.yaml:15: policies: "] {
            let written = format!("{written}/tmp/countersign-1/policies/a.cedar:3: no such action");
            assert_eq!(told(&written), "own/policies/a.cedar:3: no such action");
        }
        for other in ["2 problems", "/tmp/countersign-1/broker.yaml:1: issuer: is missing"] {
            assert_eq!(told(other), other);
        }
    }
}
