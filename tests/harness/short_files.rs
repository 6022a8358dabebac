//! A disk that is full, without one: a broker that cannot make a file longer than so much (setrlimit(2), RLIMIT_FSIZE).

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use dev::stack::Stack;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::{Folder, binaries};

const BROKER: &str = "countersign-broker";

/// From now on the stack's broker makes no file longer than `bytes`. Its binary must be one of [`short_files`].
///
/// # Panics
/// Where the kernel does not let us.
pub fn no_file_longer(stack: &Stack, bytes: u64) {
    let pid = i32::try_from(stack.pid("broker").expect("it runs")).expect("a pid");
    let broker = Pid::from_raw(pid).expect("a pid");
    let limit = Rlimit { current: Some(bytes), maximum: None };
    prlimit(Some(broker), Resource::Fsize, limit).expect("limited");
}

/// Makes a folder of binaries whose broker can write no file beyond `blocks`, of 512 or 1024 bytes each, as shells differ,
/// or of any length where it is `None`. What would be a fatal signal (SIGXFSZ) is ignored there, so that the write fails
/// as on a full disk.
#[must_use]
pub fn short_files(folder: &Folder, blocks: impl Into<Option<u32>>) -> PathBuf {
    for name in ["countersign", "countersign-sidecar", "countersign-demo-app"] {
        std::os::unix::fs::symlink(binaries().join(name), folder.path(name)).expect("linked");
    }
    let broker = binaries().join(BROKER);
    let blocks = blocks.into().map_or_else(|| "unlimited".to_owned(), |blocks: u32| blocks.to_string());
    let script = format!("#!/bin/sh\ntrap '' XFSZ\nulimit -f {blocks}\nexec '{}' \"$@\"\n", broker.display());
    let path = folder.write(BROKER, &script);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    PathBuf::from(path).parent().expect("the folder").to_owned()
}
