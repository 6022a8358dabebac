//! The command behind a sidecar: found before anything starts, started with a proxy and a port in its environment and
//! with the terminal as it is, ended with us however we end.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt, fs, io,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _, process::ExitStatusExt as _},
    path::Path,
    process::ExitStatus,
    time::Duration,
};

use rustix::{
    process::{Pid, Signal, getpgrp, kill_process},
    termios::tcgetpgrp,
};
use tokio::{
    process::{Child, Command as OsCommand},
    signal::unix::{self, SignalKind},
    time::timeout,
};

/// Hosts that no proxy stands before.
const NO_PROXY: &str = "localhost,127.0.0.1,::1";
/// OpenTelemetry's launchers send to a collector unless told otherwise, and where they lack the means for it they give up
/// and the app runs without trace context, by which its calls are told apart (`platform.md` §3.4).
const NO_EXPORT: [(&str, &str); 3] =
    [("OTEL_TRACES_EXPORTER", "none"), ("OTEL_METRICS_EXPORTER", "none"), ("OTEL_LOGS_EXPORTER", "none")];
/// Variables that no command behind a sidecar has: what ours are set by, and where an identity could be asked for.
const WITHHELD: [&str; 2] = ["COUNTERSIGN_", "SPIFFE_ENDPOINT_SOCKET"];
/// Longest wait for the command to end when it is told to; then it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// What a shell adds to a signal's number.
const SIGNAL_BASE: u8 = 128;

/// A command that was started.
#[derive(Debug)]
pub(super) struct Command {
    child: Child,
    code: Option<u8>,
}

/// Signals that are not for us alone.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: unix::Signal,
    quit: unix::Signal,
    terminate: unix::Signal,
    hangup: unix::Signal,
}

/// Why there is no such command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotFound {
    /// Nowhere in PATH, or no such file.
    Nowhere(OsString),
    /// A file that is no program.
    NoProgram(OsString),
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nowhere(program) if is_path(program) => {
                write!(f, "the command `{}` is not there", program.display())
            }
            Self::Nowhere(program) => write!(f, "the command `{}` is nowhere in PATH", program.display()),
            Self::NoProgram(program) => write!(f, "the command `{}` is no program that you may run", program.display()),
        }
    }
}

/// Whether the first word of `command` is a program, here or in PATH.
///
/// # Errors
/// [`NotFound`].
pub(super) fn find(command: &[OsString]) -> Result<(), NotFound> {
    let program = command.first().cloned().unwrap_or_default();
    let path = env::var_os("PATH").unwrap_or_default();
    find_in(&program, &path)
}

fn find_in(program: &OsStr, path: &OsStr) -> Result<(), NotFound> {
    let places: Vec<_> = if is_path(program) {
        vec![Path::new(program).to_owned()]
    } else {
        env::split_paths(path).map(|folder| folder.join(program)).filter(|_place| !program.is_empty()).collect()
    };
    let files = || places.iter().filter_map(|place| fs::metadata(place).ok()).filter(fs::Metadata::is_file);
    if files().any(|file| file.permissions().mode() & 0o111 != 0) {
        return Ok(());
    }
    let program = program.to_owned();
    Err(if files().next().is_some() { NotFound::NoProgram(program) } else { NotFound::Nowhere(program) })
}

fn is_path(program: &OsStr) -> bool {
    program.as_bytes().contains(&b'/')
}

impl Command {
    /// Starts `command`. By way of this very program, which has the kernel end it with us and then becomes it.
    pub(super) fn start(command: &[OsString], proxy: &str, port: u16) -> io::Result<Self> {
        let mut starter = OsCommand::new("/proc/self/exe");
        starter.args(["dev", "become", "--killed", "--parent", &std::process::id().to_string(), "--"]).args(command);
        for name in env::vars_os().map(|(name, _value)| name).filter(|name| is_withheld(name)) {
            starter.env_remove(name);
        }
        let proxy = format!("http://{proxy}");
        starter.envs([("HTTP_PROXY", proxy.as_str()), ("http_proxy", proxy.as_str())]);
        starter.envs([("NO_PROXY", NO_PROXY), ("no_proxy", NO_PROXY)]);
        starter.env("PORT", port.to_string());
        if !env::vars_os().any(|(name, _value)| says_where_to_export(&name)) {
            starter.envs(NO_EXPORT);
        }
        Ok(Self { child: starter.kill_on_drop(true).spawn()?, code: None })
    }

    /// Waits for its end and returns its exit code. May be dropped and asked again.
    pub(super) async fn ended(&mut self) -> io::Result<u8> {
        if let Some(code) = self.code {
            return Ok(code);
        }
        let code = code_of(self.child.wait().await?);
        self.code = Some(code);
        Ok(code)
    }

    /// Hands a signal on that only we got. What the terminal sends, it sends to the command too.
    pub(super) fn pass_on(&self, signal: Signal) {
        let by_terminal = signal == Signal::INT || signal == Signal::QUIT;
        if !(by_terminal && is_in_foreground()) {
            self.signal(signal);
        }
    }

    /// Ends it if it runs: SIGTERM, then a kill.
    pub(super) async fn stop(&mut self) {
        if self.code.is_some() {
            return;
        }
        self.signal(Signal::TERM);
        if timeout(STOP_WITHIN, self.child.wait()).await.is_err() {
            // It may have ended this very moment.
            let _killed = self.child.kill().await;
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        // It may have ended this very moment.
        let _sent = pid.map(|pid| kill_process(pid, signal));
    }
}

impl Signals {
    /// Listens from now on; needs a tokio runtime.
    pub(super) fn listen() -> io::Result<Self> {
        let listen = |kind: SignalKind| unix::signal(kind);
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            quit: listen(SignalKind::quit())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// The next signal. May be dropped at any time; nothing is lost.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.quit.recv() => Signal::QUIT,
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.hangup.recv() => Signal::HUP,
        }
    }
}

/// The exit code that tells of a signal.
pub(super) fn code_of_signal(signal: Signal) -> u8 {
    u8::try_from(signal.as_raw()).map_or(SIGNAL_BASE, |number| SIGNAL_BASE.saturating_add(number))
}

fn code_of(status: ExitStatus) -> u8 {
    let of_signal = || status.signal().and_then(|number| u8::try_from(number).ok());
    match status.code() {
        Some(code) => u8::try_from(code).unwrap_or(1),
        None => of_signal().map_or(1, |number| SIGNAL_BASE.saturating_add(number)),
    }
}

fn is_withheld(name: &OsStr) -> bool {
    WITHHELD.iter().any(|begin| name.as_bytes().starts_with(begin.as_bytes()))
}

/// Whether the user has said where telemetry goes.
fn says_where_to_export(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(b"OTEL_") && name.windows(8).any(|part| part == b"EXPORTER")
}

/// Whether a terminal sends its signals to our process group, and so to the command in it.
fn is_in_foreground() -> bool {
    let own = getpgrp();
    let streams = [tcgetpgrp(io::stdin()), tcgetpgrp(io::stdout()), tcgetpgrp(io::stderr())];
    streams.into_iter().any(|group| group.is_ok_and(|group| group == own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_found_in_path_or_by_its_path() {
        let find = |program: &str| find_in(OsStr::new(program), OsStr::new("/nowhere:/bin:/etc"));
        assert_eq!((find("sh"), find("/bin/sh")), (Ok(()), Ok(())));
        assert_eq!(find("no-such-command"), Err(NotFound::Nowhere("no-such-command".into())));
        assert_eq!(find("./no-such-command"), Err(NotFound::Nowhere("./no-such-command".into())));
        assert_eq!(find("/etc/passwd"), Err(NotFound::NoProgram("/etc/passwd".into())), "a file that nobody may run");
        assert_eq!(find("/tmp"), Err(NotFound::Nowhere("/tmp".into())));
        assert_eq!(find(""), Err(NotFound::Nowhere("".into())));
    }

    #[test]
    fn a_signal_is_told_as_shells_tell_it() {
        assert_eq!(code_of(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(code_of(ExitStatus::from_raw(15)), 143);
        assert_eq!(code_of_signal(Signal::INT), 130);
    }

    #[test]
    fn telemetry_goes_nowhere_until_the_user_says_where() {
        for name in ["OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] {
            assert!(says_where_to_export(OsStr::new(name)), "{name}");
        }
        for name in ["OTEL_SERVICE_NAME", "OTEL_PROPAGATORS", "MY_EXPORTER", "OTEL"] {
            assert!(!says_where_to_export(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn nothing_of_ours_is_in_the_commands_environment() {
        for name in ["COUNTERSIGN_CONFIG", "COUNTERSIGN_BROKER__STORE", "SPIFFE_ENDPOINT_SOCKET"] {
            assert!(is_withheld(OsStr::new(name)), "{name}");
        }
        for name in ["PATH", "HTTP_PROXY", "TOKEN", "MY_COUNTERSIGN_X"] {
            assert!(!is_withheld(OsStr::new(name)), "{name}");
        }
    }
}
