//! The ready file: tells a supervisor or test where a process listens, once it does.
//! It never holds a secret, and nobody ever sees half of it.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// Where to write the bound addresses (`--ready-file`), or nowhere.
#[derive(Clone, Debug, Default)]
pub struct ReadyFile(Option<PathBuf>);

impl ReadyFile {
    /// A ready file at `path`; `None` makes [`ReadyFile::write`] do nothing.
    #[must_use]
    pub fn new(path: Option<PathBuf>) -> Self {
        Self(path)
    }

    /// Writes `addresses` as one JSON object, atomically: a reader sees the whole file or none.
    ///
    /// # Errors
    /// The folder does not exist or cannot be written.
    pub fn write(&self, addresses: &BTreeMap<&'static str, String>) -> io::Result<()> {
        let Some(path) = &self.0 else { return Ok(()) };
        let beside = beside(path)?;
        fs::write(&beside, serde_json::to_vec(addresses)?)?;
        fs::rename(&beside, path)
    }
}

/// A name in the same folder (rename works only within one file system), this process's own.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "ready file has no name"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", std::process::id()));
    Ok(path.with_file_name(hidden))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_holds_one_json_object_and_nothing_is_left_beside_it() {
        let folder = std::env::temp_dir().join(format!("runtime-ready-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("ready.json");
        let addresses = BTreeMap::from([("admin", "127.0.0.1:2".to_owned()), ("token", "127.0.0.1:1".to_owned())]);
        ReadyFile::new(Some(path.clone())).write(&addresses).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), r#"{"admin":"127.0.0.1:2","token":"127.0.0.1:1"}"#);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn without_a_path_nothing_is_written() {
        assert!(ReadyFile::default().write(&BTreeMap::new()).is_ok());
    }
}
