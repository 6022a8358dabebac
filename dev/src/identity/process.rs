//! A process, pinned by a pidfd: as long as the value lives, another process that got the same pid is told apart.
//! Nothing here looks at a uid or at `/proc/PID/exe`: in development the one is the same for all, the other hidden.

use std::{
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::UnixStream as StdUnixStream,
    },
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{getsockopt, sockopt::PeerPidfd},
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::UnixStream,
};

/// A process that cannot be mistaken for a later one with its pid.
#[derive(Debug)]
pub(super) struct Process {
    pidfd: OwnedFd,
}

/// How the caller at the other end of a socket is pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pinning {
    /// `SO_PEERPIDFD` (Linux 6.5): the kernel pinned the process when it connected.
    PeerPidfd,
    /// `SO_PEERCRED`, then `pidfd_open`, with equal start times before and after.
    Credentials,
}

impl Process {
    /// Pins the process that has `pid` now.
    pub(super) fn open(pid: u32) -> io::Result<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self { pidfd: pidfd_open(pid, PidfdFlags::empty())? })
    }

    /// Pins the process that connected to `stream`.
    pub(super) fn peer(stream: &UnixStream, pinning: Pinning) -> io::Result<Self> {
        match pinning {
            Pinning::PeerPidfd => Ok(Self { pidfd: getsockopt(stream, PeerPidfd)? }),
            Pinning::Credentials => {
                let pid = stream.peer_cred()?.pid().ok_or(io::ErrorKind::NotFound)?;
                let pid = u32::try_from(pid).map_err(io::Error::other)?;
                let started = start_time(pid)?;
                let process = Self::open(pid)?;
                if start_time(pid)? == started { Ok(process) } else { Err(io::ErrorKind::NotFound.into()) }
            }
        }
    }

    /// Its pid; `None` once it ended and was reaped.
    pub(super) fn pid(&self) -> Option<u32> {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", self.pidfd.as_raw_fd())).ok()?;
        info.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse().ok()
    }

    /// Whether it runs: a pidfd becomes readable when its process ends.
    pub(super) fn alive(&self) -> bool {
        let mut ended = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        poll(&mut ended, PollTimeout::ZERO) == Ok(0)
    }

    /// Whether both are one process. Both pidfds were open before this call, so if both live at its end, they lived
    /// side by side with the pids that were read, and two living processes never share a pid.
    pub(super) fn is(&self, other: &Self) -> bool {
        let (own, others) = (self.pid(), other.pid());
        own.is_some() && own == others && self.alive() && other.alive()
    }

    /// Waits until it ended. May be dropped at any time.
    pub(super) async fn ended(&self) -> io::Result<()> {
        #[expect(
            deprecated,
            reason = "unsound only for types that lie about their descriptor; the replacement is unsafe"
        )]
        let watched = AsyncFd::with_interest(self.pidfd.try_clone()?, Interest::READABLE)?;
        let _ready = watched.readable().await?;
        Ok(())
    }
}

impl Pinning {
    /// What this kernel offers; asked once, so that the log says it once.
    pub(super) fn probe() -> io::Result<Self> {
        let (end, _other) = StdUnixStream::pair()?;
        match getsockopt(&end, PeerPidfd) {
            Ok(_pidfd) => Ok(Self::PeerPidfd),
            Err(Errno::ENOPROTOOPT) => {
                tracing::warn!("kernel before 6.5 has no SO_PEERPIDFD: callers are pinned by pid and start time");
                Ok(Self::Credentials)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// When the process started, in clock ticks since boot: field 22 of `/proc/PID/stat` (proc(5)).
fn start_time(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The command, field 2, stands in parentheses and may hold any character, so fields are counted after it.
    let (_command, fields) = stat.rsplit_once(')').ok_or(io::ErrorKind::InvalidData)?;
    fields
        .split_whitespace()
        .nth(19)
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("600").spawn().expect("sleep starts")
    }

    #[test]
    fn two_pins_of_one_living_process_are_the_same() {
        let own = Process::open(std::process::id()).expect("own process");
        assert!(own.is(&Process::open(std::process::id()).expect("again")));
        assert_eq!(own.pid(), Some(std::process::id()));
    }

    #[test]
    fn another_process_is_not_the_same() {
        let mut child = sleeper();
        let (own, other) = (Process::open(std::process::id()), Process::open(child.id()));
        assert!(!own.expect("own process").is(&other.expect("child")));
        child.kill().expect("kill");
        child.wait().expect("reaped");
    }

    #[tokio::test]
    async fn an_ended_process_is_never_the_same_again() {
        let mut child = sleeper();
        let pins = (Process::open(child.id()).expect("child"), Process::open(child.id()).expect("child"));
        assert!(pins.0.is(&pins.1));
        child.kill().expect("kill");
        pins.0.ended().await.expect("watched");
        assert!(!pins.0.is(&pins.1), "a zombie keeps its pid");
        child.wait().expect("reaped");
        assert!(!pins.0.is(&pins.1));
    }

    #[tokio::test]
    async fn both_ways_of_pinning_find_the_peer() {
        let own = Process::open(std::process::id()).expect("own process");
        let (end, _other) = UnixStream::pair().expect("a pair");
        for pinning in [Pinning::PeerPidfd, Pinning::Credentials] {
            if pinning == Pinning::PeerPidfd && Pinning::probe().expect("probe") == Pinning::Credentials {
                continue;
            }
            assert!(own.is(&Process::peer(&end, pinning).expect("peer")), "{pinning:?}");
        }
    }
}
