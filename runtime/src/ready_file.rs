//! The ready file: tells a supervisor or test where a process listens, once it does.
//! It never holds a secret, and nobody ever sees half of it.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
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
    /// The folder does not exist or cannot be written; the error names the file.
    pub fn write(&self, addresses: &BTreeMap<&str, String>) -> io::Result<()> {
        let Some(path) = &self.0 else { return Ok(()) };
        write(path, addresses).map_err(|fault| io::Error::new(fault.kind(), format!("`{}`: {fault}", path.display())))
    }
}

fn write(path: &Path, addresses: &BTreeMap<&str, String>) -> io::Result<()> {
    let beside = beside(path)?;
    // Only ours: what lies there under this name is left from a process that died, or waits for us to write into
    // somebody else's file.
    if let Err(fault) = fs::remove_file(&beside)
        && fault.kind() != io::ErrorKind::NotFound
    {
        return Err(fault);
    }
    fs::File::create_new(&beside)?.write_all(&serde_json::to_vec(addresses)?)?;
    fs::rename(&beside, path)
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
    fn a_link_that_somebody_laid_is_not_followed() {
        let folder = std::env::temp_dir().join(format!("runtime-ready-link-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (path, victim) = (folder.join("ready.json"), folder.join("victim"));
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, beside(&path).unwrap()).unwrap();
        ReadyFile::new(Some(path.clone())).write(&BTreeMap::new()).unwrap();
        assert_eq!(
            (fs::read_to_string(&victim).unwrap(), fs::read_to_string(&path).unwrap()),
            ("precious".into(), "{}".into())
        );
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let fault = ReadyFile::new(Some("/nowhere/ready.json".into())).write(&BTreeMap::new()).unwrap_err();
        assert_eq!(fault.to_string(), "`/nowhere/ready.json`: No such file or directory (os error 2)");
    }

    #[test]
    fn without_a_path_nothing_is_written() {
        assert!(ReadyFile::default().write(&BTreeMap::new()).is_ok());
    }
}
