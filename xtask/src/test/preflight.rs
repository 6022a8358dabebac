//! Whether this machine can run the tests. Everything that is missing is told at once, each with the command that gets it.

use std::{ffi::OsStr, fs, path::Path, process::Command, thread};

use peers::{Lacking, What, machine};

use crate::{build, place::Place, real::Peers};

/// Free disk for a first build, in GiB: the target folder grows to about that with clippy's and the tests' artefacts.
const DISK_FIRST_GIB: u64 = 6;
/// Free disk where everything was built before, in GiB.
const DISK_LATER_GIB: u64 = 1;
/// Free disk to get a peer, in GiB: SPIRE's sources and what Go keeps of their build are most of it.
const DISK_SPIRE_GIB: u64 = 8;
const DISK_OTHER_PEER_GIB: u64 = 1;
/// KiB in a GiB.
const KIB_PER_GIB: u64 = 1024 * 1024;
/// `pidfd_open` came with this kernel; the development Workload API attests by it.
const KERNEL_MIN: (u32, u32) = (5, 3);
/// `SO_PEERPIDFD` came with this kernel; before it, the start time of the caller is compared as well.
const KERNEL_PEER_PIDFD: (u32, u32) = (6, 5);
/// Minutes of a core for a first run and for a later one: an estimate from cold builds of these dependencies on two cores.
const CORE_MINUTES: (usize, usize) = (30, 8);
/// The same to get a peer.
const CORE_MINUTES_SPIRE: usize = 20;
const CORE_MINUTES_OTHER_PEER: usize = 3;

/// A machine that can run the tests.
#[derive(Debug)]
pub(super) struct Machine {
    /// The real peers, unless they are left out.
    pub(super) peers: Option<Peers>,
}

/// Looks at the machine and prints what it found. `None`: something is missing, and was printed.
pub(super) fn passes(place: &Place, embedded: bool) -> Option<Machine> {
    let first = !build::built_before(place);
    let room = if first { DISK_FIRST_GIB } else { DISK_LATER_GIB };
    let target = disk(&place.target, room, "CARGO_TARGET_DIR");
    let mut checks = vec![rust(place), components(place), c_compiler(&place.c_compiler), target, kernel()];
    let peers = if embedded { None } else { Some(Peers::everything()) };
    let peers = match peers.transpose() {
        Ok(peers) => peers,
        Err(lacking) => {
            checks.push(Err(lacking));
            None
        }
    };
    checks.extend(peers.iter().flat_map(for_peers));
    say!("Preflight");
    let mut missing = Vec::new();
    for check in checks {
        match check {
            Ok(found) => say!("  ok       {found}"),
            Err(lacking) => missing.push(lacking),
        }
    }
    for Lacking { what, remedy } in &missing {
        say!("  MISSING  {what}\n           get it: {remedy}");
    }
    if !missing.is_empty() {
        say!("\nNothing was built: {} of the checks failed.", missing.len());
        return None;
    }
    say!("  builds   {}", plan(place, first));
    match &peers {
        Some(peers) => say!("  peers    {}", plan_of_peers(&peers.missing())),
        None => say!("  peers    left out: no Keycloak, no SPIRE, no Python"),
    }
    Some(Machine { peers })
}

/// The programs that get and run the peers, and the disk for those that are missing.
fn for_peers(peers: &Peers) -> Vec<Result<String, Lacking>> {
    let missing = peers.missing();
    let mut checks = machine(&peers.cache, &peers.wanted);
    if !missing.is_empty() {
        let room = missing.iter().map(|what| if *what == What::Spire { DISK_SPIRE_GIB } else { DISK_OTHER_PEER_GIB });
        checks.push(disk(peers.cache.folder(), room.sum(), "COUNTERSIGN_CACHE, GOMODCACHE and GOCACHE"));
    }
    checks
}

fn rust(place: &Place) -> Result<String, Lacking> {
    let wanted = fs::read_to_string(place.root.join("rust-toolchain.toml")).ok().and_then(|text| channel(&text));
    let wanted = wanted.unwrap_or_else(|| "stable".to_owned());
    let found = answer(Command::new("rustc").arg("--version").current_dir(&place.root));
    match found {
        Some(found) if found.split(' ').nth(1) == Some(wanted.as_str()) => Ok(found),
        other => {
            let found = other.unwrap_or_else(|| "none".to_owned());
            let what = format!("Rust {wanted}, as rust-toolchain.toml says (found: {found})");
            Err(Lacking { what, remedy: format!("rustup toolchain install {wanted}   (rustup: https://rustup.rs)") })
        }
    }
}

fn components(place: &Place) -> Result<String, Lacking> {
    let found = ["clippy", "fmt"].map(|tool| answer(place.cargo().args([tool, "--version"])));
    match found {
        [Some(clippy), Some(rustfmt)] => Ok(format!("{clippy}, {rustfmt}")),
        [clippy, rustfmt] => {
            let lacking =
                [("clippy", clippy), ("rustfmt", rustfmt)].into_iter().filter(|(_name, found)| found.is_none());
            let names: Vec<&str> = lacking.map(|(name, _found)| name).collect();
            Err(Lacking { what: names.join(" and "), remedy: format!("rustup component add {}", names.join(" ")) })
        }
    }
}

fn c_compiler(compiler: &OsStr) -> Result<String, Lacking> {
    answer(Command::new(compiler).arg("--version")).ok_or_else(|| Lacking {
        what: format!("a C compiler (`{}` does not answer)", compiler.display()),
        remedy: "sudo apt-get install -y gcc libc6-dev   (Fedora: sudo dnf install -y gcc)".to_owned(),
    })
}

/// `needed` in GiB; `variable` is what points elsewhere.
fn disk(folder: &Path, needed: u64, variable: &str) -> Result<String, Lacking> {
    // Before the first use the folder does not exist; what holds it does.
    let holder = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(folder);
    let table = Command::new("df").arg("-Pk").arg(holder).output().ok().filter(|output| output.status.success());
    let free = table.and_then(|output| free_kib(&String::from_utf8_lossy(&output.stdout)));
    match free.and_then(|kib| kib.checked_div(KIB_PER_GIB)) {
        Some(free) if free >= needed => Ok(format!("{free} GiB free for {}", folder.display())),
        other => {
            let found = other.map_or_else(|| "unknown".to_owned(), |free| format!("{free} GiB"));
            let what = format!("{needed} GiB of free disk for {} (free: {found})", folder.display());
            Err(Lacking { what, remedy: format!("free some, or point {variable} to a larger disk") })
        }
    }
}

fn kernel() -> Result<String, Lacking> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    match version(release) {
        Some(version) if version >= KERNEL_PEER_PIDFD => {
            Ok(format!("Linux {release}, callers are pinned by SO_PEERPIDFD"))
        }
        Some(version) if version >= KERNEL_MIN => Ok(format!("Linux {release}, callers are pinned by pidfd_open")),
        Some(_) | None => Err(Lacking {
            what: format!("a kernel with pidfd, Linux {}.{} or later (found: {release})", KERNEL_MIN.0, KERNEL_MIN.1),
            remedy: "boot a newer kernel, or use a newer virtual machine".to_owned(),
        }),
    }
}

fn plan(place: &Place, first: bool) -> String {
    let lock = fs::read_to_string(place.root.join("Cargo.lock")).unwrap_or_default();
    let crates = lock.lines().filter(|line| *line == "[[package]]").count();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (first_run, later) = CORE_MINUTES;
    let work = if first { first_run } else { later };
    let minutes = work.div_ceil(cores);
    let what = if first { format!("up to {crates} crates, the first time") } else { "what changed".to_owned() };
    format!("{what}; expect about {minutes} min on {cores} cores")
}

fn plan_of_peers(missing: &[What]) -> String {
    if missing.is_empty() {
        return "all in the cache".to_owned();
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let work =
        missing.iter().map(|what| if *what == What::Spire { CORE_MINUTES_SPIRE } else { CORE_MINUTES_OTHER_PEER });
    let names: Vec<String> = missing.iter().map(What::to_string).collect();
    format!("gets {}; expect about {} min", names.join(", "), work.sum::<usize>().div_ceil(cores))
}

/// First line of what a tool says, where it runs and succeeds.
fn answer(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}

/// `channel = "…"` of rust-toolchain.toml.
fn channel(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix("channel"))?;
    line.trim_start().strip_prefix('=').map(|value| value.trim().trim_matches('"').to_owned())
}

/// The fourth column of the second line of `df -Pk`.
fn free_kib(table: &str) -> Option<u64> {
    table.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()
}

/// Major and minor of a kernel release such as `6.1.0-18-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(['.', '-']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tools_say_is_understood() {
        assert_eq!(channel("[toolchain]\nchannel = \"1.95.0\"\n").as_deref(), Some("1.95.0"));
        assert_eq!(
            free_kib("Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/a 9 3 6 33% /\n"),
            Some(6)
        );
        assert_eq!(version("6.1.0-18-amd64"), Some((6, 1)));
        assert_eq!(version("5.10"), Some((5, 10)));
        assert_eq!(version("unknown"), None);
    }
}
