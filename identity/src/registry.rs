//! The registry: which targets exist. It says nothing about who may call them; Cedar alone does.

mod address;
mod check;
mod service;
mod shelf;

use std::{collections::BTreeMap, sync::Arc};

use url::Url;

use self::check::Check;
pub use self::{
    address::{AddressFault, check_address},
    service::{ServiceAddress, ServiceAddressFault},
    shelf::{AnyTarget, Shelf},
};
use crate::{Target, TargetKind, TargetSpec, WorkloadTarget};

/// Ports that a URL need not say; which of them goes with which scheme makes no difference to what is reserved.
const DEFAULT_PORTS: [u16; 2] = [80, 443];

/// The targets, checked by every rule of `protocol.md` §6. Where no kind is named, those of kind `mesh` are meant.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    mesh: Vec<Arc<Target>>,
    workload: Vec<Arc<WorkloadTarget>>,
}

/// Audiences that no target may have: issuers, realms, token endpoints. Compared after URL normalisation.
#[derive(Clone, Debug, Default)]
pub struct Reserved(Vec<String>);

/// A rule that a target breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("target {index}, `{key}`: {message}")]
pub struct RegistryProblem {
    /// Which target, from 0.
    pub index: usize,
    /// Which key of it.
    pub key: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

impl Reserved {
    /// Reserves these URLs. One that is no URL is reserved literally.
    pub fn new<'a>(urls: impl IntoIterator<Item = &'a str>) -> Self {
        Self(urls.into_iter().map(normal).collect())
    }

    /// The URLs, normalised.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    fn holds(&self, resource: &str) -> bool {
        let resource = normal(resource);
        self.0.contains(&resource)
    }
}

impl Registry {
    /// Checks all targets. No two, of whatever kind, share a name, a resource or a host.
    ///
    /// # Errors
    /// Every rule that any target breaks, not only the first.
    pub fn new(specs: Vec<TargetSpec>, reserved: &Reserved) -> Result<Self, Vec<RegistryProblem>> {
        let mut problems = Vec::new();
        let mut registry = Self::default();
        let mut seen = BTreeMap::new();
        for (index, spec) in specs.into_iter().enumerate() {
            let mut check = Check { index, problems: &mut problems };
            let names = [("name", spec.name.clone()), ("resource", normal(&spec.resource))];
            let hosts = spec.hosts.iter().map(|host| ("hosts", host.to_ascii_lowercase()));
            for (key, value) in names.into_iter().chain(hosts) {
                if seen.insert((key, value.clone()), index).is_some() {
                    check.problem(key, format!("`{value}` stands twice; each target needs its own"));
                }
            }
            if reserved.holds(&spec.resource) {
                let message =
                    "is an issuer, realm or token endpoint (target.reserved_audience); choose the target's own URI";
                check.problem("resource", format!("`{}` {message}", spec.resource));
            }
            match spec.kind {
                TargetKind::Mesh => registry.mesh.extend(check.mesh(spec).map(Arc::new)),
                TargetKind::Workload => registry.workload.extend(check.workload(spec).map(Arc::new)),
            }
        }
        if problems.is_empty() { Ok(registry) } else { Err(problems) }
    }

    /// The targets of kind `mesh`.
    #[must_use]
    pub fn mesh(&self) -> Shelf<'_, Target> {
        Shelf(&self.mesh)
    }

    /// The targets of kind `workload`.
    #[must_use]
    pub fn workload(&self) -> Shelf<'_, WorkloadTarget> {
        Shelf(&self.workload)
    }

    /// All of the mesh.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.mesh.iter()
    }

    /// As [`Shelf::by_name`].
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Arc<Target>> {
        self.mesh().by_name(name)
    }

    /// As [`Shelf::by_resource`].
    #[must_use]
    pub fn by_resource(&self, resource: &str) -> Option<&Arc<Target>> {
        self.mesh().by_resource(resource)
    }

    /// As [`Shelf::by_host`].
    #[must_use]
    pub fn by_host(&self, host: &str, path: &str) -> Option<&Arc<Target>> {
        self.mesh().by_host(host, path)
    }

    /// As [`Shelf::knows_host`].
    #[must_use]
    pub fn knows_host(&self, host: &str) -> bool {
        self.mesh().knows_host(host)
    }

    /// The target whose resource has this authority and covers the path: what a mesh door serves.
    #[must_use]
    pub fn by_authority(&self, authority: &str, path: &str) -> Option<&Arc<Target>> {
        let fits = |target: &&Arc<Target>| target.authority().eq_ignore_ascii_case(authority) && target.covers(path);
        self.mesh.iter().filter(fits).max_by_key(|target| target.path().len())
    }
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// A URL in the one spelling in which reserved audiences are compared: whatever the scheme, host in lower case, no
/// default port, percent-encoding and then dot segments resolved, slashes at the end cut, user, query and fragment left
/// out. It is a URL again, and in that spelling: sidecars are told it and compare with it in turn.
fn normal(text: &str) -> String {
    let Ok(url) = Url::parse(text.trim()) else { return text.to_owned() };
    let Some(host) = url.host_str() else { return text.to_owned() };
    let port = url.port().filter(|port| !DEFAULT_PORTS.contains(port));
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let path = decoded(url.path());
    let mut segments = Vec::new();
    for segment in path.split(['/', '\\']) {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            named => segments.push(named),
        }
    }
    format!("https://{}{port}/{}", host.trim_end_matches('.'), segments.join("/")).to_ascii_lowercase()
}

/// Percent-decodes until nothing changes, so that no spelling hides behind another (N105). Each round is shorter.
fn decoded(path: &str) -> String {
    let mut current = path.to_owned();
    loop {
        let next = percent_encoding::percent_decode_str(&current).decode_utf8_lossy().into_owned();
        if next == current {
            return current;
        }
        current = next;
    }
}

#[cfg(test)]
mod tests;
