//! Users of their own for the workloads of a stack, where we are root: one workload then cannot look into another's files
//! or memory, and SPIRE tells them apart by their user too.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use super::Problem;

/// No user of a system or a person is likely to be here: useradd(8) stops at 60000, systemd's dynamic users begin at 61184.
const FIRST: u32 = 60_100;
/// How many there are.
const COUNT: u32 = 800;
/// The work folder lets everybody through, to files that each guards itself.
pub(super) const LETS_THROUGH: u32 = 0o711;

pub(super) fn we_are_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The user of the workload `name`: always the same, so that a process that is started again owns its files.
pub(super) fn of(name: &str) -> u32 {
    let sum = name.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    FIRST.saturating_add(sum.checked_rem(COUNT).unwrap_or_default())
}

/// Gives files and folders, with what is in them, to `user`, and lets it through the work folder.
pub(super) fn give(user: u32, folder: &Path, files: &[PathBuf]) -> Result<(), Problem> {
    let fault = |path: &Path, source| Problem::File { path: path.to_owned(), source };
    fs::set_permissions(folder, fs::Permissions::from_mode(LETS_THROUGH)).map_err(|source| fault(folder, source))?;
    for file in files {
        chown(file, Some(user), Some(user)).map_err(|source| fault(file, source))?;
        let within = fs::read_dir(file).into_iter().flatten().filter_map(Result::ok);
        for entry in within {
            chown(entry.path(), Some(user), Some(user)).map_err(|source| fault(&entry.path(), source))?;
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
