//! The broker as a process: everything that it is made of, wired from top to bottom.

mod chores;
mod doors;

use std::sync::Arc;

use anyhow::Context as _;
use runtime::{
    clock,
    config::Problems,
    process::Process,
    workload::{JwtSvids, Workload},
};

use self::doors::Bound;
use crate::{
    authority::Authorities,
    config::{Config, Doors, RawConfig},
    continuity::Continuity,
    grant::Issuer,
    keys::Rotation,
    liveness::{Liveness, Watcher},
    parties::Parties,
    record::{RecordFile, Recorder},
    reload::Rules,
    revocation::Revocations,
    seen::Seen,
    sessions::Sessions,
    store::Store,
    upkeep::{self, Upkeep},
};

/// The broker.
#[derive(Debug)]
pub struct App;

impl runtime::process::App for App {
    const NAME: &'static str = "countersign-broker";
    const SHORT: &'static str = "broker";
    const ABOUT: &'static str = "Turns a user's authority into the smallest token that the next call needs (RFC 8693).";
    type Raw = RawConfig;
    type Config = Config;
    type Upkeep = Upkeep;

    fn config(raw: RawConfig, problems: &mut Problems) -> Option<Config> {
        Config::read(raw, problems)
    }

    /// Ready: identity, store, record and clock. Not a provider: while one is away, transactions that were begun go on,
    /// and only new ones are refused as a fault.
    async fn serve(config: Config, process: Process) -> anyhow::Result<()> {
        let (parties, watchers, doors) = parties(config, &process).await?;
        let bound = Bound::open(doors, &process).await?;
        let addresses = bound.addresses.clone();
        chores::start(&parties, watchers, &process);
        bound.serve(parties, &process);
        process.ready_file.write(&addresses).context("cannot write the ready file")?;
        tracing::info!(?addresses, "the broker serves");
        process.shutdown.cancelled().await;
        Ok(())
    }

    async fn upkeep(upkeep: Upkeep, config: Config, process: Process) -> anyhow::Result<String> {
        upkeep::perform(upkeep, config, &process).await
    }
}

/// Opens what the broker keeps, and makes everyone whom an exchange talks to.
async fn parties(config: Config, process: &Process) -> anyhow::Result<(Arc<Parties>, Vec<Watcher>, Doors)> {
    let store_ready = process.telemetry.ready_flag("store");
    let (store, recorder) = open_files(&config, process).await?;
    let workload = Workload::connect(&config.workload_api, process);
    let rotation = Rotation::start(&store, &recorder, config.keys, process);
    let rotation = rotation.await.context("cannot read the signing keys")?;
    let ended = store.ended(clock::now()).await.context("cannot read which sessions ended")?;
    let revocations = Revocations::read(&store, clock::now()).await.context("cannot read what was revoked")?;
    let sessions = Sessions::new(store.sealer(), ended);
    let (liveness, watchers) = Liveness::open(&config.authorities, &store, &process.telemetry, clock::now()).await?;
    store_ready.ready();
    let parties = Parties {
        issuer: Issuer { url: config.issuer, trust_domain: config.trust_domain, keys: rotation.in_use() },
        authorities: Authorities::new(config.authorities, process).context("cannot speak to the OpenID providers")?,
        edges: config.edges,
        registry: config.registry,
        reserved: config.reserved,
        policies: Rules::new(config.policies),
        rotation,
        store,
        sessions,
        liveness,
        revocations,
        seen: Seen::default(),
        recorder,
        svids: JwtSvids::new(&config.workload_api, workload.clone()),
        workload,
        life: config.life,
    };
    Ok((Arc::new(parties), watchers, config.doors))
}

/// The record first: it is for one process alone. A second broker, perhaps of another version, must not have changed the
/// store of the first when it learns that.
async fn open_files(config: &Config, process: &Process) -> anyhow::Result<(Store, Recorder)> {
    let record = RecordFile::open(&config.ledger)
        .with_context(|| format!("cannot open the record in `{}`", config.ledger.display()))?;
    let continuity = Continuity::open(&config.ledger).context("cannot read what was published")?;
    let store = Store::open(&config.store, config.wrapping.clone(), continuity)
        .await
        .with_context(|| format!("cannot open the store `{}`", config.store.display()))?;
    let recorder = Recorder::start(record, store.sealer(), config.policies.digest(), process);
    Ok((store, recorder))
}
