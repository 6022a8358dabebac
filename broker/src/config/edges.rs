//! Workloads where users may enter, from which applications, and with which scopes at most.

use identity::{Scopes, SpiffeId, TrustDomain, workload_id};
use runtime::config::Problems;

use super::raw::RawEdge;

/// One edge.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    pub(crate) workload: SpiffeId,
    pub(crate) login_clients: Vec<String>,
    pub(crate) scopes: Scopes,
}

/// All edges; a workload is in it at most once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edges(Vec<Edge>);

impl Edges {
    /// The edge that this workload is, if it is one.
    pub(crate) fn of(&self, workload: &SpiffeId) -> Option<&Edge> {
        self.0.iter().find(|edge| edge.workload == *workload)
    }

    /// Every login client of any edge.
    pub(crate) fn login_clients(&self) -> Vec<&str> {
        self.0.iter().flat_map(|edge| edge.login_clients.iter().map(String::as_str)).collect()
    }

    pub(super) fn read(raw: &[RawEdge], trust_domain: Option<&TrustDomain>, problems: &mut Problems) -> Self {
        let mut edges = Self::default();
        for (index, raw_edge) in raw.iter().enumerate() {
            let key = |name: &str| format!("edges[{index}].{name}");
            let workload = workload_id(&raw_edge.workload);
            match &workload {
                Err(fault) => problems.at(&key("workload"), format!("`{}` is {fault}", raw_edge.workload)),
                Ok(id) if trust_domain.is_some_and(|domain| id.trust_domain() != domain) => {
                    problems.at(&key("workload"), format!("`{id}` is outside of the trust domain"));
                }
                Ok(id) if edges.of(id).is_some() => problems.at(&key("workload"), format!("`{id}` stands twice")),
                Ok(_) => {}
            }
            if raw_edge.login_clients.is_empty() || raw_edge.login_clients.iter().any(String::is_empty) {
                problems.at(&key("login_clients"), "must name the clients whose users may enter here");
            }
            let scopes = raw_edge.scopes.join(" ").parse::<Scopes>();
            match &scopes {
                Err(fault) => problems.at(&key("scopes"), fault.to_string()),
                Ok(scopes) if scopes.is_empty() => {
                    problems.at(&key("scopes"), "must name a scope: nothing could enter here")
                }
                Ok(_) => {}
            }
            if let (Ok(workload), Ok(scopes)) = (workload, scopes) {
                edges.0.push(Edge { workload, login_clients: raw_edge.login_clients.clone(), scopes });
            }
        }
        edges
    }
}
