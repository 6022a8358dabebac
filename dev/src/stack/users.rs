//! Users of their own for the workloads of a stack, where we are root: one workload then cannot look into another's files
//! or memory, and SPIRE tells them apart by their user too.

use std::{
    fs,
    os::unix::fs::lchown,
    path::{Path, PathBuf},
};

use super::{
    Peers, Problem,
    folder::Folder,
    leftover::{make_passage, make_private},
};

/// No user of a system or a person is likely to be here: useradd(8) stops at 60000, systemd's dynamic users begin at 61184.
const FIRST: u32 = 60_100;
/// How many there are.
const COUNT: u32 = 800;

/// Whether workloads have users of their own: on a real SPIRE, where we are root.
pub(super) fn are_own(peers: &Peers) -> bool {
    *peers != Peers::Embedded && rustix::process::geteuid().is_root()
}

/// The user of the process `name`, who owns these files from now on, and the folder of its ready file. `None`: ours.
/// Not to be called again once the process ran: what it put in its place must not be given to it.
pub(super) fn own(peers: &Peers, name: &str, folder: &Folder, files: &[PathBuf]) -> Result<Option<u32>, Problem> {
    if !are_own(peers) {
        return Ok(None);
    }
    let mut files = files.to_vec();
    if let Some(ready) = folder.ready(name).parent() {
        make_private(ready).map_err(|source| Problem::File { path: ready.to_owned(), source })?;
        files.push(ready.to_owned());
    }
    let user = of(name);
    give(user, folder.path(), &files)?;
    Ok(Some(user))
}

/// The user of the workload `name`: always the same, so that a process that is started again owns its files.
fn of(name: &str) -> u32 {
    let sum = name.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    FIRST.saturating_add(sum.checked_rem(COUNT).unwrap_or_default())
}

/// Gives files and folders, with what is in them, to `user`, and lets it through the work folder.
fn give(user: u32, folder: &Path, files: &[PathBuf]) -> Result<(), Problem> {
    let fault = |path: &Path, source| Problem::File { path: path.to_owned(), source };
    make_passage(folder).map_err(|source| fault(folder, source))?;
    for file in files {
        lchown(file, Some(user), Some(user)).map_err(|source| fault(file, source))?;
        let within = fs::read_dir(file).into_iter().flatten().filter_map(Result::ok);
        for entry in within {
            lchown(entry.path(), Some(user), Some(user)).map_err(|source| fault(&entry.path(), source))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workloads_of_the_story_are_users_of_their_own() {
        let names = ["broker", "planner-sidecar", "researcher-sidecar", "tickets-sidecar"];
        let users: std::collections::BTreeSet<_> = names.iter().map(|name| of(name)).collect();
        assert_eq!(users.len(), names.len(), "{users:?}");
    }
}
