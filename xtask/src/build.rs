//! The programs, built as they ship. Cargo unifies features over all packages that are built together, so the sidecar is
//! built by a command of its own: nothing that only the broker needs may switch anything on in it.

use std::{
    io,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::place::Place;

/// Every program that the demo and the end-to-end tests start.
pub(crate) const PROGRAMS: [&str; 4] =
    ["countersign", "countersign-broker", "countersign-demo-app", "countersign-sidecar"];
/// The two builds, as arguments of cargo.
pub(crate) const BUILDS: [&[&str]; 2] =
    [&["build", "--locked", "-p", "cli", "-p", "broker", "-p", "dev"], &["build", "--locked", "-p", "sidecar"]];
/// After so long a silent build says what it does.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often a silent build is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Whether every program was built once: then a build takes seconds.
pub(crate) fn built_before(place: &Place) -> bool {
    PROGRAMS.iter().all(|program| place.program(program).is_file())
}

/// Builds all programs; the first time with cargo's progress, later silently. `false`: cargo said on stderr why not.
///
/// # Errors
/// Cargo cannot be started.
pub(crate) fn programs(place: &Place) -> io::Result<bool> {
    run(place, &BUILDS, built_before(place))
}

/// The same for all but the sidecar: what starts servers.
///
/// # Errors
/// Cargo cannot be started.
pub(crate) fn servers(place: &Place) -> io::Result<bool> {
    let [servers, _sidecar] = BUILDS;
    run(place, &[servers], place.program("countersign").is_file() && place.program("countersign-broker").is_file())
}

fn run(place: &Place, builds: &[&[&str]], quiet: bool) -> io::Result<bool> {
    if !quiet {
        note!(
            "Building the programs for the first time; on two cores this takes several minutes. Later it is seconds."
        );
    }
    let mut told = false;
    for arguments in builds {
        let mut build = place.cargo();
        build.args(*arguments).stdin(Stdio::null());
        let status = if quiet { silently(&mut build, &mut told)? } else { build.status()? };
        if !status.success() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Runs a build without progress, and says once where it takes long.
fn silently(build: &mut Command, told: &mut bool) -> io::Result<ExitStatus> {
    let start = Instant::now();
    let mut child: Child = build.arg("--quiet").spawn()?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if !*told && start.elapsed() > PATIENCE {
            note!("Building what changed …");
            *told = true;
        }
        thread::sleep(POLL);
    }
}
