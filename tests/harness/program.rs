//! Runs one of our binaries to its end, bounded in time.

use std::{path::PathBuf, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::eventually;

/// Longest run: the demo takes a few seconds on an idle machine.
const RUN_MAX: Duration = Duration::from_secs(120);

/// A binary to run.
#[derive(Debug)]
pub struct Program(Command);

/// A binary that serves, with its standard input held open.
#[derive(Debug)]
pub struct Running(Child);

/// How it ended.
#[derive(Debug)]
pub struct Finished {
    /// Exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Program {
    /// The binary `name`, which lies where this test's own folder `deps` lies.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::at(binaries().join(name))
    }

    /// The binary at `path`.
    #[must_use]
    pub fn at(path: impl AsRef<std::ffi::OsStr>) -> Self {
        let mut command = Command::new(path);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        Self(command)
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments<S: AsRef<std::ffi::OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.0.args(arguments);
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    /// Runs it to its end.
    pub async fn run(mut self) -> Finished {
        let output = tokio::time::timeout(RUN_MAX, self.0.output()).await.expect("ended in time").expect("started");
        Finished::of(&output)
    }

    /// Starts it to serve. It should have been given `--exit-on-stdin-close`.
    #[must_use]
    pub fn start(mut self) -> Running {
        Running(self.0.stdin(Stdio::piped()).spawn().expect("started"))
    }
}

/// Where our binaries lie: one folder above this test's own.
#[must_use]
pub fn binaries() -> PathBuf {
    let own = std::env::current_exe().expect("a path");
    own.ancestors().nth(2).expect("target folder").into()
}

impl Running {
    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.id().expect("running")
    }

    /// Sends it `signal`.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("running"), signal).expect("sent");
    }

    /// The address `door` from its ready file, once it is there.
    pub async fn address(&self, ready_file: &str, door: &str) -> String {
        eventually("the ready file is written", || async {
            let text = std::fs::read_to_string(ready_file).ok()?;
            let addresses: Value = serde_json::from_str(&text).ok()?;
            Some(addresses[door].as_str()?.to_owned())
        })
        .await
    }

    /// Closes its standard input and waits for its end.
    pub async fn end(mut self) -> Finished {
        drop(self.0.stdin.take());
        let output =
            tokio::time::timeout(RUN_MAX, self.0.wait_with_output()).await.expect("ended in time").expect("ran");
        Finished::of(&output)
    }
}

impl Finished {
    fn of(output: &std::process::Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
