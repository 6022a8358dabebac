//! Where a running Keycloak and SPIRE are, and what to do with them, as text for people. Each command can be copied as it
//! stands. The passwords are those of the development realm: public, and good for loopback alone.

use std::path::Path;

use anyhow::Context as _;
use peers::{
    Spire,
    development::{ADMIN, ALICE_PASSWORD, BOB_PASSWORD, TEST_LOGIN_SECRET},
};
use serde_json::Value;

/// What `countersign dev peers` writes into its ready file.
#[derive(Debug)]
pub(crate) struct Addresses {
    issuer: String,
    keycloak: String,
    workload_api: String,
    spire_server: String,
    spire_keys: String,
    spire_node: String,
    logs: String,
}

impl Addresses {
    /// Of the ready file's content.
    ///
    /// # Errors
    /// One is missing.
    pub(crate) fn of(ready: &Value) -> anyhow::Result<Self> {
        let address = |name: &str| {
            let address = ready.get(name).and_then(Value::as_str).map(str::to_owned);
            address.with_context(|| format!("`countersign dev peers` does not say its `{name}`"))
        };
        Ok(Self {
            issuer: address("issuer")?,
            keycloak: address("keycloak")?,
            workload_api: address("workload_api")?,
            spire_server: address("spire_server")?,
            spire_keys: address("spire_keys")?,
            spire_node: address("spire_node")?,
            logs: address("logs")?,
        })
    }

    /// All of it, with the commands that sign in and give an identity; these are SPIRE's programs.
    pub(crate) fn told(&self, spire: &Spire) -> String {
        let Self { issuer, keycloak, workload_api, spire_server, spire_keys, spire_node, logs } = self;
        let (administrator, password) = ADMIN;
        let (server, agent) = (quoted(&spire.server), quoted(&spire.agent));
        let socket = |url: &str| url.strip_prefix("unix://").unwrap_or(url).to_owned();
        let (server_socket, agent_socket) = (socket(spire_server), socket(workload_api));
        // `spiffe://corp.example/node` names the trust domain.
        let domain = spire_node.rsplit_once('/').map_or(spire_node.as_str(), |(domain, _node)| domain);
        format!(
            "
  Keycloak      {keycloak}   (administrator: {administrator}, password {password})
  issuer        {issuer}   (client test-login, secret {TEST_LOGIN_SECRET})
  users         alice, password {ALICE_PASSWORD}; bob, password {BOB_PASSWORD}
  Workload API  {workload_api}
  SPIRE server  {spire_server}
  SPIRE's keys  {spire_keys}
  logs          {logs}

Sign alice in
  curl -s {issuer}/protocol/openid-connect/token -d grant_type=password -d client_id=test-login \\
    -d client_secret={TEST_LOGIN_SECRET} -d username=alice -d password={ALICE_PASSWORD} \\
    --data-urlencode 'scope=tickets:read tickets:write'

Give every program of yours an identity, then look at it
  {server} entry create -socketPath {server_socket} \\
    -parentID {spire_node} -spiffeID {domain}/ns/agents/sa/mine -selector unix:uid:$(id -u)
  {agent} api fetch x509 -socketPath {agent_socket}
"
        )
    }
}

/// A path as a shell reads it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~+,@".contains(&byte));
    if plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ready() -> Value {
        json!({
            "issuer": "http://127.0.0.1:1/realms/agents",
            "keycloak": "http://127.0.0.1:1",
            "workload_api": "unix:///tmp/c/spire/agent.sock",
            "spire_server": "unix:///tmp/c/spire/server.sock",
            "spire_keys": "http://127.0.0.1:2/keys",
            "spire_node": "spiffe://corp.example/node",
            "logs": "/tmp/c/log",
        })
    }

    fn spire() -> Spire {
        let program = |name: &str| Path::new("/a cache/bin").join(name);
        Spire { server: program("spire-server"), agent: program("spire-agent"), discovery: program("oidc") }
    }

    #[test]
    fn every_address_is_shown_and_the_commands_name_real_paths() {
        let (ready, told) = (ready(), Addresses::of(&ready()).expect("whole").told(&spire()));
        for address in ready.as_object().expect("an object").values().filter_map(Value::as_str) {
            assert!(told.contains(address), "{address} is not in: {told}");
        }
        assert!(told.contains("  '/a cache/bin/spire-server' entry create -socketPath /tmp/c/spire/server.sock \\\n"));
        assert!(
            told.contains("-parentID spiffe://corp.example/node -spiffeID spiffe://corp.example/ns/agents/sa/mine")
        );
        assert!(told.contains("  '/a cache/bin/spire-agent' api fetch x509 -socketPath /tmp/c/spire/agent.sock\n"));
        assert!(told.contains("  curl -s http://127.0.0.1:1/realms/agents/protocol/openid-connect/token -d "));
    }

    #[test]
    fn an_address_that_is_missing_is_named() {
        let mut ready = ready();
        ready.as_object_mut().expect("an object").remove("spire_server");
        let fault = Addresses::of(&ready).expect_err("not whole").to_string();
        assert!(fault.contains("`spire_server`"), "{fault}");
    }

    #[test]
    fn a_path_is_quoted_where_a_shell_would_take_it_apart() {
        assert_eq!(quoted(Path::new("/home/ada/.cache/countersign")), "/home/ada/.cache/countersign");
        assert_eq!(quoted(Path::new("/home/ada's cache")), r"'/home/ada'\''s cache'");
        assert_eq!(quoted(Path::new("/$HOME")), "'/$HOME'");
    }
}
