//! The registry: which targets exist. It says nothing about who may call them; Cedar alone does.

mod address;

use std::{collections::BTreeMap, sync::Arc};

use url::Url;

pub use self::address::{AddressFault, check_address};
use crate::{Audience, Mapping, SCOPES_MAX, Scopes, Target, TargetSpec, target::IdentityHeader, workload_id};

/// The targets, checked by every rule of `protocol.md` §6.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    targets: Vec<Arc<Target>>,
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
    /// Checks all targets.
    ///
    /// # Errors
    /// Every rule that any target breaks, not only the first.
    pub fn new(specs: Vec<TargetSpec>, reserved: &Reserved) -> Result<Self, Vec<RegistryProblem>> {
        let mut problems = Vec::new();
        let mut targets: Vec<Arc<Target>> = Vec::new();
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
            targets.extend(check.target(spec).map(Arc::new));
        }
        if problems.is_empty() { Ok(Self { targets }) } else { Err(problems) }
    }

    /// All targets.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.targets.iter()
    }

    /// The target with this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Arc<Target>> {
        self.targets.iter().find(|target| target.name == name)
    }

    /// The target with exactly this resource URI, byte for byte (`security.md` T3).
    #[must_use]
    pub fn by_resource(&self, resource: &str) -> Option<&Arc<Target>> {
        self.targets.iter().find(|target| target.audience.as_str() == resource)
    }

    /// The target that apps call by this host (`name[:80]`, any case) and whose resource covers the path.
    #[must_use]
    pub fn by_host(&self, host: &str, path: &str) -> Option<&Arc<Target>> {
        let host = host.strip_suffix(":80").unwrap_or(host);
        let named = |target: &&Arc<Target>| target.hosts.iter().any(|known| known.eq_ignore_ascii_case(host));
        self.targets.iter().filter(named).find(|target| target.covers(path))
    }

    /// Whether any target is called by this host, whatever the path.
    #[must_use]
    pub fn knows_host(&self, host: &str) -> bool {
        let host = host.strip_suffix(":80").unwrap_or(host);
        self.targets.iter().any(|target| target.hosts.iter().any(|known| known.eq_ignore_ascii_case(host)))
    }

    /// The target whose resource has this authority and covers the path: what a mesh door serves.
    #[must_use]
    pub fn by_authority(&self, authority: &str, path: &str) -> Option<&Arc<Target>> {
        let fits = |target: &&Arc<Target>| target.authority.eq_ignore_ascii_case(authority) && target.covers(path);
        self.targets.iter().filter(fits).max_by_key(|target| target.path.len())
    }
}

/// Checks one target and notes what it breaks.
struct Check<'p> {
    index: usize,
    problems: &'p mut Vec<RegistryProblem>,
}

impl Check<'_> {
    fn problem(&mut self, key: &'static str, message: impl Into<String>) {
        self.problems.push(RegistryProblem { index: self.index, key, message: message.into() });
    }

    fn target(&mut self, spec: TargetSpec) -> Option<Target> {
        if spec.name.is_empty() || !spec.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        {
            self.problem("name", "must hold letters, digits, `-`, `_` and `.` only");
        }
        let url = self.resource(&spec.resource);
        let workload = workload_id(&spec.workload);
        if let Err(error) = &workload {
            self.problem("workload", format!("`{}` is {error}", spec.workload));
        }
        if let Err(fault) = check_address(&spec.connect) {
            self.problem("connect", fault.to_string());
        }
        for host in &spec.hosts {
            if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte)) {
                self.problem("hosts", format!("`{host}` is no host name"));
            }
        }
        let passes_on = spec.passes_on.as_deref().map(|text| self.scopes("passes_on", text));
        let identity_headers = self.identity_headers(&spec.identity_headers);
        let mapping = self.mapping(&spec);
        let scopes = self.known_scopes(&spec);
        let url = url?;
        Some(Target {
            name: spec.name.clone(),
            audience: Audience::registered(&spec.resource),
            authority: authority(&url),
            path: url.path().trim_end_matches('/').to_owned(),
            hosts: spec.hosts.clone(),
            workload: workload.ok()?,
            connect: spec.connect.clone(),
            passes_on,
            identity_headers,
            mapping,
            scopes,
            spec,
        })
    }

    /// RFC 8707 §2: absolute, no fragment; ours besides: http(s), no user, no query.
    fn resource(&mut self, resource: &str) -> Option<Url> {
        match Url::parse(resource) {
            Ok(url)
                if matches!(url.scheme(), "https" | "http")
                    && url.has_host()
                    && url.fragment().is_none()
                    && url.query().is_none()
                    && url.username().is_empty()
                    && url.password().is_none() =>
            {
                Some(url)
            }
            Ok(_) | Err(_) => {
                self.problem(
                    "resource",
                    format!("`{resource}` must be an absolute http(s) URL without user, query and fragment"),
                );
                None
            }
        }
    }

    fn scopes(&mut self, key: &'static str, text: &str) -> Scopes {
        text.parse().unwrap_or_else(|fault| {
            self.problem(key, format!("`{text}`: {fault}"));
            Scopes::none()
        })
    }

    fn identity_headers(&mut self, names: &[String]) -> Vec<IdentityHeader> {
        let mut headers = Vec::new();
        for name in names {
            match IdentityHeader::from_name(name) {
                Some(header) => headers.push(header),
                None => {
                    self.problem("identity_headers", format!("`{name}` is none of subject, actors, scope, transaction"))
                }
            }
        }
        headers
    }

    fn mapping(&mut self, spec: &TargetSpec) -> Mapping {
        if spec.mcp.is_some() && !spec.routes.is_empty() {
            self.problem("routes", "a target has either `mcp` or `routes`; make two targets");
        }
        for route in &spec.routes {
            if !route.path.starts_with('/') || route.path.trim_end_matches("/*").contains('*') {
                self.problem("routes", format!("path `{}` must start with `/` and may end in `/*`", route.path));
            }
            let capital = |method: &String| !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
            if route.methods.is_empty() || !route.methods.iter().all(capital) {
                self.problem("routes", format!("path `{}` needs methods in capital letters", route.path));
            }
        }
        match &spec.mcp {
            Some(mcp) => Mapping::Mcp(mcp.clone()),
            None if spec.routes.is_empty() => Mapping::Everything,
            None => Mapping::Routes(spec.routes.clone()),
        }
    }

    /// Every scope that the target's keys name; each mapping entry names at most one.
    fn known_scopes(&mut self, spec: &TargetSpec) -> Scopes {
        let mcp = spec
            .mcp
            .iter()
            .flat_map(|mcp| mcp.tools.values().chain(mcp.resources.values()).chain(mcp.prompts.values()));
        let routes = spec.routes.iter().map(|route| &route.scope);
        let mapped: Vec<&str> = mcp.chain(routes).map(String::as_str).filter(|scope| !scope.is_empty()).collect();
        let key = if spec.mcp.is_some() { "mcp" } else { "routes" };
        for scope in mapped.iter().filter(|scope| scope.contains(' ')) {
            self.problem(
                key,
                format!("`{scope}` must be one scope: a call that needs its own rule gets its own scope"),
            );
        }
        let passed = spec.passes_on.iter().map(String::as_str).filter(|text| !text.is_empty());
        let all: Vec<&str> = mapped.iter().copied().chain(passed).collect();
        let text = all.join(" ");
        text.parse().unwrap_or_else(|fault| {
            self.problem(key, format!("{fault} (a target may have {SCOPES_MAX})"));
            Scopes::none()
        })
    }
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// A URL in the one spelling in which reserved audiences are compared: scheme and host in lower case, default port,
/// dot segments and percent-encoded letters resolved, slashes at the end cut, query and fragment left out.
fn normal(text: &str) -> String {
    let Ok(mut url) = Url::parse(text.trim()) else { return text.to_owned() };
    url.set_query(None);
    url.set_fragment(None);
    let host = authority(&url);
    let host = host.trim_end_matches('.');
    let path = decoded(url.path());
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty() && *segment != ".").collect();
    format!("{host}/{}", segments.join("/")).to_ascii_lowercase()
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
