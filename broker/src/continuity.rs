//! That time does not run backwards for a store: what ended stays ended, and a key that was withdrawn never comes back,
//! also after yesterday's backup was put in its place. The store counts such changes; the highest number that was
//! published lies apart from it, beside the record. A store that is behind that number is not opened.
//! It guards against a mistake, not against one who may write to the store: the number there can be written, too.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

const FILE_NAME: &str = "state.json";
const FILE_MODE: u32 = 0o600;
/// Longest file in bytes: a name, and a number.
const LENGTH_MAX: u64 = 4096;
/// Version of the file's form.
const VERSION: u64 = 1;

/// A store's name, and the number of its last change that must not be undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) store: String,
    pub(crate) number: u64,
}

/// The file beside the record. Clones are the same file.
#[derive(Clone, Debug)]
pub(crate) struct Continuity {
    path: Arc<PathBuf>,
    published: Arc<Mutex<Option<State>>>,
}

/// Why the state could not be read, or does not fit.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContinuityFault {
    #[error("cannot read or write `{path}`")]
    File {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("`{0}` holds what the broker did not write. Remove it, and see `Restore` in docs/operations.md")]
    Malformed(PathBuf),
    #[error(
        "the store is older than what was published: it is in state {store}, and `{path}` says {published}. A backup was \
         put in its place: with it, sessions that ended and keys that were withdrawn would come back. Put the newest store \
         back, or see `Restore` in docs/operations.md (`countersign-broker accept-restored`)"
    )]
    Behind { store: u64, published: u64, path: PathBuf },
    #[error(
        "`{0}` is of another store. Put the store of this record back, or see `Restore` in docs/operations.md \
         (`countersign-broker accept-restored`)"
    )]
    OtherStore(PathBuf),
    #[error(
        "`{0}` is missing, and the store has published before: the record's folder is new, or another one. Put it back, \
         or see `Restore` in docs/operations.md (`countersign-broker accept-restored`)"
    )]
    Lost(PathBuf),
}

#[derive(Serialize, Deserialize)]
struct Document {
    v: u64,
    #[serde(flatten)]
    state: State,
}

impl Continuity {
    /// Reads what was published from the record's `folder`.
    ///
    /// # Errors
    /// The [`ContinuityFault`]; a file that does not exist is none.
    pub(crate) fn open(folder: &Path) -> Result<Self, ContinuityFault> {
        let path = folder.join(FILE_NAME);
        let published = read(&path)?;
        Ok(Self { path: Arc::new(path), published: Arc::new(Mutex::new(published)) })
    }

    /// Whether a store in `state` may go on from what was published.
    ///
    /// # Errors
    /// It is behind, another one, or what was published is lost.
    pub(crate) fn check(&self, state: &State) -> Result<(), ContinuityFault> {
        let path = || self.path.as_path().to_owned();
        match self.published().as_ref() {
            None if state.number == 0 => Ok(()),
            None => Err(ContinuityFault::Lost(path())),
            Some(published) if published.store != state.store => Err(ContinuityFault::OtherStore(path())),
            Some(published) if published.number > state.number => {
                Err(ContinuityFault::Behind { store: state.number, published: published.number, path: path() })
            }
            Some(_reached) => Ok(()),
        }
    }

    /// The number that was published last, of whichever store; 0 where none was.
    pub(crate) fn number(&self) -> u64 {
        self.published().as_ref().map_or(0, |state| state.number)
    }

    /// Publishes that the store is in `state`, which returns when it is on disk; a state that was passed meanwhile needs
    /// no write. It blocks for as long as the disk takes.
    ///
    /// # Errors
    /// The file cannot be written; then the state before counts, and a later one says this as well.
    pub(crate) fn reach(&self, state: &State) -> Result<(), ContinuityFault> {
        let mut published = self.published();
        if published.as_ref().is_some_and(|reached| reached.store == state.store && reached.number >= state.number) {
            return Ok(());
        }
        write(&self.path, state)
            .map_err(|cause| ContinuityFault::File { path: self.path.as_path().to_owned(), cause })?;
        *published = Some(state.clone());
        Ok(())
    }

    fn published(&self) -> std::sync::MutexGuard<'_, Option<State>> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> Result<Option<State>, ContinuityFault> {
    let fault = |cause| ContinuityFault::File { path: path.to_owned(), cause };
    let malformed = || ContinuityFault::Malformed(path.to_owned());
    let length = match fs::metadata(path) {
        Ok(file) => file.len(),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(fault(cause)),
    };
    if length > LENGTH_MAX {
        return Err(malformed());
    }
    let document: Document =
        serde_json::from_slice(&fs::read(path).map_err(fault)?).map_err(|_malformed| malformed())?;
    if document.v == VERSION { Ok(Some(document.state)) } else { Err(malformed()) }
}

/// Whole or not at all, and durable with its name.
fn write(path: &Path, state: &State) -> io::Result<()> {
    let text = serde_json::to_string(&Document { v: VERSION, state: state.clone() })?;
    let beside = path.with_extension("json.new");
    let mut file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(FILE_MODE).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("broker-continuity-{name}-{}", std::process::id()));
            drop(fs::remove_dir_all(&folder));
            fs::create_dir_all(&folder).expect("made");
            Self(folder)
        }

        fn open(&self) -> Continuity {
            Continuity::open(&self.0).expect("opens")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    fn state(store: &str, number: u64) -> State {
        State { store: store.to_owned(), number }
    }

    #[test]
    fn a_store_that_is_behind_or_another_one_is_refused() {
        let folder = Folder::new("behind");
        let open = folder.open();
        open.check(&state("a", 0)).expect("a new store beside a new record");
        open.reach(&state("a", 7)).expect("written");
        let again = folder.open();
        again.check(&state("a", 7)).expect("as it was");
        again.check(&state("a", 8)).expect("killed before it was published");
        assert!(matches!(again.check(&state("a", 6)), Err(ContinuityFault::Behind { store: 6, published: 7, .. })));
        assert!(matches!(again.check(&state("b", 9)), Err(ContinuityFault::OtherStore(_))));
    }

    #[test]
    fn a_record_that_is_lost_is_noticed() {
        let folder = Folder::new("lost");
        assert!(matches!(folder.open().check(&state("a", 1)), Err(ContinuityFault::Lost(_))));
    }

    #[test]
    fn the_number_never_sinks() {
        let folder = Folder::new("sinks");
        let open = folder.open();
        open.reach(&state("a", 7)).expect("written");
        open.reach(&state("a", 5)).expect("passed already");
        assert_eq!((open.number(), folder.open().number()), (7, 7));
    }

    #[test]
    fn what_the_broker_did_not_write_is_no_state() {
        let folder = Folder::new("malformed");
        for text in ["", "{}", r#"{"v":2,"store":"a","number":1}"#, r#"{"v":1,"store":"a","number":-1}"#, "\0\0\0"] {
            fs::write(folder.0.join(FILE_NAME), text).expect("written");
            assert!(matches!(Continuity::open(&folder.0), Err(ContinuityFault::Malformed(_))), "{text}");
        }
    }
}
