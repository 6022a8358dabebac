//! SPIRE's programs, built from source by Go; every module is verified by the `go.sum` of this checkout.

use std::{fs, process::Command, time::Duration};

use super::log;
use crate::{
    cache::{Cache, spire_name},
    draft::Draft,
    fault::FetchFault,
    pins,
    program::{self, run},
    progress::Progress,
};

/// What is built.
const PACKAGES: [&str; 3] = [
    "github.com/spiffe/spire/cmd/spire-server",
    "github.com/spiffe/spire/cmd/spire-agent",
    "github.com/spiffe/spire/support/oidc-discovery-provider",
];
/// Longest build: 10 minutes on two cores.
const BUILD: Duration = Duration::from_secs(60 * 60);
/// The compiler and linker together take up to 5.6 GiB; below this, one at a time.
const MEMORY_KIB: u64 = 6 * 1024 * 1024;

/// Builds them.
pub(super) fn fetch(cache: &Cache, progress: &mut Progress<'_>) -> Result<(), FetchFault> {
    let name = spire_name();
    let log = log(cache, &name)?;
    let draft = Draft::new(cache.folder(), &name).map_err(FetchFault::at(cache.folder()))?;
    let mut build = program::command("go");
    build.current_dir(cache.spire_module());
    // The module cache can be deleted without root; SPIRE's SQLite needs C; no workspace has a say.
    build
        .env("GOBIN", draft.place().join("bin"))
        .env("GOFLAGS", "-modcacherw")
        .env("CGO_ENABLED", "1")
        .env("GOWORK", "off");
    build.args(["install", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w"]);
    let memory = fs::read_to_string("/proc/meminfo").ok().and_then(|text| available_kib(&text));
    if memory.is_none_or(|memory| memory < MEMORY_KIB) {
        build.args(["-p", "1"]);
    }
    build.args(PACKAGES);
    run(build, "building from source; about 10 minutes on two cores, the first time", BUILD, &log, progress)?;
    for program in ["spire-server", "spire-agent", "oidc-discovery-provider"] {
        let program = draft.place().join("bin").join(program);
        let output = Command::new(&program).arg("--version").output().map_err(FetchFault::at(&program))?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        if !said.starts_with(pins::SPIRE) {
            let said = said.lines().next().unwrap_or_default();
            return Err(FetchFault::Wrong(format!("`{}` calls itself `{said}`", program.display())));
        }
    }
    draft.finish().map_err(FetchFault::at(cache.folder()))?;
    fs::remove_file(&log).map_err(FetchFault::at(&log))
}

/// `MemAvailable` of /proc/meminfo.
fn available_kib(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_memory_is_read() {
        assert_eq!(available_kib("MemTotal:  9 kB\nMemAvailable:   23969720 kB\nBuffers: 1 kB\n"), Some(23_969_720));
        assert_eq!(available_kib("MemTotal:  9 kB\n"), None);
    }
}
