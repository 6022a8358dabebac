//! `cargo xtask peers up` and `down`: Keycloak and SPIRE without a broker, for people who want to look at them or try
//! something. `countersign dev peers` starts and supervises both; it goes on when this program is done.

use std::{
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{anyhow, bail};
use peers::{Cache, elapsed};

use super::{
    addresses::Addresses,
    cache, fetch_servers,
    process::Process,
    refuse,
    run_folder::{RunFolder, Start},
};
use crate::{MACHINE_LACKS, build, place::Place};

/// Longest start: 10 s on an idle machine.
const START_WITHIN: Duration = Duration::from_secs(3 * 60);
/// Longest stop: 2 s on an idle machine, 8 s each where they do not end in order.
const STOP_WITHIN: Duration = Duration::from_secs(60);
const DOWN: &str = "cargo xtask peers down";

/// Gets, builds, starts, and says what to do with them.
pub(crate) fn up(place: &Place) -> anyhow::Result<ExitCode> {
    let cache = match cache() {
        Ok(cache) => cache,
        Err(lacking) => return Ok(refuse(&lacking)),
    };
    let folder = RunFolder::at(cache.run_folder());
    if folder.process().is_none() {
        if !fetch_servers(&mut |line| say!("{line}")) {
            return Ok(ExitCode::from(MACHINE_LACKS));
        }
        if !build::servers(place)? {
            return Ok(ExitCode::FAILURE);
        }
    }
    let _held = folder.lock(&mut |line| say!("{line}"))?;
    let begin = Instant::now();
    let (process, is_new) = match folder.process() {
        Some(process) => (process, false),
        None => (start(place, &folder)?, true),
    };
    let ready = match folder.wait_until_ready(&process, START_WITHIN)? {
        Start::Ready(ready) => Addresses::of(&ready)?,
        Start::Ended => {
            folder.forget()?;
            bail!(folder.it_ended("Keycloak and SPIRE did not start: `countersign dev peers`"));
        }
        Start::Late => return Err(late(&folder, &process)),
    };
    let how = if is_new { format!("ready after {}", elapsed(begin.elapsed())) } else { "already".to_owned() };
    say!("Keycloak and SPIRE run (process {}, {how}).", process.pid);
    show(&cache, &ready)?;
    Ok(ExitCode::SUCCESS)
}

/// Ends them.
pub(crate) fn down() -> anyhow::Result<ExitCode> {
    let cache = match cache() {
        Ok(cache) => cache,
        Err(lacking) => return Ok(refuse(&lacking)),
    };
    let folder = RunFolder::at(cache.run_folder());
    let Some(process) = folder.process() else {
        say!("Nothing to do: Keycloak and SPIRE do not run.");
        return Ok(ExitCode::SUCCESS);
    };
    say!("Stopping Keycloak and SPIRE (process {}) …", process.pid);
    let begin = Instant::now();
    // Without the lock: who waits for them to start lets go of it once they end.
    if !folder.stop(&process, STOP_WITHIN)? {
        bail!("process {} still runs after {}{}", process.pid, elapsed(begin.elapsed()), folder.last_lines());
    }
    let _held = folder.lock(&mut |line| say!("{line}"))?;
    if folder.process().is_none() {
        folder.forget()?;
    }
    say!("They ended after {}; nothing of them is left but the log.", elapsed(begin.elapsed()));
    Ok(ExitCode::SUCCESS)
}

/// What runs of them, for `cargo xtask peers status`.
pub(super) fn status(cache: &Cache) -> anyhow::Result<()> {
    let folder = RunFolder::at(cache.run_folder());
    let Some(process) = folder.process() else {
        say!("\nNo Keycloak and SPIRE run on their own; `cargo xtask peers up` starts them.");
        return Ok(());
    };
    match folder.wait_until_ready(&process, Duration::ZERO)? {
        Start::Ready(ready) => {
            say!("\nKeycloak and SPIRE run (process {}).", process.pid);
            show(cache, &Addresses::of(&ready)?)
        }
        Start::Late => {
            say!("\nKeycloak and SPIRE are being started (process {}).", process.pid);
            Ok(())
        }
        Start::Ended => {
            say!("\nKeycloak and SPIRE have just ended.");
            Ok(())
        }
    }
}

fn start(place: &Place, folder: &RunFolder) -> anyhow::Result<Process> {
    if folder.forget()? {
        say!("Those that ran last ended without `{DOWN}`.");
    }
    say!("Starting Keycloak and SPIRE; about 10 seconds …");
    let mut command = Command::new(place.program("countersign"));
    command.args(["dev", "peers", "--ready-file"]).arg(folder.ready_file());
    folder.start(&mut command)
}

/// Ends what takes so long. Its state is left: whoever looks next notices where it has ended.
fn late(folder: &RunFolder, process: &Process) -> anyhow::Error {
    let end = match folder.stop(process, STOP_WITHIN) {
        Ok(true) => "was ended",
        Ok(false) => "does not end either",
        Err(fault) => return fault,
    };
    let (limit, said) = (elapsed(START_WITHIN), folder.last_lines());
    anyhow!("Keycloak and SPIRE are not ready after {limit}; process {} {end}{said}", process.pid)
}

fn show(cache: &Cache, addresses: &Addresses) -> anyhow::Result<()> {
    say!("{}\nStop both\n  {DOWN}", addresses.told(&cache.spire()?));
    Ok(())
}
