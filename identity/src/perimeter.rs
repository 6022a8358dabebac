//! Which calls belong to a target: the paths under its resource, and of those what its mapping names (`protocol.md` §6).
//! Only what is mapped exists.

use std::collections::BTreeMap;

use crate::{Audience, Scopes};

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

/// Where a target begins and ends. Only [`crate::Registry`] makes one.
#[derive(Debug)]
pub struct Perimeter {
    pub(crate) audience: Audience,
    pub(crate) authority: String,
    pub(crate) path: String,
    pub(crate) hosts: Vec<String>,
    pub(crate) mapping: Mapping,
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

impl Perimeter {
    /// The `resource` URI, as the audience of tokens for it.
    #[must_use]
    pub const fn audience(&self) -> &Audience {
        &self.audience
    }

    /// `host[:port]` of the resource.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The host of the resource: a name, or an address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = match self.authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next(),
            None => self.authority.split(':').next(),
        };
        host.unwrap_or_default()
    }

    /// The path of the resource, without a slash at the end; empty at the root.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// From calls to scopes.
    #[must_use]
    pub const fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Whether apps call it by this host (`name[:80]`, any case).
    #[must_use]
    pub fn is_called(&self, host: &str) -> bool {
        let host = host.strip_suffix(":80").unwrap_or(host);
        self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
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
            Mapping::Routes(_) => self.route(method, path)?.scope.parse().ok(),
        }
    }

    /// The first of the routes that fits a call; `None` where none does or where calls are mapped otherwise.
    #[must_use]
    pub fn route(&self, method: &str, path: &str) -> Option<&RouteSpec> {
        let Mapping::Routes(routes) = &self.mapping else { return None };
        let rest = path.strip_prefix(self.path.as_str())?;
        let matches = |route: &&RouteSpec| route.methods.iter().any(|known| known == method) && fits(&route.path, rest);
        routes.iter().find(matches)
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
