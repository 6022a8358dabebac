//! `cargo demo`: gets real peers where they are asked for, builds the programs, then becomes `countersign demo`, so that
//! exit code and signals are the demo's own.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use anyhow::Context as _;

use crate::{MACHINE_LACKS, build, place::Place, real};

/// Builds and runs; returns only where it could not.
pub(crate) fn main(place: &Place, arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let wants_real = arguments.iter().any(|argument| argument == "--real");
    // What is told goes to stderr: stdout is the demo's.
    if wants_real && !real::fetch_servers(&mut |line| note!("{line}")) {
        return Ok(ExitCode::from(MACHINE_LACKS));
    }
    if !build::programs(place).context("cargo cannot be started")? {
        return Ok(ExitCode::FAILURE);
    }
    let program = place.program("countersign");
    let error = Command::new(&program).arg("demo").args(arguments).exec();
    Err(error).with_context(|| format!("`{}` cannot be started", program.display()))
}
