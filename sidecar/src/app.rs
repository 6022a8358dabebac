//! The sidecar as a process: everything that it is made of, wired from top to bottom.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use anyhow::Context as _;
use http::Request;
use hyper::{body::Incoming, service::service_fn};

use crate::{
    broker::{self, Broker},
    config::{Config, EdgeConfig, RawConfig},
    hearing::Hearing,
    inbound::{Callers, Inbound},
    metrics::Metrics,
    outbound::{Credentials, Outbound},
    own::Own,
    perimeter::Room,
    pool::Pool,
    sessions::Sessions,
    snapshot::Snapshots,
    transactions::Transactions,
};
use runtime::{
    admin,
    config::Problems,
    mtls::{Acceptor, Connector},
    process::{NoUpkeep, Process},
    serve::{self, Listener},
    shutdown::Shutdown,
    workload::{JwtSvids, Workload},
};

/// The sidecar.
#[derive(Debug)]
pub struct App;

impl runtime::process::App for App {
    const NAME: &'static str = "countersign-sidecar";
    const SHORT: &'static str = "sidecar";
    const ABOUT: &'static str = "The data path in every pod: tokens end and begin here, and the app never sees one.";
    type Raw = RawConfig;
    type Config = Config;
    type Upkeep = NoUpkeep;

    fn config(raw: RawConfig, problems: &mut Problems) -> Option<Config> {
        Config::read(raw, problems)
    }

    /// Ready: identity and targets.
    async fn serve(config: Config, process: Process) -> anyhow::Result<()> {
        let Process { shutdown, telemetry, ready_file } = &process;
        let targets = telemetry.ready_flag("targets");
        let workload = Workload::connect(&config.workload_api, &process);
        let snapshots = Snapshots::default();
        let metrics = Metrics::new(telemetry, snapshots.clone());
        let transactions = Transactions::default();
        let pool = Pool::new(workload.clone(), config.outside, shutdown);
        let room = Room::new();
        let connector = Connector::new(workload.clone());
        let hearing = Hearing::new(snapshots.clone(), transactions.clone(), metrics.clone(), targets);
        shutdown.spawn("watch", broker::follow(config.broker.clone(), connector, hearing, shutdown.clone()));
        let broker = Broker::new(config.broker, pool.clone(), workload.clone(), metrics.clone());
        let outbound = Arc::new(Outbound {
            workload: workload.clone(),
            snapshots: snapshots.clone(),
            transactions: transactions.clone(),
            sessions: Sessions::new(),
            credentials: Credentials::new(broker.clone(), snapshots.clone(), shutdown.clone(), metrics.clone()),
            pool: pool.clone(),
            room: room.clone(),
            metrics: metrics.clone(),
            shutdown: shutdown.clone(),
        });
        let inbound = Arc::new(Inbound {
            workload: workload.clone(),
            snapshots,
            transactions,
            broker,
            pool,
            room,
            app: config.app,
            callers: Callers::default(),
            sessions: Sessions::new(),
            metrics,
            shutdown: shutdown.clone(),
        });

        let mesh = bind(&config.mesh).await?.counted(telemetry, "mesh");
        let agent = bind(&config.agent.to_string()).await?.counted(telemetry, "agent");
        let admin = admin::serve(&config.admin, telemetry.clone(), shutdown)
            .await
            .with_context(|| format!("cannot listen on `{}`", config.admin))?;
        let mut addresses = BTreeMap::from([
            ("mesh", mesh.address().to_string()),
            ("agent", agent.address().to_string()),
            ("admin", admin),
        ]);
        if let Some(edge) = config.edge {
            let listener = bind(&edge.listen).await?.counted(telemetry, "edge");
            addresses.insert("edge", listener.address().to_string());
            serve_edge(edge, listener, Arc::clone(&inbound), shutdown);
        }
        if let Some(listen) = config.own {
            let listener = bind(&listen.to_string()).await?.counted(telemetry, "self");
            addresses.insert("self", listener.address().to_string());
            // Only where this door is on can the process fetch a JWT-SVID at all.
            let svids = JwtSvids::new(&config.workload_api, workload.clone());
            serve_own(listener, Own::beside(&inbound, svids), shutdown);
        }
        serve_mesh(mesh, Acceptor::new(workload), inbound, shutdown);
        serve_agent(agent, outbound, shutdown);
        ready_file.write(&addresses).context("cannot write the ready file")?;
        tracing::info!(?addresses, "the sidecar serves");
        shutdown.cancelled().await;
        Ok(())
    }

    async fn upkeep(upkeep: NoUpkeep, _config: Config, _process: Process) -> anyhow::Result<String> {
        match upkeep {}
    }
}

async fn bind(address: &str) -> anyhow::Result<Listener> {
    Listener::bind(address).await.with_context(|| format!("cannot listen on `{address}`"))
}

fn serve_mesh(listener: Listener, acceptor: Acceptor, inbound: Arc<Inbound>, shutdown: &Shutdown) {
    let door = serve::mtls(listener, acceptor, shutdown.clone(), move |peer| {
        let inbound = Arc::clone(&inbound);
        service_fn(move |request: Request<Incoming>| {
            let (inbound, peer) = (Arc::clone(&inbound), Arc::clone(&peer));
            // On the heap: a connection holds one of these for each stream.
            Box::pin(async move { Ok::<_, Infallible>(inbound.mesh(&peer, request).await) })
        })
    });
    shutdown.spawn("mesh door", door);
}

fn serve_agent(listener: Listener, outbound: Arc<Outbound>, shutdown: &Shutdown) {
    let door = serve::plain(listener, shutdown.clone(), move |_from| {
        let outbound = Arc::clone(&outbound);
        service_fn(move |request: Request<Incoming>| {
            let outbound = Arc::clone(&outbound);
            Box::pin(async move { Ok::<_, Infallible>(outbound.agent(request).await) })
        })
    });
    shutdown.spawn("agent door", door);
}

fn serve_own(listener: Listener, own: Own, shutdown: &Shutdown) {
    let own = Arc::new(own);
    let door = serve::plain(listener, shutdown.clone(), move |_from| {
        let own = Arc::clone(&own);
        service_fn(move |request: Request<Incoming>| {
            let own = Arc::clone(&own);
            Box::pin(async move { Ok::<_, Infallible>(own.call(request).await) })
        })
    });
    shutdown.spawn("self door", door);
}

fn serve_edge(edge: EdgeConfig, listener: Listener, inbound: Arc<Inbound>, shutdown: &Shutdown) {
    let over_tls = edge.tls.is_some();
    let make = move |_from| {
        let inbound = Arc::clone(&inbound);
        service_fn(move |request: Request<Incoming>| {
            let inbound = Arc::clone(&inbound);
            Box::pin(async move { Ok::<_, Infallible>(inbound.edge(request, over_tls).await) })
        })
    };
    match edge.tls {
        Some(tls) => shutdown.spawn("edge door", serve::tls(listener, tls, shutdown.clone(), make)),
        None => shutdown.spawn("edge door", serve::plain(listener, shutdown.clone(), make)),
    }
}
