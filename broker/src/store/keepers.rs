//! Keepers: what an authority gave for users' tokens, encrypted, one per issuer, session and scope.

use identity::{RawToken, Scopes, UnixTime};
use sqlx::{Row as _, SqliteConnection};
use zeroize::Zeroizing;

use super::{Store, StoreFault, Transaction, integer};
use crate::authority::Keeper;

impl Store {
    /// The keeper of `transaction`, if it has not ended.
    ///
    /// # Errors
    /// The [`StoreFault`].
    pub(crate) async fn keeper(
        &self,
        transaction: &Transaction,
        now: UnixTime,
    ) -> Result<Option<RawToken>, StoreFault> {
        let Transaction { authority, session, scopes, .. } = transaction;
        let row = sqlx::query("SELECT token FROM keepers WHERE issuer = ? AND sid = ? AND scope = ? AND not_after > ?")
            .bind(authority)
            .bind(session)
            .bind(scopes.to_string())
            .bind(integer(now)?)
            .fetch_optional(&self.readers)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let sealed: Vec<u8> = row.try_get("token")?;
        let opened = self.sealer.open(&place(authority, session, &scopes.to_string()), &sealed)?;
        let text = std::str::from_utf8(&opened).map_err(|_not_utf8| StoreFault::Malformed("keepers"))?;
        RawToken::parse(text.to_owned()).map(Some).map_err(|_length| StoreFault::Malformed("keepers"))
    }

    pub(super) async fn put_keeper(
        &self,
        writing: &mut SqliteConnection,
        scopes: &Scopes,
        keeper: &Keeper,
    ) -> Result<(), StoreFault> {
        let proof = keeper.proof();
        let plain = Zeroizing::new(keeper.raw().expose().as_bytes().to_vec());
        let sealed = self.sealer.seal(&place(proof.issuer(), proof.session(), &scopes.to_string()), &plain)?;
        sqlx::query(
            "INSERT INTO keepers (issuer, sid, scope, token, not_after) VALUES (?, ?, ?, ?, ?) \
             ON CONFLICT (issuer, sid, scope) DO UPDATE SET token = excluded.token, not_after = excluded.not_after",
        )
        .bind(proof.issuer())
        .bind(proof.session())
        .bind(scopes.to_string())
        .bind(sealed)
        .bind(integer(proof.lifetime().not_after())?)
        .execute(writing)
        .await?;
        Ok(())
    }
}

/// Unambiguous whatever the parts hold.
pub(super) fn place(issuer: &str, session: &str, scopes: &str) -> String {
    format!("keepers/{}", serde_json::json!([issuer, session, scopes]))
}
