//! Signing keys at rest: encrypted, made on first start.

use identity::UnixTime;
use sqlx::Row as _;

use super::{Store, StoreFault, integer};
use crate::keys::{Keys, NewKey};

impl Store {
    /// The signing keys; on first start one is made.
    ///
    /// # Errors
    /// The [`StoreFault`].
    pub(crate) async fn keys(&self, now: UnixTime) -> Result<Keys, StoreFault> {
        let mut rows = self.key_rows().await?;
        if rows.is_empty() {
            self.add_key(&NewKey::generate()?, now).await?;
            rows = self.key_rows().await?;
        }
        let mut documents = Vec::new();
        for (kid, sealed) in rows {
            documents.push(self.sealer.open(&place(&kid), &sealed)?);
        }
        Ok(Keys::read(documents.iter().map(|document| document.as_slice()))?)
    }

    /// `kid` and sealed key, oldest first.
    async fn key_rows(&self) -> Result<Vec<(String, Vec<u8>)>, StoreFault> {
        let rows =
            sqlx::query("SELECT kid, private FROM keys ORDER BY created_at, kid").fetch_all(&self.writer).await?;
        Ok(rows
            .iter()
            .map(|row| Ok((row.try_get("kid")?, row.try_get("private")?)))
            .collect::<Result<_, sqlx::Error>>()?)
    }

    async fn add_key(&self, key: &NewKey, now: UnixTime) -> Result<(), StoreFault> {
        let sealed = self.sealer.seal(&place(&key.kid), &key.pkcs8)?;
        sqlx::query("INSERT INTO keys (kid, private, public, created_at) VALUES (?, ?, ?, ?)")
            .bind(&key.kid)
            .bind(sealed)
            .bind(&key.public)
            .bind(integer(now)?)
            .execute(&self.writer)
            .await?;
        tracing::info!(kid = key.kid, "made a signing key");
        Ok(())
    }
}

fn place(kid: &str) -> String {
    format!("keys/{kid}")
}
