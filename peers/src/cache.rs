//! The cache folder: what it holds, under which names, and whether it is there. It only looks; `fetch` makes.

use std::{
    error::Error,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use crate::{development, digest::Digest, environment::Folders, pins};

/// The command that gets what is missing.
const FETCH: &str = "cargo xtask peers fetch";
/// Written last into a Python environment, with the interpreter that it was made for.
pub(crate) const WHOLE: &str = "whole";
/// The file that Keycloak's database is in.
pub(crate) const DATABASE: &str = "keycloakdb.mv.db";
/// The folder that is no peer.
const RUN: &str = "run";
/// What the database is made of, beside the variables.
pub(crate) const REALM_FILES: [&str; 2] = ["agents-realm.json", "test-overlay.json"];

/// The user's cache of real peers.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
    sources: PathBuf,
}

/// A peer, or what a peer needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Keycloak, built, with the database of the development realm.
    Keycloak,
    /// SPIRE's three programs.
    Spire,
    /// A Python environment, by the name of its file in `peers/python`.
    Python(String),
}

/// A built Keycloak. Never start it in its own home: make a [`second_home`](crate::second_home).
#[derive(Clone, Debug)]
pub struct Keycloak {
    /// The distribution, built with `--features=spiffe --db=dev-file --health-enabled=true`.
    pub home: PathBuf,
    /// The database of the development realm, to be copied to `data/h2/keycloakdb.mv.db` of a second home.
    pub seed: PathBuf,
}

/// SPIRE's programs.
#[derive(Clone, Debug)]
pub struct Spire {
    /// `spire-server`.
    pub server: PathBuf,
    /// `spire-agent`.
    pub agent: PathBuf,
    /// `oidc-discovery-provider`.
    pub discovery: PathBuf,
}

/// Something is not in the cache.
#[derive(Debug)]
pub struct Missing {
    what: String,
    remedy: String,
}

impl Cache {
    /// The cache of whoever runs this: `peers` below `$COUNTERSIGN_CACHE`, else below `countersign` in `$XDG_CACHE_HOME`,
    /// else in `~/.cache`.
    ///
    /// # Errors
    /// No variable says where.
    pub fn of_user() -> Result<Self, Missing> {
        let remedy = "export COUNTERSIGN_CACHE=\"$PWD/../countersign-cache\"".to_owned();
        let folder = Folders::of_process().cache().map_err(|what| Missing { what, remedy })?;
        Ok(Self::of(&folder, Path::new(env!("CARGO_MANIFEST_DIR"))))
    }

    /// The cache in a folder, for the checkout whose `peers` folder is `sources`.
    pub(crate) fn of(folder: &Path, sources: &Path) -> Self {
        Self { folder: folder.join("peers"), sources: sources.to_owned() }
    }

    /// The folder that holds the peers. It may not exist yet.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder for what runs of them on its own, by `cargo xtask peers up`. It may not exist yet; nothing is got into it.
    #[must_use]
    pub fn run_folder(&self) -> PathBuf {
        self.folder.join(RUN)
    }

    /// Keycloak and its database.
    ///
    /// # Errors
    /// One of them is not there, or the realm files cannot be read.
    pub fn keycloak(&self) -> Result<Keycloak, Missing> {
        let missing = |what: String| Missing { what, remedy: FETCH.to_owned() };
        let home = self.keycloak_home();
        if !home.join("bin/kc.sh").is_file() {
            return Err(missing(What::Keycloak.to_string()));
        }
        let name = self.seed_name().map_err(|fault| missing(format!("Keycloak's realm files ({fault})")))?;
        let seed = self.folder.join(name).join(DATABASE);
        if seed.is_file() { Ok(Keycloak { home, seed }) } else { Err(missing("Keycloak's database".to_owned())) }
    }

    /// SPIRE's programs.
    ///
    /// # Errors
    /// One of them is not there.
    pub fn spire(&self) -> Result<Spire, Missing> {
        let program = |name: &str| self.folder.join(spire_name()).join("bin").join(name);
        let [server, agent, discovery] = ["spire-server", "spire-agent", "oidc-discovery-provider"].map(program);
        if server.is_file() && agent.is_file() && discovery.is_file() {
            return Ok(Spire { server, agent, discovery });
        }
        Err(Missing { what: What::Spire.to_string(), remedy: FETCH.to_owned() })
    }

    /// The interpreter of a Python environment. Its scripts lie beside it.
    ///
    /// # Errors
    /// The environment is not there, was made for another interpreter, or no file of that name says what belongs in it.
    pub fn python(&self, name: &str) -> Result<PathBuf, Missing> {
        let missing = || Missing { what: What::Python(name.to_owned()).to_string(), remedy: FETCH.to_owned() };
        let folder = self.python_name(name).map(|folder| self.folder.join(folder)).map_err(|fault| Missing {
            what: format!("`{}` ({fault})", self.requirements(name).display()),
            remedy: "write it, each line pinned with `==`".to_owned(),
        })?;
        let python = folder.join("bin/python");
        let made_for = fs::read_to_string(folder.join(WHOLE)).map_err(|_not_there| missing())?;
        // A system that got a newer Python leaves an environment whose packages are not found.
        let is_there = python.canonicalize().is_ok_and(|found| found.as_os_str() == made_for.as_str());
        if is_there { Ok(python) } else { Err(missing()) }
    }

    /// Everything that this checkout names: Keycloak, SPIRE, and one Python environment for each file in `peers/python`.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn everything(&self) -> io::Result<Vec<What>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.sources.join("python"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "txt") {
                names.extend(path.file_stem().and_then(|name| name.to_str()).map(str::to_owned));
            }
        }
        names.sort();
        Ok([What::Keycloak, What::Spire].into_iter().chain(names.into_iter().map(What::Python)).collect())
    }

    /// Those of them that are not in the cache.
    #[must_use]
    pub fn missing(&self, what: &[What]) -> Vec<What> {
        what.iter().filter(|what| !self.has(what)).cloned().collect()
    }

    fn has(&self, what: &What) -> bool {
        match what {
            What::Keycloak => self.keycloak().is_ok(),
            What::Spire => self.spire().is_ok(),
            What::Python(name) => self.python(name).is_ok(),
        }
    }

    /// The folder of the Go module that builds SPIRE.
    pub(crate) fn spire_module(&self) -> PathBuf {
        self.sources.join("spire")
    }

    /// The folder of the realm files.
    pub(crate) fn realm_folder(&self) -> PathBuf {
        self.sources.join("../keycloak")
    }

    /// What belongs in a Python environment.
    pub(crate) fn requirements(&self, name: &str) -> PathBuf {
        self.sources.join("python").join(format!("{name}.txt"))
    }

    pub(crate) fn keycloak_home(&self) -> PathBuf {
        self.folder.join(keycloak_name())
    }

    /// The folder of the database: of these realm files, joined by this program, with these variables.
    pub(crate) fn seed_name(&self) -> io::Result<String> {
        let mut digest = Digest::new();
        for file in REALM_FILES.into_iter().chain(["join"]) {
            digest = digest.with_file(&self.realm_folder().join(file))?;
        }
        for (name, value) in development::VARIABLES.into_iter().chain([development::ADMIN]) {
            digest = digest.with(name.as_bytes()).with(value.as_bytes());
        }
        Ok(format!("{}-seed-{digest}", keycloak_name()))
    }

    pub(crate) fn python_name(&self, name: &str) -> io::Result<String> {
        Ok(format!("python-{name}-{}", Digest::new().with_file(&self.requirements(name))?))
    }
}

/// The folder of Keycloak's distribution.
pub(crate) fn keycloak_name() -> String {
    format!("keycloak-{}", pins::KEYCLOAK)
}

/// The folder of SPIRE's programs.
pub(crate) fn spire_name() -> String {
    format!("spire-{}", pins::SPIRE)
}

impl fmt::Display for What {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keycloak => write!(formatter, "Keycloak {}", pins::KEYCLOAK),
            Self::Spire => write!(formatter, "SPIRE {}", pins::SPIRE),
            Self::Python(name) => write!(formatter, "the Python environment `{name}`"),
        }
    }
}

impl Missing {
    /// The command that gets it.
    #[must_use]
    pub fn remedy(&self) -> &str {
        &self.remedy
    }

    /// What it is.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} is missing; get it: {}", self.what, self.remedy)
    }
}

impl Error for Missing {}

#[cfg(test)]
mod tests;
