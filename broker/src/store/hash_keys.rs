//! The keys of the store's hashes: random, made with the store, and encrypted in it as signing keys are, so that sessions
//! that ended and subjects in the record are found also under another wrapping key.

use sqlx::{Row as _, SqlitePool};

use super::StoreFault;
use crate::seal::{HashKeys, Sealer, Wrapping};

/// Name of the row.
const NAME: &str = "hashes";
const PLACE: &str = "sealed/hashes";

/// What encrypts and hashes for this store. A store of before hashed with keys of its wrapping key, and goes on with them.
pub(super) async fn sealer(writer: &SqlitePool, wrapping: Wrapping) -> Result<Sealer, StoreFault> {
    let row = sqlx::query("SELECT content FROM sealed WHERE name = ?").bind(NAME).fetch_optional(writer).await?;
    if let Some(row) = row {
        let keys = HashKeys::read(&wrapping.open(PLACE, &row.try_get::<Vec<u8>, _>("content")?)?)?;
        return Ok(Sealer::new(wrapping, &keys));
    }
    let before = sqlx::query("SELECT kid, private FROM keys LIMIT 1").fetch_optional(writer).await?;
    let sealer = if let Some(row) = before {
        // Not with any wrapping key, but with the one that the store was written with.
        wrapping.open(&format!("keys/{}", row.try_get::<String, _>("kid")?), &row.try_get::<Vec<u8>, _>("private")?)?;
        keep(writer, &wrapping, wrapping.hash_keys_of_before()).await?
    } else {
        keep(writer, &wrapping, &HashKeys::random()?).await?
    };
    Ok(sealer)
}

async fn keep(writer: &SqlitePool, wrapping: &Wrapping, keys: &HashKeys) -> Result<Sealer, StoreFault> {
    sqlx::query("INSERT INTO sealed (name, content) VALUES (?, ?)")
        .bind(NAME)
        .bind(wrapping.seal(PLACE, keys.expose())?)
        .execute(writer)
        .await?;
    Ok(Sealer::new(wrapping.clone(), keys))
}
