//! What a registry says exists: broker.yaml, or the registry of `countersign up`. Only names are read; whether the file
//! is right is the broker's to say.

use std::path::Path;

use policies::Known;
use serde::Deserialize;

use super::{content, yaml_fault};

#[derive(Debug, Deserialize)]
struct Registry {
    trust_domain: Option<String>,
    #[serde(default)]
    edges: Vec<Edge>,
    #[serde(default)]
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Edge {
    workload: String,
    #[serde(default)]
    scopes: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    #[serde(default)]
    kind: Kind,
    workload: Option<String>,
    #[serde(default)]
    passes_on: Option<Vec<String>>,
    #[serde(default)]
    mcp: Option<Mcp>,
    #[serde(default)]
    routes: Vec<Route>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Mesh,
    Workload,
}

#[derive(Debug, Deserialize)]
struct Mcp {
    #[serde(default)]
    tools: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    resources: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    prompts: std::collections::BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Route {
    #[serde(default)]
    scope: String,
}

/// Reads the names of `file`.
///
/// # Errors
/// Why not, in one line.
pub(super) fn read(file: &Path) -> Result<Known, String> {
    let text = content(file).map_err(|error| format!("{}: cannot be read: {error}", file.display()))?;
    let registry: Registry = serde_saphyr::from_str(&text).map_err(|error| yaml_fault(file, &error))?;
    Ok(registry.known())
}

impl Registry {
    fn known(self) -> Known {
        let mut known = Known { trust_domain: self.trust_domain, ..Known::default() };
        for edge in self.edges {
            known.workloads.push(edge.workload);
            known.scopes.extend(edge.scopes);
        }
        for target in self.targets {
            match target.kind {
                Kind::Mesh => known.mesh.push(target.name),
                Kind::Workload => known.services.push(target.name),
            }
            known.workloads.extend(target.workload);
            known.scopes.extend(target.passes_on.into_iter().flatten());
            if let Some(Mcp { tools, resources, prompts }) = target.mcp {
                known.scopes.extend(tools.into_values().chain(resources.into_values()).chain(prompts.into_values()));
            }
            known.scopes.extend(target.routes.into_iter().map(|route| route.scope));
        }
        for names in [&mut known.workloads, &mut known.scopes] {
            names.sort();
            names.dedup();
        }
        known
    }
}
