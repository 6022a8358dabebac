//! A process that is told apart from every other, also from a later one with its number: by when it began. Nothing is
//! ever signalled that was not looked at just before.

use std::{
    fs, io,
    process::{Command, Stdio},
};

/// Changes with each boot, and when a process began is counted from there.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// Of the fields of `/proc/PID/stat` that follow the program's name (proc(5)): the state, and when the process began in
/// clock ticks.
const STATE: usize = 0;
const BEGAN: usize = 19;

/// A process, which may have ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// When it began: the boot, and clock ticks since then.
    pub(crate) began: String,
}

impl Process {
    /// The process that has this number now; `None` where there is none.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Self::and_state(pid).map(|(process, _runs)| process)
    }

    /// Whether it still runs.
    pub(crate) fn runs(&self) -> bool {
        Self::and_state(self.pid).is_some_and(|(process, runs)| runs && process == *self)
    }

    fn and_state(pid: u32) -> Option<(Self, bool)> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let boot = fs::read_to_string(BOOT).ok()?;
        let (ticks, runs) = ticks_and_state(&stat)?;
        Some((Self { pid, began: format!("{} {ticks}", boot.trim()) }, runs))
    }

    /// Asks it to end (SIGTERM), where it runs.
    ///
    /// # Errors
    /// It belongs to somebody else, or there is no shell.
    pub(crate) fn terminate(&self) -> io::Result<()> {
        if !self.runs() {
            return Ok(());
        }
        // The shell's own `kill`: the standard library has none.
        let mut kill = Command::new("sh");
        kill.args(["-c", "kill -TERM \"$1\"", "sh", &self.pid.to_string()]).stdin(Stdio::null());
        let output = kill.output()?;
        // It may have ended by itself meanwhile.
        if output.status.success() || !self.runs() {
            return Ok(());
        }
        Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim_end().to_owned()))
    }
}

/// When a process began and whether it runs, of its line in `/proc/PID/stat`. The name before that may hold anything.
fn ticks_and_state(stat: &str) -> Option<(&str, bool)> {
    let (_name, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // A zombie has ended, but nobody asked how; some containers have nobody who asks.
    let ended = matches!(fields.get(STATE).copied()?, "Z" | "X" | "x");
    Some((fields.get(BEGAN).copied()?, !ended))
}

#[cfg(test)]
mod tests {
    use std::process::id;

    use super::*;

    #[test]
    fn the_begin_is_found_behind_any_name() {
        let stat = |name: &str, state: &str| {
            format!(
                "7 ({name}) {state} 1 7 7 0 -1 4194560 1 0 0 0 3 1 0 0 20 0 9 0 8675309 1024 7 18446744073709551615"
            )
        };
        assert_eq!(ticks_and_state(&stat("countersign", "S")), Some(("8675309", true)));
        assert_eq!(ticks_and_state(&stat("a) R 1 2 (b", "R")), Some(("8675309", true)));
        assert_eq!(ticks_and_state(&stat("countersign", "Z")), Some(("8675309", false)));
        assert_eq!((ticks_and_state("7 (countersign) S 1"), ticks_and_state("")), (None, None));
    }

    #[test]
    fn we_run_and_nobody_with_our_number_who_began_at_another_time() {
        let us = Process::of(id()).expect("we run");
        assert!(us.runs());
        let another = Process { pid: us.pid, began: format!("{}0", us.began) };
        assert!(!another.runs());
        another.terminate().expect("nothing to do");
        assert!(us.runs(), "and we were not ended for it");
    }
}
