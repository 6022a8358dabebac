//! Another wrapping key: everything that is encrypted is opened with the old one, and only when all of it was, encrypted
//! with the new one, in one transaction.

use sqlx::Row as _;

use super::{Store, StoreFault};
use crate::seal::Wrapping;

/// Where something encrypted lies: how its rows are read and written by up to three keys, and what place they are sealed
/// for.
struct Column {
    select: &'static str,
    update: &'static str,
    place: fn([&str; 3]) -> String,
}

/// All of them. A test compares them with the tables.
const COLUMNS: [Column; 3] = [
    Column {
        select: "SELECT name AS a, '' AS b, '' AS c, content AS sealed FROM sealed",
        update: "UPDATE sealed SET content = ?1 WHERE name = ?2 AND ?3 = '' AND ?4 = ''",
        place: |[name, ..]| format!("sealed/{name}"),
    },
    Column {
        select: "SELECT issuer AS a, sid AS b, scope AS c, token AS sealed FROM keepers",
        update: "UPDATE keepers SET token = ?1 WHERE issuer = ?2 AND sid = ?3 AND scope = ?4",
        place: |[issuer, session, scope]| super::keepers::place(issuer, session, scope),
    },
    Column {
        select: "SELECT txn AS a, '' AS b, '' AS c, person AS sealed FROM transactions",
        update: "UPDATE transactions SET person = ?1 WHERE txn = ?2 AND ?3 = '' AND ?4 = ''",
        place: |[txn, ..]| super::transactions::place(txn),
    },
];

/// A row as it will be.
struct Rewrapped {
    update: &'static str,
    keys: [String; 3],
    sealed: Vec<u8>,
}

impl Store {
    /// Encrypts everything with `new`, and returns how many rows. This store is to be dropped then: it knows the old key.
    ///
    /// # Errors
    /// The [`StoreFault`]; unless it tells of the record's folder, everything is as it was. Dropped half-way, too.
    pub(crate) async fn rewrap(&self, new: &Wrapping) -> Result<usize, StoreFault> {
        let mut writing = self.writer.begin().await?;
        let mut all = Vec::new();
        for Column { select, update, place } in COLUMNS {
            for row in sqlx::query(select).fetch_all(&mut *writing).await? {
                let keys: [String; 3] = [row.try_get("a")?, row.try_get("b")?, row.try_get("c")?];
                let place = place(keys.each_ref().map(String::as_str));
                let plain = self.sealer.open(&place, &row.try_get::<Vec<u8>, _>("sealed")?)?;
                all.push(Rewrapped { update, keys, sealed: new.seal(&place, &plain)? });
            }
        }
        let count = all.len();
        for Rewrapped { update, keys: [a, b, c], sealed } in all {
            sqlx::query(update).bind(sealed).bind(a).bind(b).bind(c).execute(&mut *writing).await?;
        }
        self.commit_for_good(writing).await?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{
        super::tests::{Folder, TERMS, wrapping},
        *,
    };
    use crate::keys::Moment;

    /// Columns of bytes that hold a keyed hash, or nothing any more.
    const NOT_ENCRYPTED: [&str; 5] =
        ["transactions.session_mark", "transactions.user_mark", "ended.mark", "doubted.mark", "keys.private"];

    #[tokio::test]
    async fn everything_goes_on_under_another_key_and_the_old_one_opens_nothing() {
        let folder = Folder::new("rewrap");
        let store = folder.open(wrapping(1)).await;
        let (kid, edge) = (store.ring(&TERMS, Moment::now()).await.expect("keys").0, "spiffe://corp.example/planner");
        let kid = kid.in_use().expect("keys").kid().to_owned();
        let (keeper, token) = crate::authority::tests::keeper("alice", "tickets:read", 120);
        let grant = crate::grant::tests::begun("tickets:read");
        let (edge, at) = (identity::workload_id(edge).expect("an id"), super::super::tests::at(100));
        store.begin(&grant, &edge, &keeper, at).await.expect("begun");
        let (hash, before) =
            (store.sealer().index(&["a"]), store.transaction(grant.transaction()).await.expect("there"));
        assert_eq!(store.rewrap(&wrapping(2)).await.expect("rewrapped"), 4, "keys, hash keys, keeper and transaction");
        drop(store);
        let again = folder.open(wrapping(2)).await;
        assert_eq!(again.ring(&TERMS, Moment::now()).await.expect("keys").0.in_use().expect("keys").kid(), kid);
        let transaction = again.transaction(grant.transaction()).await.expect("answers");
        assert_eq!(transaction, before);
        let opened = again.keeper(&transaction.expect("there"), at).await.expect("answers").expect("there");
        assert_eq!((opened.expose(), again.sealer().index(&["a"])), (token.as_str(), hash));
        assert!(matches!(folder.try_open(wrapping(1)).await, Err(StoreFault::Seal(_))));
    }

    #[tokio::test]
    async fn one_row_that_does_not_open_leaves_all_as_they_are() {
        let folder = Folder::new("rewrap-broken");
        let store = folder.open(wrapping(1)).await;
        store.ring(&TERMS, Moment::now()).await.expect("keys");
        sqlx::query("INSERT INTO keepers VALUES ('i', 's', '', x'00', 9)").execute(&store.writer).await.expect("a row");
        assert!(matches!(store.rewrap(&wrapping(2)).await, Err(StoreFault::Seal(_))));
        drop(store);
        assert!(folder.try_open(wrapping(1)).await.is_ok());
        assert!(matches!(folder.try_open(wrapping(2)).await, Err(StoreFault::Seal(_))));
    }

    #[tokio::test]
    async fn every_column_of_bytes_is_known() {
        let folder = Folder::new("columns");
        let store = folder.open(wrapping(1)).await;
        let found = sqlx::query(
            "SELECT t.name || '.' || c.name AS place FROM sqlite_schema t, pragma_table_info(t.name) c \
             WHERE t.type = 'table' AND c.type = 'BLOB' AND t.name <> '_sqlx_migrations'",
        );
        let found = found.fetch_all(&store.writer).await.expect("tables");
        let found: BTreeSet<String> = found.iter().map(|row| row.try_get("place").expect("text")).collect();
        let encrypted = ["sealed.content", "keepers.token", "transactions.person"];
        let known: BTreeSet<String> = encrypted.into_iter().chain(NOT_ENCRYPTED).map(str::to_owned).collect();
        assert_eq!(found, known, "a new encrypted column belongs into `COLUMNS`");
    }

    #[tokio::test]
    async fn a_store_of_before_keeps_its_hashes_and_a_new_one_has_its_own() {
        let (old, new) = (Folder::new("hashes-old"), Folder::new("hashes-new"));
        let of_before = crate::seal::Sealer::new(wrapping(1), wrapping(1).hash_keys_of_before());
        let store = new.open(wrapping(1)).await;
        assert_ne!(store.sealer().index(&["a"]), of_before.index(&["a"]));
        let store = old.open(wrapping(1)).await;
        let (name, pkcs8) = crate::keys::tests::document();
        sqlx::query("DELETE FROM sealed").execute(&store.writer).await.expect("as before");
        let row = sqlx::query("INSERT INTO keys (kid, private, public, created_at) VALUES (?, ?, '{}', 7)");
        let sealed = wrapping(1).seal(&format!("keys/{name}"), &pkcs8).expect("sealed");
        row.bind(&name).bind(sealed).execute(&store.writer).await.expect("a row");
        drop(store);
        assert!(matches!(old.try_open(wrapping(2)).await, Err(StoreFault::Seal(_))), "no other key comes in by this");
        assert_eq!(old.open(wrapping(1)).await.sealer().index(&["a"]), of_before.index(&["a"]));
        assert_eq!(old.open(wrapping(1)).await.sealer().blind("alice"), of_before.blind("alice"));
    }
}
