//! How signing keys change, and where orders about them are taken.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use runtime::config::Problems;

use super::{
    life::duration,
    raw::{RawAlgorithm, RawKeys},
};
use crate::keys::{Algorithm, Terms};

/// Longest and shortest time with one key. Less than an hour would leave no room for publication and retirement.
const ROTATE_EVERY_MAX: Duration = Duration::from_hours(8760);
const ROTATE_EVERY_MIN: Duration = Duration::from_hours(1);
/// How long a key is published before it signs (`security.md` §5): time for every verifier to learn it.
const PUBLICATION: Duration = Duration::from_mins(10);
/// Longest path of a Unix socket in bytes (unix(7)), without the zero at its end.
const SOCKET_LENGTH_MAX: usize = 107;
/// Beside the store, where none is named.
const SOCKET_NAME: &str = "keys.sock";

/// Signing keys.
#[derive(Clone, Debug)]
pub(crate) struct KeysConfig {
    pub(crate) terms: Terms,
    /// A Unix socket that only the broker's own user may open.
    pub(crate) socket: PathBuf,
}

impl KeysConfig {
    pub(super) fn read(raw: &RawKeys, store: Option<&Path>, problems: &mut Problems) -> Option<Self> {
        let algorithm = match raw.algorithm {
            RawAlgorithm::Es256 => Algorithm::Es256,
            RawAlgorithm::EdDsa => Algorithm::EdDsa,
        };
        let allowed =
            |text: &str, from: Duration, to: Duration| duration(text).filter(|time| (from..=to).contains(time));
        let rotate_every = allowed(&raw.rotate_every, ROTATE_EVERY_MIN, ROTATE_EVERY_MAX);
        if rotate_every.is_none() {
            let message = format!("`{}` must be 1h to 8760h, as in `720h`", raw.rotate_every);
            problems.at("keys.rotate_every", message);
        }
        let publication = match raw.danger_publication.as_deref() {
            None => Some(PUBLICATION),
            Some(text) => allowed(text, Duration::from_secs(1), PUBLICATION).or_else(|| {
                problems.at("keys.danger_publication", format!("`{text}` must be 1s to 600s; left out it is 600s"));
                None
            }),
        };
        let socket = socket(raw, store, problems);
        let terms = Terms { algorithm, publication: publication?, rotate_every: rotate_every? };
        Some(Self { terms, socket: socket? })
    }
}

fn socket(raw: &RawKeys, store: Option<&Path>, problems: &mut Problems) -> Option<PathBuf> {
    let path = raw.socket.clone().or_else(|| Some(store?.with_file_name(SOCKET_NAME)))?;
    if !path.is_absolute() || path.file_name().is_none() {
        problems.at("keys.socket", format!("`{}` must be an absolute path", path.display()));
        return None;
    }
    if path.as_os_str().len() > SOCKET_LENGTH_MAX {
        let by_default = if raw.socket.is_none() { ", where it lies by default: beside `store`," } else { "" };
        let shown = path.display();
        let message = format!("`{shown}`{by_default} is longer than {SOCKET_LENGTH_MAX} bytes; name a shorter path");
        problems.at("keys.socket", message);
        return None;
    }
    Some(path)
}
