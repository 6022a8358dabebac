//! What the caller's environment decides: where the cache is, which Java. The only file here that reads it.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Names this program's own cache folder.
const CACHE: &str = "COUNTERSIGN_CACHE";

/// The variables of which one says where the cache is.
#[derive(Debug, Default)]
pub(crate) struct Folders {
    pub(crate) cache: Option<OsString>,
    pub(crate) xdg: Option<OsString>,
    pub(crate) home: Option<OsString>,
}

impl Folders {
    /// As this process was given them. An empty variable is an unset one.
    pub(crate) fn of_process() -> Self {
        let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
        Self { cache: variable(CACHE), xdg: variable("XDG_CACHE_HOME"), home: variable("HOME") }
    }

    /// The cache folder.
    ///
    /// # Errors
    /// None is named, or the one named in `COUNTERSIGN_CACHE` would be another in each working directory.
    pub(crate) fn cache(&self) -> Result<PathBuf, String> {
        if let Some(folder) = &self.cache {
            let folder = PathBuf::from(folder);
            return if folder.is_absolute() {
                Ok(folder)
            } else {
                Err(format!("an absolute path in {CACHE} (it is `{}`)", folder.display()))
            };
        }
        // The XDG specification: a relative path is to be ignored.
        let xdg = self.xdg.as_ref().map(PathBuf::from).filter(|folder| folder.is_absolute());
        let home = self.home.as_ref().map(|home| Path::new(home).join(".cache"));
        let folder = xdg.or(home.filter(|folder| folder.is_absolute()));
        folder.map(|folder| folder.join("countersign")).ok_or_else(|| format!("a cache folder ({CACHE} or HOME)"))
    }
}

/// The Java that Keycloak's and Maven's own scripts take: of `JAVA_HOME`, else the first on the PATH; else its bare name,
/// so that whoever starts it is told that there is none.
#[must_use]
pub fn java() -> PathBuf {
    let home = env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).map(|folder| folder.join("java")).find(|java| java.is_file());
    home.or(on_path).unwrap_or_else(|| "java".into())
}

/// What Keycloak gets of our environment. Everything else could be an option of it: `KC_DB`, `JAVA_OPTS_APPEND`, `DEBUG`.
pub(crate) fn for_keycloak() -> impl Iterator<Item = (&'static str, OsString)> {
    let names = ["PATH", "HOME", "JAVA_HOME", "TMPDIR", "LANG", "LC_ALL"];
    names.into_iter().filter_map(|name| env::var_os(name).map(|value| (name, value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(cache: &str, xdg: &str, home: &str) -> Result<PathBuf, String> {
        let some = |text: &str| Some(OsString::from(text)).filter(|text| !text.is_empty());
        Folders { cache: some(cache), xdg: some(xdg), home: some(home) }.cache()
    }

    #[test]
    fn our_own_variable_wins_then_the_desktop_s_then_the_home_folder() {
        assert_eq!(folders("/own", "/xdg", "/home/ada"), Ok("/own".into()));
        assert_eq!(folders("", "/xdg", "/home/ada"), Ok("/xdg/countersign".into()));
        assert_eq!(folders("", "", "/home/ada"), Ok("/home/ada/.cache/countersign".into()));
        assert_eq!(folders("", "relative", "/home/ada"), Ok("/home/ada/.cache/countersign".into()));
    }

    #[test]
    fn a_cache_that_would_move_with_the_working_directory_is_refused() {
        let refused = folders("here", "/xdg", "/home/ada").expect_err("relative");
        assert!(refused.contains("`here`"), "{refused}");
        for none in [folders("", "", ""), folders("", "relative", "home")] {
            assert!(none.expect_err("none").contains("HOME"));
        }
    }
}
