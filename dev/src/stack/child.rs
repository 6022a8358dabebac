//! One supervised process: started with a clean environment, its output in a file, waited for, ended in order.
//! It never outlives its supervisor: its standard input closes with it, and dropped it is killed, with what it holds.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use http::Method;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::{
    process::{Child as OsChild, ChildStdin, Command},
    time::{Instant, sleep, timeout},
};

use super::{fault::Problem, leftover::make_private};
use crate::apps::Call;

/// How often readiness is looked at.
const POLL_EVERY: Duration = Duration::from_millis(5);
/// Longest wait for an orderly end, and again after SIGTERM; then the process is killed.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Name of the sidecar's process of a workload.
pub(super) fn sidecar_name(workload: &str) -> String {
    format!("{workload}-sidecar")
}

/// How a process is started, also the second time.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    pub(super) name: String,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    /// A foreign program and its arguments that the process holds; empty for most.
    pub(super) held: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    /// The user that it runs as; `None`: ours.
    pub(super) user: Option<u32>,
    /// SPIFFE IDs and hints.
    pub(super) identities: Vec<(String, String)>,
    pub(super) log: PathBuf,
    pub(super) ready_file: PathBuf,
    /// Whether `/ready` of its admin door must say yes before it counts as ready.
    pub(super) has_admin: bool,
}

/// A process that was started.
#[derive(Debug)]
pub(super) struct Child {
    recipe: Recipe,
    process: OsChild,
    stdin: Option<ChildStdin>,
    /// Whether it was told to stop.
    told: bool,
    addresses: BTreeMap<String, String>,
}

impl Child {
    /// Starts the process. `stdin` is what it inherits as standard input; `None`: a pipe that closes with us.
    pub(super) fn start(recipe: Recipe, stdin: Option<OwnedFd>) -> Result<Self, Problem> {
        if !recipe.program.is_file() {
            return Err(Problem::NoProgram(vec![recipe.program]));
        }
        let log = open_log(&recipe).map_err(|source| Problem::File { path: recipe.log.clone(), source })?;
        let second = log.try_clone().map_err(Problem::Spawn)?;
        if let Some(folder) = recipe.ready_file.parent() {
            make_private(folder).map_err(|source| Problem::File { path: folder.to_owned(), source })?;
        }
        if let Err(source) = fs::remove_file(&recipe.ready_file)
            && source.kind() != io::ErrorKind::NotFound
        {
            return Err(Problem::File { path: recipe.ready_file, source });
        }
        let mut command = Command::new(&recipe.program);
        if let Some(user) = recipe.user {
            command.uid(user).gid(user);
        }
        let mut process = command
            .args(&recipe.arguments)
            .arg("--ready-file")
            .arg(&recipe.ready_file)
            .args(held(&recipe))
            .env_clear()
            .envs(recipe.environment.iter().cloned())
            .stdin(stdin.map_or_else(Stdio::piped, Stdio::from))
            .stdout(Stdio::from(log))
            .stderr(Stdio::from(second))
            .kill_on_drop(true)
            // Ctrl-C on the terminal reaches the supervisor alone, which then ends all in order.
            .process_group(0)
            .spawn()
            .map_err(Problem::Spawn)?;
        Ok(Self { stdin: process.stdin.take(), recipe, process, told: false, addresses: BTreeMap::new() })
    }

    /// Waits until it has written its ready file and, where it has an admin door, says that it is ready there.
    pub(super) async fn ready(&mut self, within: Duration) -> Result<(), Problem> {
        let deadline = Instant::now().checked_add(within);
        loop {
            if let Some(status) = self.process.try_wait().map_err(Problem::Spawn)? {
                return Err(Problem::Ended(status));
            }
            let Some(why) = self.missing().await else { return Ok(()) };
            if deadline.is_none_or(|deadline| Instant::now() >= deadline) {
                return Err(Problem::NotReady { within, why });
            }
            sleep(POLL_EVERY).await;
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.recipe.name
    }

    pub(super) const fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// `None` once it ended and was waited for.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    pub(super) fn address(&self, name: &str) -> Option<&str> {
        self.addresses.get(name).map(String::as_str)
    }

    /// How it ended, if it did and was not told to.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        if self.told { None } else { self.process.try_wait().ok().flatten() }
    }

    /// Asks it to end: closes its standard input, or interrupts it where that is not ours. Several can be asked before
    /// the first is waited for.
    pub(super) fn tell_to_stop(&mut self) {
        let told = std::mem::replace(&mut self.told, true);
        if self.stdin.take().is_none() && !told {
            self.signal(Signal::INT);
        }
    }

    /// Ends it: asks, then SIGTERM, then kills. Dropped half-way, it is killed with the stack.
    pub(super) async fn stop(&mut self) {
        self.tell_to_stop();
        if timeout(STOP_WITHIN, self.process.wait()).await.is_ok() {
            return;
        }
        tracing::warn!(process = self.recipe.name, "did not end when asked; sending SIGTERM");
        self.signal(Signal::TERM);
        if timeout(STOP_WITHIN, self.process.wait()).await.is_ok() {
            return;
        }
        self.kill_group();
        if let Err(error) = self.process.kill().await {
            tracing::warn!(%error, process = self.recipe.name, "could not be killed");
        }
    }

    /// Kills it and the foreign program that it may hold, which is in its process group. Once it was waited for, its
    /// number may be another's: then nothing is sent.
    fn kill_group(&self) {
        if let Some(Err(error)) = self.os_pid().map(|pid| kill_process_group(pid, Signal::KILL)) {
            tracing::debug!(%error, process = self.recipe.name, "its group cannot be killed");
        }
    }

    fn os_pid(&self) -> Option<Pid> {
        self.process.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw)
    }

    fn signal(&self, signal: Signal) {
        if let Some(Err(error)) = self.os_pid().map(|pid| kill_process(pid, signal)) {
            tracing::debug!(%error, process = self.recipe.name, "it cannot be signalled");
        }
    }

    /// What it still waits for; `None` when it is ready.
    async fn missing(&mut self) -> Option<String> {
        let Ok(written) = fs::read(&self.recipe.ready_file) else {
            return Some("it has not written its ready file".to_owned());
        };
        let Ok(addresses) = serde_json::from_slice(&written) else {
            return Some("its ready file is no JSON object".to_owned());
        };
        self.addresses = addresses;
        if !self.recipe.has_admin {
            return None;
        }
        let url = format!("http://{}/ready", self.address("admin").unwrap_or_default());
        match Call::new(Method::GET, &url).send().await {
            Ok(answer) if answer.status.is_success() => None,
            Ok(answer) => Some(String::from_utf8_lossy(&answer.body).trim().to_owned()),
            Err(fault) => Some(fault.to_string()),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill_group();
    }
}

fn held(recipe: &Recipe) -> impl Iterator<Item = &str> {
    let separator = (!recipe.held.is_empty()).then_some("--");
    separator.into_iter().chain(recipe.held.iter().map(String::as_str))
}

/// A second start goes on in the same file.
fn open_log(recipe: &Recipe) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(&recipe.log)
}
