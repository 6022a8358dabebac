//! What may be called. A target is one resource, with the mapping from calls to scopes (`protocol.md` §6). Each kind has
//! a type of its own, so that no step for one can be given another.

use crate::{
    Audience, Mapping, McpOperation, McpSpec, Perimeter, RouteSpec, Scopes, ServiceAddress, SpiffeId,
    registry::AnyTarget,
};

/// What stands behind a target, and so what admits a call there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetKind {
    /// A workload of the mesh, called for a user with the broker's tokens.
    #[default]
    Mesh,
    /// A service that accepts JWT-SVIDs, called in the calling workload's own name.
    Workload,
}

/// A target as the registry file or the watch stream spells it, before any rule is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetSpec {
    /// What stands behind it.
    pub kind: TargetKind,
    /// Unique name, as policies say it: `Target::"name"`.
    pub name: String,
    /// The canonical URI (RFC 8707): audience of tokens for it, and the perimeter of paths.
    pub resource: String,
    /// Hosts by which apps call it.
    pub hosts: Vec<String>,
    /// Mesh: SPIFFE ID of the workload that must answer. Else empty.
    pub workload: String,
    /// Mesh: `host:port` where its mesh door listens. Workload: `https://host[:port]`, or `http://` on loopback.
    pub connect: String,
    /// Mesh: scope that it may pass on to others; absent: it passes nothing on.
    pub passes_on: Option<String>,
    /// Mesh: `subject`, `actors`, `scope`, `transaction`: headers that its app wants.
    pub identity_headers: Vec<String>,
    /// Mesh: MCP mapping.
    pub mcp: Option<McpSpec>,
    /// HTTP mapping.
    pub routes: Vec<RouteSpec>,
}

/// A registered target of kind `mesh`. Only [`crate::Registry`] makes one.
#[derive(Debug)]
pub struct Target {
    pub(crate) name: String,
    pub(crate) perimeter: Perimeter,
    pub(crate) workload: SpiffeId,
    pub(crate) connect: String,
    pub(crate) passes_on: Option<Scopes>,
    pub(crate) identity_headers: Vec<IdentityHeader>,
    pub(crate) scopes: Scopes,
    pub(crate) spec: TargetSpec,
}

/// A registered target of kind `workload`. Only [`crate::Registry`] makes one.
///
/// Nothing that issues a user's authority takes one:
/// ```compile_fail,E0308
/// # use {identity::{Target, WorkloadTarget}, std::sync::Arc};
/// fn mesh(target: Arc<WorkloadTarget>) -> Arc<Target> { target }
/// ```
/// while a mesh target is one:
/// ```
/// # use {identity::Target, std::sync::Arc};
/// fn mesh(target: Arc<Target>) -> Arc<Target> { target }
/// ```
#[derive(Debug)]
pub struct WorkloadTarget {
    pub(crate) name: String,
    pub(crate) perimeter: Perimeter,
    pub(crate) connect: ServiceAddress,
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

impl Target {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it begins and ends.
    #[must_use]
    pub const fn perimeter(&self) -> &Perimeter {
        &self.perimeter
    }

    /// Its audience: the `resource` URI.
    #[must_use]
    pub const fn audience(&self) -> &Audience {
        self.perimeter.audience()
    }

    /// `host[:port]` of the resource, sent as `Host` between sidecars.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.perimeter.authority()
    }

    /// The path of the resource, without a slash at the end; empty at the root.
    #[must_use]
    pub fn path(&self) -> &str {
        self.perimeter.path()
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
        self.perimeter.mapping()
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

    /// As [`Perimeter::covers`].
    #[must_use]
    pub fn covers(&self, path: &str) -> bool {
        self.perimeter.covers(path)
    }

    /// As [`Perimeter::scope_of_route`].
    #[must_use]
    pub fn scope_of_route(&self, method: &str, path: &str) -> Option<Scopes> {
        self.perimeter.scope_of_route(method, path)
    }

    /// As [`Perimeter::scope_of_operation`].
    #[must_use]
    pub fn scope_of_operation(&self, operation: McpOperation<'_>) -> Option<Scopes> {
        self.perimeter.scope_of_operation(operation)
    }
}

impl WorkloadTarget {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it begins and ends. Its host is the name that the service is known by, its audience that of the JWT-SVID.
    #[must_use]
    pub const fn perimeter(&self) -> &Perimeter {
        &self.perimeter
    }

    /// Where it listens.
    #[must_use]
    pub const fn connect(&self) -> &ServiceAddress {
        &self.connect
    }

    /// As it was spelled, to send it on.
    #[must_use]
    pub const fn spec(&self) -> &TargetSpec {
        &self.spec
    }
}

impl AnyTarget for Target {
    fn name(&self) -> &str {
        &self.name
    }

    fn perimeter(&self) -> &Perimeter {
        &self.perimeter
    }
}

impl AnyTarget for WorkloadTarget {
    fn name(&self) -> &str {
        &self.name
    }

    fn perimeter(&self) -> &Perimeter {
        &self.perimeter
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
