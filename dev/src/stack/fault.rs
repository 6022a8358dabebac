//! Why a stack did not start or a step in it failed: which process, how its log ends, where to look.

use std::{fs, io, path::PathBuf, process::ExitStatus, time::Duration};

use http::StatusCode;

use super::folder::Folder;
use crate::{
    apps::AnswerFault,
    identity::RegistrarFault,
    real::{admin::AdminFault, spire::SpireFault},
};

/// How many of the last lines of a log are shown.
pub const LOG_TAIL_LINES: usize = 20;

/// What went wrong, and with whom.
#[derive(Debug, thiserror::Error)]
#[error("{}{problem}", .process.as_deref().map(|name| format!("`{name}`: ")).unwrap_or_default())]
pub struct StackFault {
    /// The process, where it is one's fault.
    pub process: Option<String>,
    /// What went wrong.
    #[source]
    pub problem: Problem,
    /// The last lines of its log, at most [`LOG_TAIL_LINES`].
    pub log_tail: Vec<String>,
    /// The work folder, where there is one already.
    pub folder: Option<PathBuf>,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Programs are not where the others are.
    #[error("there is no {}: build the whole workspace (`cargo demo` does)", listed(.0))]
    NoProgram(Vec<PathBuf>),
    /// A file or folder.
    #[error("`{}` cannot be written", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The work folder cannot be made.
    #[error("`{}` cannot be made: set TMPDIR to a folder that you may write to", .path.display())]
    NoFolder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A Unix socket's path would be longer than the kernel takes.
    #[error("`{}` is too long a path for a socket: set TMPDIR to a shorter folder", .0.display())]
    PathTooLong(PathBuf),
    /// The socket's path stands in a URI, where not every character can stand.
    #[error("`{}` has characters that no address of a socket can hold: set TMPDIR to another folder", .0.display())]
    PathNotPlain(PathBuf),
    /// No port could be reserved.
    #[error("no port can be reserved")]
    Port(#[source] io::Error),
    /// A real peer is not on this machine.
    #[error(transparent)]
    Missing(Box<peers::Missing>),
    /// SPIRE did not do what it was told.
    #[error(transparent)]
    Spire(Box<SpireFault>),
    /// Keycloak did not do what its administrator said.
    #[error(transparent)]
    Keycloak(Box<AdminFault>),
    /// The process could not be started.
    #[error("it cannot be started")]
    Spawn(#[source] io::Error),
    /// The process ended before it was ready.
    #[error("it ended before it was ready ({0})")]
    Ended(ExitStatus),
    /// The process ended while others needed it.
    #[error("it ended ({0})")]
    EndedLater(ExitStatus),
    /// The process was not ready in time.
    #[error("it was not ready within {} seconds: {why}", .within.as_secs())]
    NotReady {
        /// How long it was given.
        within: Duration,
        /// What it waits for, as it says itself.
        why: String,
    },
    /// It could not be given its identity.
    #[error("it cannot be given an identity")]
    Register(#[from] RegistrarFault),
    /// It holds an id that is no SPIFFE ID.
    #[error("`{0}` is no SPIFFE ID")]
    Id(String),
    /// It does not answer.
    #[error("it does not answer")]
    Call(#[from] AnswerFault),
    /// It answered with this status.
    #[error("it answered {0}")]
    Refused(StatusCode),
    /// An attempt of the attacker could not even be made.
    #[error("the attempt could not be made: {0}")]
    Attack(String),
    /// There is no process of this name.
    #[error("there is no such process")]
    Unknown,
}

impl From<peers::Missing> for Problem {
    fn from(missing: peers::Missing) -> Self {
        Self::Missing(Box::new(missing))
    }
}

impl From<SpireFault> for Problem {
    fn from(fault: SpireFault) -> Self {
        Self::Spire(Box::new(fault))
    }
}

impl From<AdminFault> for Problem {
    fn from(fault: AdminFault) -> Self {
        Self::Keycloak(Box::new(fault))
    }
}

fn listed(programs: &[PathBuf]) -> String {
    programs.iter().map(|program| format!("`{}`", program.display())).collect::<Vec<_>>().join(", ")
}

impl StackFault {
    /// A fault of `process`, with the end of its log.
    pub(super) fn of(process: &str, problem: Problem, folder: &Folder) -> Self {
        let log = fs::read_to_string(folder.log(process)).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(LOG_TAIL_LINES)..).unwrap_or_default();
        Self {
            process: Some(process.to_owned()),
            problem,
            log_tail: tail.iter().map(|line| (*line).to_owned()).collect(),
            folder: Some(folder.path().to_owned()),
        }
    }

    /// A fault that is no process's.
    pub(super) const fn general(problem: Problem, folder: Option<PathBuf>) -> Self {
        Self { process: None, problem, log_tail: Vec::new(), folder }
    }
}
