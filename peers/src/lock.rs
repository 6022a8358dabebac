//! One run at a time makes something in the cache. The kernel lets go of the lock when its holder ends, however it ends.

use std::{
    fs::{File, TryLockError},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::{fault::FetchFault, progress::Progress};

/// How often a held lock is tried.
const POLL: Duration = Duration::from_millis(100);
/// Longest wait: more than everything takes from nothing, also on one slow core.
const WAIT: Duration = Duration::from_secs(60 * 60);

/// Takes the lock of a cache folder, and says so where it must wait. It is held until the file is dropped.
pub(crate) fn take(folder: &Path, progress: &mut Progress<'_>) -> Result<File, FetchFault> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(FetchFault::at(&path))?;
    let (start, mut told) = (Instant::now(), None);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(source)) => return Err(FetchFault::File { path, source }),
            Err(TryLockError::WouldBlock) if start.elapsed() > WAIT => return Err(FetchFault::Locked(path)),
            Err(TryLockError::WouldBlock) => {
                if told.is_none_or(|told: Instant| told.elapsed() > progress.every) {
                    progress.say(&format!("another run is getting peers; waiting for `{}` …", path.display()));
                    told = Some(Instant::now());
                }
                thread::sleep(POLL);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::folder::Folder;

    #[test]
    fn a_second_run_says_that_it_waits_and_goes_on_once_the_first_is_done() {
        let folder = Folder::new("lock");
        let mut silent = |line: &str| panic!("nothing to wait for: {line}");
        let first = take(folder.path(), &mut Progress::new(&mut silent)).expect("free");
        let (said, hear) = mpsc::channel();
        let path = folder.path().to_owned();
        let second = thread::spawn(move || {
            let mut tell = |line: &str| said.send(line.to_owned()).expect("heard");
            take(&path, &mut Progress::new(&mut tell)).map(drop)
        });
        let line = hear.recv().expect("a line");
        assert!(line.contains("another run"), "{line}");
        assert!(!second.is_finished());
        drop(first);
        second.join().expect("no panic").expect("the lock");
    }
}
