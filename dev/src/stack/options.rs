//! What a stack consists of. [`StackOptions::story`] is the demo's; tests start from it and change what they are about.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde_json::{Value, json};

use super::default_policies;
use crate::apps::Role;

/// Longest wait for each process to be ready. On an idle machine it is well under a second.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// What to start.
#[derive(Clone, Debug)]
pub struct StackOptions {
    /// Who gives identities, and who knows the users.
    pub peers: Peers,
    /// The folder with the binaries; `None`: where the running program is (or the folder above its `deps`).
    pub binaries: Option<PathBuf>,
    /// The trust domain.
    pub trust_domain: String,
    /// Apps and their sidecars.
    pub members: Vec<Member>,
    /// The registry's targets as `broker.yaml` has them. `connect` may be left out where `workload` is a member's.
    pub targets: Vec<Value>,
    /// The registry's edges.
    pub edges: Vec<Value>,
    /// Policy files by name.
    pub policies: BTreeMap<String, String>,
    /// Merged into `broker.yaml` (RFC 7396): `null` removes a key.
    pub broker: Value,
    /// Merged into the sidecar's file of the member with this name.
    pub sidecars: BTreeMap<String, Value>,
    /// Life of the workloads' X509-SVIDs and JWT-SVIDs by SPIRE; `None`: 5 minutes and 1 minute.
    pub spire_lives: Option<(Duration, Duration)>,
    /// What a Keycloak of our own is good at.
    pub keycloak_speed: KeycloakSpeed,
    /// More arguments for `countersign dev identity`.
    pub identity_arguments: Vec<String>,
    /// More arguments for `countersign dev provider`.
    pub provider_arguments: Vec<String>,
    /// The log filter of every process.
    pub log: String,
    /// Longest wait for each process to be ready.
    pub ready_within: Duration,
}

/// Who stands around broker and sidecars.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Peers {
    /// The development Workload API and provider.
    #[default]
    Embedded,
    /// A SPIRE and a Keycloak of this stack's own, as crate `peers` has them. Nothing is fetched.
    Real,
    /// A SPIRE of this stack's own, and a realm of its own at the Keycloak with this base URL, which runs already.
    RealAt(String),
}

/// What the JVM of a Keycloak is tuned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeycloakSpeed {
    /// To be there soon, and small.
    StartsFast,
    /// Keycloak's own defaults: to be measured, once it is warm.
    RunsFast,
}

/// A workload on this machine: an app, a sidecar, or both.
#[derive(Clone, Debug)]
pub struct Member {
    /// Name of the app's process; its sidecar's is `<name>-sidecar`.
    pub name: String,
    /// The app.
    pub app: App,
    /// Identities of the app's own process, with hints. Honest apps have none.
    pub identities: Vec<(String, String)>,
    /// SPIFFE ID of its sidecar; `None`: it stands alone.
    pub sidecar: Option<String>,
    /// Its edge door.
    pub edge: Edge,
}

/// What stands behind a sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum App {
    /// A process that plays this role.
    Plays(Role),
    /// Somebody else's server at this URL: a test's.
    At(String),
}

/// Whether users enter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// They do.
    Open,
    /// They do not.
    Closed,
}

impl StackOptions {
    /// The story of the demo: planner (with an edge), researcher and tickets, each with its sidecar.
    #[must_use]
    pub fn story() -> Self {
        Self {
            peers: Peers::Embedded,
            binaries: None,
            trust_domain: "corp.example".to_owned(),
            members: vec![
                Member::with_sidecar("planner", Role::Planner, "spiffe://corp.example/ns/agents/sa/planner")
                    .with_edge(),
                Member::with_sidecar("researcher", Role::Researcher, "spiffe://corp.example/ns/agents/sa/researcher"),
                Member::with_sidecar("tickets", Role::Tickets, "spiffe://corp.example/ns/tools/sa/tickets"),
            ],
            targets: vec![researcher(), tickets()],
            edges: vec![json!({
                "workload": "spiffe://corp.example/ns/agents/sa/planner",
                "login_clients": ["console"],
                "scopes": ["tickets:read", "tickets:write"],
            })],
            policies: default_policies(),
            broker: json!({}),
            sidecars: BTreeMap::new(),
            spire_lives: None,
            keycloak_speed: KeycloakSpeed::StartsFast,
            identity_arguments: Vec::new(),
            provider_arguments: Vec::new(),
            log: "info".to_owned(),
            ready_within: READY_WITHIN,
        }
    }

    /// SPIFFE ID of a workload of the agents' namespace in this trust domain.
    #[must_use]
    pub fn agent_id(&self, name: &str) -> String {
        format!("spiffe://{}/ns/agents/sa/{name}", self.trust_domain)
    }
}

impl Member {
    /// An app with a sidecar.
    #[must_use]
    pub fn with_sidecar(name: &str, role: Role, id: &str) -> Self {
        Self { sidecar: Some(id.to_owned()), ..Self::alone(name, role) }
    }

    /// An app without a sidecar.
    #[must_use]
    pub fn alone(name: &str, role: Role) -> Self {
        Self { name: name.to_owned(), app: App::Plays(role), identities: Vec::new(), sidecar: None, edge: Edge::Closed }
    }

    /// The same, with an edge door.
    #[must_use]
    pub fn with_edge(self) -> Self {
        Self { edge: Edge::Open, ..self }
    }

    /// The same, its process holding `id` with `hint` besides.
    #[must_use]
    pub fn holding(mut self, id: &str, hint: &str) -> Self {
        self.identities.push((id.to_owned(), hint.to_owned()));
        self
    }
}

fn researcher() -> Value {
    json!({
        "name": "researcher",
        "resource": "https://researcher.agents.svc",
        "hosts": ["researcher.agent"],
        "workload": "spiffe://corp.example/ns/agents/sa/researcher",
        "passes_on": ["tickets:read"],
    })
}

fn tickets() -> Value {
    json!({
        "name": "tickets",
        "resource": "https://tickets.tools.svc/mcp",
        "hosts": ["tickets.tool"],
        "workload": "spiffe://corp.example/ns/tools/sa/tickets",
        "identity_headers": ["subject"],
        "mcp": { "tools": { "list_tickets": "tickets:read", "close_ticket": "tickets:write" } },
    })
}
