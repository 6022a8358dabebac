//! A connection to a running instance, from the side of who asks.

use std::{io, path::PathBuf, time::Duration};

use rustix::process::geteuid;
use tokio::{
    io::{AsyncReadExt as _, BufReader},
    net::UnixStream,
    time::{Instant, sleep, timeout},
};

use super::{
    place::{Place, PlaceFault},
    wire::{Answer, Ask, Invitation, Question, Status, VERSION, Wish},
};
use crate::identity::wire;

/// Longest wait for an answer: SPIRE may have to be told of a workload first.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Longest wait for an instance that is just starting: a real Keycloak takes half a minute on a slow machine.
const STARTING_MAX: Duration = Duration::from_secs(180);
/// A wait that is longer than this is told.
const WAIT_UNTOLD: Duration = Duration::from_secs(2);
/// How often it is looked for then.
const POLL_EVERY: Duration = Duration::from_millis(50);

/// A connection. As long as it stands, a workload that joined over it has its place.
#[derive(Debug)]
pub struct Line(BufReader<UnixStream>);

/// Why nothing was answered.
#[derive(Debug, thiserror::Error)]
pub enum LineFault {
    /// None runs.
    #[error("no `countersign up` runs")]
    NotUp,
    /// It is starting or ending, and that takes long.
    #[error("`countersign up` is still starting or ending")]
    Busy,
    /// Its folder cannot be trusted.
    #[error(transparent)]
    Place(#[from] PlaceFault),
    /// Who listens there is somebody else.
    #[error("`{}` belongs to another user", .0.display())]
    Stranger(PathBuf),
    /// The connection broke.
    #[error("`countersign up` cannot be spoken to")]
    Broken(#[from] io::Error),
    /// It ended.
    #[error("`countersign up` has ended")]
    Ended,
    /// It did not answer in time.
    #[error("`countersign up` does not answer")]
    Late,
    /// It said no, in words for a person.
    #[error("{0}")]
    Refused(String),
}

impl Line {
    /// Connects to the instance at `place`. One that is starting is waited for; `waiting` is called
    /// once where that takes long.
    ///
    /// # Errors
    /// [`LineFault`].
    pub async fn open(place: &Place, waiting: impl FnOnce()) -> Result<Self, LineFault> {
        if let Some(line) = Self::connect(place).await? {
            return Ok(line);
        }
        if !place.is_taken() {
            return Err(LineFault::NotUp);
        }
        let began = Instant::now();
        let mut waiting = Some(waiting);
        while began.elapsed() < STARTING_MAX {
            sleep(POLL_EVERY).await;
            if began.elapsed() >= WAIT_UNTOLD
                && let Some(tell) = waiting.take()
            {
                tell();
            }
            if let Some(line) = Self::connect(place).await? {
                return Ok(line);
            }
            if !place.is_taken() {
                return Err(LineFault::NotUp);
            }
        }
        Err(LineFault::Busy)
    }

    /// Connects to the instance at `place` if it answers now.
    ///
    /// # Errors
    /// [`LineFault::Place`], [`LineFault::Stranger`].
    pub async fn connect(place: &Place) -> Result<Option<Self>, LineFault> {
        let Some(socket) = place.trusted_socket()? else { return Ok(None) };
        let Ok(stream) = UnixStream::connect(&socket).await else { return Ok(None) };
        if stream.peer_cred()?.uid() != geteuid().as_raw() {
            return Err(LineFault::Stranger(socket));
        }
        Ok(Some(Self(BufReader::new(stream))))
    }

    /// Asks to join.
    ///
    /// # Errors
    /// [`LineFault`].
    pub async fn join(&mut self, wish: Wish) -> Result<Invitation, LineFault> {
        match self.ask(Ask::Join(wish)).await? {
            Answer::Invited(invitation) => Ok(*invitation),
            other @ (Answer::Admitted {} | Answer::Status(_) | Answer::Refused { .. }) => Err(unexpected(other)),
        }
    }

    /// Tells that the sidecar of the invitation runs as the process `pid`, a child of ours.
    ///
    /// # Errors
    /// [`LineFault`].
    pub async fn started(&mut self, pid: u32) -> Result<(), LineFault> {
        match self.ask(Ask::Started { pid }).await? {
            Answer::Admitted {} => Ok(()),
            other @ (Answer::Invited(_) | Answer::Status(_) | Answer::Refused { .. }) => Err(unexpected(other)),
        }
    }

    /// Asks what runs.
    ///
    /// # Errors
    /// [`LineFault`].
    pub async fn status(&mut self) -> Result<Status, LineFault> {
        match self.ask(Ask::Status {}).await? {
            Answer::Status(status) => Ok(*status),
            other @ (Answer::Invited(_) | Answer::Admitted {} | Answer::Refused { .. }) => Err(unexpected(other)),
        }
    }

    /// Ends when the instance ends. May be dropped at any time.
    pub async fn closed(&mut self) {
        let mut unasked = [0_u8; 256];
        while self.0.read(&mut unasked).await.is_ok_and(|read| read > 0) {}
    }

    async fn ask(&mut self, ask: Ask) -> Result<Answer, LineFault> {
        let question = Question { version: VERSION.to_owned(), ask };
        let asked = async {
            wire::write(&mut self.0, &question).await?;
            wire::read(&mut self.0).await?.ok_or(LineFault::Ended)
        };
        timeout(ANSWER_MAX, asked).await.map_err(|_elapsed| LineFault::Late)?
    }
}

fn unexpected(answer: Answer) -> LineFault {
    match answer {
        Answer::Refused { why } => LineFault::Refused(why),
        Answer::Invited(_) | Answer::Admitted {} | Answer::Status(_) => {
            io::Error::new(io::ErrorKind::InvalidData, "another answer than was asked for").into()
        }
    }
}
