//! What ended at its authority, so that a restart forgets no sign-out.

use identity::UnixTime;
use sqlx::Row as _;

use super::{Store, StoreFault, integer, time};
use crate::sessions::{ENDED_MAX, End, Mark};

const TABLE: StoreFault = StoreFault::Malformed("ended");

impl Store {
    /// Writes an end, and returns how many running transactions it ends that no other has ended.
    ///
    /// # Errors
    /// The [`StoreFault`]; then nothing was written.
    pub(crate) async fn end(&self, end: &End, now: UnixTime) -> Result<u64, StoreFault> {
        let (mark, through) = (end.mark.bytes(), integer(end.through)?);
        let mut writing = self.writer.begin().await?;
        let transactions: i64 = sqlx::query(
            "SELECT count(*) AS transactions FROM transactions t WHERE (t.session_mark = ?1 OR t.user_mark = ?1) \
             AND t.confirmed_at <= ?2 AND t.long_not_after > ?3 AND NOT EXISTS (SELECT 1 FROM ended e \
             WHERE e.mark IN (t.session_mark, t.user_mark) AND t.confirmed_at <= e.through)",
        )
        .bind(mark)
        .bind(through)
        .bind(integer(now)?)
        .fetch_one(&mut *writing)
        .await?
        .try_get("transactions")?;
        sqlx::query(
            "INSERT INTO ended (mark, through, until) VALUES (?, ?, ?) ON CONFLICT (mark) DO UPDATE SET \
             through = max(through, excluded.through), until = max(until, excluded.until)",
        )
        .bind(mark)
        .bind(through)
        .bind(integer(end.until)?)
        .execute(&mut *writing)
        .await?;
        writing.commit().await?;
        u64::try_from(transactions).map_err(|_negative| TABLE)
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
        let read = |row: &sqlx::sqlite::SqliteRow| {
            let mark = Mark::read(&row.try_get::<Vec<u8>, _>("mark")?).ok_or(TABLE)?;
            Ok(End { mark, through: time(row.try_get("through")?)?, until: time(row.try_get("until")?)? })
        };
        rows.iter().map(read).collect()
    }
}
