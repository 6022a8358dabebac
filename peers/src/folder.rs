//! A folder of a test's own, removed with it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
};

/// A folder under the system's one for temporary files.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// `name` is the test's.
    pub(crate) fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("countersign-peers-{}-{name}", process::id()));
        fs::create_dir(&path).expect("a folder for the test");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("the test's folder goes with it");
    }
}
