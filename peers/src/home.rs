//! A second home for a Keycloak: its own database and configuration on top of a built distribution, at a tenth of its size.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use crate::cache::Keycloak;

/// What is copied. `bin` too: `kc.sh` takes its home from its own real path.
const COPIED: [&str; 5] = ["bin", "conf", "version.txt", "lib/quarkus", "lib/quarkus-run.jar"];
/// What is linked: most of the distribution, only read.
const LINKED: [&str; 2] = ["lib/lib", "lib/app"];
/// What Keycloak expects to find or to write.
const OWN: [&str; 3] = ["data", "providers", "themes"];

/// Makes a second home in `to`, a folder that does not exist or is empty. The distribution must stay where it is.
///
/// # Errors
/// The file system refuses; `to` is then half-made.
pub fn second_home(keycloak: &Keycloak, to: &Path) -> io::Result<()> {
    of_distribution(&keycloak.home, to)
}

/// The same, of a distribution that has no database yet.
pub(crate) fn of_distribution(distribution: &Path, to: &Path) -> io::Result<()> {
    // A link is read relative to where it lies.
    let distribution = distribution.canonicalize()?;
    for name in OWN.into_iter().chain(["lib"]) {
        fs::create_dir_all(to.join(name))?;
    }
    for name in COPIED {
        copy(&distribution.join(name), &to.join(name))?;
    }
    for name in LINKED {
        symlink(distribution.join(name), to.join(name))?;
    }
    Ok(())
}

/// Copies a file, or a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut open: Vec<(PathBuf, PathBuf)> = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = open.pop() {
        if !from.is_dir() {
            fs::copy(&from, &to)?;
            continue;
        }
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(&from)? {
            let name = entry?.file_name();
            open.push((from.join(&name), to.join(&name)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;

    #[test]
    fn a_second_home_copies_what_differs_and_links_the_rest() {
        let folder = Folder::new("home");
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        for file in
            ["bin/client/lib/a.jar", "bin/kc.sh", "conf/keycloak.conf", "lib/quarkus/a.dat", "lib/lib/main/b.jar"]
        {
            let file = first.join(file);
            fs::create_dir_all(file.parent().expect("a folder")).expect("made");
            fs::write(file, "first").expect("written");
        }
        for file in ["version.txt", "lib/quarkus-run.jar", "lib/app"] {
            fs::write(first.join(file), "first").expect("written");
        }
        of_distribution(&first, &second).expect("a second home");
        fs::write(second.join("conf/keycloak.conf"), "second").expect("its own");
        fs::write(second.join("bin/client/lib/a.jar"), "second").expect("its own");
        assert_eq!(fs::read(first.join("conf/keycloak.conf")).expect("read"), b"first");
        assert_eq!(fs::read(first.join("bin/client/lib/a.jar")).expect("read"), b"first");
        assert!(second.join("lib/lib").is_symlink() && second.join("lib/lib/main/b.jar").is_file());
        assert!(second.join("data").is_dir() && !second.join("bin").is_symlink());
    }
}
