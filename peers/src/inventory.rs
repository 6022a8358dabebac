//! What lies in the cache, for people.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    cache::{Cache, What, keycloak_name, spire_name},
    draft,
};

/// A folder of the cache, or one that should be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is, for people.
    pub name: String,
    /// Whether it is there, and wanted.
    pub state: State,
    /// Where.
    pub path: PathBuf,
    /// Size of all its files, in bytes.
    pub bytes: u64,
}

/// Whether a folder is there, and wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Ready for use.
    Ready,
    /// To be got.
    Missing,
    /// Left by another version of the files that name it; may be deleted.
    Unused,
}

/// Everything that this checkout wants, then everything else that lies there.
///
/// # Errors
/// A folder cannot be read.
pub fn inventory(cache: &Cache) -> io::Result<Vec<Item>> {
    let mut items = Vec::new();
    for what in cache.everything()? {
        let folders = match &what {
            What::Keycloak => vec![
                (what.to_string(), keycloak_name(), cache.keycloak_home().join("bin/kc.sh").is_file()),
                ("its database".to_owned(), cache.seed_name()?, cache.keycloak().is_ok()),
            ],
            What::Spire => vec![(what.to_string(), spire_name(), cache.spire().is_ok())],
            What::Python(name) => vec![(what.to_string(), cache.python_name(name)?, cache.python(name).is_ok())],
        };
        for (name, folder, ready) in folders {
            let path = cache.folder().join(folder);
            let state = if ready { State::Ready } else { State::Missing };
            items.push(Item { name, state, bytes: size(&path)?, path });
        }
    }
    for path in folders(cache.folder())? {
        if path != cache.run_folder() && items.iter().all(|item| item.path != path) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let making = name.starts_with(draft::PREFIX);
            let name = if making { format!("{name} (being made, or left by a run that was ended)") } else { name };
            items.push(Item { name, state: State::Unused, bytes: size(&path)?, path });
        }
    }
    Ok(items)
}

/// The folders in a folder, by name; none where it does not exist.
fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if folder.is_dir() {
        for entry in fs::read_dir(folder)? {
            found.extend(Some(entry?.path()).filter(|path| path.is_dir()));
        }
    }
    found.sort();
    Ok(found)
}

/// The bytes of all files below; links are not followed. What vanishes meanwhile counts nothing.
fn size(path: &Path) -> io::Result<u64> {
    let mut bytes = 0_u64;
    let mut open = vec![path.to_owned()];
    while let Some(path) = open.pop() {
        let metadata = match path.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => continue,
            Err(fault) => return Err(fault),
        };
        if metadata.is_dir() {
            for entry in fs::read_dir(&path)? {
                open.push(entry?.path());
            }
        } else {
            bytes = bytes.saturating_add(metadata.len());
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;

    #[test]
    fn what_is_wanted_comes_first_and_what_is_left_over_is_told() {
        let folder = Folder::new("inventory");
        let cache = Cache::of(folder.path(), Path::new(env!("CARGO_MANIFEST_DIR")));
        let left = cache.folder().join("keycloak-1.0.0");
        fs::create_dir_all(left.join("bin")).expect("made");
        fs::write(left.join("bin/kc.sh"), "four").expect("written");
        fs::create_dir(cache.run_folder()).expect("made");
        let items = inventory(&cache).expect("read");
        let states: Vec<State> = items.iter().map(|item| item.state).collect();
        let (last, wanted) = states.split_last().expect("some");
        assert!(wanted.len() >= 3 && wanted.iter().all(|state| *state == State::Missing), "{items:?}");
        assert_eq!(*last, State::Unused);
        assert_eq!(items.last().map(|item| (item.path.clone(), item.bytes)), Some((left, 4)));
    }
}
