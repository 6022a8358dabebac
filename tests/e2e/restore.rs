//! Yesterday's backup brings nothing back: not the sessions that ended since, and no key that was withdrawn. The broker
//! does not start with it, says why, and says how to go on; going on costs everybody a new request, and nobody's safety.

use std::{fs, path::Path};

use harness::{Desk, Finished, Folder, Program, assert_refused, begin, claims_of, eventually, logout, renew};
use serde_json::json;

const SCOPE: &str = "tickets:read";

/// The store's files, as an operator copies them while the broker is stopped.
fn copy(from: &Path, to: &Path) {
    drop(fs::remove_dir_all(to));
    fs::create_dir_all(to).expect("a folder");
    for file in fs::read_dir(from).expect("lists") {
        let file = file.expect("a file");
        if !file.file_type().expect("known").is_file() {
            continue; // a socket
        }
        fs::copy(file.path(), to.join(file.file_name())).expect("copied");
    }
}

/// A begun transaction, whose session ended after a backup was made; the broker is down, and the backup in place.
async fn restored(desk: &mut Desk, backup: &Folder) -> (String, String) {
    let user = desk.alice().await;
    let answer = desk.ask("planner", &begin(&user, SCOPE)).await;
    let txn = answer.text("/access_token").unwrap_or_else(|| panic!("begun: {}", answer.json()));
    let store = desk.stack.folder().join("store");
    let backup = Path::new(&backup.path("backup")).to_owned();
    desk.stack.halt("broker").await;
    copy(&store, &backup);
    desk.stack.revive("broker").await.expect("back");
    let ended = desk.logout_token(&json!({"sid": claims_of(&user)["sid"]})).await;
    assert_eq!(logout(desk, &ended).await.status, 200);
    assert_refused(
        "ended",
        &desk.ask("planner", &renew(&txn, SCOPE)).await,
        400,
        "invalid_request",
        "subject.session_ended",
    );
    desk.stack.halt("broker").await;
    copy(&backup, &store);
    (user, txn)
}

async fn accept(desk: &Desk) -> Finished {
    let config = desk.stack.folder().join("broker.yaml");
    Program::new("countersign-broker").arguments(["accept-restored", "--config"]).arguments([config]).run().await
}

#[tokio::test]
async fn a_backup_from_before_a_sign_out_does_not_start() {
    let (mut desk, backup) = (Desk::open().await, Folder::new());
    restored(&mut desk, &backup).await;
    desk.stack.revive("broker").await.expect_err("refused");
    let log = desk.stack.log_of("broker");
    for expected in ["the store is older than what was published", "accept-restored", "docs/operations.md"] {
        assert!(log.contains(expected), "{expected} in\n{log}");
    }
    desk.close().await;
}

#[tokio::test]
async fn a_restored_store_that_was_accepted_starts_and_brings_nothing_back() {
    let (mut desk, backup) = (Desk::open().await, Folder::new());
    let (_user, txn) = restored(&mut desk, &backup).await;
    let accepted = accept(&desk).await;
    assert_eq!(accepted.code, Some(0), "{}", accepted.stderr);
    assert!(accepted.stdout.contains("1 transaction ended, all signing keys deleted"), "{}", accepted.stdout);
    desk.stack.revive("broker").await.expect("it starts");
    let renewed = desk.ask("planner", &renew(&txn, SCOPE)).await;
    assert_refused("of the backup", &renewed, 400, "invalid_request", "subject.key_unknown");
    let again = desk.alice().await;
    let answer = desk.ask("planner", &begin(&again, SCOPE)).await;
    assert_eq!(answer.status, 200, "users come back: {}", answer.json());
    let recorded = || async { desk.stack.records().into_iter().find(|line| line["op"] == "accept-restored") };
    let line = eventually("the record tells it", recorded).await;
    assert_eq!((&line["t"], &line["count"]), (&json!("admin"), &json!(1)));
    desk.close().await;
}

#[tokio::test]
async fn a_store_is_not_accepted_while_a_broker_runs() {
    let desk = Desk::open().await;
    let refused = accept(&desk).await;
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    assert!(refused.stderr.contains("another process writes the record"), "{}", refused.stderr);
    assert!(refused.stderr.starts_with("countersign-broker: "), "words, no log line: {}", refused.stderr);
    assert_eq!(refused.stderr.lines().count(), 1, "and nothing else: {}", refused.stderr);
    let txn = desk.begun().await;
    assert_eq!(desk.ask("planner", &renew(&txn, SCOPE)).await.status, 200, "and nothing was changed");
    desk.close().await;
}

#[tokio::test]
async fn a_store_without_its_record_and_a_record_without_its_store_do_not_start() {
    let mut desk = Desk::open().await;
    let user = desk.alice().await;
    let ended = desk.logout_token(&json!({"sid": claims_of(&user)["sid"]})).await;
    assert_eq!(logout(&desk, &ended).await.status, 200);
    desk.stack.halt("broker").await;
    let (store, state) = (desk.stack.folder().join("store"), desk.stack.record_file().with_file_name("state.json"));
    let kept = fs::read(&state).expect("published");
    fs::remove_file(&state).expect("lost");
    desk.stack.revive("broker").await.expect_err("the record is another one");
    assert!(desk.stack.log_of("broker").contains("is missing, and the store has published before"));
    fs::write(&state, kept).expect("back");
    fs::remove_dir_all(&store).expect("lost");
    fs::create_dir(&store).expect("empty");
    desk.stack.revive("broker").await.expect_err("the store is another one");
    assert!(desk.stack.log_of("broker").contains("is of another store"));
    assert_eq!(accept(&desk).await.code, Some(0));
    desk.stack.revive("broker").await.expect("it starts");
    desk.close().await;
}
