//! A clock that a test sets: a broker whose wall clock is off by as many seconds as a file says. Monotonic time, on which
//! all its timers run, stays as it is. The library that does it is made here, by the C compiler that a build needs anyway.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command};

use crate::{Folder, binaries};

const BROKER: &str = "countersign-broker";

/// Stands before the C library's own function (ld.so(8), `LD_PRELOAD`).
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    int told = (int) syscall(SYS_clock_gettime, clock, now);
    if (told == 0 && clock == CLOCK_REALTIME) {
        long off = 0;
        FILE *file = fopen(OFFSET, "re");
        if (file) { if (fscanf(file, "%ld", &off) != 1) off = 0; fclose(file); }
        now->tv_sec += off;
    }
    return told;
}
"#;

/// The broker's wall clock.
#[derive(Debug)]
pub struct SetClock(PathBuf);

impl SetClock {
    /// Makes a folder of binaries whose broker goes by it. It is right at first.
    ///
    /// # Panics
    /// Without a C compiler.
    #[must_use]
    pub fn binaries(folder: &Folder) -> (Self, PathBuf) {
        for name in ["countersign", "countersign-sidecar", "countersign-demo-app"] {
            std::os::unix::fs::symlink(binaries().join(name), folder.path(name)).expect("linked");
        }
        let (offset, source, library) = (folder.path("offset"), folder.write("clock.c", SHIM), folder.path("clock.so"));
        let told = Command::new("cc")
            .args(["-shared", "-fPIC", &format!("-DOFFSET=\"{offset}\""), "-o", &library, &source])
            .output()
            .expect("a C compiler, which `cargo build` needs too");
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        let broker = binaries().join(BROKER);
        let script = format!("#!/bin/sh\nLD_PRELOAD='{library}' exec '{}' \"$@\"\n", broker.display());
        let path = folder.write(BROKER, &script);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
        (Self(PathBuf::from(offset)), PathBuf::from(path).parent().expect("the folder").to_owned())
    }

    /// Sets the clock so many seconds before or after the right time, at once.
    pub fn set(&self, seconds: i64) {
        let beside = self.0.with_extension("new");
        fs::write(&beside, seconds.to_string()).expect("written");
        fs::rename(beside, &self.0).expect("renamed");
    }
}
