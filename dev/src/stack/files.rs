//! The configuration files of broker and sidecars, as an operator would write them.

use std::{collections::BTreeMap, path::Path};

use aws_lc_rs::rand;
use serde_json::{Value, json};

use super::{
    App, Edge, Member, Peers, Port, Problem, StackFault, StackOptions,
    child::sidecar_name,
    folder::Folder,
    yaml::{merge, to_yaml},
};
use crate::real::realm;

/// Length of the key that encrypts what the store keeps.
const WRAPPING_KEY_BYTES: usize = 32;
/// What SPIRE listens on.
const SPIRE_PORTS: [&str; 4] = ["server", "server_health", "agent_health", "keys"];
/// The broker's issuer: a name, resolved by nobody here.
pub(super) const ISSUER: &str = "https://broker.agents.svc";

/// What both kinds of file are written from.
pub(super) struct Facts<'a> {
    pub(super) options: &'a StackOptions,
    pub(super) folder: &'a Folder,
    pub(super) ports: &'a BTreeMap<String, Port>,
    pub(super) workload_api: &'a str,
    pub(super) issuer: &'a str,
}

impl Facts<'_> {
    /// Writes `broker.yaml`, the policies and the wrapping key; returns the file's path.
    pub(super) fn write_broker(&self) -> Result<std::path::PathBuf, StackFault> {
        for (name, text) in &self.options.policies {
            self.folder.write(&format!("policies/{name}"), text.as_bytes())?;
        }
        let mut key = [0_u8; WRAPPING_KEY_BYTES];
        rand::fill(&mut key).map_err(|_unspecified| {
            let source = std::io::Error::other("no random numbers");
            StackFault::general(Problem::File { path: self.in_folder("wrapping.key").into(), source }, None)
        })?;
        self.folder.write("wrapping.key", &key)?;
        let mut file = self.broker();
        merge(&mut file, &self.options.broker);
        self.folder.write("broker.yaml", to_yaml(&file).as_bytes())
    }

    /// Writes the sidecar's file of `member`; returns its path.
    pub(super) fn write_sidecar(&self, member: &Member) -> Result<std::path::PathBuf, StackFault> {
        let mut file = self.sidecar(member);
        if let Some(patch) = self.options.sidecars.get(&member.name) {
            merge(&mut file, patch);
        }
        self.folder.write(&format!("{}.yaml", sidecar_name(&member.name)), to_yaml(&file).as_bytes())
    }

    fn broker(&self) -> Value {
        json!({
            "issuer": ISSUER,
            "trust_domain": self.options.trust_domain,
            "workload_api": self.workload_api,
            "listen": self.port("broker.token"),
            "public": { "listen": self.port("broker.public") },
            "admin": { "listen": "127.0.0.1:0" },
            "authorities": [{ "keycloak": self.issuer, "client_id": "txn-broker" }],
            "store": format!("sqlite://{}", self.in_folder("store/broker.db")),
            "wrapping_key": self.in_folder("wrapping.key"),
            "ledger": self.in_folder("ledger"),
            "policies": self.in_folder("policies"),
            "edges": self.options.edges.iter().map(|edge| self.edge(edge)).collect::<Vec<_>>(),
            "targets": self.options.targets.iter().map(|target| self.target(target)).collect::<Vec<_>>(),
        })
    }

    fn sidecar(&self, member: &Member) -> Value {
        let app = match &member.app {
            App::Plays(_) => format!("http://{}", self.port(&format!("{}.app", member.name))),
            App::At(url) => url.clone(),
        };
        let mut file = json!({
            "workload_api": self.workload_api,
            "broker": {
                "url": format!("https://{}", self.port("broker.token")),
                "id": self.options.agent_id("broker"),
            },
            "app": app,
            "mesh": { "listen": self.port(&format!("{}.mesh", member.name)) },
            "agent": { "listen": self.port(&format!("{}.agent", member.name)) },
            "admin": { "listen": "127.0.0.1:0" },
        });
        if member.edge == Edge::Open {
            merge(
                &mut file,
                &json!({ "edge": { "listen": self.port(&format!("{}.edge", member.name)), "danger_plain": true } }),
            );
        }
        file
    }

    /// Users of a real Keycloak may sign in without a browser too.
    fn edge(&self, edge: &Value) -> Value {
        let mut edge = edge.clone();
        if self.options.peers != Peers::Embedded
            && let Some(clients) = edge.get_mut("login_clients").and_then(Value::as_array_mut)
            && clients.iter().any(|client| client == "console")
        {
            clients.push(realm::TEST_LOGIN.into());
        }
        edge
    }

    /// Fills in where the target listens, if it is a member and nothing else is said.
    fn target(&self, target: &Value) -> Value {
        let mut target = target.clone();
        let is_workload = |member: &&Member| {
            member.sidecar.as_deref().is_some_and(|id| target.get("workload").is_some_and(|workload| workload == id))
        };
        if let Some(member) = self.options.members.iter().find(is_workload)
            && target.get("connect").is_none_or(Value::is_null)
        {
            merge(&mut target, &json!({ "connect": self.port(&format!("{}.mesh", member.name)) }));
        }
        target
    }

    /// The reserved port's address; empty where none was reserved, which the reader of the file refuses.
    fn port(&self, name: &str) -> String {
        self.ports.get(name).map(|port| port.address().to_string()).unwrap_or_default()
    }

    fn in_folder(&self, name: &str) -> String {
        Path::new(self.folder.path()).join(name).display().to_string()
    }
}

/// Names of the ports that must be known before their owners listen.
pub(super) fn port_names(options: &StackOptions) -> Vec<String> {
    let mut names = vec!["broker.token".to_owned(), "broker.public".to_owned()];
    let (spire, keycloak): (&[&str], &[&str]) = match options.peers {
        Peers::Embedded => (&[], &[]),
        Peers::Real => (&SPIRE_PORTS, &["main", "management"]),
        Peers::RealAt(_) => (&SPIRE_PORTS, &[]),
    };
    names.extend(spire.iter().map(|port| format!("spire.{port}")));
    names.extend(keycloak.iter().map(|port| format!("keycloak.{port}")));
    for member in &options.members {
        let doors: &[&str] = if member.sidecar.is_some() { &["app", "mesh", "agent", "edge"] } else { &["app"] };
        names.extend(doors.iter().map(|door| format!("{}.{door}", member.name)));
    }
    names
}
