//! A disk that is full, without one: a broker that cannot make a file longer than so much (setrlimit(2), RLIMIT_FSIZE).

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use crate::{Folder, binaries};

const BROKER: &str = "countersign-broker";

/// Makes a folder of binaries whose broker can write no file beyond `blocks`, of 512 or 1024 bytes each: shells differ.
/// What would be a fatal signal (SIGXFSZ) is ignored there, so that the write fails as on a full disk.
#[must_use]
pub fn short_files(folder: &Folder, blocks: u32) -> PathBuf {
    for name in ["countersign", "countersign-sidecar", "countersign-demo-app"] {
        std::os::unix::fs::symlink(binaries().join(name), folder.path(name)).expect("linked");
    }
    let broker = binaries().join(BROKER);
    let script = format!("#!/bin/sh\ntrap '' XFSZ\nulimit -f {blocks}\nexec '{}' \"$@\"\n", broker.display());
    let path = folder.write(BROKER, &script);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    PathBuf::from(path).parent().expect("the folder").to_owned()
}
