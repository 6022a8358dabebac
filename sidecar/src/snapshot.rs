//! What the broker told this sidecar last: targets, keys, its edge entry. Taken whole or not at all; never merged.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use tokio::time::Instant;

use crate::revocations::{RevocationFault, Revocations};
use identity::{
    KeySet, KeySetFault, McpSpec, Refusal, Registry, RegistryProblem, Reserved, RouteSpec, ScopeFault, Scopes,
    TargetKind, TargetSpec, TrustDomain,
};

/// After this silence of the watch stream everything is refused (`protocol.md` §8): the longest life of an access
/// token. The broker speaks every 10 s. Counted by a clock that nobody sets.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(60);

/// One snapshot, every rule checked.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Generation of policy and registry: part of the cache key.
    pub(crate) generation: u64,
    /// Issuer of our tokens.
    pub(crate) issuer: String,
    /// Audience of transaction tokens.
    pub(crate) trust_domain: TrustDomain,
    /// The broker's keys.
    pub(crate) keys: KeySet,
    /// Targets that this workload serves.
    pub(crate) serves: Registry,
    /// Targets that it may call, for a user or, those of kind `workload`, in its own name. All else is unlisted.
    pub(crate) reaches: Registry,
    /// Set where users may enter here.
    pub(crate) edge: Option<EdgeEntry>,
    /// What is good no longer, whatever it says itself.
    pub(crate) revocations: Revocations,
}

/// What an edge may take in.
#[derive(Debug)]
pub(crate) struct EdgeEntry {
    /// Scopes that users may bring.
    pub(crate) scopes: Scopes,
    /// Issuers of the tokens that are accepted, for RFC 9728 metadata.
    pub(crate) authorities: Vec<String>,
}

/// Why a snapshot was refused whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotFault {
    #[error("the snapshot names no issuer")]
    Issuer,
    #[error("the snapshot's trust domain is malformed: {0}")]
    TrustDomain(String),
    #[error("the snapshot's keys cannot be used")]
    Keys(#[source] KeySetFault),
    #[error("the snapshot's edge has malformed scopes")]
    EdgeScopes(#[source] ScopeFault),
    #[error("the snapshot's revocations cannot be read")]
    Revocations(#[source] RevocationFault),
    #[error("the snapshot breaks a rule of the registry: {0}")]
    Registry(RegistryProblem),
}

impl TryFrom<api::Snapshot> for Snapshot {
    type Error = SnapshotFault;

    fn try_from(told: api::Snapshot) -> Result<Self, SnapshotFault> {
        if told.issuer.is_empty() {
            return Err(SnapshotFault::Issuer);
        }
        // The broker's own issuer is reserved even if a snapshot forgets to say so.
        let reserved = told.reserved.iter().map(String::as_str).chain(std::iter::once(told.issuer.as_str()));
        let reserved = Reserved::new(reserved);
        Ok(Self {
            generation: told.generation,
            trust_domain: TrustDomain::new(&told.trust_domain)
                .map_err(|fault| SnapshotFault::TrustDomain(fault.to_string()))?,
            keys: KeySet::parse(&told.jwks).map_err(SnapshotFault::Keys)?,
            serves: registry(told.serves.into_iter().map(spec).collect(), &reserved)?,
            reaches: registry(
                told.reaches.into_iter().map(spec).chain(told.uses.into_iter().map(own_spec)).collect(),
                &reserved,
            )?,
            edge: told.edge.map(edge).transpose()?,
            revocations: Revocations::try_from(told.revocations.unwrap_or_default())
                .map_err(SnapshotFault::Revocations)?,
            issuer: told.issuer,
        })
    }
}

fn registry(specs: Vec<TargetSpec>, reserved: &Reserved) -> Result<Registry, SnapshotFault> {
    Registry::new(specs, reserved).map_err(|problems| {
        // Never empty: `Registry::new` fails with the rules that were broken.
        let unknown = RegistryProblem { index: 0, key: "targets", message: "a rule was broken".to_owned() };
        SnapshotFault::Registry(problems.into_iter().next().unwrap_or(unknown))
    })
}

fn route(route: api::Route) -> RouteSpec {
    RouteSpec { methods: route.methods, path: route.path, scope: route.scope }
}

fn own_spec(target: api::WorkloadTarget) -> TargetSpec {
    TargetSpec {
        kind: TargetKind::Workload,
        name: target.name,
        resource: target.resource,
        hosts: target.hosts,
        connect: target.connect,
        routes: target.routes.into_iter().map(route).collect(),
        ..TargetSpec::default()
    }
}

fn spec(target: api::Target) -> TargetSpec {
    let mcp = |mcp: api::Mcp| McpSpec {
        tools: mcp.tools.into_iter().collect(),
        resources: mcp.resources.into_iter().collect(),
        prompts: mcp.prompts.into_iter().collect(),
    };
    TargetSpec {
        kind: TargetKind::Mesh,
        name: target.name,
        resource: target.resource,
        hosts: target.hosts,
        workload: target.workload,
        connect: target.connect,
        passes_on: target.passes_on,
        identity_headers: target.identity_headers,
        mcp: target.mcp.map(mcp),
        routes: target.routes.into_iter().map(route).collect(),
    }
}

fn edge(edge: api::Edge) -> Result<EdgeEntry, SnapshotFault> {
    Ok(EdgeEntry { scopes: edge.scopes.parse().map_err(SnapshotFault::EdgeScopes)?, authorities: edge.authorities })
}

/// The snapshot in force. Clones see the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshots(Arc<ArcSwapOption<Heard>>);

#[derive(Debug)]
struct Heard {
    snapshot: Arc<Snapshot>,
    at: Instant,
}

impl Snapshots {
    /// The snapshot in force.
    ///
    /// # Errors
    /// [`Refusal::FaultNotReady`] before the first one and after [`SILENCE_MAX`] without a word from the broker.
    pub(crate) fn current(&self) -> Result<Arc<Snapshot>, Refusal> {
        let heard = self.0.load();
        match heard.as_deref() {
            Some(heard) if heard.at.elapsed() < SILENCE_MAX => Ok(Arc::clone(&heard.snapshot)),
            Some(_silent) => Err(Refusal::FaultNotReady),
            None => Err(Refusal::FaultNotReady),
        }
    }

    /// Takes `told` into force, or keeps the one before, which does not grow younger by that.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub(crate) fn hear(&self, told: api::Snapshot) -> Result<Arc<Snapshot>, SnapshotFault> {
        let snapshot = Snapshot::try_from(told).map(Arc::new)?;
        self.0.store(Some(Arc::new(Heard { snapshot: Arc::clone(&snapshot), at: Instant::now() })));
        Ok(snapshot)
    }

    /// How long the broker may still be silent; zero when that is over, `None` before its first word.
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.age().map(|age| SILENCE_MAX.saturating_sub(age))
    }

    /// How old the snapshot in force is.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.0.load().as_deref().map(|heard| heard.at.elapsed())
    }

    /// Whether a snapshot was ever taken into force.
    pub(crate) fn any(&self) -> bool {
        self.0.load().is_some()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn tickets() -> api::Target {
        api::Target {
            name: "tickets".into(),
            resource: "https://tickets.tools.svc/mcp".into(),
            hosts: vec!["tickets.tool".into()],
            workload: "spiffe://corp.example/ns/tools/sa/tickets".into(),
            connect: "tickets.tools.svc:8443".into(),
            mcp: Some(api::Mcp {
                tools: [
                    ("list_tickets".into(), "tickets:read".into()),
                    ("close_ticket".into(), "tickets:write".into()),
                    ("help".into(), String::new()),
                ]
                .into(),
                resources: [("ticket://1".into(), "tickets:read".into())].into(),
                prompts: [("summary".into(), "tickets:read".into())].into(),
            }),
            ..api::Target::default()
        }
    }

    pub(crate) fn inventory() -> api::WorkloadTarget {
        api::WorkloadTarget {
            name: "inventory".into(),
            resource: "https://inventory.tools.svc/v1".into(),
            hosts: vec!["inventory.tool".into()],
            connect: "https://inventory.tools.svc:8443".into(),
            routes: Vec::new(),
        }
    }

    pub(crate) fn told(targets: Vec<api::Target>) -> api::Snapshot {
        api::Snapshot {
            generation: 1,
            issuer: "https://broker.agents.svc".into(),
            trust_domain: "corp.example".into(),
            jwks: br#"{"keys":[]}"#.to_vec(),
            reaches: targets.clone(),
            serves: targets,
            ..api::Snapshot::default()
        }
    }

    #[tokio::test]
    async fn a_snapshot_with_a_reserved_audience_is_refused_whole_and_the_old_one_kept() {
        let snapshots = Snapshots::default();
        snapshots.hear(told(vec![tickets()])).expect("a good snapshot");
        let issuer = api::Target { name: "evil".into(), resource: "https://broker.agents.svc/".into(), ..tickets() };
        let evil = api::Snapshot { generation: 2, ..told(vec![issuer]) };
        assert!(matches!(snapshots.hear(evil), Err(SnapshotFault::Registry(_))));
        let nameless = api::Revocations { transactions: vec![String::new()], ..api::Revocations::default() };
        let unreadable = api::Snapshot { generation: 2, revocations: Some(nameless), ..told(Vec::new()) };
        assert!(matches!(snapshots.hear(unreadable), Err(SnapshotFault::Revocations(_))));
        let kept = snapshots.current().expect("the old one");
        assert_eq!(kept.generation, 1);
        assert!(kept.reaches.by_name("tickets").is_some());
    }

    #[tokio::test]
    async fn a_workload_target_with_a_reserved_audience_or_a_taken_host_is_refused_too() {
        let snapshots = Snapshots::default();
        let uses = |target: api::WorkloadTarget| api::Snapshot { uses: vec![target], ..told(vec![tickets()]) };
        snapshots.hear(uses(inventory())).expect("a good snapshot");
        let reaches = &snapshots.current().expect("told").reaches;
        assert!(reaches.workload().by_name("inventory").is_some() && reaches.by_name("inventory").is_none());
        for evil in [
            api::WorkloadTarget { resource: "https://broker.agents.svc/".into(), ..inventory() },
            api::WorkloadTarget { hosts: vec!["tickets.tool".into()], ..inventory() },
            api::WorkloadTarget { connect: "http://10.0.0.7:80".into(), ..inventory() },
        ] {
            assert!(matches!(snapshots.hear(uses(evil)), Err(SnapshotFault::Registry(_))));
        }
    }

    #[tokio::test]
    async fn nothing_is_known_before_the_first_snapshot() {
        let snapshots = Snapshots::default();
        assert_eq!(snapshots.current().err(), Some(Refusal::FaultNotReady));
        let nameless = api::Snapshot { issuer: String::new(), ..told(Vec::new()) };
        assert!(snapshots.hear(nameless).is_err());
        assert!(!snapshots.any());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_broker_is_not_trusted_for_longer_than_a_token_lives() {
        let snapshots = Snapshots::default();
        snapshots.hear(told(Vec::new())).expect("a good snapshot");
        tokio::time::advance(SILENCE_MAX - Duration::from_secs(1)).await;
        assert!(snapshots.current().is_ok());
        let nameless = api::Snapshot { issuer: String::new(), ..told(Vec::new()) };
        assert!(snapshots.hear(nameless).is_err(), "no word");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(snapshots.current().err(), Some(Refusal::FaultNotReady));
        snapshots.hear(told(Vec::new())).expect("a good snapshot");
        assert!(snapshots.current().is_ok());
    }
}
