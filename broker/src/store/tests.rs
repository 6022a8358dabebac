//! What the store keeps, and how.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::{
    keys::{Algorithm, Moment, Terms},
    revocation::{store_rest, tests::nothing},
    seal::WRAPPING_KEY_LENGTH,
    sessions::{
        Sessions,
        tests::{end as end_in, logout},
    },
};

pub(super) fn wrapping(byte: u8) -> Wrapping {
    Wrapping::new(&[byte; WRAPPING_KEY_LENGTH]).expect("a key")
}

pub(super) fn at(secs: u64) -> UnixTime {
    UnixTime::from_secs(secs).expect("a time")
}

pub(super) const TERMS: Terms = Terms {
    algorithm: Algorithm::Es256,
    publication: Duration::from_secs(600),
    rotate_every: Duration::from_hours(720),
};

/// A folder that does not exist yet, removed when the test is over.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("broker-store-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        Self(folder)
    }

    pub(super) async fn open(&self, wrapping: Wrapping) -> Store {
        self.try_open(wrapping).await.expect("opens")
    }

    pub(super) async fn try_open(&self, wrapping: Wrapping) -> Result<Store, StoreFault> {
        let continuity = Continuity::open(&self.0).expect("opens");
        Store::open(&self.0.join("broker.db"), wrapping, continuity).await
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[tokio::test]
async fn every_file_of_the_store_is_private() {
    let folder = Folder::new("mode");
    let store = folder.open(wrapping(1)).await;
    store.ring(&TERMS, Moment::now()).await.expect("keys");
    for file in fs::read_dir(&folder.0).expect("lists") {
        let file = file.expect("a file");
        assert_eq!(file.metadata().expect("known").permissions().mode() & 0o777, FILE_MODE, "{:?}", file.path());
    }
}

#[tokio::test]
async fn a_file_that_was_open_to_others_is_closed_to_them() {
    let folder = Folder::new("open");
    fs::create_dir_all(&folder.0).expect("made");
    let path = folder.0.join("broker.db");
    fs::write(&path, "").expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("opened");
    let _store = folder.open(wrapping(1)).await;
    assert_eq!(fs::metadata(&path).expect("known").permissions().mode() & 0o777, FILE_MODE);
}

#[tokio::test]
async fn who_reads_the_files_learns_no_user_and_who_writes_to_them_makes_none() {
    let folder = Folder::new("person");
    let store = folder.open(wrapping(1)).await;
    let (keeper, token) = crate::authority::tests::keeper("alice", "tickets:read", 120);
    let (first, second) = (crate::grant::tests::begun("tickets:read"), crate::grant::tests::begun("tickets:read"));
    let edge = identity::workload_id("spiffe://corp.example/planner").expect("an id");
    for grant in [&first, &second] {
        store.begin(grant, &edge, &keeper, at(1000)).await.expect("begun");
    }
    for file in fs::read_dir(&folder.0).expect("lists") {
        let bytes = fs::read(file.expect("a file").path()).expect("reads");
        for secret in ["alice", token.as_str()] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
        }
    }
    sqlx::query("UPDATE transactions SET person = (SELECT person FROM transactions WHERE txn = ?) WHERE txn = ?")
        .bind(first.transaction().as_str())
        .bind(second.transaction().as_str())
        .execute(&store.writer)
        .await
        .expect("moved");
    assert!(matches!(store.transaction(second.transaction()).await, Err(StoreFault::Seal(_))));
    assert!(store.transaction(first.transaction()).await.expect("answers").is_some());
}

#[tokio::test]
async fn an_unknown_transaction_is_none_and_purging_nothing_works() {
    let folder = Folder::new("none");
    let store = folder.open(wrapping(1)).await;
    assert_eq!(store.transaction(&"t".parse().expect("an id")).await.expect("answers"), None);
    assert_eq!(store.purge(at(1)).await.expect("purges"), 0);
}

/// The issuer of the tests' keepers.
const ISSUER: &str = "https://keycloak.corp.example/realms/agents";

#[tokio::test]
async fn an_end_is_remembered_over_a_restart_and_counts_each_transaction_once() {
    let folder = Folder::new("ended");
    let store = folder.open(wrapping(1)).await;
    let (keeper, _token) = crate::authority::tests::keeper("alice", "tickets:read", 120);
    let edge = identity::workload_id("spiffe://corp.example/planner").expect("an id");
    for _ in 0..2 {
        store.begin(&crate::grant::tests::begun("tickets:read"), &edge, &keeper, at(1000)).await.expect("begun");
    }
    let sessions = Sessions::new(store.sealer(), Vec::new());
    let end = |issuer: &str, whom: Value| end_in(&sessions, &logout(issuer, &whom), at(1000)).expect("ended");
    let (session, user) = (end(ISSUER, json!({"sid": "s"})).mark, end(ISSUER, json!({"sub": "alice"})).mark);
    assert!(store.rests_on(&session, at(1000)).await.expect("answers"));
    for (case, issuer, whom, transactions) in [
        ("another session", ISSUER, json!({"sid": "t"}), 0),
        ("another authority's", "https://other.example", json!({"sid": "s"}), 0),
        ("another user", ISSUER, json!({"sub": "bob"}), 0),
        ("the session", ISSUER, json!({"sid": "s"}), 2),
        ("the session again", ISSUER, json!({"sid": "s"}), 0),
        ("the user, who had no other", ISSUER, json!({"sub": "alice"}), 0),
    ] {
        let (told, ran) = store.end(&end(issuer, whom), at(1180), at(1000)).await.expect("stored");
        assert_eq!(ran, transactions, "{case}");
        assert!(told.len() == 2 || (told.is_empty() && ran == 0), "{case}: {told:?}");
    }
    // Or a look at an event log that could not tell all of it would never come to an end.
    for mark in [session, user] {
        assert!(!store.rests_on(&mark, at(1000)).await.expect("answers"), "what has ended rests on nothing");
    }
    let again = folder.open(wrapping(1)).await;
    let ended = again.ended(at(8199)).await.expect("reads");
    assert!(ended.len() == 5 && ended.contains(&end(ISSUER, json!({"sid": "s"}))), "{ended:?}");
    assert_eq!(again.ended(at(8200)).await.expect("reads"), [], "after two hours");
    again.purge(at(8200)).await.expect("purges");
    assert_eq!(again.ended(at(1)).await.expect("reads"), [], "and deleted");
}

#[tokio::test]
async fn an_end_that_could_not_be_stored_is_stored_later() {
    let folder = Folder::new("later");
    let store = folder.open(wrapping(1)).await;
    let sessions = Sessions::new(store.sealer(), Vec::new());
    let end = |whom: Value| end_in(&sessions, &logout(ISSUER, &whom), at(1000)).expect("ended");
    sessions.stored(&end(json!({"sid": "stored"})));
    let (session, user) = (end(json!({"sid": "s"})), end(json!({"sub": "alice"})));
    store.writer.close().await;
    store_rest(&sessions, &store, &nothing(), at(1001)).await;
    assert_eq!(sessions.unstored().len(), 2, "the store cannot");
    let store = folder.open(wrapping(1)).await;
    store_rest(&sessions, &store, &nothing(), at(1002)).await;
    assert_eq!(sessions.unstored(), []);
    let known = folder.open(wrapping(1)).await.ended(at(1003)).await.expect("reads");
    assert!(known.len() == 2 && known.contains(&session) && known.contains(&user), "{known:?}");
    end(json!({"sid": "s"}));
    sessions.forget(at(8200));
    assert_eq!(sessions.unstored(), [], "and not beyond its time");
}

/// On a full disk SQLite takes a transaction back by itself. Whoever goes on with such a connection, and counts from where
/// it was, is told that something is committed when it is not.
#[tokio::test]
async fn after_writes_that_failed_what_is_acknowledged_is_stored() {
    let folder = Folder::new("full");
    let store = folder.open(wrapping(1)).await;
    let (keeper, _token) = crate::authority::tests::keeper("alice", "tickets:read", 120);
    let edge = identity::workload_id("spiffe://corp.example/planner").expect("an id");
    let mut taken_back = store.writer.begin().await.expect("begun");
    sqlx::query("ROLLBACK").execute(&mut *taken_back).await.expect("as SQLite does it");
    drop(taken_back);
    drop(store.writer.begin().await.expect("begun"));
    let grant = crate::grant::tests::begun("tickets:read");
    store.begin(&grant, &edge, &keeper, at(1000)).await.expect("begun");
    assert!(store.transaction(grant.transaction()).await.expect("answers").is_some(), "acknowledged and stored");
}

#[tokio::test]
async fn a_store_of_before_is_taken_over_and_its_keys_stay() {
    let folder = Folder::new("older");
    fs::create_dir_all(&folder.0).expect("made");
    let path = folder.0.join("broker.db");
    create(&path).expect("made");
    let options = SqliteConnectOptions::new().filename(&path);
    let older = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.expect("opens");
    let first = migrator().iter().take(1).cloned().collect();
    Migrator::with_migrations(first).run(&older).await.expect("made");
    sqlx::query("INSERT INTO transactions VALUES ('t', 'i', 's', '', x'00', 'e', 1, 2, 3)")
        .execute(&older)
        .await
        .expect("a row");
    older.close().await;
    let store = folder.open(wrapping(1)).await;
    assert_eq!(store.transaction(&"t".parse().expect("an id")).await.expect("answers"), None, "it ended");
    store.ring(&TERMS, Moment::now()).await.expect("keys");
}

#[tokio::test]
async fn a_store_that_a_newer_broker_opened_is_not_opened() {
    let folder = Folder::new("newer");
    let store = folder.open(wrapping(1)).await;
    let newer = "INSERT INTO _sqlx_migrations VALUES (999, 'later', CURRENT_TIMESTAMP, TRUE, x'00', 1)";
    sqlx::query(newer).execute(&store.writer).await.expect("a step");
    drop(store);
    let opened = folder.try_open(wrapping(1)).await;
    assert!(matches!(opened, Err(StoreFault::Newer)), "{opened:?}");
}

#[tokio::test]
async fn a_transaction_and_its_keeper_come_back_until_they_end() {
    let folder = Folder::new("rows");
    let store = folder.open(wrapping(1)).await;
    let (keeper, token) = crate::authority::tests::keeper("alice", "tickets:read", 120);
    let grant = crate::grant::tests::begun("tickets:read");
    let edge = identity::workload_id("spiffe://corp.example/planner").expect("an id");
    store.begin(&grant, &edge, &keeper, at(1000)).await.expect("begun");
    let transaction = store.transaction(grant.transaction()).await.expect("answers").expect("is there");
    assert_eq!((&transaction.subject, &transaction.scopes), (grant.subject(), grant.scopes()));
    assert_eq!(transaction.keeper_ends, Some(keeper.proof().lifetime()));
    let opened = store.keeper(&transaction, at(100)).await.expect("answers").expect("is there");
    assert_eq!(opened.expose(), token);
    assert!(store.keeper(&transaction, at(120)).await.expect("answers").is_none());
    assert_eq!(store.purge(grant.ends().long_not_after.not_after()).await.expect("purges"), 1);
    assert_eq!(store.transaction(grant.transaction()).await.expect("answers"), None);
}
