//! Why a process is asked to stop: signals of the operator, or a parent that went away.

use std::{fmt, io};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

/// Why the process stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The work ended by itself.
    Done,
    /// SIGTERM: others still route to us for a while.
    Terminate,
    /// SIGINT: somebody sits in front of it.
    Interrupt,
    /// The parent closed our stdin or died.
    ParentGone,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "work ended",
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
            Self::ParentGone => "stdin closed",
        })
    }
}

/// Waits for reasons to stop, one after the other.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    parent: mpsc::Receiver<()>,
}

impl Signals {
    /// Listens from now on; needs a tokio runtime.
    pub(super) fn listen(exit_on_stdin_close: bool) -> io::Result<Self> {
        let (gone, parent) = mpsc::channel(1);
        if exit_on_stdin_close {
            // A thread of its own: a blocked read of stdin cannot be cancelled.
            std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
                read_to_end(io::stdin().lock());
                if gone.blocking_send(()).is_err() {
                    tracing::debug!("stdin closed while stopping already");
                }
            })?;
        } else {
            // Without a sender the receiver is empty for ever, and `next` leaves it out.
            drop(gone);
        }
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())?, parent })
    }

    /// The next reason. May be dropped at any time; nothing is lost.
    pub(super) async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.terminate.recv() => Stop::Terminate,
            _ = self.interrupt.recv() => Stop::Interrupt,
            Some(()) = self.parent.recv() => Stop::ParentGone,
        }
    }
}

fn read_to_end(mut input: impl io::Read) {
    let mut sink = [0; 1024];
    loop {
        match input.read(&mut sink) {
            Ok(0) => return,
            Ok(_) => {}
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
