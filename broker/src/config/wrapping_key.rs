//! The file with the wrapping key: 32 bytes that only the broker's user can read. Its content is never told.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use runtime::config::Problems;
use zeroize::Zeroizing;

use crate::seal::{WRAPPING_KEY_LENGTH, Wrapping};

/// Permission bits of everybody but the owner.
const OTHERS: u32 = 0o077;

pub(super) fn read(path: &Path, problems: &mut Problems) -> Option<Wrapping> {
    if !problems.names_a_path("wrapping_key", path) {
        return None;
    }
    let faults = match open(path) {
        Ok(wrapping) => return Some(wrapping),
        Err(faults) => faults,
    };
    for fault in faults {
        problems.at("wrapping_key", fault);
    }
    None
}

/// The key in the file at `path`, or everything that is wrong with it.
pub(crate) fn open(path: &Path) -> Result<Wrapping, Vec<String>> {
    let shown = path.display();
    let (mode, content) = content(path).map_err(|fault| {
        vec![format!("cannot read `{shown}`: {fault}; make it with `countersign keys init {shown}`")]
    })?;
    let mut faults = Vec::new();
    if mode & OTHERS != 0 {
        faults.push(format!(
            "`{shown}` can be read by others; `chmod 600 {shown}`, or make a new one with `countersign keys init`"
        ));
    }
    let key = content.as_slice().try_into().map_err(|_length| {
        format!("`{shown}` must hold exactly {WRAPPING_KEY_LENGTH} bytes; make it with `countersign keys init {shown}`")
    });
    match key.and_then(|key| Wrapping::new(key).map_err(|fault| fault.to_string())) {
        Ok(wrapping) if faults.is_empty() => Ok(wrapping),
        Ok(_open_to_others) => Err(faults),
        Err(fault) => {
            faults.push(fault);
            Err(faults)
        }
    }
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
