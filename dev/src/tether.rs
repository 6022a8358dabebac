//! DEVELOPMENT ONLY. Holds a foreign program (SPIRE, Keycloak) on a tether: it is ready when a URL says so, ends when
//! our standard input closes, and cannot outlive us however we end. A supervisor of our own programs can thus treat it
//! like one of them.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    io,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command as StdCommand, Stdio},
    time::Duration,
};

use http::{Method, StatusCode};
use runtime::process::Process;
use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::{
    apps::Call,
    stack::{hold, is_work_folder},
};

/// How often readiness is looked at. Keycloak writes a log line per failed probe.
const POLL_EVERY: Duration = Duration::from_millis(50);
/// Longest wait for an orderly end: Keycloak and SPIRE take about 1 s.
const STOP_WITHIN: Duration = Duration::from_secs(8);

/// What to hold.
#[derive(Clone, Debug)]
pub struct Options {
    /// It is ready once a GET of this URL answers 200; `None`: at once.
    pub ready_url: Option<String>,
    /// More addresses for the ready file, by name.
    pub addresses: BTreeMap<String, String>,
    /// A work folder of a stack that is removed once the program ended: for a supervisor that cannot do it itself.
    pub scratch: Option<PathBuf>,
    /// The program and its arguments.
    pub command: Vec<OsString>,
}

/// Runs the program until we are told to stop. The ready file tells its process id as `pid`, and the addresses.
///
/// # Errors
/// When it cannot be started or ends by itself, and when the folder to be removed is no work folder.
pub async fn serve(options: Options, process: &Process) -> anyhow::Result<()> {
    let Some(folder) = &options.scratch else { return hold_program(&options, process).await };
    if !is_work_folder(folder) {
        anyhow::bail!("`{}` is no work folder of a stack and will not be removed", folder.display());
    }
    let _in_use = hold(folder)?;
    let ended = hold_program(&options, process).await;
    std::fs::remove_dir_all(folder)?;
    ended
}

async fn hold_program(options: &Options, process: &Process) -> anyhow::Result<()> {
    let mut child = start(&options.command)?;
    let pid = child.id();
    let ended = tokio::select! {
        ended = follow(&mut child, options, process) => Some(ended),
        () = process.shutdown.cancelled() => None,
    };
    match ended {
        Some(Ok(status)) => Err(anyhow::anyhow!("the program ended by itself: {status}")),
        Some(Err(fault)) => {
            stop(&mut child, pid).await?;
            Err(fault)
        }
        None => Ok(stop(&mut child, pid).await?),
    }
}

/// How a program is ended by the kernel where whoever holds it was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By SIGTERM: it ends in order.
    Asked,
    /// By SIGKILL: it may not want to end.
    Killed,
}

/// Becomes the program, which the kernel ends with our parent `parent` (PR_SET_PDEATHSIG, prctl(2)).
/// Returns only when that is impossible.
#[must_use]
pub fn become_program(parent: u32, ending: Ending, command: &[OsString]) -> io::Error {
    let signal = match ending {
        Ending::Asked => Signal::TERM,
        Ending::Killed => Signal::KILL,
    };
    if let Err(error) = set_parent_process_death_signal(Some(signal)) {
        return error.into();
    }
    // Asked after the signal is set: a parent that ended before it would never send it.
    if getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs()) != Some(parent) {
        return io::Error::other("the process that holds this program is gone");
    }
    match command.split_first() {
        Some((program, arguments)) => StdCommand::new(program).args(arguments).exec(),
        None => io::ErrorKind::InvalidInput.into(),
    }
}

/// The program is started by way of [`become_program`], in a process of this very executable.
fn start(command: &[OsString]) -> io::Result<Child> {
    Command::new(env::current_exe()?)
        .args(["dev", "become", "--parent", &std::process::id().to_string(), "--"])
        .args(command)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
}

/// Writes the ready file when it is time, and waits until the program ends.
async fn follow(child: &mut Child, options: &Options, process: &Process) -> anyhow::Result<std::process::ExitStatus> {
    let mut addresses = options.addresses.clone();
    addresses.extend(child.id().map(|pid| ("pid".to_owned(), pid.to_string())));
    let is_ready = async {
        if let Some(url) = &options.ready_url {
            while !answers(url).await {
                sleep(POLL_EVERY).await;
            }
        }
    };
    tokio::select! {
        ended = child.wait() => return Ok(ended?),
        () = is_ready => {}
    }
    let named = addresses.iter().map(|(name, address)| (name.as_str(), address.clone())).collect();
    process.ready_file.write(&named)?;
    Ok(child.wait().await?)
}

async fn answers(url: &str) -> bool {
    Call::new(Method::GET, url).send().await.is_ok_and(|answer| answer.status == StatusCode::OK)
}

async fn stop(child: &mut Child, pid: Option<u32>) -> io::Result<()> {
    if let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) {
        kill_process(pid, Signal::TERM)?;
    }
    match timeout(STOP_WITHIN, child.wait()).await {
        Ok(ended) => ended.map(drop),
        Err(_elapsed) => child.kill().await,
    }
}
