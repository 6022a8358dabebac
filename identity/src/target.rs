//! What may be called. A target is one resource of one workload, with the mapping from calls to scopes
//! (`protocol.md` §6). Only what is mapped exists.

use std::collections::BTreeMap;

use crate::{Audience, Scopes, SpiffeId};

/// A target as the registry file or the watch stream spells it, before any rule is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetSpec {
    /// Unique name, as policies say it: `Target::"name"`.
    pub name: String,
    /// The canonical URI (RFC 8707): audience of access tokens, and the perimeter of paths.
    pub resource: String,
    /// Hosts by which apps call it.
    pub hosts: Vec<String>,
    /// SPIFFE ID of the workload that must answer.
    pub workload: String,
    /// `host:port` where its mesh door listens.
    pub connect: String,
    /// Scope that it may pass on to others; absent: it passes nothing on.
    pub passes_on: Option<String>,
    /// `subject`, `actors`, `scope`, `transaction`: headers that its app wants.
    pub identity_headers: Vec<String>,
    /// MCP mapping.
    pub mcp: Option<McpSpec>,
    /// HTTP mapping.
    pub routes: Vec<RouteSpec>,
}

/// MCP operations and the scope that each needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct McpSpec {
    /// Tool name → scope.
    pub tools: BTreeMap<String, String>,
    /// Resource URI → scope.
    pub resources: BTreeMap<String, String>,
    /// Prompt name → scope.
    pub prompts: BTreeMap<String, String>,
}

/// One HTTP route and the scope that it needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteSpec {
    /// Methods in capital letters.
    pub methods: Vec<String>,
    /// Path below the resource: exact, or a prefix when it ends in `/*`.
    pub path: String,
    /// The scope; empty where the call needs none.
    pub scope: String,
}

/// A registered target. Only [`crate::Registry`] makes one.
#[derive(Debug)]
pub struct Target {
    pub(crate) name: String,
    pub(crate) audience: Audience,
    pub(crate) authority: String,
    pub(crate) path: String,
    pub(crate) hosts: Vec<String>,
    pub(crate) workload: SpiffeId,
    pub(crate) connect: String,
    pub(crate) passes_on: Option<Scopes>,
    pub(crate) identity_headers: Vec<IdentityHeader>,
    pub(crate) mapping: Mapping,
    pub(crate) scopes: Scopes,
    pub(crate) spec: TargetSpec,
}

/// What a target's app wants to know about the caller (`protocol.md` §10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityHeader {
    /// `Countersign-Subject`.
    Subject,
    /// `Countersign-Actors`, current first.
    Actors,
    /// `Countersign-Scope`.
    Scope,
    /// `Countersign-Transaction`.
    Transaction,
}

/// From a call to the scope that it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// Every path under the resource, without scope.
    Everything,
    /// MCP over streamable HTTP.
    Mcp(McpSpec),
    /// HTTP routes.
    Routes(Vec<RouteSpec>),
}

/// An MCP operation that needs a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum McpOperation<'a> {
    /// `tools/call` of this tool.
    Tool(&'a str),
    /// `resources/read` of this URI.
    Resource(&'a str),
    /// `prompts/get` of this prompt.
    Prompt(&'a str),
}

impl Target {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its audience: the `resource` URI.
    #[must_use]
    pub const fn audience(&self) -> &Audience {
        &self.audience
    }

    /// `host[:port]` of the resource, sent as `Host` between sidecars.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The path of the resource, without a slash at the end; empty at the root.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Who must answer.
    #[must_use]
    pub const fn workload(&self) -> &SpiffeId {
        &self.workload
    }

    /// `host:port` of its mesh door.
    #[must_use]
    pub fn connect(&self) -> &str {
        &self.connect
    }

    /// What it may pass on; `None`: it cannot call on for the user.
    #[must_use]
    pub const fn passes_on(&self) -> Option<&Scopes> {
        self.passes_on.as_ref()
    }

    /// Headers that its app wants.
    #[must_use]
    pub fn identity_headers(&self) -> &[IdentityHeader] {
        &self.identity_headers
    }

    /// From calls to scopes.
    #[must_use]
    pub const fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Every scope that the target knows: of its mapping and of what it passes on.
    #[must_use]
    pub const fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// As it was spelled, to send it on.
    #[must_use]
    pub const fn spec(&self) -> &TargetSpec {
        &self.spec
    }

    /// Whether `path` (absolute, without query) lies under the resource. A path that a server could read as
    /// another one is under none: dot segments, backslashes, encoded slashes or dots, empty segments inside.
    #[must_use]
    pub fn covers(&self, path: &str) -> bool {
        plain_path(path)
            && path.strip_prefix(self.path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The scope that an HTTP call needs (empty set: none), or `None` where nothing maps it.
    /// Meant for [`Mapping::Everything`] and [`Mapping::Routes`]; an MCP target is asked by operation.
    #[must_use]
    pub fn scope_of_route(&self, method: &str, path: &str) -> Option<Scopes> {
        if !self.covers(path) {
            return None;
        }
        match &self.mapping {
            Mapping::Everything => Some(Scopes::none()),
            Mapping::Mcp(_) => None,
            Mapping::Routes(routes) => {
                let rest = path.strip_prefix(self.path.as_str())?;
                let matches =
                    |route: &&RouteSpec| route.methods.iter().any(|known| known == method) && fits(&route.path, rest);
                routes.iter().find(matches)?.scope.parse().ok()
            }
        }
    }

    /// The scope that an MCP operation needs, or `None` where nothing maps it.
    #[must_use]
    pub fn scope_of_operation(&self, operation: McpOperation<'_>) -> Option<Scopes> {
        let Mapping::Mcp(mcp) = &self.mapping else { return None };
        let scope = match operation {
            McpOperation::Tool(name) => mcp.tools.get(name),
            McpOperation::Resource(uri) => mcp.resources.get(uri),
            McpOperation::Prompt(name) => mcp.prompts.get(name),
        };
        scope?.parse().ok()
    }
}

impl IdentityHeader {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "subject" => Some(Self::Subject),
            "actors" => Some(Self::Actors),
            "scope" => Some(Self::Scope),
            "transaction" => Some(Self::Transaction),
            _unknown => None,
        }
    }
}

/// `pattern` is a path, or a prefix that ends in `/*`.
fn fits(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix("/*") {
        Some(prefix) => path.strip_prefix(prefix).is_some_and(|rest| rest.len() > 1 && rest.starts_with('/')),
        None => path == pattern || (pattern == "/" && path.is_empty()),
    }
}

fn plain_path(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let encoded = ["%2f", "%5c", "%2e", "%00", "\\", "//", ";"].iter().any(|trick| lower.contains(trick));
    path.starts_with('/') && !encoded && path.split('/').all(|segment| segment != "." && segment != "..")
}
