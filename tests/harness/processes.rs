//! Which processes are there.

use std::fs;

use crate::eventually;

/// Process ids of all that were started with a path below `folder`.
#[must_use]
pub fn processes_below(folder: &str) -> Vec<u32> {
    let all = fs::read_dir("/proc").expect("proc").filter_map(Result::ok);
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let was = |pid: &u32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| told(&line).contains(folder));
    pids.filter(was).collect()
}

/// Whether a process runs: one that ended and was not waited for does not.
#[must_use]
pub fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_command, fields)| !fields.trim_start().starts_with('Z'))
}

/// The work folder of a stack that was started with `parent` as its temporary folder, once it is there.
#[must_use]
pub fn work_folder(parent: &str) -> Option<String> {
    let entries = fs::read_dir(parent).into_iter().flatten().filter_map(Result::ok);
    let names = entries.filter_map(|entry| entry.path().to_str().map(str::to_owned));
    names.into_iter().find(|path| path.contains("/countersign-"))
}

/// Waits until neither a process nor a folder of a stack is left below its temporary folder `parent`.
pub async fn nothing_is_left(parent: &str) {
    let below = format!("{}/countersign-", parent.trim_end_matches('/'));
    eventually("no process is left", || async { processes_below(&below).is_empty().then_some(()) }).await;
    assert_eq!(work_folder(parent), None, "a folder is left");
}

/// Resident memory of a process in KiB.
///
/// # Panics
/// Where it does not run.
#[must_use]
pub fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("told");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn told(line: &[u8]) -> String {
    String::from_utf8_lossy(line).replace('\0', " ")
}
