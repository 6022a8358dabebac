//! `countersign demo`: one user's request through a whole stack, shown as it happens and checked as it goes.
//! Nothing in it is pretended: hops are read from the broker's record, refusals are real answers, counts are asked from
//! the processes. It says `ok` only if everything was as expected.

mod event;
mod json;
mod keep;
mod record;
mod refusals;
mod screen;
mod sign_out;
mod story;

use std::{path::Path, pin::pin, process::ExitCode, time::Duration};

use dev::{
    apps::Role,
    stack::{Leave, Member, Peers, Stack, StackFault, StackOptions},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, sleep},
};

use self::{
    event::{Event, PeerVersions, Summary},
    json::Lines,
    screen::Screen,
};
use crate::{look::Look, output};

/// Name of the app without a sidecar, which proves that the counter counts.
const BARE: &str = "bare";
/// Name of the process that tries what must fail.
const ATTACKER: &str = "attacker";
/// Name of the listener that no target names.
const EVIL: &str = "evil";
/// Apps that stand behind a sidecar and must never see a token.
const APPS: [&str; 3] = ["planner", "researcher", "tickets"];

/// How often it is shown that the start goes on.
const PROGRESS_EVERY: Duration = Duration::from_secs(3);
/// What is left of the process at the end is background work; it is not waited for longer.
const RUNTIME_END_MAX: Duration = Duration::from_millis(500);

/// How to show it.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Options {
    /// Leave the stack running until Ctrl-C, and print addresses and commands to play with
    #[arg(long)]
    keep: bool,
    /// Print one JSON object a line; the last one is the summary
    #[arg(long)]
    json: bool,
    /// Run it on a real Keycloak and a real SPIRE, and sign alice out in the middle of a transaction
    ///
    /// They must be on this machine: `cargo xtask demo --real` fetches them first.
    #[arg(long)]
    real: bool,
}

/// Where events go.
enum Output {
    Screen(Screen<std::io::Stdout>),
    Lines(Lines<std::io::Stdout>),
}

/// What is gathered on the way.
struct Run {
    output: Output,
    began: Instant,
    summary: Summary,
    /// What was not as expected, in words.
    unexpected: Vec<String>,
}

/// Runs the demo.
pub(crate) fn main(options: Options) -> ExitCode {
    runtime::tls::install_provider();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::refuse(&format!("cannot start: {error}"), 1),
    };
    let ok = runtime.block_on(run(options));
    runtime.shutdown_timeout(RUNTIME_END_MAX);
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether all was as expected. Told to stop on the way, it ends every process; a story half told is no success.
async fn run(options: Options) -> bool {
    let output = if options.json {
        Output::Lines(Lines::new(std::io::stdout()))
    } else {
        Output::Screen(Screen::new(std::io::stdout(), Look::of_stdout()))
    };
    let mut interrupts = Interrupts::listen();
    let mut run = Run { output, began: Instant::now(), summary: summary(options.real), unexpected: Vec::new() };
    run.show(&Event::Starting { real: options.real });
    let Some(started) = start(&mut run, options.real, &mut interrupts).await else { return run.end_early() };
    let stack = match started {
        Ok(stack) => stack,
        Err(fault) => return run.end_with_fault(&fault),
    };
    run.show(&Event::Started { processes: stack.processes().count(), seconds: run.began.elapsed().as_secs_f64() });
    let played = tokio::select! {
        played = run.play(&stack) => played,
        () = interrupts.next() => {
            stack.stop(Leave::Nothing).await;
            return run.end_early();
        }
    };
    match played {
        Ok(()) => run.end(stack, options.keep, &mut interrupts).await,
        Err(fault) => {
            let ok = run.end_with_fault(&fault);
            stack.stop(Leave::Everything).await;
            ok
        }
    }
}

fn summary(real: bool) -> Summary {
    let versions = PeerVersions { keycloak: peers::pins::KEYCLOAK, spire: peers::pins::SPIRE };
    Summary { peers: real.then_some(versions), ..Summary::default() }
}

/// Starts the stack and shows that it goes on; `None` when told to stop.
async fn start(run: &mut Run, real: bool, interrupts: &mut Interrupts) -> Option<Result<Stack, StackFault>> {
    let mut starting = pin!(Stack::start(stack_options(real)));
    let mut interrupted = pin!(interrupts.next());
    loop {
        tokio::select! {
            started = &mut starting => return Some(started),
            () = &mut interrupted => return None,
            () = sleep(PROGRESS_EVERY) => {
                run.show(&Event::StillStarting { seconds: run.began.elapsed().as_secs_f64() });
            }
        }
    }
}

/// The story's stack, and three who are outside of it.
fn stack_options(real: bool) -> StackOptions {
    let mut options = StackOptions::story();
    options.peers = if real { Peers::Real } else { Peers::Embedded };
    let (researcher, planner) = (options.agent_id("researcher"), options.agent_id("planner"));
    options.members.extend([
        Member::alone(BARE, Role::Tickets),
        Member::alone(EVIL, Role::Evil),
        Member::alone(ATTACKER, Role::Attacker).holding(&researcher, "researcher").holding(&planner, "planner"),
    ]);
    options
}

/// Ctrl-C, SIGTERM, and the end of the terminal. Listened to before anything is started, and by one listener to the end:
/// else a signal between two of them would end us as it ends who does not listen, and leave what was started.
pub(crate) struct Interrupts(Option<[Signal; 3]>);

impl Interrupts {
    /// Listens from now on; needs a tokio runtime.
    pub(crate) fn listen() -> Self {
        let listen = || {
            std::io::Result::Ok([
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            ])
        };
        Self(listen().ok())
    }

    /// The next one, or one that came since. May be dropped at any time.
    pub(crate) async fn next(&mut self) {
        let Some([interrupt, terminate, hangup]) = &mut self.0 else { return std::future::pending().await };
        tokio::select! {
            _signal = interrupt.recv() => {}
            _signal = terminate.recv() => {}
            _signal = hangup.recv() => {}
        }
    }
}

/// How this program was called, as one would type it here again.
pub(crate) fn called_as() -> String {
    let called = std::env::args().next().unwrap_or_else(|| "countersign".to_owned());
    let here = std::env::current_dir().unwrap_or_default();
    let within = Path::new(&called).strip_prefix(here).ok().map(|path| path.display().to_string());
    within.unwrap_or(called)
}

impl Run {
    async fn play(&mut self, stack: &Stack) -> Result<(), StackFault> {
        let alice = story::tell(self, stack).await?;
        self.count_tokens(stack, &alice).await?;
        refusals::try_all(self, stack, &alice).await?;
        sign_out::play(self, stack).await?;
        self.summary.tokens_seen_by_apps = tokens_seen(stack).await?;
        self.expect(self.summary.tokens_seen_by_apps == 0, "a token reached an app's process");
        Ok(())
    }

    /// Sends the user's token to an app without a sidecar: a counter that finds it there finds it elsewhere too.
    async fn count_tokens(&mut self, stack: &Stack, alice: &str) -> Result<(), StackFault> {
        story::show_token_to_bare_app(stack, alice).await?;
        self.summary.control_tokens_seen = stack.seen(BARE).await?.tokens;
        let apps = tokens_seen(stack).await?;
        self.expect(self.summary.control_tokens_seen == 1, "the control did not find exactly one token");
        self.show(&Event::Tokens { control: self.summary.control_tokens_seen, apps });
        Ok(())
    }

    async fn end(mut self, mut stack: Stack, keep: bool, interrupts: &mut Interrupts) -> bool {
        let ok = self.unexpected.is_empty();
        self.summary.ok = ok;
        for unexpected in std::mem::take(&mut self.unexpected) {
            self.show(&Event::Unexpected { what: unexpected });
        }
        if !ok && let Some(fault) = stack.first_ended() {
            self.show(&Event::Failed(event::Failed::of(&fault)));
        }
        self.show(&Event::Ended(event::Ended {
            ok,
            seconds: self.began.elapsed().as_secs_f64(),
            txn: self.summary.hops.first().map(|hop| hop.txn.clone()).unwrap_or_default(),
            record: stack.record_file(),
            records: stack.records().len(),
            folder: (!ok).then(|| stack.folder().to_owned()),
            next: [
                if stack.admin().is_some() { "demo --real --keep" } else { "demo --keep" },
                "explain scope.not_permitted",
            ]
            .map(|words| format!("{} {words}", called_as()))
            .to_vec(),
        }));
        if keep {
            self.show(&Event::Kept(Box::new(keep::kept(&stack))));
        }
        self.show(&Event::Summary(self.summary.clone()));
        if keep {
            interrupts.next().await;
        }
        stack.stop(if ok { Leave::Record } else { Leave::Everything }).await;
        ok
    }

    /// Told to stop before the end; every process was ended already.
    fn end_early(&mut self) -> bool {
        self.show(&Event::Stopped);
        self.summary.ok = false;
        self.show(&Event::Summary(self.summary.clone()));
        false
    }

    fn end_with_fault(&mut self, fault: &StackFault) -> bool {
        self.show(&Event::Failed(event::Failed::of(fault)));
        self.summary.ok = false;
        self.show(&Event::Summary(self.summary.clone()));
        false
    }

    /// Notes what was not as expected.
    fn expect(&mut self, holds: bool, otherwise: &str) {
        if !holds {
            self.unexpected.push(otherwise.to_owned());
        }
    }

    fn show(&mut self, event: &Event) {
        let shown = match &mut self.output {
            Output::Screen(screen) => screen.show(event),
            Output::Lines(lines) => lines.show(event),
        };
        if let Err(error) = shown {
            self.unexpected.push(format!("the output cannot be written: {error}"));
        }
    }
}

/// Tokens that reached any of the apps behind sidecars.
async fn tokens_seen(stack: &Stack) -> Result<usize, StackFault> {
    let mut tokens: usize = 0;
    for app in APPS {
        tokens = tokens.saturating_add(stack.seen(app).await?.tokens);
    }
    Ok(tokens)
}
