//! A program while it runs: its output goes to a file, somebody is told that it still runs, it has a limit, and it never
//! outlives us: a shell beside it ends it once our end of a pipe closes, which the kernel does for us in any case.

use std::{
    ffi::OsStr,
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    fault::FetchFault,
    progress::{Progress, elapsed},
};

/// Runs its arguments as a program; ends it by SIGTERM when standard input ends; ends with the program's exit code.
const TETHER: &str = r#"exec 3<&0
"$@" </dev/null 3<&- & program=$!
{ read -r _ <&3; kill -TERM "$program"; } 2>/dev/null & reader=$!
exec 3<&-
wait "$program"; status=$?
kill "$reader" 2>/dev/null
exit "$status""#;
/// Arguments of the shell that stand before the program.
const BEFORE: usize = 3;
/// How often a program is looked at.
const POLL: Duration = Duration::from_millis(50);
/// How long a program may take to end after SIGTERM: Keycloak needs one second, with a busy machine some.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// How many lines of a failed program are shown, and the most bytes that are looked at for them.
const LINES: usize = 20;
const TAIL_BYTES: u64 = 16 * 1024;
/// Longest line that is shown.
const LINE_CHARACTERS: usize = 300;

/// A command that will run this program. Arguments, variables and folder are added as to any other.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", TETHER, "sh"]).arg(program);
    command
}

/// Runs to the end. What is told in between begins with `doing`.
///
/// # Errors
/// It cannot be started, fails, or takes longer than `limit`.
pub(crate) fn run(
    mut command: Command,
    doing: &str,
    limit: Duration,
    log: &Path,
    progress: &mut Progress<'_>,
) -> Result<(), FetchFault> {
    progress.say(&format!("{doing} …"));
    let mut program = Program::start(&mut command, log)?;
    let status = program.wait_until(limit, doing, progress, Program::ended)?;
    if status.success() { Ok(()) } else { Err(program.failed(status)) }
}

/// A program that was started.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    /// Open as long as it may run.
    tether: Option<ChildStdin>,
    shown: String,
    log: PathBuf,
}

impl Program {
    /// Starts it, with its output at the end of a file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self, FetchFault> {
        let output = OpenOptions::new().create(true).append(true).open(log).map_err(FetchFault::at(log))?;
        let errors = output.try_clone().map_err(FetchFault::at(log))?;
        let words = command.get_args().skip(BEFORE).map(OsStr::to_string_lossy);
        let shown = words.collect::<Vec<_>>().join(" ");
        let spawned = command.stdin(Stdio::piped()).stdout(output).stderr(errors).spawn();
        let mut child = spawned.map_err(|source| FetchFault::Start { command: shown.clone(), source })?;
        Ok(Self { tether: child.stdin.take(), child, shown, log: log.to_owned() })
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Polls until something is there, and tells now and then that it is waited for.
    ///
    /// # Errors
    /// Nothing is there within the limit, or the program cannot be looked at.
    pub(crate) fn wait_until<T>(
        &mut self,
        limit: Duration,
        doing: &str,
        progress: &mut Progress<'_>,
        mut look: impl FnMut(&mut Self) -> io::Result<Option<T>>,
    ) -> Result<T, FetchFault> {
        let start = Instant::now();
        let mut told = start;
        loop {
            match look(self) {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                Err(source) => return Err(FetchFault::Start { command: self.shown.clone(), source }),
            }
            if start.elapsed() > limit {
                let (command, log) = (self.shown.clone(), self.log.clone());
                return Err(FetchFault::Late { command, limit, lines: self.last_lines(), log });
            }
            if told.elapsed() > progress.every {
                told = Instant::now();
                progress.say(&format!("… still {doing} ({})", elapsed(start.elapsed())));
            }
            thread::sleep(POLL);
        }
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// It does not end.
    pub(crate) fn stop(mut self, progress: &mut Progress<'_>) -> Result<(), FetchFault> {
        self.tether = None;
        self.wait_until(STOP_WITHIN, "stopping it", progress, Self::ended).map(drop)
    }

    /// The fault of a program that ended too early, or badly.
    pub(crate) fn failed(&self, status: ExitStatus) -> FetchFault {
        let (command, log) = (self.shown.clone(), self.log.clone());
        FetchFault::Failed { command, status: status.to_string(), lines: self.last_lines(), log }
    }

    fn last_lines(&self) -> Vec<String> {
        last_lines(&self.log).unwrap_or_else(|fault| vec![format!("(its output cannot be read: {fault})")])
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Nobody waits for it any more: the shell beside it ends it.
        self.tether = None;
    }
}

/// The last lines of a file that a program wrote: at most 20, each cut at 300 characters.
///
/// # Errors
/// It cannot be read.
pub fn last_lines(path: &Path) -> io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let begin = file.metadata()?.len().saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.iter().skip(lines.len().saturating_sub(LINES));
    Ok(last.map(|line| line.chars().take(LINE_CHARACTERS).collect()).collect())
}

#[cfg(test)]
mod tests;
