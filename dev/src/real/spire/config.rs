//! SPIRE's configuration files. One key a line: the safe form of its language.

use std::net::SocketAddr;

use super::Spire;

/// Where SPIRE's processes listen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    /// The server, for agents.
    pub(crate) server: SocketAddr,
    /// Whether the server is ready.
    pub(crate) server_health: SocketAddr,
    /// Whether the agent is ready.
    pub(crate) agent_health: SocketAddr,
    /// The JWT keys, for Keycloak.
    pub(crate) keys: SocketAddr,
}

/// Entries reach workloads within 0.5 s with both intervals at 500 ms, within 5–10 s with the defaults.
const INTERVAL: &str = "500ms";

pub(super) fn server(spire: &Spire) -> String {
    let Spire { folder, trust_domain, ports, .. } = spire;
    let folder = folder.display();
    format!(
        r#"server {{
  trust_domain = "{trust_domain}"
  bind_address = "{ip}"
  bind_port = "{port}"
  socket_path = "{folder}/server/api.sock"
  data_dir = "{folder}/server"
  log_level = "INFO"
  default_x509_svid_ttl = "5m"
  default_jwt_svid_ttl = "1m"
  jwt_issuer = "http://{keys}"
  experimental {{
    cache_reload_interval = "{INTERVAL}"
  }}
}}
plugins {{
  DataStore "sql" {{
    plugin_data {{
      database_type = "sqlite3"
      connection_string = "{folder}/server/datastore.sqlite3"
    }}
  }}
  KeyManager "disk" {{
    plugin_data {{
      keys_path = "{folder}/server/keys.json"
    }}
  }}
  NodeAttestor "x509pop" {{
    plugin_data {{
      ca_bundle_path = "{folder}/node-ca.crt"
    }}
  }}
}}
{health}"#,
        ip = ports.server.ip(),
        port = ports.server.port(),
        keys = ports.keys,
        health = health(ports.server_health),
    )
}

pub(super) fn agent(spire: &Spire) -> String {
    let Spire { folder, trust_domain, ports, .. } = spire;
    let folder = folder.display();
    format!(
        r#"agent {{
  trust_domain = "{trust_domain}"
  server_address = "{ip}"
  server_port = "{port}"
  socket_path = "{folder}/agent.sock"
  data_dir = "{folder}/agent"
  trust_bundle_path = "{folder}/bundle.pem"
  log_level = "INFO"
  retry_bootstrap = false
  experimental {{
    sync_interval = "{INTERVAL}"
  }}
}}
plugins {{
  NodeAttestor "x509pop" {{
    plugin_data {{
      private_key_path = "{folder}/node.key"
      certificate_path = "{folder}/node.crt"
    }}
  }}
  KeyManager "memory" {{
    plugin_data {{
    }}
  }}
  WorkloadAttestor "unix" {{
    plugin_data {{
      discover_workload_path = true
    }}
  }}
}}
{health}"#,
        ip = ports.server.ip(),
        port = ports.server.port(),
        health = health(ports.agent_health),
    )
}

/// Plain HTTP, which Keycloak takes from a loopback address (`sslRequired: external`).
pub(super) fn keys(spire: &Spire) -> String {
    let keys = spire.ports.keys;
    format!(
        r#"log_level = "info"
domains = ["{ip}"]
insecure_addr = "{keys}"
allow_insecure_scheme = true
set_key_use = true
jwt_issuer = "http://{keys}"
jwks_uri = "http://{keys}/keys"
server_api {{
  address = "unix://{folder}/server/api.sock"
  poll_interval = "1s"
}}
"#,
        ip = keys.ip(),
        folder = spire.folder.display(),
    )
}

fn health(address: SocketAddr) -> String {
    format!(
        r#"health_checks {{
  listener_enabled = true
  bind_address = "{ip}"
  bind_port = "{port}"
  live_path = "/live"
  ready_path = "/ready"
}}
"#,
        ip = address.ip(),
        port = address.port(),
    )
}
