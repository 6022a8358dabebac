//! What every binary's `main` does: command line, configuration, log, TLS provider, runtime, signals, drain, exit code.
//! It decides nothing about the work itself; that is the [`App`]'s.

mod arguments;
mod harden;
mod signals;

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;

pub use self::arguments::{NoUpkeep, RunOptions};
use self::{
    arguments::{Action, Arguments, Common},
    signals::{Signals, Stop},
};
use crate::{
    config::{self, Loaded},
    ready_file::ReadyFile,
    shutdown::Shutdown,
    telemetry::{Telemetry, log_to_stderr},
    tls,
};

/// Longest drain after the lame duck time: with the 5 s that this has by default, well below the 30 s after which
/// Kubernetes kills.
pub const DRAIN_MAX: Duration = Duration::from_secs(20);
/// Drain after a second signal.
pub const DRAIN_HURRIED_MAX: Duration = Duration::from_secs(5);
/// What is left of the process at the end is background work; it is not waited for longer.
const RUNTIME_END_MAX: Duration = Duration::from_millis(500);
/// Usage or configuration is wrong.
const EXIT_USAGE: u8 = 2;

/// One of Countersign's binaries.
pub trait App: 'static {
    /// Name of the binary: `countersign-broker`.
    const NAME: &'static str;
    /// Short name: default path `/etc/countersign/<SHORT>.yaml`, overrides `COUNTERSIGN_<SHORT>__…`.
    const SHORT: &'static str;
    /// One sentence for `--help`.
    const ABOUT: &'static str;
    /// The configuration as written. The loader checks its keys against the JSON schema, so `deny_unknown_fields` is
    /// not needed.
    type Raw: serde::de::DeserializeOwned + schemars::JsonSchema;
    /// The configuration as meant.
    type Config: Send + 'static;
    /// Subcommands that work on what the process keeps while it does not run; [`NoUpkeep`] where there are none.
    type Upkeep: clap::Subcommand + Send;

    /// Turns what was written into what it means. Every problem goes into `problems` with its key path, not only the
    /// first; `None`, or any problem, stops the start.
    fn config(raw: Self::Raw, problems: &mut config::Problems) -> Option<Self::Config>;

    /// Serves until `process.shutdown` is triggered, then returns; tasks of `process.shutdown` are drained after that.
    /// An error is a failed start or a fault that the process cannot live with.
    fn serve(config: Self::Config, process: Process) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Does `upkeep` and returns what to tell whoever asked for it. It must not work beside a serving process. Unless it
    /// returns in order, everything is as it was.
    fn upkeep(
        upkeep: Self::Upkeep,
        config: Self::Config,
        process: Process,
    ) -> impl Future<Output = anyhow::Result<String>> + Send;
}

/// What a serving process is given. Clones speak of the same process.
#[derive(Clone, Debug)]
pub struct Process {
    /// Ends the process's tasks.
    pub shutdown: Shutdown,
    /// Metrics and readiness.
    pub telemetry: Telemetry,
    /// Where to write the bound addresses once everything listens.
    pub ready_file: ReadyFile,
}

impl Process {
    /// A process that nobody has stopped, with nothing registered.
    #[must_use]
    pub fn new(ready_file: ReadyFile) -> Self {
        Self { shutdown: Shutdown::new(), telemetry: Telemetry::new(), ready_file }
    }
}

/// The whole `main` of a binary. Exit codes: 0 done, 1 failed, 2 usage or configuration.
pub fn main<A: App>() -> ExitCode {
    let arguments = match Arguments::<A::Upkeep>::read(A::NAME, A::SHORT, A::ABOUT) {
        Ok(arguments) => arguments,
        Err(usage) => return arguments::explain(&usage),
    };
    let common = arguments.common;
    match arguments.action {
        Action::Version => say(&format!("{} {}\n", A::NAME, arguments::VERSION)),
        Action::Schema => say(&format!("{}\n", config::schema_text::<A>())),
        Action::Check => match load::<A>(&common) {
            Ok(loaded) => {
                let warnings: String = loaded.warnings.iter().map(|line| format!("warning: {line}\n")).collect();
                // On stderr: what reads the values must not stumble over it. Closed stderr changes no value.
                drop(io::stderr().write_all(warnings.as_bytes()));
                say(&loaded.effective.to_string())
            }
            Err(problems) => refuse(&problems),
        },
        Action::Run => match load::<A>(&common) {
            Ok(loaded) => run_app::<A>(loaded, common),
            Err(problems) => refuse(&problems),
        },
        Action::Upkeep(upkeep) => match load::<A>(&common) {
            Ok(loaded) => run_upkeep::<A>(upkeep, loaded.config, common),
            Err(problems) => refuse(&problems),
        },
    }
}

/// Runs `serve` as [`main`] does, without a configuration file: for development servers that are subcommands.
/// Sets up log, TLS provider, runtime and signals; returns the exit code.
pub fn run<F>(options: &RunOptions, serve: impl FnOnce(Process) -> F) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    if let Err(fault) = log_to_stderr(&options.log) {
        return refuse(&format!("{:#}\n", anyhow::Error::new(fault)));
    }
    run_logged(options, serve).map_or_else(|fault| fail(&fault), |()| ExitCode::SUCCESS)
}

/// All of [`run`] that comes once there is a log.
fn run_logged<F>(options: &RunOptions, serve: impl FnOnce(Process) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    harden::log_panics();
    harden::raise_descriptor_limit();
    if options.danger_dumpable {
        tracing::warn!("danger_dumpable: memory with keys and tokens can be dumped and traced");
    } else {
        harden::forbid_dumps()?;
    }
    tls::install_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let process = Process::new(ReadyFile::new(options.ready_file.clone()));
    let outcome = runtime.block_on(async {
        let signals = Signals::listen(options.exit_on_stdin_close).context("cannot listen to signals")?;
        supervise(serve(process.clone()), &process, signals, options.lame_duck).await
    });
    runtime.shutdown_timeout(RUNTIME_END_MAX);
    outcome
}

fn run_app<A: App>(loaded: Loaded<A::Config>, common: Common) -> ExitCode {
    run(&common.into(), |process| {
        for danger in &loaded.dangers {
            tracing::warn!(key = danger.key, origin = danger.origin, "a weakening key is set");
        }
        for warning in &loaded.warnings {
            tracing::warn!(warning, "the configuration may not be what was meant");
        }
        A::serve(loaded.config, process)
    })
}

/// A person waits for it: what was done goes to stdout, and why it was not to stderr, in words instead of a log line.
fn run_upkeep<A: App>(upkeep: A::Upkeep, config: A::Config, common: Common) -> ExitCode {
    let options = RunOptions::from(common);
    if let Err(fault) = log_to_stderr(&options.log) {
        return refuse(&format!("{:#}\n", anyhow::Error::new(fault)));
    }
    let mut told = String::new();
    let ended = run_logged(&options, async |process| {
        told = A::upkeep(upkeep, config, process).await?;
        Ok(())
    });
    match ended {
        Ok(()) => say(&told),
        Err(fault) => {
            drop(writeln!(io::stderr(), "{}: {fault:#}", A::NAME));
            ExitCode::FAILURE
        }
    }
}

/// Serves until the work ends by itself or a signal comes; then drains.
async fn supervise(
    work: impl Future<Output = anyhow::Result<()>>,
    process: &Process,
    mut signals: Signals,
    lame_duck: Duration,
) -> anyhow::Result<()> {
    // On the heap: an app's whole future is large.
    let mut work = Box::pin(work);
    let mut ended = None;
    let stop = tokio::select! {
        outcome = work.as_mut() => {
            ended = Some(outcome);
            Stop::Done
        }
        stop = signals.next() => stop,
    };
    process.telemetry.drain();
    tracing::info!(%stop, "stopping");
    let mut limit = DRAIN_MAX;
    if stop == Stop::Terminate {
        // Not ready, but serving: time for everybody to learn that we are going away.
        tokio::select! {
            () = tokio::time::sleep(lame_duck) => {}
            _again = signals.next() => limit = DRAIN_HURRIED_MAX,
            outcome = work.as_mut(), if ended.is_none() => ended = Some(outcome),
        }
    }
    process.shutdown.trigger();
    let drain = async {
        let outcome = match ended {
            Some(outcome) => outcome,
            None => work.await,
        };
        (outcome, process.shutdown.drain(DRAIN_MAX).await)
    };
    let hurried = async {
        signals.next().await;
        tokio::time::sleep(DRAIN_HURRIED_MAX).await;
    };
    let (outcome, unfinished) = tokio::select! {
        drained = drain => drained,
        () = hurried => (Ok(()), process.shutdown.drain(Duration::ZERO).await),
        () = tokio::time::sleep(limit) => (Ok(()), process.shutdown.drain(Duration::ZERO).await),
    };
    if unfinished.is_empty() {
        tracing::info!("drained");
    } else {
        tracing::warn!(?unfinished, "drain ended with work in flight");
    }
    outcome
}

fn load<A: App>(common: &Common) -> Result<Loaded<A::Config>, String> {
    let path = common.config.clone().unwrap_or_else(|| default_path(A::SHORT));
    let content = read(&path).map_err(|fault| unreadable(&path, &fault))?;
    let text = text(&path, content)?;
    config::load::<A>(&path, &text, config::environment()).map_err(|report| report.to_string())
}

/// One byte more than is allowed is enough to be refused; a device or pipe would never end.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let longest = u64::try_from(config::FILE_LENGTH_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut content = Vec::new();
    fs::File::open(path)?.take(longest).read_to_end(&mut content)?;
    Ok(content)
}

fn text(path: &Path, content: Vec<u8>) -> Result<String, String> {
    String::from_utf8(content).map_err(|fault| {
        let before = fault.as_bytes().get(..fault.utf8_error().valid_up_to()).unwrap_or_default();
        let line = before.split(|byte| *byte == b'\n').count();
        format!("{}:{line}: not UTF-8; save the file as UTF-8\n1 problem\n", path.display())
    })
}

fn default_path(short: &str) -> PathBuf {
    Path::new("/etc/countersign").join(format!("{short}.yaml"))
}

fn unreadable(path: &Path, fault: &io::Error) -> String {
    let path = path.display();
    if fault.kind() == io::ErrorKind::IsADirectory {
        return format!("{path}: is a folder; give the file in it with --config or COUNTERSIGN_CONFIG\n");
    }
    let told = format!("{path}: cannot read the configuration: {fault}\n");
    if fault.kind() == io::ErrorKind::NotFound {
        return format!("{told}give another file with --config or COUNTERSIGN_CONFIG\n");
    }
    told
}

fn say(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_closed) => ExitCode::FAILURE,
    }
}

/// Usage or configuration is wrong: words for a person, on stderr.
fn refuse(text: &str) -> ExitCode {
    // Nothing can be done when stderr itself is closed; the exit code still tells.
    drop(io::stderr().write_all(text.as_bytes()));
    ExitCode::from(EXIT_USAGE)
}

fn fail(fault: &anyhow::Error) -> ExitCode {
    tracing::error!(cause = format!("{fault:#}"), "failed");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests;
