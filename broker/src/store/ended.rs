//! What ended at its authority, so that a restart forgets no sign-out.

use identity::UnixTime;
use sqlx::{Row as _, sqlite::SqliteRow};

use super::{Store, StoreFault, integer, revoked, time};
use crate::{
    revocation::{Name, Revoked},
    sessions::{ENDED_MAX, End, Mark},
};

const TABLE: StoreFault = StoreFault::Malformed("ended");

impl Store {
    /// Writes an end, and returns the running transactions that rest on what it ends, to be told until `told_until`, and
    /// how many of them no other has ended.
    ///
    /// # Errors
    /// The [`StoreFault`]; then nothing was written.
    pub(crate) async fn end(
        &self,
        end: &End,
        told_until: UnixTime,
        now: UnixTime,
    ) -> Result<(Vec<Revoked>, u64), StoreFault> {
        let (mark, through) = (end.mark.bytes(), integer(end.through)?);
        let mut writing = self.writer.begin().await?;
        let rows = sqlx::query(
            "SELECT t.txn, NOT EXISTS (SELECT 1 FROM ended e WHERE e.mark IN (t.session_mark, t.user_mark) \
             AND t.confirmed_at <= e.through) AS ran FROM transactions t \
             WHERE (t.session_mark = ?1 OR t.user_mark = ?1) AND t.confirmed_at <= ?2 AND t.long_not_after > ?3",
        )
        .bind(mark)
        .bind(through)
        .bind(integer(now)?)
        .fetch_all(&mut *writing)
        .await?;
        let (mut ended, mut ran) = (Vec::with_capacity(rows.len()), 0_u64);
        for row in rows {
            let id = row.try_get::<String, _>("txn")?.parse().map_err(|_malformed| TABLE)?;
            let one = Revoked { name: Name::Transaction(id), through: UnixTime::MAX, until: told_until };
            revoked::put(&mut writing, &one).await?;
            ran = ran.saturating_add(u64::from(row.try_get::<bool, _>("ran")?));
            ended.push(one);
        }
        sqlx::query(
            "INSERT INTO ended (mark, through, until) VALUES (?, ?, ?) ON CONFLICT (mark) DO UPDATE SET \
             through = max(through, excluded.through), until = max(until, excluded.until)",
        )
        .bind(mark)
        .bind(through)
        .bind(integer(end.until)?)
        .execute(&mut *writing)
        .await?;
        self.commit_for_good(writing).await?;
        Ok((ended, ran))
    }

    /// What is remembered at `now`, the latest first where it is more than is held.
    ///
    /// # Errors
    /// The [`StoreFault`].
    pub(crate) async fn ended(&self, now: UnixTime) -> Result<Vec<End>, StoreFault> {
        let most = i64::try_from(ENDED_MAX).map_err(|_too_many| TABLE)?;
        let rows = sqlx::query("SELECT mark, through, until FROM ended WHERE until > ? ORDER BY until DESC LIMIT ?")
            .bind(integer(now)?)
            .bind(most)
            .fetch_all(&self.readers)
            .await?;
        let read = |row: &SqliteRow| {
            let mark = Mark::read(&row.try_get::<Vec<u8>, _>("mark")?).ok_or(TABLE)?;
            Ok(End { mark, through: time(row.try_get("through")?)?, until: time(row.try_get("until")?)? })
        };
        rows.iter().map(read).collect()
    }
}
