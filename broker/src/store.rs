//! What must survive a restart: transactions that were begun, keepers, sessions that ended and signing keys. One SQLite
//! file, mode 0600.
//! Keepers, private keys and who a user is lie in it encrypted; no token of our own is ever stored.

mod ended;
mod hash_keys;
mod keepers;
mod liveness;
mod recent;
mod revoked;
mod rewrap;
mod signing_keys;
mod state;
mod transactions;

use std::{
    error::Error,
    fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    time::Duration,
};

use identity::{Refusal, UnixTime};
use sqlx::{
    Connection as _, SqlStr, SqliteConnection, SqlitePool,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use self::recent::Recent;
pub(crate) use self::transactions::Transaction;
use crate::{
    continuity::{Continuity, ContinuityFault},
    seal::{SealFault, Sealer, Wrapping},
};

/// Readers beside the one writer; WAL lets them read while it writes.
const READERS_MAX: u32 = 4;
/// Longest wait for a connection or a lock; after it the request is refused as a fault.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// SQLite's result codes for a file that is damaged, or none of its own.
const CORRUPT: &str = "11";
const NOT_A_DATABASE: &str = "26";
/// The broker's own user only. SQLite gives its WAL and shared memory files the same mode.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// The store. Clones share the file.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
    sealer: Sealer,
    recent: Recent,
    continuity: Continuity,
}

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreFault {
    #[error("cannot create the file")]
    Create(#[source] io::Error),
    #[error("the database did not answer")]
    Database(#[from] sqlx::Error),
    #[error("the tables cannot be made")]
    Migrate(#[source] MigrateError),
    #[error("a newer broker has opened it; start that one, or see `Upgrade and rollback` in docs/operations.md")]
    Newer,
    #[error("`{0}` holds what the broker did not write")]
    Malformed(&'static str),
    #[error("the file is damaged ({0}); put a backup in its place, see `Restore` in docs/operations.md")]
    Damaged(String),
    #[error("the wrapping key is not the one that the store was written with")]
    Seal(#[from] SealFault),
    #[error("no usable signing key")]
    Key(#[from] crate::keys::KeyFault),
    #[error("the store's state does not fit the record's")]
    Continuity(#[source] ContinuityFault),
}

impl Store {
    /// Opens the file, makes it and its tables if needed. A store that is behind what was published is not opened.
    ///
    /// # Errors
    /// The [`StoreFault`].
    pub(crate) async fn open(path: &Path, wrapping: Wrapping, continuity: Continuity) -> Result<Self, StoreFault> {
        let store = Self::open_restored(path, wrapping, continuity).await?;
        store.continuity.check(&state::named(&store.writer).await?).map_err(StoreFault::Continuity)?;
        Ok(store)
    }

    /// Opens the file though it may be behind what was published: only to [`Store::accept`] it.
    ///
    /// # Errors
    /// The [`StoreFault`].
    pub(crate) async fn open_restored(
        path: &Path,
        wrapping: Wrapping,
        continuity: Continuity,
    ) -> Result<Self, StoreFault> {
        create(path).map_err(StoreFault::Create)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(WAIT_MAX);
        let pool = |connections: u32| SqlitePoolOptions::new().max_connections(connections).acquire_timeout(WAIT_MAX);
        let writer =
            pool(1).after_release(|connection, _meta| Box::pin(keep(connection))).connect_with(options.clone());
        let writer = writer.await.map_err(damaged)?;
        check(&writer).await?;
        migrator().run(&writer).await.map_err(unmade)?;
        let sealer = hash_keys::sealer(&writer, wrapping).await?;
        let readers = pool(READERS_MAX).connect_with(options.read_only(true)).await?;
        Ok(Self { writer, readers, sealer, recent: Recent::default(), continuity })
    }

    /// What encrypts and hashes for this store.
    pub(crate) fn sealer(&self) -> Sealer {
        self.sealer.clone()
    }

    /// Deletes what has ended, transactions and keepers, and what need not be remembered. Returns how many transactions.
    ///
    /// # Errors
    /// [`StoreFault::Database`].
    pub(crate) async fn purge(&self, now: UnixTime) -> Result<u64, StoreFault> {
        let now = integer(now)?;
        let change = self.recent.change();
        let gone =
            sqlx::query("DELETE FROM transactions WHERE long_not_after <= ?").bind(now).execute(&self.writer).await?;
        sqlx::query("DELETE FROM keepers WHERE not_after <= ?").bind(now).execute(&self.writer).await?;
        sqlx::query("DELETE FROM ended WHERE until <= ?").bind(now).execute(&self.writer).await?;
        sqlx::query("DELETE FROM doubted WHERE until <= ?").bind(now).execute(&self.writer).await?;
        sqlx::query("DELETE FROM revoked WHERE until <= ?").bind(now).execute(&self.writer).await?;
        change.done();
        Ok(gone.rows_affected())
    }
}

impl From<StoreFault> for Refusal {
    /// The caller learns only that it may try again; the cause is logged here, where it would be lost.
    fn from(fault: StoreFault) -> Self {
        let error: &(dyn Error + 'static) = &fault;
        tracing::error!(error, "the store failed");
        Self::FaultStore
    }
}

/// Looks at every page once: damage that nobody reads would be found when it is needed.
async fn check(writer: &SqlitePool) -> Result<(), StoreFault> {
    let found: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(writer).await.map_err(damaged)?;
    if found == "ok" { Ok(()) } else { Err(StoreFault::Damaged(found)) }
}

fn damaged(fault: sqlx::Error) -> StoreFault {
    match fault.as_database_error() {
        Some(told) if told.code().is_some_and(|code| [CORRUPT, NOT_A_DATABASE].contains(&code.as_ref())) => {
            StoreFault::Damaged(told.message().to_owned())
        }
        Some(_) | None => fault.into(),
    }
}

/// Whether the next writer may have the last one's connection. SQLite takes a transaction back by itself when the disk is
/// full; the library then believes in one that is not there, and sends no `COMMIT` for what comes after it, though it says
/// so. Such a connection is closed.
async fn keep(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // What was queued, such as the roll-back of a transaction that was dropped, is done before this is answered.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

fn create(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
    }
    let file = fs::OpenOptions::new().create(true).append(true).mode(FILE_MODE).open(path)?;
    // A file that was there before may be open to others.
    file.set_permissions(fs::Permissions::from_mode(FILE_MODE))
}

/// A step that this broker does not know was made by one that came after it.
fn unmade(fault: MigrateError) -> StoreFault {
    if matches!(fault, MigrateError::VersionMissing(_)) { StoreFault::Newer } else { StoreFault::Migrate(fault) }
}

fn migrator() -> Migrator {
    let step = |version: i64, name: &'static str, text: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, SqlStr::from_static(text), false)
    };
    Migrator::with_migrations(vec![
        step(1, "first", include_str!("store/0001_first.sql")),
        step(2, "sessions", include_str!("store/0002_sessions.sql")),
        step(3, "keys", include_str!("store/0003_keys.sql")),
        step(4, "revoked", include_str!("store/0004_revoked.sql")),
        step(5, "liveness", include_str!("store/0005_liveness.sql")),
        step(6, "state", include_str!("store/0006_state.sql")),
    ])
}

/// SQLite's integers are signed.
fn integer(time: UnixTime) -> Result<i64, StoreFault> {
    i64::try_from(time.secs()).map_err(|_too_large| StoreFault::Malformed("time"))
}

fn time(integer: i64) -> Result<UnixTime, StoreFault> {
    u64::try_from(integer).ok().and_then(UnixTime::from_secs).ok_or(StoreFault::Malformed("time"))
}

#[cfg(test)]
mod tests;
