//! sidecar.yaml as it is written. Says nothing about what is right; `config` does.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The whole file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct RawConfig {
    /// Socket of the SPIFFE Workload API, as in `unix:///run/spire/agent.sock`.
    pub workload_api: String,
    /// Where tokens come from, and targets and keys are learned.
    pub broker: RawBroker,
    /// The app behind this sidecar, as in `http://127.0.0.1:8000`.
    pub app: String,
    /// The door for other sidecars (mTLS).
    #[serde(default)]
    pub mesh: RawMesh,
    /// The door for the app's own calls: its HTTP proxy.
    #[serde(default)]
    pub agent: RawAgent,
    /// The door for the app's calls in the workload's own name, without a user; absent: off.
    #[serde(default, rename = "self")]
    pub own: Option<RawOwn>,
    /// How services that are no part of the mesh prove who they are.
    #[serde(default)]
    pub outside: Option<RawOutside>,
    /// The door for users; absent: off.
    #[serde(default)]
    pub edge: Option<RawEdge>,
    /// Where `/live`, `/ready` and `/metrics` are served.
    #[serde(default)]
    pub admin: RawAdmin,
}

/// The broker.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct RawBroker {
    /// `https://<host>[:<port>]`.
    pub url: String,
    /// Its SPIFFE ID: nobody else gets a token from here.
    pub id: String,
}

/// The mesh door.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RawMesh {
    /// `host:port`.
    #[serde(default = "mesh_listen")]
    pub listen: String,
}

/// The agent door.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RawAgent {
    /// A loopback address with its port.
    #[serde(default = "agent_listen")]
    pub listen: String,
}

/// The door for calls in the own name.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RawOwn {
    /// A loopback address with its port.
    #[serde(default = "own_listen")]
    pub listen: String,
}

/// Services that are no part of the mesh.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct RawOutside {
    /// PEM file with the certificate authorities of services at `https://`.
    pub ca: PathBuf,
}

/// The edge door.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct RawEdge {
    /// `host:port`; without `tls` a loopback address.
    pub listen: String,
    /// Certificate and key.
    #[serde(default)]
    pub tls: Option<RawTls>,
    /// Clear text, on loopback only: for an ingress on the same host.
    #[serde(default)]
    pub danger_plain: bool,
}

/// PEM files of a door.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct RawTls {
    /// Chain, leaf first.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// The admin door.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RawAdmin {
    /// A loopback address, or `unix:///<path>`.
    #[serde(default = "admin_listen")]
    pub listen: String,
}

impl Default for RawMesh {
    fn default() -> Self {
        Self { listen: mesh_listen() }
    }
}

impl Default for RawAgent {
    fn default() -> Self {
        Self { listen: agent_listen() }
    }
}

impl Default for RawAdmin {
    fn default() -> Self {
        Self { listen: admin_listen() }
    }
}

fn mesh_listen() -> String {
    "0.0.0.0:8443".to_owned()
}

fn agent_listen() -> String {
    "127.0.0.1:15001".to_owned()
}

fn own_listen() -> String {
    "127.0.0.1:15002".to_owned()
}

fn admin_listen() -> String {
    "127.0.0.1:15020".to_owned()
}
