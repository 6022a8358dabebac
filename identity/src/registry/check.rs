//! The rules of one target, by kind. Each that is broken is noted with its key, and all of them at once.

use url::Url;

use super::{RegistryProblem, authority, check_address};
use crate::{
    Audience, Mapping, Perimeter, SCOPES_MAX, Scopes, ServiceAddress, Target, TargetSpec, WorkloadTarget,
    target::IdentityHeader, workload_id,
};

/// Checks one target and notes what it breaks.
pub(super) struct Check<'p> {
    pub(super) index: usize,
    pub(super) problems: &'p mut Vec<RegistryProblem>,
}

impl Check<'_> {
    pub(super) fn problem(&mut self, key: &'static str, message: impl Into<String>) {
        self.problems.push(RegistryProblem { index: self.index, key, message: message.into() });
    }

    pub(super) fn mesh(&mut self, spec: TargetSpec) -> Option<Target> {
        let perimeter = self.perimeter(&spec);
        let workload = workload_id(&spec.workload);
        match &workload {
            Err(_missing) if spec.workload.is_empty() => {
                self.problem("workload", "missing: SPIFFE ID of who must answer (or `kind: workload`)");
            }
            Err(fault) => self.problem("workload", format!("`{}` is {fault}", spec.workload)),
            Ok(_) => {}
        }
        if let Err(fault) = check_address(&spec.connect) {
            self.problem("connect", fault.to_string());
        }
        let passes_on = spec.passes_on.as_deref().map(|text| self.scopes("passes_on", text));
        let identity_headers = self.identity_headers(&spec.identity_headers);
        let scopes = self.known_scopes(&spec);
        Some(Target {
            name: spec.name.clone(),
            perimeter: perimeter?,
            workload: workload.ok()?,
            connect: spec.connect.clone(),
            passes_on,
            identity_headers,
            scopes,
            spec,
        })
    }

    /// A service takes the calling workload's JWT-SVID and nothing else, so whatever speaks of a user or of a peer's
    /// SVID is a mistake here.
    pub(super) fn workload(&mut self, spec: TargetSpec) -> Option<WorkloadTarget> {
        let perimeter = self.perimeter(&spec);
        let connect = spec.connect.parse::<ServiceAddress>();
        if let Err(fault) = &connect {
            self.problem("connect", fault.to_string());
        }
        for (key, stands, reason) in [
            ("workload", !spec.workload.is_empty(), "no SVID is asked of the service; the host of `resource` names it"),
            ("passes_on", spec.passes_on.is_some(), "it is called without a user, so there is nothing to pass on"),
            ("identity_headers", !spec.identity_headers.is_empty(), "it is called without a user"),
            ("mcp", spec.mcp.is_some(), "it maps tools to scopes of a user; map paths with `routes`"),
        ] {
            if stands {
                self.problem(key, format!("has no meaning at a target of kind `workload`: {reason}"));
            }
        }
        for route in spec.routes.iter().filter(|route| !route.scope.is_empty()) {
            self.problem(
                "routes",
                format!("path `{}` has a scope, and at a target of kind `workload` nobody holds one", route.path),
            );
        }
        Some(WorkloadTarget { name: spec.name.clone(), perimeter: perimeter?, connect: connect.ok()?, spec })
    }

    /// What every kind of target has.
    fn perimeter(&mut self, spec: &TargetSpec) -> Option<Perimeter> {
        if spec.name.is_empty() || !spec.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        {
            self.problem("name", "must hold letters, digits, `-`, `_` and `.` only");
        }
        let url = self.resource(&spec.resource);
        for host in &spec.hosts {
            if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte)) {
                self.problem("hosts", format!("`{host}` is no host name"));
            }
        }
        let mapping = self.mapping(spec);
        let url = url?;
        Some(Perimeter {
            audience: Audience::registered(&spec.resource),
            authority: authority(&url),
            path: url.path().trim_end_matches('/').to_owned(),
            hosts: spec.hosts.clone(),
            mapping,
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
