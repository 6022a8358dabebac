//! A folder while it is made: under a name of its own, beside the place where it belongs, and renamed once it is whole.
//! Whoever is stopped half-way leaves a draft, never something that looks whole; the next run removes it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
};

/// What the names of drafts begin with.
pub(crate) const PREFIX: &str = "making-";

/// A folder that is being made, gone when dropped unless finished.
#[derive(Debug)]
pub(crate) struct Draft {
    place: PathBuf,
    whole: PathBuf,
}

impl Draft {
    /// A new empty folder for `name`; drafts of the same name that earlier runs left are removed. The caller holds the
    /// cache's lock. The name holds the process's id: what a killed run left running must not write into this one.
    ///
    /// # Errors
    /// The file system refuses.
    pub(crate) fn new(folder: &Path, name: &str) -> io::Result<Self> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let left = entry
                .file_name()
                .to_str()
                .and_then(|found| found.strip_prefix(PREFIX)?.split_once('-'))
                .is_some_and(|(_process, found)| found == name);
            if left {
                fs::remove_dir_all(entry.path())?;
            }
        }
        let place = folder.join(format!("{PREFIX}{}-{name}", process::id()));
        fs::create_dir(&place)?;
        Ok(Self { place, whole: folder.join(name) })
    }

    /// Where it is made.
    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// It is whole: takes the place of whatever lay there.
    ///
    /// # Errors
    /// The file system refuses; then nothing, or what was there, lies in the place.
    pub(crate) fn finish(self) -> io::Result<()> {
        if self.whole.exists() {
            fs::remove_dir_all(&self.whole)?;
        }
        fs::rename(&self.place, &self.whole)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Finished, it is not there any more; left over, the next run removes it.
        fs::remove_dir_all(&self.place).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect()
    }

    #[test]
    fn what_is_half_made_never_has_the_whole_one_s_name() {
        let folder = Folder::new("draft");
        let draft = Draft::new(folder.path(), "spire-1").expect("a draft");
        fs::write(draft.place().join("half"), "").expect("written");
        assert!(!folder.path().join("spire-1").exists());
        drop(draft);
        assert_eq!(names(folder.path()), [""; 0], "and it is gone when given up");
    }

    #[test]
    fn a_finished_draft_replaces_what_lay_there() {
        let folder = Folder::new("finished");
        fs::create_dir(folder.path().join("spire-1")).expect("made");
        fs::write(folder.path().join("spire-1/old"), "").expect("written");
        let draft = Draft::new(folder.path(), "spire-1").expect("a draft");
        fs::write(draft.place().join("new"), "").expect("written");
        draft.finish().expect("renamed");
        assert_eq!(names(folder.path()), ["spire-1"]);
        assert_eq!(names(&folder.path().join("spire-1")), ["new"]);
    }

    #[test]
    fn drafts_of_killed_runs_are_removed_and_no_others() {
        let folder = Folder::new("leftovers");
        for name in ["making-1-spire-1", "making-1-spire-1-more", "spire-1-more"] {
            fs::create_dir(folder.path().join(name)).expect("made");
        }
        let draft = Draft::new(folder.path(), "spire-1").expect("a draft");
        draft.finish().expect("renamed");
        let mut names = names(folder.path());
        names.sort();
        assert_eq!(names, ["making-1-spire-1-more", "spire-1", "spire-1-more"]);
    }
}
