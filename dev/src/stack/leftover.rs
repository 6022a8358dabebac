//! Work folders whose stack was killed: each start removes those in the same temporary folder. A folder is in use while
//! somebody holds its lock, which the kernel lets go of however the holder ends; one without a lock was left on purpose.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    },
    path::Path,
};

use rustix::process::geteuid;

/// How work folders are called; twelve hexadecimal digits follow.
pub(super) const WORK_FOLDER: &str = "countersign-";
/// Digits of a name.
const DIGITS: usize = 12;
/// The file that is locked.
const LOCK: &str = "lock";
/// Users of their own get through such a folder, to what they are given in it, and cannot list it.
const PASSAGE: u32 = 0o711;

/// Whether `path` is a work folder of this user's, which nobody else can write into: nothing else is ever removed.
pub(crate) fn is_work_folder(path: &Path) -> bool {
    let digits = path.file_name().and_then(|name| name.as_bytes().strip_prefix(WORK_FOLDER.as_bytes()));
    let named = digits.is_some_and(|digits| digits.len() == DIGITS && digits.iter().all(u8::is_ascii_hexdigit));
    let is_ours =
        |found: fs::Metadata| found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o022 == 0;
    path.is_absolute() && named && fs::symlink_metadata(path).is_ok_and(is_ours)
}

/// Holds the lock of a new work folder, until the file is dropped. It is never there unlocked.
pub(super) fn hold_new(folder: &Path) -> io::Result<File> {
    let unlocked = folder.join("lock.new");
    let lock = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unlocked)?;
    lock.lock_shared()?;
    fs::rename(unlocked, folder.join(LOCK))?;
    Ok(lock)
}

/// Holds the lock of a work folder besides who made it.
pub(crate) fn hold(folder: &Path) -> io::Result<File> {
    let lock = File::open(folder.join(LOCK))?;
    lock.lock_shared()?;
    Ok(lock)
}

/// Leaves a work folder for good: no start removes it.
pub(super) fn keep(folder: &Path) -> io::Result<()> {
    fs::remove_file(folder.join(LOCK))
}

/// Removes the work folders in `parent` that nobody uses any more. What cannot be removed stays.
pub(super) fn sweep(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().filter_map(Result::ok);
    for folder in entries.map(|entry| entry.path()).filter(|path| is_work_folder(path)) {
        let Ok(lock) = File::open(folder.join(LOCK)) else { continue };
        if lock.try_lock().is_ok()
            && let Err(error) = remove(&folder)
        {
            tracing::debug!(%error, folder = %folder.display(), "what a killed stack left cannot be removed");
        }
    }
}

/// The lock goes last: what is left half-way is still a leftover.
fn remove(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.ends_with(LOCK) {
            continue;
        }
        let is_folder = fs::symlink_metadata(&path)?.is_dir();
        if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) }?;
    }
    fs::remove_dir_all(folder)
}

/// Makes a folder that its owner alone reads, and those above it; one that is there stays as it is.
pub(super) fn make_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).recursive(true).create(folder)
}

/// Makes a folder that others get through, whatever the umask; one that is there becomes one.
pub(super) fn make_passage(folder: &Path) -> io::Result<()> {
    make_private(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(PASSAGE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::up::tests::Scratch;

    fn work_folder(scratch: &Scratch, name: &str) -> (std::path::PathBuf, File) {
        let folder = scratch.path(name);
        make_private(&folder.join("store")).expect("made");
        let lock = hold_new(&folder).expect("locked");
        (folder, lock)
    }

    #[test]
    fn what_a_killed_stack_left_is_removed_and_nothing_else() {
        let scratch = Scratch::new();
        let (killed, lock) = work_folder(&scratch, "countersign-0123456789ab");
        drop(lock);
        let (running, _lock) = work_folder(&scratch, "countersign-0123456789ac");
        let (handed_over, lock) = work_folder(&scratch, "countersign-0123456789ad");
        let _second = hold(&handed_over).expect("held twice");
        drop(lock);
        let (kept, lock) = work_folder(&scratch, "countersign-0123456789ae");
        drop(lock);
        keep(&kept).expect("kept");
        let (other, lock) = work_folder(&scratch, "countersign-of-mine");
        drop(lock);
        let (precious, lock) = work_folder(&scratch, "precious");
        drop(lock);
        let link = scratch.path("countersign-0123456789af");
        std::os::unix::fs::symlink(&precious, &link).expect("linked");
        sweep(&scratch.path(""));
        assert!(!killed.exists(), "the killed one's");
        for folder in [running, handed_over, kept, other, precious, link] {
            assert!(folder.exists(), "{}", folder.display());
        }
    }

    #[test]
    fn a_folder_that_others_write_into_is_not_ours_to_remove() {
        let scratch = Scratch::new();
        let (folder, _lock) = work_folder(&scratch, "countersign-0123456789ab");
        assert!(is_work_folder(&folder) && !is_work_folder(Path::new("countersign-0123456789ab")));
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("set");
        assert!(!is_work_folder(&folder));
    }
}
