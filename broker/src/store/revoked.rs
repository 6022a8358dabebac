//! What was revoked by name, so that a restart forgets none of it while a token could be shown.

use identity::{UnixTime, workload_id};
use sqlx::{Row as _, Sqlite, Transaction as Writing, sqlite::SqliteRow};

use super::{Store, StoreFault, integer, time};
use crate::revocation::{Name, Revoked};

const TABLE: StoreFault = StoreFault::Malformed("revoked");

impl Store {
    /// Writes what was revoked, deletes the transactions that ended with it, and returns how many those were.
    ///
    /// # Errors
    /// The [`StoreFault`]; then nothing was written.
    pub(crate) async fn revoke(&self, revoked: &[Revoked], now: UnixTime) -> Result<u64, StoreFault> {
        if revoked.is_empty() {
            return Ok(0);
        }
        let change = self.recent.change();
        let mut writing = self.writer.begin().await?;
        let mut transactions = 0_u64;
        for one in revoked {
            put(&mut writing, one).await?;
            transactions = transactions.saturating_add(delete(&mut writing, one, now).await?);
        }
        self.commit_for_good(writing).await?;
        change.done();
        Ok(transactions)
    }

    /// What is remembered at `now`.
    ///
    /// # Errors
    /// The [`StoreFault`].
    pub(crate) async fn revoked(&self, now: UnixTime) -> Result<Vec<Revoked>, StoreFault> {
        let rows = sqlx::query("SELECT kind, name, through, until FROM revoked WHERE until > ?")
            .bind(integer(now)?)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read).collect()
    }
}

pub(super) async fn put(writing: &mut Writing<'_, Sqlite>, revoked: &Revoked) -> Result<(), StoreFault> {
    let (kind, name) = match &revoked.name {
        Name::Transaction(id) => ("transaction", id.to_string()),
        Name::Token(id) => ("token", id.to_string()),
        Name::Workload(id) => ("workload", id.to_string()),
    };
    sqlx::query(
        "INSERT INTO revoked (kind, name, through, until) VALUES (?, ?, ?, ?) ON CONFLICT (kind, name) DO UPDATE SET \
         through = max(through, excluded.through), until = max(until, excluded.until)",
    )
    .bind(kind)
    .bind(name)
    .bind(integer(revoked.through)?)
    .bind(integer(revoked.until)?)
    .execute(&mut **writing)
    .await?;
    Ok(())
}

/// Deletes the transactions of which no token counts any more. Returns how many of them were running.
async fn delete(writing: &mut Writing<'_, Sqlite>, revoked: &Revoked, now: UnixTime) -> Result<u64, StoreFault> {
    const ONE: &str = "DELETE FROM transactions WHERE txn = ? AND begun_at <= ? RETURNING long_not_after";
    // Whatever began at a workload has it in every chain.
    const OF_EDGE: &str = "DELETE FROM transactions WHERE edge = ? AND begun_at <= ? RETURNING long_not_after";
    let (text, name) = match &revoked.name {
        Name::Transaction(id) => (ONE, id.to_string()),
        Name::Workload(id) => (OF_EDGE, id.to_string()),
        Name::Token(_) => return Ok(0),
    };
    let gone = sqlx::query(text).bind(name).bind(integer(revoked.through)?).fetch_all(&mut **writing).await?;
    let now = integer(now)?;
    let mut running = 0_u64;
    for row in gone {
        running = running.saturating_add(u64::from(row.try_get::<i64, _>("long_not_after")? > now));
    }
    Ok(running)
}

fn read(row: &SqliteRow) -> Result<Revoked, StoreFault> {
    let (kind, name): (String, String) = (row.try_get("kind")?, row.try_get("name")?);
    let name = match kind.as_str() {
        "transaction" => name.parse().map(Name::Transaction).map_err(|_malformed| TABLE)?,
        "token" => name.parse().map(Name::Token).map_err(|_malformed| TABLE)?,
        "workload" => workload_id(&name).map(Name::Workload).map_err(|_malformed| TABLE)?,
        _unknown => return Err(TABLE),
    };
    Ok(Revoked { name, through: time(row.try_get("through")?)?, until: time(row.try_get("until")?)? })
}
