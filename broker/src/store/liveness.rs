//! How far event logs were read, and who is in doubt, so that a restart goes on where it was.

use identity::{TransactionId, UnixTime};
use sqlx::{Row as _, sqlite::SqliteRow};

use super::{Store, StoreFault, integer, time};
use crate::{
    liveness::{Doubt, Reading},
    sessions::Mark,
};

const READINGS: StoreFault = StoreFault::Malformed("authorities");
const DOUBTED: StoreFault = StoreFault::Malformed("doubted");
/// A transaction that runs, and that no end has ended.
const RUNS: &str = "t.long_not_after > ?1 AND NOT EXISTS (SELECT 1 FROM ended e \
    WHERE e.mark IN (t.session_mark, t.user_mark) AND t.confirmed_at <= e.through)";

impl Store {
    /// How far the logs of the authority with this issuer were read.
    ///
    /// # Errors
    /// The [`StoreFault`].
    pub(crate) async fn reading(&self, issuer: &str) -> Result<Option<Reading>, StoreFault> {
        let row = sqlx::query("SELECT through_ms, confirmed_at, doubted_through FROM authorities WHERE issuer = ?")
            .bind(issuer)
            .fetch_optional(&self.readers)
            .await?;
        let read = |row: SqliteRow| {
            let doubted: Option<i64> = row.try_get("doubted_through")?;
            Ok(Reading {
                through_ms: u64::try_from(row.try_get::<i64, _>("through_ms")?).map_err(|_negative| READINGS)?,
                confirmed_at: time(row.try_get("confirmed_at")?)?,
                doubted_through: doubted.map(time).transpose()?,
            })
        };
        row.map(read).transpose()
    }

    /// Notes how far they were read.
    ///
    /// # Errors
    /// The [`StoreFault`].
    pub(crate) async fn put_reading(&self, issuer: &str, reading: &Reading) -> Result<(), StoreFault> {
        sqlx::query(
            "INSERT INTO authorities (issuer, through_ms, confirmed_at, doubted_through) VALUES (?, ?, ?, ?) \
             ON CONFLICT (issuer) DO UPDATE SET through_ms = excluded.through_ms, \
             confirmed_at = excluded.confirmed_at, doubted_through = excluded.doubted_through",
        )
        .bind(issuer)
        .bind(i64::try_from(reading.through_ms).map_err(|_too_large| READINGS)?)
        .bind(integer(reading.confirmed_at)?)
        .bind(reading.doubted_through.map(integer).transpose()?)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Writes a doubt.
    ///
    /// # Errors
    /// The [`StoreFault`]; then it was not written.
    pub(crate) async fn doubt(&self, doubt: &Doubt) -> Result<(), StoreFault> {
        sqlx::query(
            "INSERT INTO doubted (mark, through, until) VALUES (?, ?, ?) ON CONFLICT (mark) DO UPDATE SET \
             through = max(through, excluded.through), until = max(until, excluded.until)",
        )
        .bind(doubt.mark.bytes())
        .bind(integer(doubt.through)?)
        .bind(integer(doubt.until)?)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// The doubts that are remembered at `now`.
    ///
    /// # Errors
    /// The [`StoreFault`].
    pub(crate) async fn doubted(&self, now: UnixTime) -> Result<Vec<Doubt>, StoreFault> {
        let rows = sqlx::query("SELECT mark, through, until FROM doubted WHERE until > ?")
            .bind(integer(now)?)
            .fetch_all(&self.readers)
            .await?;
        let read = |row: &SqliteRow| {
            let mark = Mark::read(&row.try_get::<Vec<u8>, _>("mark")?).ok_or(DOUBTED)?;
            Ok(Doubt { mark, through: time(row.try_get("through")?)?, until: time(row.try_get("until")?)? })
        };
        rows.iter().map(read).collect()
    }

    /// Whether a transaction that runs, and that no end has ended, rests on the session or user of `mark`.
    ///
    /// # Errors
    /// The [`StoreFault`].
    pub(crate) async fn rests_on(&self, mark: &Mark, now: UnixTime) -> Result<bool, StoreFault> {
        // Each half finds its index.
        let sql = format!(
            "SELECT 1 FROM transactions t WHERE t.session_mark = ?2 AND {RUNS} \
             UNION ALL SELECT 1 FROM transactions t WHERE t.user_mark = ?2 AND {RUNS} LIMIT 1"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(integer(now)?).bind(mark.bytes());
        Ok(query.fetch_optional(&self.readers).await?.is_some())
    }

    /// Whether anything runs that was begun with the authority with this issuer.
    ///
    /// # Errors
    /// The [`StoreFault`].
    pub(crate) async fn runs_any(&self, issuer: &str, now: UnixTime) -> Result<bool, StoreFault> {
        let found = sqlx::query("SELECT 1 FROM transactions WHERE authority = ? AND long_not_after > ? LIMIT 1")
            .bind(issuer)
            .bind(integer(now)?)
            .fetch_optional(&self.readers)
            .await?;
        Ok(found.is_some())
    }

    /// Transactions of the authority with this issuer that run and are in doubt, one for each keeper.
    ///
    /// # Errors
    /// The [`StoreFault`].
    pub(crate) async fn doubted_transactions(
        &self,
        issuer: &str,
        everybody_through: Option<UnixTime>,
        now: UnixTime,
        most: u32,
    ) -> Result<Vec<TransactionId>, StoreFault> {
        let sql = format!(
            "SELECT min(t.txn) AS txn FROM transactions t WHERE t.authority = ?2 AND {RUNS} AND (t.confirmed_at <= ?3 \
             OR EXISTS (SELECT 1 FROM doubted d WHERE d.mark IN (t.session_mark, t.user_mark) \
             AND t.confirmed_at <= d.through)) GROUP BY t.sid, t.scope LIMIT ?4"
        );
        let everybody_through = everybody_through.map_or(Ok(-1), integer)?;
        self.ids(&sql, (issuer, everybody_through), now, most).await
    }

    /// Transactions that run on keepers which end by `end`, and have not yet, one for each keeper.
    ///
    /// # Errors
    /// The [`StoreFault`].
    pub(crate) async fn on_old_keepers(
        &self,
        issuer: &str,
        end: UnixTime,
        now: UnixTime,
        most: u32,
    ) -> Result<Vec<TransactionId>, StoreFault> {
        let sql = format!(
            "SELECT min(t.txn) AS txn FROM keepers k JOIN transactions t ON t.authority = k.issuer AND t.sid = k.sid \
             AND t.scope = k.scope WHERE k.issuer = ?2 AND k.not_after > ?1 AND k.not_after <= ?3 AND {RUNS} \
             GROUP BY t.sid, t.scope LIMIT ?4"
        );
        self.ids(&sql, (issuer, integer(end)?), now, most).await
    }

    async fn ids(
        &self,
        sql: &str,
        (issuer, bound): (&str, i64),
        now: UnixTime,
        most: u32,
    ) -> Result<Vec<TransactionId>, StoreFault> {
        let query = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned()));
        let rows = query.bind(integer(now)?).bind(issuer).bind(bound).bind(most).fetch_all(&self.readers).await?;
        let read = |row: &SqliteRow| {
            let id: String = row.try_get("txn")?;
            id.parse().map_err(|_malformed| StoreFault::Malformed("transactions"))
        };
        rows.iter().map(read).collect()
    }
}
