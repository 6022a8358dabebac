//! `countersign run`: one workload of a running `countersign up`, as a sidecar and the command behind it. The command
//! keeps the terminal; what the sidecar let through or refused is told on stderr, one line a call.
//! The command's process never gets a credential: it is told a proxy and a port.

mod calls;
mod command;
mod log;
mod screen;

use std::{collections::BTreeMap, ffi::OsString, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use dev::{
    stack::{GuestSidecar, LOG_TAIL_LINES, Problem},
    up::{Invitation, Line, LineFault, Place, Wish},
};
use runtime::{causes::causes, ready_file::ReadyFile};
use tokio::{
    net::TcpStream,
    time::{Instant, MissedTickBehavior, interval},
};

use self::{
    command::{Command, NotFound, Signals},
    log::Log,
    screen::Screen,
};
use crate::{demo::called_as, look::Look, output};

/// What is left of the process at the end is background work; it is not waited for longer.
const RUNTIME_END_MAX: Duration = Duration::from_millis(500);
/// How often the sidecar's log and state are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(30);
/// How often it is told that the sidecar is waited for.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);
/// Longest wait for the sidecar: SPIRE may take some seconds to know a new workload.
const READY_MAX: Duration = Duration::from_secs(60);

/// Which workload, and what stands behind its sidecar.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The workload: its name as `countersign up` lists it, or its SPIFFE ID
    #[arg(long = "as", value_name = "NAME")]
    workload: String,
    /// Let users in, by plain HTTP on loopback, and print how
    #[arg(long)]
    edge: bool,
    /// The port where the command listens, if it does not read PORT [default: a free one]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Make the command's calls in the workload's own name: for a program that no user asks
    #[arg(long = "self", conflicts_with = "edge")]
    own: bool,
    /// Certificate authorities, PEM, of services at https:// that are called in the own name
    #[arg(long, value_name = "FILE", requires = "own")]
    ca: Option<PathBuf>,
    /// The instance of `countersign up`
    #[arg(long, value_name = "NAME", default_value = "default")]
    name: String,
    /// Write the addresses of the doors here as one JSON object before the command starts
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// How it ended.
enum End {
    /// The command ended by itself, with this exit code.
    Command(u8),
    /// Why it could not be started or go on, in words for a person, with the exit code.
    Failed(String, u8),
}

/// Runs the command. Exit code: the command's, 128 and the signal's number where a signal ended it; 1 where no `up`
/// runs or the sidecar failed, 2 where the command is not found.
pub(crate) fn main(options: Options) -> ExitCode {
    let place = match Place::of_user(&options.name) {
        Ok(place) => place,
        Err(fault) => return output::refuse(&causes(&fault), 2),
    };
    if let Err(fault) = command::find(&options.command) {
        return refuse_command(&fault);
    }
    // One thread: the kernel ends the command with the thread that started it.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::refuse(&format!("cannot start: {error}"), 1),
    };
    let end = runtime.block_on(Box::pin(run(options, &place)));
    runtime.shutdown_timeout(RUNTIME_END_MAX);
    match end {
        End::Command(code) => ExitCode::from(code),
        End::Failed(why, code) => output::refuse(&why, code),
    }
}

fn refuse_command(fault: &NotFound) -> ExitCode {
    output::refuse(&fault.to_string(), 2)
}

async fn run(options: Options, place: &Place) -> End {
    let mut screen = Screen::new(std::io::stderr(), Look::of_stderr());
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return End::Failed(format!("cannot listen to signals: {error}"), 1),
    };
    let joined = tokio::select! {
        joined = join(&options, place, &mut screen) => joined,
        signal = signals.next() => return End::Command(command::code_of_signal(signal)),
    };
    let mut run = match joined {
        Ok((line, invitation)) => Run { line, invitation, screen, signals },
        Err(why) => return End::Failed(why, 1),
    };
    run.play(&options).await
}

/// Asks the instance for a place and a recipe.
async fn join(
    options: &Options,
    place: &Place,
    screen: &mut Screen<std::io::Stderr>,
) -> Result<(Line, Invitation), String> {
    if let Some(port) = options.port
        && TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await.is_ok()
    {
        return Err(format!("something listens on port {port} already: end it, or give another --port"));
    }
    let opened = Line::open(place, || screen.note("waiting for `countersign up`, which is starting or ending …")).await;
    let mut line = opened.map_err(|fault| words(&fault, options))?;
    let outside = options.ca.as_ref().map(std::path::absolute).transpose();
    let outside = outside.map_err(|error| format!("--ca: {error}"))?;
    let (workload, edge, own, port) = (options.workload.clone(), options.edge, options.own, options.port);
    let wish = Wish { workload, edge, own, outside, port };
    let invitation = line.join(wish).await.map_err(|fault| words(&fault, options))?;
    Ok((line, invitation))
}

/// What to say, and what to do about it.
fn words(fault: &LineFault, options: &Options) -> String {
    let program = called_as();
    let name = if options.name == "default" { String::new() } else { format!(" --name {}", options.name) };
    match fault {
        LineFault::NotUp => format!("no `countersign up` runs: start `{program} up{name}` in another terminal first"),
        LineFault::Refused(why) => format!("--as {}: {why}", options.workload),
        LineFault::Busy
        | LineFault::Place(_)
        | LineFault::Stranger(_)
        | LineFault::Broken(_)
        | LineFault::Ended
        | LineFault::Late => causes(fault),
    }
}

/// A workload that has its place.
struct Run {
    line: Line,
    invitation: Invitation,
    screen: Screen<std::io::Stderr>,
    signals: Signals,
}

impl Run {
    async fn play(&mut self, options: &Options) -> End {
        // What other runs of this workload left in the log is not ours to show.
        let mut log = Log::from_its_end(&self.invitation.sidecar.log);
        let mut sidecar = match GuestSidecar::start(&self.invitation.sidecar) {
            Ok(sidecar) => sidecar,
            Err(problem) => return End::Failed(causes(&problem), 1),
        };
        let end = self.with_sidecar(options, &mut sidecar, &mut log).await;
        sidecar.stop().await;
        self.show_calls(&mut log);
        self.screen.end();
        end
    }

    async fn with_sidecar(&mut self, options: &Options, sidecar: &mut GuestSidecar, log: &mut Log) -> End {
        if let Err(end) = self.until_ready(sidecar, log).await {
            return end;
        }
        let doors = Doors::of(sidecar, self.invitation.port);
        if let Err(fault) = ReadyFile::new(options.ready_file.clone()).write(&doors.addresses()) {
            return End::Failed(causes(&fault), 1);
        }
        self.screen.joined(&self.invitation, &doors, options.own);
        let proxy = if options.own { &doors.own } else { &doors.agent };
        let mut command = match Command::start(&options.command, proxy, self.invitation.port) {
            Ok(command) => command,
            Err(error) => return End::Failed(format!("the command cannot be started: {error}"), 2),
        };
        let end = self.supervise(&mut command, sidecar, log).await;
        command.stop().await;
        end
    }

    /// Has the sidecar get its identity, and waits until it serves.
    async fn until_ready(&mut self, sidecar: &mut GuestSidecar, log: &mut Log) -> Result<(), End> {
        let Some(pid) = sidecar.pid() else { return Err(self.sidecar_failed("it ended at once", log)) };
        tokio::select! {
            started = self.line.started(pid) => started.map_err(|fault| End::Failed(causes(&fault), 1))?,
            signal = self.signals.next() => return Err(End::Command(command::code_of_signal(signal))),
        }
        let began = Instant::now();
        loop {
            let waited = tokio::select! {
                ready = sidecar.ready(PROGRESS_EVERY) => ready,
                () = self.line.closed() => return Err(up_ended()),
                signal = self.signals.next() => return Err(End::Command(command::code_of_signal(signal))),
            };
            match waited {
                Ok(()) => return Ok(()),
                Err(Problem::NotReady { why, .. }) if began.elapsed() < READY_MAX => {
                    self.screen.note(&format!("waiting for the sidecar, {} s: {why}", began.elapsed().as_secs()));
                }
                Err(problem) => return Err(self.sidecar_failed(&causes(&problem), log)),
            }
        }
    }

    /// Until the command ends, or what it needs.
    async fn supervise(&mut self, command: &mut Command, sidecar: &mut GuestSidecar, log: &mut Log) -> End {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ended = command.ended() => return match ended {
                    Ok(code) => End::Command(code),
                    Err(error) => End::Failed(format!("the command cannot be waited for: {error}"), 1),
                },
                () = self.line.closed() => return up_ended(),
                signal = self.signals.next() => command.pass_on(signal),
                _tick = looks.tick() => {
                    self.show_calls(log);
                    if let Some(status) = sidecar.ended() {
                        return self.sidecar_failed(&format!("it ended ({status})"), log);
                    }
                }
            }
        }
    }

    fn show_calls(&mut self, log: &mut Log) {
        while let Some(line) = log.next_line() {
            if let Some(call) = calls::Call::read(&line, &self.invitation.users) {
                self.screen.call(&call, &self.invitation.name);
            }
        }
    }

    /// Why the sidecar is gone, with the end of its log. The command is ended after this.
    fn sidecar_failed(&self, why: &str, log: &Log) -> End {
        let mut told = format!("the sidecar of `{}` failed, and so does the command: {why}", self.invitation.name);
        let lines = log.last_lines(LOG_TAIL_LINES);
        if !lines.is_empty() {
            told.push_str(&format!("\nits last {} log lines:\n{}", lines.len(), lines.join("\n")));
        }
        told.push_str(&format!("\nlog: {}", self.invitation.sidecar.log.display()));
        End::Failed(told, 1)
    }
}

fn up_ended() -> End {
    End::Failed("`countersign up` has ended, and the command with it".to_owned(), 1)
}

/// Where the sidecar listens.
struct Doors {
    app: String,
    mesh: String,
    agent: String,
    admin: String,
    edge: String,
    own: String,
}

impl Doors {
    fn of(sidecar: &GuestSidecar, port: u16) -> Self {
        let address = |door: &str| sidecar.address(door).unwrap_or_default().to_owned();
        Self {
            app: format!("127.0.0.1:{port}"),
            mesh: address("mesh"),
            agent: address("agent"),
            admin: address("admin"),
            edge: address("edge"),
            own: address("self"),
        }
    }

    /// Those that are open.
    fn addresses(&self) -> BTreeMap<&'static str, String> {
        let all = [
            ("app", &self.app),
            ("mesh", &self.mesh),
            ("agent", &self.agent),
            ("admin", &self.admin),
            ("edge", &self.edge),
            ("self", &self.own),
        ];
        all.into_iter().filter(|(_door, address)| !address.is_empty()).map(|(door, at)| (door, at.clone())).collect()
    }
}
