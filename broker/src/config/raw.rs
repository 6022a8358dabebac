//! broker.yaml as it is written. Says nothing about what is right; `config` does.

use std::{collections::BTreeMap, path::PathBuf};

use identity::{McpSpec, RouteSpec, TargetKind, TargetSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The whole file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct RawConfig {
    /// The broker's issuer URL: `https://`, without path. `iss` of every token it mints.
    pub issuer: String,
    /// The SPIFFE trust domain: `aud` of transaction tokens.
    pub trust_domain: String,
    /// Socket of the SPIFFE Workload API, as in `unix:///run/spire/agent.sock`.
    pub workload_api: String,
    /// Where `/token` and the watch stream listen, with mTLS.
    #[serde(default = "default_listen")]
    pub listen: String,
    /// Where `/jwks` and the metadata are served without a client certificate.
    #[serde(default)]
    pub public: RawPublic,
    /// Where clients without a certificate ask, with a JWT-SVID as client assertion; absent: nowhere.
    #[serde(default)]
    pub assertions: Option<RawAssertions>,
    /// Where `/live`, `/ready` and `/metrics` are served.
    #[serde(default)]
    pub admin: RawAdmin,
    /// OpenID providers whose users may begin a transaction.
    pub authorities: Vec<RawAuthority>,
    /// `sqlite:///<absolute path>`: the file that holds grants, keepers and keys.
    pub store: String,
    /// File with the 32 bytes that encrypt what the store keeps; mode 0600, made by `countersign keys init`.
    pub wrapping_key: PathBuf,
    /// Folder of the record (`record.jsonl`).
    pub ledger: PathBuf,
    /// Folder with the Cedar policies.
    pub policies: PathBuf,
    /// Workloads where users may enter.
    #[serde(default)]
    pub edges: Vec<RawEdge>,
    /// What may be called.
    #[serde(default)]
    pub targets: Vec<RawTarget>,
    /// Longest lives.
    #[serde(default)]
    pub life: RawLife,
    /// How often each workload may ask.
    #[serde(default)]
    pub limits: RawLimits,
    /// Signing keys.
    #[serde(default)]
    pub keys: RawKeys,
}

/// The door without client certificates.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct RawPublic {
    /// `host:port`; without `tls` a loopback address.
    #[serde(default = "default_public")]
    pub listen: String,
    /// Certificate and key.
    #[serde(default)]
    pub tls: Option<RawTls>,
}

/// The door for clients that show a JWT-SVID.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct RawAssertions {
    /// `host:port`; without `tls` a loopback address.
    pub listen: String,
    /// Certificate and key.
    #[serde(default)]
    pub tls: Option<RawTls>,
    /// `https://host[:port]` by which clients reach it; absent: the issuer.
    #[serde(default)]
    pub url: Option<String>,
}

/// PEM files of a door.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct RawTls {
    /// Chain, leaf first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The admin door.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct RawAdmin {
    /// A loopback address or `unix:///<absolute path>`.
    #[serde(default = "default_admin")]
    pub listen: String,
}

/// An OpenID provider: exactly one of `keycloak` and `oidc` says of which kind.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct RawAuthority {
    /// Issuer URL of the realm; `https://`, or `http://` on loopback.
    #[serde(default)]
    pub keycloak: Option<String>,
    /// Issuer URL of a plain OpenID provider, whose tokens are validated and which is asked nothing.
    #[serde(default)]
    pub oidc: Option<String>,
    /// The broker's client at a Keycloak; it authenticates with its JWT-SVID, there is no secret.
    #[serde(default)]
    pub client_id: Option<String>,
    /// Longest time without a whole reading of a Keycloak's event logs, after which nothing is issued for its users;
    /// default and most `60s`.
    #[serde(default)]
    pub confirm_within: Option<String>,
    /// What stands for the broker in `aud` of a plain provider's access tokens.
    #[serde(default)]
    pub audience: Option<String>,
    /// Claim of a plain provider's tokens with the user's groups; default `groups`.
    #[serde(default)]
    pub groups_claim: Option<String>,
    /// Claim of a plain provider's tokens with the user's roles; default `roles`.
    #[serde(default)]
    pub roles_claim: Option<String>,
    /// Short unique name; needed where there are several, as it stands before every subject.
    #[serde(default)]
    pub name: Option<String>,
}

/// A workload where users may enter.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct RawEdge {
    /// Its SPIFFE ID.
    pub workload: String,
    /// Clients of the authority whose users may enter; with several authorities `<name of the authority>:<client>`.
    pub login_clients: Vec<String>,
    /// Scopes that a transaction begun here may have.
    pub scopes: Vec<String>,
}

/// A target.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct RawTarget {
    /// What stands behind it.
    #[serde(default)]
    pub kind: RawKind,
    /// Unique name, as policies say it.
    pub name: String,
    /// Canonical URI: audience of tokens for it and perimeter of paths.
    pub resource: String,
    /// Hosts by which apps call it.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// SPIFFE ID of who must answer, at a target of kind `mesh`.
    #[serde(default)]
    pub workload: Option<String>,
    /// `host:port` of its mesh door; at a target of kind `workload` `https://host[:port]`, or `http://` on loopback.
    pub connect: String,
    /// Scopes that it may pass on; absent: it cannot call on for the user.
    #[serde(default)]
    pub passes_on: Option<Vec<String>>,
    /// Headers that its app wants: subject, actors, scope, transaction.
    #[serde(default)]
    pub identity_headers: Vec<String>,
    /// MCP operations and the scope that each needs.
    #[serde(default)]
    pub mcp: Option<RawMcp>,
    /// HTTP routes and the scope that each needs.
    #[serde(default)]
    pub routes: Vec<RawRoute>,
}

/// Kinds of targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RawKind {
    /// A workload with a sidecar, called for a user with the broker's tokens.
    #[default]
    Mesh,
    /// A service that accepts JWT-SVIDs, called in the caller's own name.
    Workload,
}

/// Mapping of an MCP server.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub struct RawMcp {
    /// Tool to scope.
    #[serde(default)]
    pub tools: BTreeMap<String, String>,
    /// Resource URI to scope.
    #[serde(default)]
    pub resources: BTreeMap<String, String>,
    /// Prompt to scope.
    #[serde(default)]
    pub prompts: BTreeMap<String, String>,
}

/// One HTTP route.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct RawRoute {
    /// Methods in capital letters.
    pub methods: Vec<String>,
    /// Path below the resource, exact or ending in `/*`.
    pub path: String,
    /// The scope; absent where the call needs none.
    #[serde(default)]
    pub scope: String,
}

/// Longest lives: whole numbers with `s`, `m` or `h`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct RawLife {
    /// Of a transaction, from its begin.
    #[serde(default = "default_transaction")]
    pub transaction: String,
    /// Of one transaction token.
    #[serde(default = "default_transaction_token")]
    pub transaction_token: String,
    /// Of one access token.
    #[serde(default = "default_access_token")]
    pub access_token: String,
}

/// What each workload may ask at `/token` and the other doors for workloads.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct RawLimits {
    /// Requests a second of one workload, all its pods together.
    #[serde(default = "default_per_second")]
    pub per_second: u32,
    /// Requests of one workload at once after a pause.
    #[serde(default = "default_burst")]
    pub burst: u32,
}

/// Signing keys.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct RawKeys {
    /// What the next key is for.
    #[serde(default)]
    pub algorithm: RawAlgorithm,
    /// After how long with one key the next is published: a whole number with `s`, `m` or `h`.
    #[serde(default = "default_rotate_every")]
    pub rotate_every: String,
    /// Absolute path of the Unix socket where `countersign keys` gives orders; `keys.sock` beside the store by default.
    #[serde(default)]
    pub socket: Option<PathBuf>,
    /// How long a key is published before it signs, shorter than the 10 minutes that verifiers need to learn it.
    #[serde(default)]
    pub danger_publication: Option<String>,
}

/// Algorithms of signatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum RawAlgorithm {
    /// ECDSA over P-256 with SHA-256.
    #[default]
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Default for RawKeys {
    fn default() -> Self {
        Self {
            algorithm: RawAlgorithm::default(),
            rotate_every: default_rotate_every(),
            socket: None,
            danger_publication: None,
        }
    }
}

impl Default for RawPublic {
    fn default() -> Self {
        Self { listen: default_public(), tls: None }
    }
}

impl Default for RawAdmin {
    fn default() -> Self {
        Self { listen: default_admin() }
    }
}

impl Default for RawLimits {
    fn default() -> Self {
        Self { per_second: default_per_second(), burst: default_burst() }
    }
}

fn default_per_second() -> u32 {
    500
}

fn default_burst() -> u32 {
    1000
}

impl Default for RawLife {
    fn default() -> Self {
        Self {
            transaction: default_transaction(),
            transaction_token: default_transaction_token(),
            access_token: default_access_token(),
        }
    }
}

impl RawTarget {
    /// As the registry reads it.
    pub(super) fn into_spec(self) -> TargetSpec {
        let mcp = self.mcp.map(|mcp| McpSpec { tools: mcp.tools, resources: mcp.resources, prompts: mcp.prompts });
        let routes = self.routes.into_iter();
        TargetSpec {
            kind: match self.kind {
                RawKind::Mesh => TargetKind::Mesh,
                RawKind::Workload => TargetKind::Workload,
            },
            name: self.name,
            resource: self.resource,
            hosts: self.hosts,
            workload: self.workload.unwrap_or_default(),
            connect: self.connect,
            passes_on: self.passes_on.map(|scopes| scopes.join(" ")),
            identity_headers: self.identity_headers,
            mcp,
            routes: routes
                .map(|route| RouteSpec { methods: route.methods, path: route.path, scope: route.scope })
                .collect(),
        }
    }
}

fn default_listen() -> String {
    "0.0.0.0:8443".to_owned()
}

fn default_public() -> String {
    "127.0.0.1:8080".to_owned()
}

fn default_admin() -> String {
    "127.0.0.1:15020".to_owned()
}

fn default_rotate_every() -> String {
    "720h".to_owned()
}

fn default_transaction() -> String {
    "30m".to_owned()
}

fn default_transaction_token() -> String {
    "120s".to_owned()
}

fn default_access_token() -> String {
    "60s".to_owned()
}
