//! `countersign keys init`: makes the broker's wrapping key.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process::ExitCode,
};

use crate::output;

/// Length of the key: AES-256.
const KEY_BYTES: usize = 32;

/// Makes the key at `path`.
pub(super) fn init(path: &Path) -> ExitCode {
    let shown = path.display();
    match write_new(path) {
        Ok(()) => output::say(&format!(
            "{shown}: {KEY_BYTES} random bytes, readable by you alone. Back it up apart from the store.\n"
        )),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => output::refuse(
            &format!("`{shown}` exists already and is not overwritten: whoever loses a key loses what it encrypts"),
            1,
        ),
        Err(error) => output::refuse(&format!("`{shown}` cannot be written: {error}"), 1),
    }
}

fn write_new(path: &Path) -> io::Result<()> {
    let mut key = [0_u8; KEY_BYTES];
    aws_lc_rs::rand::fill(&mut key).map_err(|_unspecified| io::Error::other("the system gives no random numbers"))?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&key)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_key_is_private_random_and_never_overwritten() {
        let path = std::env::temp_dir().join(format!("countersign-key-{}", std::process::id()));
        write_new(&path).expect("written");
        let key = fs::read(&path).expect("read");
        assert_eq!(key.len(), KEY_BYTES);
        assert!(key.iter().any(|byte| *byte != 0));
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(write_new(&path).map_err(|error| error.kind()), Err(io::ErrorKind::AlreadyExists));
        assert_eq!(fs::read(&path).expect("read"), key);
        fs::remove_file(path).expect("removed");
    }
}
