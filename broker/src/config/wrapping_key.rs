//! The file with the wrapping key: 32 bytes that only the broker's user can read. Its content is never told.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use runtime::config::Problems;
use zeroize::Zeroizing;

use crate::seal::{Sealer, WRAPPING_KEY_LENGTH};

/// Permission bits of everybody but the owner.
const OTHERS: u32 = 0o077;

pub(super) fn read(path: &Path, problems: &mut Problems) -> Option<Sealer> {
    if !problems.names_a_path("wrapping_key", path) {
        return None;
    }
    let shown = path.display();
    let mut complain = |message: String| problems.at("wrapping_key", message);
    let (mode, content) = match content(path) {
        Ok(found) => found,
        Err(fault) => {
            complain(format!("cannot read `{shown}`: {fault}; make it with `countersign keys init {shown}`"));
            return None;
        }
    };
    if mode & OTHERS != 0 {
        complain(format!(
            "`{shown}` can be read by others; `chmod 600 {shown}`, or make a new one with `countersign keys init`"
        ));
    }
    let Ok(key) = content.as_slice().try_into() else {
        complain(format!(
            "`{shown}` must hold exactly {WRAPPING_KEY_LENGTH} bytes; make it with `countersign keys init {shown}`"
        ));
        return None;
    };
    Sealer::new(key).map_err(|fault| complain(fault.to_string())).ok()
}

/// Mode and content; of a larger file only one byte more than a key has.
fn content(path: &Path) -> io::Result<(u32, Zeroizing<Vec<u8>>)> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    // Room for the whole content from the start: growing would leave copies behind.
    let longest = WRAPPING_KEY_LENGTH.saturating_add(1);
    let mut content = Zeroizing::new(Vec::with_capacity(longest));
    file.take(u64::try_from(longest).unwrap_or(u64::MAX)).read_to_end(&mut content)?;
    Ok((mode, content))
}
