//! Work on what the broker keeps, while it does not run: whoever does it holds the record's lock, so that no broker can
//! run beside it.

use std::path::{self, Path, PathBuf};

use anyhow::{Context as _, anyhow};
use runtime::{clock, process::Process};

use crate::{
    config::{Config, open_wrapping_key},
    continuity::Continuity,
    record::{RecordFile, Recorder},
    store::Store,
};

/// What can be done.
#[derive(Clone, Debug, PartialEq, Eq, clap::Subcommand)]
pub enum Upkeep {
    /// Go on with a store that was restored from a backup, or with a new one
    ///
    /// The broker does not start with a store that is older than what it published: sessions that ended and keys that were
    /// withdrawn would come back. This ends every transaction in the store and deletes its signing keys, so that nothing
    /// comes back; a new key is made at the next start, and users come back through their edge. Revocations that were made
    /// since the backup must be made again: the record has them.
    AcceptRestored,
    /// Encrypt what the store keeps with another wrapping key
    ///
    /// Everything is read with the key that the configuration names, and then written with the new one, all of it or
    /// nothing. Running transactions, signing keys and sign-outs go on. Afterwards `wrapping_key` must name the new key.
    Rewrap {
        /// File with the new key, as `countersign keys init` makes it
        #[arg(long, value_name = "FILE")]
        new_key: PathBuf,
    },
}

/// Does it, and tells what was done.
///
/// # Errors
/// A broker runs, or the store or the record cannot be opened; then nothing was changed.
pub(crate) async fn perform(upkeep: Upkeep, config: Config, process: &Process) -> anyhow::Result<String> {
    match upkeep {
        Upkeep::AcceptRestored => accept_restored(config, process).await,
        Upkeep::Rewrap { new_key } => rewrap(&new_key, config, process).await,
    }
}

async fn accept_restored(config: Config, process: &Process) -> anyhow::Result<String> {
    let record = RecordFile::open(&config.ledger)
        .with_context(|| format!("cannot open the record in `{}`", config.ledger.display()))?;
    let continuity = Continuity::open(&config.ledger)?;
    let store = Store::open_restored(&config.store, config.wrapping, continuity)
        .await
        .with_context(|| format!("cannot open the store `{}`", config.store.display()))?;
    let recorder = Recorder::start(record, store.sealer(), config.policies.digest(), process);
    let transactions = store.accept().await.context("the store was left as it is")?;
    recorder.restore_accepted(transactions, clock::now());
    let ended = if transactions == 1 { "1 transaction".to_owned() } else { format!("{transactions} transactions") };
    Ok(format!(
        "accepted `{}`: {ended} ended, all signing keys deleted\n\
         start the broker; then repeat the revocations that were made since the backup:\n  grep '\"t\":\"revoke\"' {}\n",
        config.store.display(),
        config.ledger.join("record.jsonl").display(),
    ))
}

async fn rewrap(new_key: &Path, config: Config, process: &Process) -> anyhow::Result<String> {
    // Whoever then reads that the old key can go must not be reading of the only one.
    let new_key = path::absolute(new_key).unwrap_or_else(|_unknown| new_key.to_owned());
    let new = open_wrapping_key(&new_key).map_err(|faults| anyhow!("{}", faults.join("; ")))?;
    let shown = new_key.display();
    if new.is_same(&config.wrapping) {
        return Err(anyhow!("`{shown}` is the key in use already; make another one with `countersign keys init`"));
    }
    let record = RecordFile::open(&config.ledger)
        .with_context(|| format!("cannot open the record in `{}`", config.ledger.display()))?;
    let continuity = Continuity::open(&config.ledger)?;
    let store = Store::open(&config.store, config.wrapping, continuity)
        .await
        .with_context(|| format!("cannot open the store `{}`", config.store.display()))?;
    let recorder = Recorder::start(record, store.sealer(), config.policies.digest(), process);
    let rows = store.rewrap(&new).await.context("the store was left as it is")?;
    recorder.rewrapped(clock::now());
    Ok(format!(
        "encrypted {rows} rows of `{}` with `{shown}`\nset `wrapping_key: {shown}`, start the broker, and back the \
         new key up; destroy the old key and backups of before once all is well\n",
        config.store.display(),
    ))
}
