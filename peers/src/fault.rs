//! Why a peer could not be had.

use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{machine::Lacking, progress::elapsed};

/// Why a peer could not be had. Its text may have several lines: the last ones of a command that failed are part of it.
#[derive(Debug)]
#[non_exhaustive]
pub enum FetchFault {
    /// The machine lacks what is needed for it; all of it is listed.
    Machine(Vec<Lacking>),
    /// A command failed, or ended before it was told to.
    Failed {
        /// As one types it.
        command: String,
        /// How it ended.
        status: String,
        /// Its last lines.
        lines: Vec<String>,
        /// Everything that it said.
        log: PathBuf,
    },
    /// A command took too long and was ended.
    Late {
        /// As one types it.
        command: String,
        /// How long it was waited for.
        limit: Duration,
        /// Its last lines.
        lines: Vec<String>,
        /// Everything that it said.
        log: PathBuf,
    },
    /// What came is not what is pinned, or does not do what it must.
    Wrong(String),
    /// Another run holds the cache for too long.
    Locked(PathBuf),
    /// A file or folder cannot be read or written.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A command cannot be started.
    Start {
        /// As one types it.
        command: String,
        /// Why.
        source: io::Error,
    },
}

impl FetchFault {
    /// For `map_err`: the file system refused at this path.
    pub(crate) fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::File { path, source }
    }
}

impl fmt::Display for FetchFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine(lacking) => {
                write!(formatter, "this machine lacks what is needed")?;
                lacking
                    .iter()
                    .try_for_each(|Lacking { what, remedy }| write!(formatter, "\n  {what}\n    get it: {remedy}"))
            }
            Self::Failed { command, status, lines, log } => {
                write!(formatter, "`{command}` failed: {status}")?;
                said(formatter, lines, log)
            }
            Self::Late { command, limit, lines, log } => {
                write!(formatter, "`{command}` was ended after {}", elapsed(*limit))?;
                said(formatter, lines, log)
            }
            Self::Wrong(what) => formatter.write_str(what),
            Self::Locked(lock) => write!(formatter, "another run has held `{}` for too long", lock.display()),
            Self::File { path, .. } => write!(formatter, "`{}` cannot be read or written", path.display()),
            Self::Start { command, .. } => write!(formatter, "`{command}` cannot be started"),
        }
    }
}

fn said(formatter: &mut fmt::Formatter<'_>, lines: &[String], log: &Path) -> fmt::Result {
    lines.iter().try_for_each(|line| write!(formatter, "\n  | {line}"))?;
    write!(formatter, "\nall of its output: {}", log.display())
}

impl Error for FetchFault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::File { source, .. } | Self::Start { source, .. } => Some(source),
            Self::Machine(_) | Self::Failed { .. } | Self::Late { .. } | Self::Wrong(_) | Self::Locked(_) => None,
        }
    }
}
