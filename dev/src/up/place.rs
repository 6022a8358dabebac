//! Where an instance of `countersign up` is found: a folder that is the user's alone, with a lock, a socket and a note
//! of the work folder. The lock says whether one runs, so that what a killed one left is told from what is in use.
//! The only place here that asks the environment.

use std::{
    env,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;

use crate::stack::is_work_folder;

/// Longest name of an instance: its socket's path must stay short.
const NAME_LENGTH_MAX: usize = 32;
/// Longest path of a Unix socket in bytes: `sun_path` less its closing zero (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// How the folder is called where nobody says where such folders are; the user's number follows.
const IN_TEMPORARY: &str = "countersign-";
/// How often the lock is tried: somebody may be asking for it just now, or may just have removed its file.
const LOCK_ATTEMPTS_MAX: usize = 16;
/// The pause between.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// The place of one instance, whether it runs or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    folder: PathBuf,
    name: String,
}

/// The place of an instance that is ours until this is dropped; then nothing of it is left.
#[derive(Debug)]
pub struct Taken {
    place: Place,
    _lock: File,
}

/// What a killed instance had left, and is removed now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Whether there was anything.
    pub anything: bool,
    /// Its work folder.
    pub work_folder: Option<PathBuf>,
}

/// Why there is no place.
#[derive(Debug, thiserror::Error)]
pub enum PlaceFault {
    /// Not a name.
    #[error("`{0}` is no name of an instance: write 1 to {NAME_LENGTH_MAX} lower-case letters, digits and `-`")]
    Name(String),
    /// The folder or a file in it cannot be used.
    #[error("`{}` cannot be used", .path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody else could read or change what is in it.
    #[error("`{}` must be a folder that is yours alone (mode 0700); remove it, or set XDG_RUNTIME_DIR", .0.display())]
    NotOurs(PathBuf),
    /// The socket's path is longer than the kernel takes.
    #[error("`{}` is too long a path for a socket: set XDG_RUNTIME_DIR to a shorter folder", .0.display())]
    TooLong(PathBuf),
    /// An instance of this name runs.
    #[error("an instance of this name runs already")]
    Taken,
}

/// What a killed instance tells its successor.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    work_folder: PathBuf,
}

impl Place {
    /// The place of the instance `name` of this user: below `$XDG_RUNTIME_DIR`, else in the temporary folder.
    ///
    /// # Errors
    /// [`PlaceFault::Name`], [`PlaceFault::TooLong`].
    pub fn of_user(name: &str) -> Result<Self, PlaceFault> {
        let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
        let folder = match runtime {
            Some(runtime) => runtime.join("countersign"),
            None => env::temp_dir().join(format!("{IN_TEMPORARY}{}", geteuid().as_raw())),
        };
        Self::within(folder, name)
    }

    /// The place of the instance `name` in `folder`.
    pub(super) fn within(folder: PathBuf, name: &str) -> Result<Self, PlaceFault> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > NAME_LENGTH_MAX || !name.bytes().all(plain) {
            return Err(PlaceFault::Name(name.to_owned()));
        }
        let place = Self { folder, name: name.to_owned() };
        let socket = place.socket();
        if socket.as_os_str().as_bytes().len() > SOCKET_PATH_BYTES_MAX {
            return Err(PlaceFault::TooLong(socket));
        }
        Ok(place)
    }

    /// The instance's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes the place, and removes what a killed instance left in it.
    ///
    /// # Errors
    /// [`PlaceFault::Taken`] when one runs; the others when the folder cannot be used.
    pub fn take(&self) -> Result<(Taken, Cleared), PlaceFault> {
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(PlaceFault::Unusable { path: self.folder.clone(), source }),
        }
        self.check_folder()?;
        let taken = Taken { place: self.clone(), _lock: self.lock()? };
        let cleared = self.clear();
        Ok((taken, cleared))
    }

    /// Whether an instance holds the place now: it runs, starts or ends.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        // The lock is given back at once: it was only asked for.
        File::open(self.file("lock")).is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Where the instance listens, if its folder is there and can be trusted.
    ///
    /// # Errors
    /// [`PlaceFault::NotOurs`]: somebody else could have put a socket there.
    pub(super) fn trusted_socket(&self) -> Result<Option<PathBuf>, PlaceFault> {
        match self.check_folder() {
            Ok(()) => Ok(Some(self.socket())),
            Err(PlaceFault::Unusable { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    fn socket(&self) -> PathBuf {
        self.file("sock")
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.folder.join(format!("{}.{kind}", self.name))
    }

    fn check_folder(&self) -> Result<(), PlaceFault> {
        let path = || self.folder.clone();
        let found = fs::symlink_metadata(&self.folder);
        let found = found.map_err(|source| PlaceFault::Unusable { path: path(), source })?;
        if found.is_dir() && is_ours_alone(&found) { Ok(()) } else { Err(PlaceFault::NotOurs(path())) }
    }

    /// Locks the file `<name>.lock`. An instance that ends removes it, so what was locked must still be what lies there.
    fn lock(&self) -> Result<File, PlaceFault> {
        let path = self.file("lock");
        let unusable = |source| PlaceFault::Unusable { path: path.clone(), source };
        for _attempt in 0..LOCK_ATTEMPTS_MAX {
            let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
            let lock = opened.map_err(unusable)?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    thread::sleep(LOCK_PAUSE);
                    continue;
                }
                Err(TryLockError::Error(source)) => return Err(unusable(source)),
            }
            let held = lock.metadata().map_err(unusable)?;
            if fs::symlink_metadata(&path).is_ok_and(|there| (there.dev(), there.ino()) == (held.dev(), held.ino())) {
                return Ok(lock);
            }
        }
        Err(PlaceFault::Taken)
    }

    /// Only ever called by who holds the lock.
    fn clear(&self) -> Cleared {
        let note = fs::read(self.file("json")).ok().and_then(|text| serde_json::from_slice::<Note>(&text).ok());
        // Read from a folder of our own, and still nothing else than a work folder is removed by it.
        let work_folder = note.map(|note| note.work_folder).filter(|folder| is_work_folder(folder));
        let socket = remove(&self.socket());
        let note = remove(&self.file("json"));
        if let Some(Err(error)) = work_folder.as_ref().map(fs::remove_dir_all) {
            tracing::warn!(%error, "the work folder of a killed instance cannot be removed");
        }
        Cleared { anything: socket || note, work_folder }
    }
}

impl Taken {
    /// The place.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Notes the work folder for whoever finds us killed.
    ///
    /// # Errors
    /// [`PlaceFault::Unusable`].
    pub fn note(&self, work_folder: &Path) -> Result<(), PlaceFault> {
        let path = self.place.file("json");
        let write = |text: Vec<u8>| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(&text)
        };
        let text = serde_json::to_vec(&Note { work_folder: work_folder.to_owned() });
        let written = text.map_err(io::Error::from).and_then(write);
        written.map_err(|source| PlaceFault::Unusable { path, source })
    }

    /// Listens. Nobody but the user reaches the socket.
    pub(super) fn listen(&self) -> Result<UnixListener, PlaceFault> {
        let path = self.place.socket();
        let listen = || -> io::Result<UnixListener> {
            let listener = UnixListener::bind(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        };
        listen().map_err(|source| PlaceFault::Unusable { path: path.clone(), source })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // The lock's own file last, while it is still locked.
        for kind in ["sock", "json", "lock"] {
            remove(&self.place.file(kind));
        }
    }
}

/// Whether there was such a file and it is gone.
fn remove(path: &Path) -> bool {
    match fs::remove_file(path) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "cannot be removed");
            false
        }
    }
}

fn is_ours_alone(found: &fs::Metadata) -> bool {
    found.uid() == geteuid().as_raw() && found.mode() & 0o077 == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::up::tests::Scratch;

    fn place(scratch: &Scratch, name: &str) -> Place {
        Place::within(scratch.path("run"), name).expect("a place")
    }

    #[test]
    fn one_instance_holds_a_place_and_leaves_nothing() {
        let scratch = Scratch::new();
        let place = place(&scratch, "default");
        let (taken, cleared) = place.take().expect("taken");
        assert_eq!(cleared, Cleared::default());
        assert!(place.is_taken());
        assert!(matches!(place.take(), Err(PlaceFault::Taken)));
        let other = self::place(&scratch, "other").take().expect("another name is another instance");
        drop(taken);
        assert!(!place.is_taken());
        drop(other);
        assert_eq!(fs::read_dir(scratch.path("run")).expect("the folder stays").count(), 0);
        drop(place.take().expect("taken again"));
    }

    #[tokio::test]
    async fn what_a_killed_instance_left_is_replaced() {
        let scratch = Scratch::new();
        let place = place(&scratch, "default");
        let work = scratch.path("countersign-0123456789ab");
        DirBuilder::new().mode(0o700).create(&work).expect("made");
        fs::write(work.join("wrapping.key"), "secret").expect("written");
        let (taken, _cleared) = place.take().expect("taken");
        taken.note(&work).expect("noted");
        drop(taken.listen().expect("listens"));
        // As a kill would: the lock ends with the process, nothing is removed.
        let note = fs::read(place.file("json")).expect("a note");
        drop(taken);
        drop(std::os::unix::net::UnixListener::bind(place.socket()).expect("bound"));
        fs::write(place.file("json"), note).expect("written");
        let (again, cleared) = place.take().expect("taken");
        assert_eq!(cleared, Cleared { anything: true, work_folder: Some(work.clone()) });
        assert!(!work.exists(), "the key is gone");
        again.listen().expect("listens again");
    }

    #[test]
    fn a_note_removes_nothing_but_a_work_folder() {
        let scratch = Scratch::new();
        let place = place(&scratch, "default");
        let precious = scratch.path("precious");
        DirBuilder::new().mode(0o700).create(&precious).expect("made");
        drop(place.take().expect("taken"));
        fs::write(place.file("json"), format!(r#"{{"work_folder":{:?}}}"#, precious.display().to_string()))
            .expect("written");
        let (_taken, cleared) = place.take().expect("taken");
        assert_eq!(cleared, Cleared { anything: true, work_folder: None });
        assert!(precious.exists());
    }

    #[test]
    fn a_folder_that_others_can_read_or_a_link_is_not_trusted() {
        let scratch = Scratch::new();
        let place = place(&scratch, "default");
        DirBuilder::new().mode(0o755).create(scratch.path("run")).expect("made");
        assert!(matches!(place.take(), Err(PlaceFault::NotOurs(_))));
        assert!(matches!(place.trusted_socket(), Err(PlaceFault::NotOurs(_))));
        fs::remove_dir(scratch.path("run")).expect("removed");
        DirBuilder::new().mode(0o700).create(scratch.path("elsewhere")).expect("made");
        std::os::unix::fs::symlink(scratch.path("elsewhere"), scratch.path("run")).expect("linked");
        assert!(matches!(place.take(), Err(PlaceFault::NotOurs(_))));
    }

    #[test]
    fn a_name_is_short_and_plain() {
        for name in ["", "A", "a/b", "..", "a b", &"a".repeat(NAME_LENGTH_MAX + 1)] {
            assert!(matches!(Place::within("/tmp".into(), name), Err(PlaceFault::Name(_))), "{name}");
        }
        let long = PathBuf::from(format!("/tmp/{}", "a".repeat(100)));
        assert!(matches!(Place::within(long, "default"), Err(PlaceFault::TooLong(_))));
    }
}
