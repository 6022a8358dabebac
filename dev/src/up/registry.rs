//! A registry and policies of one's own. The file has keys of broker.yaml, so that it can be pasted there later; what it
//! means the broker decides, and tells, when it starts.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use identity::{TrustDomain, workload_id};
use serde_json::{Map, Value};

/// Longest file in bytes: as long as a configuration may be, and room for a thousand targets.
const FILE_LENGTH_MAX: u64 = 1024 * 1024;
/// Most policy files, and the longest.
const POLICIES_MAX: usize = 1024;
/// The keys, all of them optional.
const KEYS: [&str; 3] = ["trust_domain", "edges", "targets"];

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnRegistry {
    /// The trust domain; `None`: that of the first workload, else the demo's.
    pub trust_domain: Option<String>,
    /// Targets, as broker.yaml has them.
    pub targets: Vec<Value>,
    /// Edges, as broker.yaml has them.
    pub edges: Vec<Value>,
}

/// Why a file or folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryFault {
    /// It cannot be read.
    #[error("`{}` cannot be read", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// More than a registry is long.
    #[error("`{}` is larger than {FILE_LENGTH_MAX} bytes", .0.display())]
    TooLarge(PathBuf),
    /// Not YAML.
    #[error("{}:{line}: {told}", .path.display())]
    NotYaml {
        /// Which.
        path: PathBuf,
        /// Where.
        line: u64,
        /// Why.
        told: String,
    },
    /// YAML that is no registry.
    #[error("{}: {told}", .path.display())]
    NoRegistry {
        /// Which.
        path: PathBuf,
        /// Why.
        told: String,
    },
    /// No policy at all: nothing would be allowed.
    #[error("`{}` holds no policy: put rules into files named `*.cedar`", .0.display())]
    NoPolicy(PathBuf),
    /// More than a folder of policies holds.
    #[error("`{}` holds more than {POLICIES_MAX} policies", .0.display())]
    TooMany(PathBuf),
}

impl OwnRegistry {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// The first [`RegistryFault`].
    pub fn read(path: &Path) -> Result<Self, RegistryFault> {
        let told = |told: String| RegistryFault::NoRegistry { path: path.to_owned(), told };
        let text = text_of(path)?;
        let document: Value = serde_saphyr::from_str(&text).map_err(|error| RegistryFault::NotYaml {
            path: path.to_owned(),
            line: error.location().map_or(1, |at| at.line()),
            told: error.without_snippet().to_string().lines().next().unwrap_or_default().to_owned(),
        })?;
        let Value::Object(members) = document else {
            return Err(told(format!("must hold the keys {}, as broker.yaml has them", KEYS.join(", "))));
        };
        if let Some(unknown) = members.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(told(format!("`{unknown}` is not for here; the keys are {}", KEYS.join(", "))));
        }
        let list = |name: &str| list_of(&members, name).map_err(told);
        let (targets, edges) = (list("targets")?, list("edges")?);
        let trust_domain = match members.get("trust_domain") {
            None => None,
            Some(Value::String(name)) => Some(name.clone()),
            Some(_other) => return Err(told("`trust_domain` must be a name, as in corp.example".to_owned())),
        };
        Ok(Self { trust_domain, targets, edges })
    }

    /// The trust domain that is written, else that of the first workload that is named.
    #[must_use]
    pub fn trust_domain(&self) -> Option<TrustDomain> {
        if let Some(written) = &self.trust_domain {
            return written.parse().ok();
        }
        let mut ids = self.edges.iter().chain(&self.targets).filter_map(|entry| entry.get("workload")?.as_str());
        ids.find_map(|id| workload_id(id).ok()).map(|id| id.trust_domain().clone())
    }
}

/// The policies in `folder`: file name to text, as a stack takes them.
///
/// # Errors
/// The first [`RegistryFault`].
pub fn read_policies(folder: &Path) -> Result<BTreeMap<String, String>, RegistryFault> {
    let unreadable = |source| RegistryFault::Unreadable { path: folder.to_owned(), source };
    let mut policies = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        let Some(name) = name.filter(|name| name.ends_with(".cedar")) else { continue };
        if policies.len() >= POLICIES_MAX {
            return Err(RegistryFault::TooMany(folder.to_owned()));
        }
        policies.insert(name, text_of(&path)?);
    }
    if policies.is_empty() { Err(RegistryFault::NoPolicy(folder.to_owned())) } else { Ok(policies) }
}

/// One byte more than is allowed is enough to be refused; a device or pipe would never end.
fn text_of(path: &Path) -> Result<String, RegistryFault> {
    let unreadable = |source| RegistryFault::Unreadable { path: path.to_owned(), source };
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_LENGTH_MAX.saturating_add(1)).read_to_string(&mut text).map_err(unreadable)?;
    let is_short = u64::try_from(text.len()).is_ok_and(|length| length <= FILE_LENGTH_MAX);
    if is_short { Ok(text) } else { Err(RegistryFault::TooLarge(path.to_owned())) }
}

fn list_of(members: &Map<String, Value>, name: &str) -> Result<Vec<Value>, String> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => Ok(items.clone()),
        Some(_other) => Err(format!("`{name}` must be a list")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::up::tests::Scratch;

    fn read(text: &str) -> Result<OwnRegistry, String> {
        let scratch = Scratch::new();
        let path = scratch.path("registry.yaml");
        fs::write(&path, text).expect("written");
        OwnRegistry::read(&path).map_err(|fault| fault.to_string().replace(&path.display().to_string(), "FILE"))
    }

    #[test]
    fn a_part_of_broker_yaml_is_read_as_it_stands() {
        let text = "edges:\n  - workload: spiffe://acme.example/a\n    login_clients: [console]\n    scopes: [docs:read]\n\
                    targets:\n  - name: docs\n    workload: spiffe://acme.example/docs\n    passes_on: []\n    hosts: [\"1.2\"]\n";
        let registry = read(text).expect("read");
        assert_eq!(registry.targets[0]["hosts"], json!(["1.2"]), "a quoted number stays text");
        assert_eq!(registry.edges[0]["scopes"], json!(["docs:read"]));
        assert_eq!(registry.trust_domain().map(|domain| domain.to_string()).as_deref(), Some("acme.example"));
        assert_eq!(read("trust_domain: corp.example\n").expect("read").trust_domain.as_deref(), Some("corp.example"));
    }

    #[test]
    fn what_is_no_registry_is_told_with_its_place() {
        for (text, words) in [
            ("targets:\n  - name: [\n", "FILE:"),
            ("- name: a\n", "FILE: must hold the keys"),
            ("store: sqlite:///x\n", "FILE: `store` is not for here"),
            ("targets: tickets\n", "FILE: `targets` must be a list"),
            ("trust_domain: [a]\n", "FILE: `trust_domain` must be a name"),
            ("targets: []\ntargets: []\n", "FILE:"),
        ] {
            let told = read(text).expect_err("refused");
            assert!(told.starts_with(words) && !told.contains('\n'), "{text}: {told}");
        }
        let long = format!("# {}\n", "a".repeat(1024 * 1024));
        assert!(read(&long).expect_err("refused").contains("larger than"));
    }

    #[test]
    fn only_policies_are_taken_from_a_folder_and_none_is_too_few() {
        let scratch = Scratch::new();
        let folder = scratch.path("policies");
        fs::create_dir(&folder).expect("made");
        fs::write(folder.join("README.md"), "no rule").expect("written");
        assert!(matches!(read_policies(&folder), Err(RegistryFault::NoPolicy(_))));
        fs::write(folder.join("a.cedar"), "a rule").expect("written");
        assert_eq!(read_policies(&folder).expect("read"), BTreeMap::from([("a.cedar".into(), "a rule".into())]));
        assert!(matches!(read_policies(&folder.join("nowhere")), Err(RegistryFault::Unreadable { .. })));
    }
}
