//! How many changes the store has seen that must not be undone. Each of them is written together with its number, and
//! told apart from the store before it counts as done.

use aws_lc_rs::rand;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sqlx::{Row as _, Sqlite, SqliteConnection, SqlitePool, Transaction as Writing};

use super::{Store, StoreFault, signing_keys::forget_keys};
use crate::continuity::State;

/// Random bytes in a store's name.
const NAME_LENGTH: usize = 16;
const TABLE: StoreFault = StoreFault::Malformed("state");

impl Store {
    /// Takes a store as it is, so that nothing of it comes back which may have ended since: all transactions and keepers
    /// are gone, and all signing keys. Returns how many transactions.
    ///
    /// # Errors
    /// The [`StoreFault`]; then the store is as it was.
    pub(crate) async fn accept(&self) -> Result<u64, StoreFault> {
        named(&self.writer).await?;
        let mut writing = self.writer.begin().await?;
        let transactions = sqlx::query("DELETE FROM transactions").execute(&mut *writing).await?.rows_affected();
        sqlx::query("DELETE FROM keepers").execute(&mut *writing).await?;
        forget_keys(&mut writing).await?;
        let published = i64::try_from(self.continuity.number()).map_err(|_too_large| TABLE)?;
        sqlx::query("UPDATE state SET number = max(number, ?)").bind(published).execute(&mut *writing).await?;
        self.commit_for_good(writing).await?;
        Ok(transactions)
    }

    /// Commits a change that must not be undone, a key's or an end, and publishes its number. On a fault after the
    /// commit the change holds, and the next one publishes it as well.
    pub(super) async fn commit_for_good(&self, mut writing: Writing<'_, Sqlite>) -> Result<(), StoreFault> {
        sqlx::query("UPDATE state SET number = number + 1").execute(&mut *writing).await?;
        let state = read(&mut writing).await?;
        writing.commit().await?;
        let continuity = self.continuity.clone();
        let reach = move || continuity.reach(&state);
        tokio::task::spawn_blocking(reach).await.map_err(|_ended| TABLE)?.map_err(StoreFault::Continuity)
    }
}

/// The state of an opened store, which has a name from its first opening on.
pub(super) async fn named(writer: &SqlitePool) -> Result<State, StoreFault> {
    let mut name = [0; NAME_LENGTH];
    rand::fill(&mut name).map_err(|_unspecified| TABLE)?;
    let mut connection = writer.acquire().await?;
    sqlx::query("INSERT INTO state (one, store, number) VALUES (1, ?, 0) ON CONFLICT (one) DO NOTHING")
        .bind(URL_SAFE_NO_PAD.encode(name))
        .execute(&mut *connection)
        .await?;
    read(&mut connection).await
}

async fn read(connection: &mut SqliteConnection) -> Result<State, StoreFault> {
    let row = sqlx::query("SELECT store, number FROM state").fetch_one(connection).await?;
    let number = u64::try_from(row.try_get::<i64, _>("number")?).map_err(|_negative| TABLE)?;
    Ok(State { store: row.try_get("store")?, number })
}
