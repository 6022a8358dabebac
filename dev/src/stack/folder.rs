//! The work folder of one stack: readable by its owner alone, with a short path, gone when the stack is.

use std::{
    env,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirBuilderExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use aws_lc_rs::rand;

use super::{
    fault::{Problem, StackFault},
    leftover::{self, WORK_FOLDER, make_passage, make_private},
};

/// Longest path of a Unix socket in bytes: `sun_path` less its closing zero (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;
const SOCKET: &str = "identity.sock";
/// The longest path of a socket in it.
const LONGEST_SOCKET: &str = "spire/server/api.sock";
/// A process that was killed this very moment may still be writing: how often, and how far apart, removal is tried.
const REMOVALS_MAX: usize = 40;
const REMOVAL_PAUSE: Duration = Duration::from_millis(50);
const RECORD: &str = "record.jsonl";

/// A folder that nobody else reads. Removed when dropped, unless something is left.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// `None`: another process removes it.
    leave: Option<Leave>,
    /// Tells those who look for leftovers that it is in use.
    _lock: File,
}

/// What stays of the work folder after a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Nothing.
    Nothing,
    /// The record alone, so that it can be read.
    Record,
    /// All of it.
    Everything,
}

impl Folder {
    /// Makes the folder under TMPDIR, with mode 0700.
    pub(super) fn make() -> Result<Self, StackFault> {
        let parent = env::temp_dir();
        leftover::sweep(&parent);
        Self::make_in(&parent)
    }

    fn make_in(parent: &Path) -> Result<Self, StackFault> {
        let path = parent.join(format!("{WORK_FOLDER}{}", random_name()));
        let unmade =
            |path: &Path, source| StackFault::general(Problem::NoFolder { path: path.to_owned(), source }, None);
        // Every process has it in its configuration, which says absolute paths.
        let path = std::path::absolute(&path).map_err(|source| unmade(&path, source))?;
        let socket = path.join(LONGEST_SOCKET);
        if socket.as_os_str().as_bytes().len() > SOCKET_PATH_BYTES_MAX {
            return Err(StackFault::general(Problem::PathTooLong(socket), None));
        }
        if !socket.as_os_str().as_bytes().iter().all(is_plain) {
            return Err(StackFault::general(Problem::PathNotPlain(socket), None));
        }
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|source| unmade(&path, source))?;
        let lock = leftover::hold_new(&path).map_err(|source| unmade(&path, source))?;
        let folder = Self { path, leave: Some(Leave::Nothing), _lock: lock };
        for name in ["log", "policies", "ledger", "store"] {
            let path = folder.path.join(name);
            make_private(&path).map_err(|source| folder.fault(path.clone(), source))?;
        }
        // Each process writes into a folder of its own in there.
        let ready = folder.path.join("ready");
        make_passage(&ready).map_err(|source| folder.fault(ready.clone(), source))?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.path.join(SOCKET)
    }

    pub(super) fn log(&self, process: &str) -> PathBuf {
        self.path.join("log").join(format!("{process}.log"))
    }

    pub(super) fn ready(&self, process: &str) -> PathBuf {
        self.path.join("ready").join(process).join("addresses.json")
    }

    pub(super) fn ledger(&self) -> PathBuf {
        self.path.join("ledger")
    }

    pub(super) fn record(&self) -> PathBuf {
        self.ledger().join(RECORD)
    }

    /// Writes a file that only its owner reads, and returns its path.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> Result<PathBuf, StackFault> {
        let path = self.path.join(name);
        let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let written = opened.and_then(|mut file| file.write_all(content));
        written.map_err(|source| self.fault(path.clone(), source))?;
        Ok(path)
    }

    /// What stays when this is dropped; until it is said, nothing does.
    pub(super) fn leave(&mut self, leave: Leave) {
        self.leave = Some(leave);
    }

    /// It is another process's from now on, which holds its lock and removes it.
    pub(super) fn hand_over(&mut self) {
        self.leave = None;
    }

    fn fault(&self, path: PathBuf, source: std::io::Error) -> StackFault {
        StackFault::general(Problem::File { path, source }, Some(self.path.clone()))
    }

    /// A test that failed wants to be looked into.
    #[expect(clippy::print_stderr, reason = "a failed test's output is the one place where this is looked for")]
    fn point_out(&self) {
        eprintln!("the stack's work folder stays: {}", self.path.display());
    }

    fn remove(&self) -> io::Result<()> {
        match self.leave {
            None => Ok(()),
            Some(Leave::Everything) => leftover::keep(&self.path),
            Some(Leave::Record) => self.remove_all_but_record(),
            Some(Leave::Nothing) => fs::remove_dir_all(&self.path),
        }
    }

    fn remove_all_but_record(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path == self.ledger() {
                continue;
            }
            if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }?;
        }
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if thread::panicking() {
            self.leave = Some(Leave::Everything);
            self.point_out();
        }
        let mut removed = self.remove();
        for _attempt in 0..REMOVALS_MAX {
            if removed.is_ok() {
                return;
            }
            thread::sleep(REMOVAL_PAUSE);
            removed = self.remove();
        }
        if let Err(error) = removed {
            tracing::warn!(%error, folder = %self.path.display(), "the work folder could not be removed");
        }
    }
}

/// Characters of a path that stand for themselves in a URI (RFC 3986 §2.3) and in a configuration file.
fn is_plain(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-._~".contains(byte)
}

/// Six random bytes in hexadecimal; the folder's creation fails if the name is taken.
fn random_name() -> String {
    let mut bytes = [0_u8; 6];
    if rand::fill(&mut bytes).is_err() {
        return format!("{:012x}", std::process::id());
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn nobody_else_reads_the_folder_or_its_files() {
        let folder = Folder::make().expect("made");
        let key = folder.write("wrapping.key", &[0; 32]).expect("written");
        assert_eq!((mode(folder.path()), mode(&key)), (0o700, 0o600));
    }

    #[test]
    fn only_what_is_left_stays() {
        let mut folder = Folder::make().expect("made");
        folder.write("ledger/record.jsonl", b"{}\n").expect("written");
        folder.write("wrapping.key", &[0; 32]).expect("written");
        let (path, record) = (folder.path().to_owned(), folder.record());
        folder.leave(Leave::Record);
        drop(folder);
        assert!(record.exists());
        assert_eq!(fs::read_dir(&path).expect("stays").count(), 1);
        fs::remove_dir_all(path).expect("removed");
    }

    #[test]
    fn a_place_that_cannot_be_is_told_before_anything_starts() {
        let fault = |parent: &str| Folder::make_in(Path::new(parent)).map(drop).expect_err("refused").to_string();
        for (parent, words) in [
            ("/proc/nowhere", "that you may write to"),
            ("/tmp/a b", "characters"),
            (&format!("/tmp/{}", "a".repeat(SOCKET_PATH_BYTES_MAX)), "too long"),
        ] {
            let told = fault(parent);
            assert!(told.contains(words) && told.contains("set TMPDIR"), "{told}");
        }
    }

    #[test]
    fn nothing_stays_when_nothing_is_left() {
        let folder = Folder::make().expect("made");
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!path.exists());
    }
}
