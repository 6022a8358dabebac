//! The broker as a process: everything that it is made of, wired from top to bottom.

use std::{collections::BTreeMap, error::Error, sync::Arc, time::Duration};

use anyhow::Context as _;
use runtime::{
    admin, clock,
    config::Problems,
    mtls::Acceptor,
    process::Process,
    serve::{self, Listener},
    shutdown::Shutdown,
    workload::{JwtSvids, Workload},
};

use crate::{
    authority::Authorities,
    config::{Config, PublicTls, RawConfig},
    grant::Issuer,
    http, logout,
    parties::Parties,
    record::Recorder,
    reload::{Reload, Rules},
    sessions::Sessions,
    store::Store,
    watch,
};

/// How often what has ended is deleted from the store, and what could not be stored of it is tried again.
const PURGE_EVERY: Duration = Duration::from_secs(60);
/// How often a provider's keys are learned anew, so that a withdrawn key is refused.
const KEYS_EVERY: Duration = Duration::from_secs(300);
/// How soon again while a provider gave none yet.
const KEYS_FIRST_EVERY: Duration = Duration::from_secs(2);

/// The broker.
#[derive(Debug)]
pub struct App;

impl runtime::process::App for App {
    const NAME: &'static str = "countersign-broker";
    const SHORT: &'static str = "broker";
    const ABOUT: &'static str = "Turns a user's authority into the smallest token that the next call needs (RFC 8693).";
    type Raw = RawConfig;
    type Config = Config;

    fn config(raw: RawConfig, problems: &mut Problems) -> Option<Config> {
        Config::read(raw, problems)
    }

    /// Ready: identity, store and record. Not a provider: while one is away, transactions that were begun go on, and
    /// only new ones are refused as a fault.
    async fn serve(config: Config, process: Process) -> anyhow::Result<()> {
        let Process { shutdown, telemetry, ready_file } = &process;
        let store_ready = telemetry.ready_flag("store");
        // The record is for one process alone. A second broker, perhaps of another version, must not have changed the
        // store of the first when it learns that.
        let recorder = Recorder::open(&config.ledger, config.sealer.clone(), config.policies.digest(), &process)
            .with_context(|| format!("cannot open the record in `{}`", config.ledger.display()))?;
        let workload = Workload::connect(&config.workload_api, &process);
        let store = Store::open(&config.store, config.sealer.clone())
            .await
            .with_context(|| format!("cannot open the store `{}`", config.store.display()))?;
        let keys = store.keys(clock::now()).await.context("cannot read the signing keys")?;
        let ended = store.ended(clock::now()).await.context("cannot read which sessions ended")?;
        let sessions = Sessions::new(config.sealer, ended);
        store_ready.ready();
        let issuer = Issuer { url: config.issuer, trust_domain: config.trust_domain, keys };
        let parties = Arc::new(Parties {
            issuer,
            authorities: Authorities::new(config.authorities).context("cannot speak to the OpenID providers")?,
            edges: config.edges,
            registry: config.registry,
            reserved: config.reserved,
            policies: Rules::new(config.policies),
            store,
            sessions,
            recorder: recorder.clone(),
            svids: JwtSvids::new(&config.workload_api, workload.clone()),
            workload: workload.clone(),
            life: config.life,
        });
        shutdown.spawn("purge", purge(Arc::clone(&parties), shutdown.clone()));
        let reload = Reload::new(&parties.policies, recorder, telemetry);
        shutdown.spawn("policies", reload.run(Arc::clone(&parties), shutdown.clone()));
        shutdown.spawn("provider keys", learn_keys(Arc::clone(&parties), shutdown.clone()));

        let token = bind(&config.listen).await?.counted(telemetry, "token");
        let public = bind(&config.public.listen).await?.counted(telemetry, "public");
        let admin = admin::serve(&config.admin, telemetry.clone(), shutdown)
            .await
            .with_context(|| format!("cannot listen on `{}`", config.admin))?;
        let addresses = BTreeMap::from([
            ("token", token.address().to_string()),
            ("public", public.address().to_string()),
            ("admin", admin),
        ]);
        let everybody = http::everybody(&parties, telemetry);
        let watch = watch::router(Arc::clone(&parties), shutdown.clone());
        let inside = http::inside(parties, watch);
        let acceptor = Acceptor::new(workload);
        shutdown.spawn(
            "token door",
            serve::mtls(token, acceptor, shutdown.clone(), move |peer| http::with_peer(inside.clone(), peer)),
        );
        serve_public(config.public.tls, public, everybody, shutdown);
        ready_file.write(&addresses).context("cannot write the ready file")?;
        tracing::info!(?addresses, "the broker serves");
        shutdown.cancelled().await;
        Ok(())
    }
}

async fn bind(address: &str) -> anyhow::Result<Listener> {
    Listener::bind(address).await.with_context(|| format!("cannot listen on `{address}`"))
}

fn serve_public(tls: PublicTls, listener: Listener, router: axum::Router, shutdown: &Shutdown) {
    let make = move |_from| http::anonymous(router.clone());
    match tls {
        PublicTls::Files(tls) => {
            shutdown.spawn("public door", serve::tls(listener, tls, shutdown.clone(), make));
        }
        PublicTls::Loopback => shutdown.spawn("public door", serve::plain(listener, shutdown.clone(), make)),
    }
}

async fn purge(parties: Arc<Parties>, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(PURGE_EVERY) => {}
        }
        let now = clock::now();
        parties.sessions.forget(now);
        logout::store_rest(&parties.sessions, &parties.store, now).await;
        match parties.store.purge(now).await {
            Ok(transactions) => tracing::debug!(transactions, "deleted what has ended"),
            Err(fault) => {
                let error: &(dyn Error + 'static) = &fault;
                tracing::warn!(error, "cannot delete what has ended");
            }
        }
    }
}

async fn learn_keys(parties: Arc<Parties>, shutdown: Shutdown) {
    loop {
        let mut all_held = true;
        for authority in parties.authorities.iter() {
            all_held &= authority.refresh_keys().await;
        }
        let pause = if all_held { KEYS_EVERY } else { KEYS_FIRST_EVERY };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
