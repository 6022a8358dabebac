//! The watch stream: what a sidecar must know, and no more (`protocol.md` §1). Full snapshots, the first at once. A
//! workload learns of its own targets and of those that some rule lets it reach; all else does not exist for it.

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use api::{
    Edge, Mcp, Route, Snapshot, Target as Listed, WatchRequest, WorkloadTarget as Service,
    watch_service_server::{WatchService, WatchServiceServer},
};
use aws_lc_rs::digest;
use axum::{
    Router,
    extract::Request as HttpRequest,
    middleware::{self, Next},
    response::Response as HttpResponse,
};
use futures_util::{Stream, StreamExt as _, stream};
use identity::{RouteSpec, SpiffeId, Target, WorkloadTarget};
use policies::Policies;
use runtime::{clock, mtls::Peer, shutdown::Shutdown};
use tokio::{
    sync::watch,
    time::{Interval, MissedTickBehavior, interval, timeout},
};
use tonic::{Request, Response, Status, service::Routes};

use crate::{
    keys::Keys,
    parties::Parties,
    quota::{Quota, Share},
};

/// Between two snapshots: well under the 15 s that are promised and the 60 s after which a sidecar refuses everything.
/// What a snapshot tells of rules, keys and revocations changes while a broker runs; then it is sent at once.
const REPEAT_EVERY: Duration = Duration::from_secs(10);

/// Longest request in bytes; it says which build the sidecar is.
const REQUEST_LENGTH_MAX: usize = 1024;
/// Longest wait until the request has come: a stream without one would be held for nothing.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);
/// Streams of one workload: one for each of its pods, with those that were just left.
const STREAMS_EACH_MAX: usize = 1024;

/// The stream's service, to be merged into the door with mTLS.
pub(crate) fn router(parties: Arc<Parties>, shutdown: Shutdown) -> Router {
    let watch = Watch { parties, shutdown, streams: Quota::new(STREAMS_EACH_MAX) };
    let service = WatchServiceServer::new(watch).max_decoding_message_size(REQUEST_LENGTH_MAX);
    Routes::new(service).into_axum_router().layer(middleware::from_fn(soon))
}

/// Answers within the time that a request may take to come; what then streams has no limit.
async fn soon(request: HttpRequest, next: Next) -> Result<HttpResponse, Infallible> {
    let answered = timeout(REQUEST_TIME_MAX, next.run(request)).await;
    Ok(answered.unwrap_or_else(|_elapsed| Status::deadline_exceeded("no request came").into_http()))
}

#[derive(Debug)]
struct Watch {
    parties: Arc<Parties>,
    shutdown: Shutdown,
    streams: Quota,
}

/// One stream.
#[derive(Debug)]
struct Watching {
    parties: Arc<Parties>,
    workload: SpiffeId,
    snapshot: Snapshot,
    rules: watch::Receiver<Arc<Policies>>,
    keys: watch::Receiver<Arc<Keys>>,
    revocations: watch::Receiver<()>,
    every: Interval,
    _share: Share,
}

#[tonic::async_trait]
impl WatchService for Watch {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<Snapshot, Status>> + Send>>;

    /// A stream ends with the certificate that opened it: who is no longer given an identity learns nothing more.
    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let peer = request.extensions().get::<Arc<Peer>>().ok_or_else(|| Status::unauthenticated("no peer"))?;
        if peer.id().trust_domain() != &self.parties.issuer.trust_domain {
            return Err(Status::permission_denied("outside of the trust domain"));
        }
        let share = self.streams.take(peer.id()).ok_or_else(|| Status::resource_exhausted("too many streams"))?;
        let version: String = request.get_ref().version.chars().take(64).collect();
        tracing::info!(peer = %peer.id(), version, "a sidecar watches");
        let mut every = interval(REPEAT_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (rules, keys) = (self.parties.policies.changes(), self.parties.issuer.keys.changes());
        let revocations = self.parties.revocations.changes();
        let snapshot = snapshot(&self.parties, peer.id());
        let (parties, workload) = (Arc::clone(&self.parties), peer.id().clone());
        let watching = Watching { parties, workload, snapshot, rules, keys, revocations, every, _share: share };
        let snapshots = stream::unfold(watching, async |mut watching| {
            watching.wait().await?;
            Some((Ok(watching.snapshot.clone()), watching))
        });
        let (shutdown, over) = (self.shutdown.cancelled(), peer.ended(clock::now()));
        let until = async move {
            tokio::select! {
                () = shutdown => {}
                () = over => {}
            }
        };
        Ok(Response::new(Box::pin(snapshots.take_until(Box::pin(until)))))
    }
}

impl Watching {
    /// Until there is something to send, which is `snapshot` then; `None` where nothing will be.
    async fn wait(&mut self) -> Option<()> {
        let changed = tokio::select! {
            _now = self.every.tick() => {
                // What need not be remembered is left out by now.
                self.snapshot.revocations = Some(self.parties.revocations.told());
                return Some(());
            }
            changed = self.rules.changed() => changed,
            changed = self.keys.changed() => changed,
            changed = self.revocations.changed() => {
                changed.ok()?;
                self.snapshot.revocations = Some(self.parties.revocations.told());
                self.every.reset();
                return Some(());
            }
        };
        changed.ok()?;
        self.snapshot = snapshot(&self.parties, &self.workload);
        self.every.reset();
        Some(())
    }
}

fn snapshot(parties: &Parties, workload: &SpiffeId) -> Snapshot {
    let (policies, keys) = (parties.policies.current(), parties.issuer.keys.current());
    let Parties { issuer, registry, edges, reserved, authorities, .. } = parties;
    let serves = registry.iter().filter(|target| target.workload() == workload);
    let reaches = registry.iter().filter(|target| policies.reaches(workload, target.name()));
    let uses = registry.workload().iter().filter(|target| policies.uses(workload, target.name()));
    Snapshot {
        generation: generation(parties, &policies, &keys),
        issuer: issuer.url.clone(),
        trust_domain: issuer.trust_domain.to_string(),
        jwks: keys.jwks().as_bytes().to_vec(),
        serves: serves.map(|target| listed(target)).collect(),
        reaches: reaches.map(|target| listed(target)).collect(),
        uses: uses.map(|target| service(target)).collect(),
        edge: edges.of(workload).map(|edge| Edge {
            login_clients: edge.login_clients.iter().map(|client| client.id.clone()).collect(),
            scopes: edge.scopes.to_string(),
            authorities: authorities
                .iter()
                .map(|authority| authority.issuer())
                .filter(|issuer| edge.knows(issuer))
                .map(str::to_owned)
                .collect(),
        }),
        reserved: reserved.iter().map(str::to_owned).collect(),
        revocations: Some(parties.revocations.told()),
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
        routes: spec.routes.into_iter().map(route).collect(),
    }
}

fn service(target: &WorkloadTarget) -> Service {
    let spec = target.spec().clone();
    Service {
        name: spec.name,
        resource: spec.resource,
        hosts: spec.hosts,
        connect: spec.connect,
        routes: spec.routes.into_iter().map(route).collect(),
    }
}

fn route(route: RouteSpec) -> Route {
    Route { methods: route.methods, path: route.path, scope: route.scope }
}

/// Changes whenever policies, targets or edges do, or a key is revoked, so that no sidecar uses a token of other times.
/// Not with a key that takes another's place: what the other signed is good to its end.
fn generation(parties: &Parties, policies: &Policies, keys: &Keys) -> u64 {
    let mut all = digest::Context::new(&digest::SHA256);
    all.update(policies.digest().as_bytes());
    let mesh = parties.registry.iter().map(|target| target.spec());
    for spec in mesh.chain(parties.registry.workload().iter().map(|target| target.spec())) {
        all.update(format!("{spec:?}").as_bytes());
    }
    all.update(format!("{:?}", parties.edges).as_bytes());
    keys.revoked().iter().for_each(|kid| all.update(kid.as_bytes()));
    let digest = all.finish();
    digest.as_ref().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
