//! The watch stream: what a sidecar must know, and no more (`protocol.md` §1). Full snapshots, the first at once. A
//! workload learns of its own targets and of those that some rule lets it reach; all else does not exist for it.

use std::{pin::Pin, sync::Arc, time::Duration};

use api::{
    Edge, Mcp, Route, Snapshot, Target as Listed, WatchRequest,
    watch_service_server::{WatchService, WatchServiceServer},
};
use aws_lc_rs::digest;
use axum::Router;
use futures_util::{Stream, StreamExt as _, stream};
use identity::{SpiffeId, Target};
use runtime::{mtls::Peer, shutdown::Shutdown};
use tokio::time::{MissedTickBehavior, interval};
use tonic::{Request, Response, Status, service::Routes};

use crate::parties::Parties;

/// Between two snapshots: well under the 15 s that are promised and the 60 s after which a sidecar refuses everything.
/// Nothing that a snapshot tells changes while a broker runs, so there is no other reason to send one.
const REPEAT_EVERY: Duration = Duration::from_secs(10);

/// The stream's service, to be merged into the door with mTLS.
pub(crate) fn router(parties: Arc<Parties>, shutdown: Shutdown) -> Router {
    let generation = generation(&parties);
    Routes::new(WatchServiceServer::new(Watch { parties, shutdown, generation })).into_axum_router()
}

#[derive(Debug)]
struct Watch {
    parties: Arc<Parties>,
    shutdown: Shutdown,
    generation: u64,
}

#[tonic::async_trait]
impl WatchService for Watch {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<Snapshot, Status>> + Send>>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let peer = request.extensions().get::<Arc<Peer>>().ok_or_else(|| Status::unauthenticated("no peer"))?;
        let version: String = request.get_ref().version.chars().take(64).collect();
        tracing::info!(peer = %peer.id(), version, "a sidecar watches");
        let snapshot = self.snapshot(peer.id());
        let mut every = interval(REPEAT_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ticks = stream::unfold(every, async |mut every| {
            every.tick().await;
            Some(((), every))
        });
        let snapshots = ticks.map(move |()| Ok(snapshot.clone())).take_until(self.shutdown.cancelled());
        Ok(Response::new(Box::pin(snapshots)))
    }
}

impl Watch {
    fn snapshot(&self, workload: &SpiffeId) -> Snapshot {
        let Parties { issuer, registry, edges, reserved, policies, authorities, .. } = &*self.parties;
        let serves = registry.iter().filter(|target| target.workload() == workload);
        let reaches = registry.iter().filter(|target| policies.reaches(workload, target.name()));
        Snapshot {
            generation: self.generation,
            issuer: issuer.url.clone(),
            trust_domain: issuer.trust_domain.to_string(),
            jwks: issuer.keys.jwks().as_bytes().to_vec(),
            serves: serves.map(|target| listed(target)).collect(),
            reaches: reaches.map(|target| listed(target)).collect(),
            edge: edges.of(workload).map(|edge| Edge {
                login_clients: edge.login_clients.clone(),
                scopes: edge.scopes.to_string(),
                authorities: authorities.iter().map(|authority| authority.issuer().to_owned()).collect(),
            }),
            reserved: reserved.iter().map(str::to_owned).collect(),
        }
    }
}

fn listed(target: &Target) -> Listed {
    let spec = target.spec().clone();
    Listed {
        name: spec.name,
        resource: spec.resource,
        hosts: spec.hosts,
        workload: spec.workload,
        connect: spec.connect,
        passes_on: spec.passes_on,
        identity_headers: spec.identity_headers,
        mcp: spec.mcp.map(|mcp| Mcp {
            tools: mcp.tools.into_iter().collect(),
            resources: mcp.resources.into_iter().collect(),
            prompts: mcp.prompts.into_iter().collect(),
        }),
        routes: spec
            .routes
            .into_iter()
            .map(|route| Route { methods: route.methods, path: route.path, scope: route.scope })
            .collect(),
    }
}

/// Changes whenever policies, targets or edges do, so that no sidecar uses a token of other times.
fn generation(parties: &Parties) -> u64 {
    let mut all = digest::Context::new(&digest::SHA256);
    all.update(parties.policies.digest().as_bytes());
    for target in parties.registry.iter() {
        all.update(format!("{:?}", target.spec()).as_bytes());
    }
    all.update(format!("{:?}", parties.edges).as_bytes());
    let digest = all.finish();
    digest.as_ref().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
