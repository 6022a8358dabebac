//! The folder of a program that goes on when we are done: which process it is, what it said, where it can be reached. A
//! state that names a process which does not run any more is no state.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::process::Process;

/// How often something is looked at that takes seconds.
const POLL: Duration = Duration::from_millis(50);
/// Longest wait for another run: it starts for at most three minutes, then stops for at most one.
const LOCK_WITHIN: Duration = Duration::from_secs(5 * 60);

/// A folder for one program at a time.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
}

/// How a start went.
#[derive(Debug)]
pub(crate) enum Start {
    /// It wrote its ready file, with this content.
    Ready(Value),
    /// It ended.
    Ended,
    /// It took too long, and still runs.
    Late,
}

impl RunFolder {
    /// At this path, which may not exist yet.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where the program says where it can be reached.
    pub(crate) fn ready_file(&self) -> PathBuf {
        self.path.join("ready.json")
    }

    /// Everything that the program said.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    fn state(&self) -> PathBuf {
        self.path.join("process.json")
    }

    /// The program's process, where it runs.
    pub(crate) fn process(&self) -> Option<Process> {
        let state: Value = serde_json::from_slice(&fs::read(self.state()).ok()?).ok()?;
        let pid = state.get("pid").and_then(Value::as_u64).and_then(|pid| u32::try_from(pid).ok())?;
        let began = state.get("began").and_then(Value::as_str)?.to_owned();
        Some(Process { pid, began }).filter(Process::runs)
    }

    /// Makes the folder, and holds it against other runs until the file is dropped. `tell` hears where it must wait.
    ///
    /// # Errors
    /// The file system refuses, or another run takes too long.
    pub(crate) fn lock(&self, tell: &mut dyn FnMut(&str)) -> anyhow::Result<File> {
        fs::create_dir_all(&self.path).with_context(|| format!("`{}` cannot be made", self.path.display()))?;
        let path = self.path.join("lock");
        let at = || format!("`{}` cannot be locked", path.display());
        let file = File::create(&path).with_context(at)?;
        let (start, mut told) = (Instant::now(), false);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(fault)) => return Err(fault).with_context(at),
                Err(TryLockError::WouldBlock) if start.elapsed() > LOCK_WITHIN => {
                    bail!("another run has held `{}` for too long", path.display());
                }
                Err(TryLockError::WouldBlock) => {
                    if !told {
                        tell("Another run is starting or stopping them; waiting …");
                        told = true;
                    }
                    thread::sleep(POLL);
                }
            }
        }
    }

    /// Starts a program that goes on when we end, in a process group of its own: what is typed at our terminal does not
    /// reach it. The caller holds the lock, and nothing runs here.
    ///
    /// # Errors
    /// The file system refuses, or the program cannot be started.
    pub(crate) fn start(&self, command: &mut Command) -> anyhow::Result<Process> {
        self.forget()?;
        let output = File::create(self.log()).with_context(|| cannot_write(&self.log()))?;
        let errors = output.try_clone().with_context(|| cannot_write(&self.log()))?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0).current_dir(&self.path);
        let program = command.get_program().display().to_string();
        let child = command.spawn().with_context(|| format!("`{program}` cannot be started"))?;
        let process =
            Process::of(child.id()).with_context(|| format!("`/proc` does not tell when `{program}` began"))?;
        let state = json!({ "pid": process.pid, "began": process.began }).to_string();
        if let Err(fault) = write_whole(&self.state(), &state) {
            // Nobody would find it again.
            process.terminate()?;
            return Err(fault).with_context(|| cannot_write(&self.state()));
        }
        Ok(process)
    }

    /// Waits until the program can be reached.
    ///
    /// # Errors
    /// What it wrote is no JSON.
    pub(crate) fn wait_until_ready(&self, process: &Process, within: Duration) -> anyhow::Result<Start> {
        let start = Instant::now();
        loop {
            // Looked at first: one that ended after it had written leads nowhere.
            if !process.runs() {
                return Ok(Start::Ended);
            }
            if let Ok(text) = fs::read(self.ready_file()) {
                let ready = serde_json::from_slice(&text);
                return ready
                    .map(Start::Ready)
                    .with_context(|| format!("`{}` is no JSON", self.ready_file().display()));
            }
            if start.elapsed() > within {
                return Ok(Start::Late);
            }
            thread::sleep(POLL);
        }
    }

    /// Ends the program and waits for it. `false`: it still runs.
    ///
    /// # Errors
    /// It belongs to somebody else, or the file system refuses.
    pub(crate) fn stop(&self, process: &Process, within: Duration) -> anyhow::Result<bool> {
        let told = process.terminate();
        told.with_context(|| format!("process {} cannot be asked to end", process.pid))?;
        let start = Instant::now();
        while process.runs() {
            if start.elapsed() > within {
                return Ok(false);
            }
            thread::sleep(POLL);
        }
        Ok(true)
    }

    /// Removes the state of a program that does not run any more; its log stays. `false`: there was none. The caller holds
    /// the lock.
    ///
    /// # Errors
    /// The file system refuses.
    pub(crate) fn forget(&self) -> anyhow::Result<bool> {
        let mut found = false;
        for path in [self.state(), self.ready_file()] {
            match fs::remove_file(&path) {
                Ok(()) => found = true,
                Err(fault) if fault.kind() == io::ErrorKind::NotFound => {}
                Err(fault) => return Err(fault).with_context(|| format!("`{}` cannot be removed", path.display())),
            }
        }
        Ok(found)
    }

    /// That it ended, with its last lines.
    pub(crate) fn it_ended(&self, what: &str) -> String {
        format!("{what} ended{}", self.last_lines())
    }

    /// The end of the log as an error tells it, and where the rest is.
    pub(crate) fn last_lines(&self) -> String {
        let log = self.log();
        let lines = peers::last_lines(&log).unwrap_or_default();
        let lines: String = lines.iter().map(|line| format!("\n  | {line}")).collect();
        format!("; it said:{lines}\nall of it: {}", log.display())
    }
}

/// A reader sees the whole file or none.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    fs::write(&beside, text)?;
    fs::rename(beside, path)
}

fn cannot_write(path: &Path) -> String {
    format!("`{}` cannot be written", path.display())
}

#[cfg(test)]
mod tests;
