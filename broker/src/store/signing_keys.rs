//! Signing keys at rest: all of them sealed as one, with what each is for, so that no key and no state can be changed
//! alone. Made on first start.

use sqlx::{Row as _, SqliteConnection};

use super::{Store, StoreFault, time};
use crate::keys::{Event, Moment, Ring, Terms};

/// Name of the row.
const NAME: &str = "keys";
const PLACE: &str = "sealed/keys";

impl Store {
    /// The signing keys, and what happened to them just now; on first start one is made.
    ///
    /// # Errors
    /// The [`StoreFault`].
    pub(crate) async fn ring(&self, terms: &Terms, at: Moment) -> Result<(Ring, Vec<Event>), StoreFault> {
        let row =
            sqlx::query("SELECT content FROM sealed WHERE name = ?").bind(NAME).fetch_optional(&self.writer).await?;
        if let Some(row) = row {
            let text = self.sealer.open(PLACE, &row.try_get::<Vec<u8>, _>("content")?)?;
            return Ok((Ring::read(&text, terms, at)?, Vec::new()));
        }
        let (ring, events) = match self.key_of_before().await? {
            Some(ring) => (ring, Vec::new()),
            None => Ring::first(terms.algorithm, at)?,
        };
        self.write_ring(&ring).await?;
        Ok((ring, events))
    }

    /// Stores all keys as they are now.
    ///
    /// # Errors
    /// The [`StoreFault`]; unless it tells of the record's folder, nothing was stored.
    pub(crate) async fn write_ring(&self, ring: &Ring) -> Result<(), StoreFault> {
        let sealed = self.sealer.seal(PLACE, &ring.to_text()?)?;
        let mut writing = self.writer.begin().await?;
        sqlx::query("INSERT INTO sealed (name, content) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET content = excluded.content")
            .bind(NAME)
            .bind(sealed)
            .execute(&mut *writing)
            .await?;
        sqlx::query("DELETE FROM keys").execute(&mut *writing).await?;
        self.commit_for_good(writing).await
    }

    /// The one key that a broker without rotation wrote.
    async fn key_of_before(&self) -> Result<Option<Ring>, StoreFault> {
        let rows = sqlx::query("SELECT kid, private, created_at FROM keys ORDER BY created_at DESC, kid DESC LIMIT 1");
        let Some(row) = rows.fetch_optional(&self.writer).await? else { return Ok(None) };
        let kid: String = row.try_get("kid")?;
        let document = self.sealer.open(&format!("keys/{kid}"), &row.try_get::<Vec<u8>, _>("private")?)?;
        Ok(Some(Ring::of_one(&document, time(row.try_get("created_at")?)?)?))
    }
}

/// Takes all keys out of the store, with what is known of revoked ones.
pub(super) async fn forget_keys(writing: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM keys").execute(&mut *writing).await?;
    sqlx::query("DELETE FROM sealed WHERE name = ?").bind(NAME).execute(writing).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{Folder, TERMS, wrapping},
        *,
    };
    use crate::keys::tests::document;

    async fn ring(store: &Store) -> Result<Ring, StoreFault> {
        Ok(store.ring(&TERMS, Moment::now()).await?.0)
    }

    fn kid(ring: &Ring) -> String {
        ring.in_use().expect("keys").kid().to_owned()
    }

    async fn put(store: &Store, content: Vec<u8>) {
        let put = sqlx::query("UPDATE sealed SET content = ? WHERE name = ?").bind(content).bind(NAME);
        put.execute(&store.writer).await.expect("written");
    }

    #[tokio::test]
    async fn keys_survive_a_restart_with_their_states_and_need_the_wrapping_key() {
        let folder = Folder::new("keys");
        let store = folder.open(wrapping(1)).await;
        let mut first = ring(&store).await.expect("keys");
        first.rotate(&TERMS, Moment::now()).expect("rotated");
        let [old, new] = first.list(&TERMS, Moment::now()).try_into().expect("two keys");
        store.write_ring(&first).await.expect("stored");
        drop(store);
        let again = ring(&folder.open(wrapping(1)).await).await.expect("keys");
        let told: Vec<_> = again.list(&TERMS, Moment::now()).into_iter().map(|key| (key.kid, key.state)).collect();
        assert_eq!(told, [(old.kid, old.state), (new.kid, new.state)]);
        assert!(matches!(folder.try_open(wrapping(2)).await, Err(StoreFault::Seal(_))));
    }

    #[tokio::test]
    async fn a_row_that_was_edited_or_moved_is_refused() {
        let folder = Folder::new("edited");
        let store = folder.open(wrapping(1)).await;
        ring(&store).await.expect("keys");
        let row = sqlx::query("SELECT content FROM sealed WHERE name = ?").bind(NAME).fetch_one(&store.writer).await;
        let mut content: Vec<u8> = row.and_then(|row| row.try_get("content")).expect("a row");
        let text = store.sealer.open(PLACE, &content).expect("opens");
        content[40] ^= 1;
        put(&store, content).await;
        assert!(matches!(ring(&store).await, Err(StoreFault::Seal(_))), "edited");
        put(&store, wrapping(1).seal("sealed/other", &text).expect("sealed")).await;
        assert!(matches!(ring(&store).await, Err(StoreFault::Seal(_))), "moved");
    }

    #[tokio::test]
    async fn the_key_of_a_broker_without_rotation_goes_on_and_lies_in_one_place() {
        let folder = Folder::new("before");
        let store = folder.open(wrapping(1)).await;
        let (name, pkcs8) = document();
        let sealed = wrapping(1).seal(&format!("keys/{name}"), &pkcs8).expect("sealed");
        let row = sqlx::query("INSERT INTO keys (kid, private, public, created_at) VALUES (?, ?, '{}', 7)");
        row.bind(&name).bind(sealed).execute(&store.writer).await.expect("a row");
        let taken = ring(&store).await.expect("keys");
        let [key] = taken.list(&TERMS, Moment::now()).try_into().expect("one key");
        assert_eq!((key.kid.as_str(), key.since.secs()), (name.as_str(), 7));
        assert_eq!(kid(&ring(&store).await.expect("keys")), name);
        let left: i64 = sqlx::query("SELECT count(*) AS left FROM keys")
            .fetch_one(&store.writer)
            .await
            .and_then(|row| row.try_get("left"))
            .expect("a count");
        assert_eq!(left, 0);
    }
}
