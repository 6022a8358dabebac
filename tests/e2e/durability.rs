//! No line, no token: what cannot be recorded or stored is not issued (`protocol.md` §9).

use std::{
    fs,
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::PermissionsExt as _,
};

use dev::{apps::Call, stack::StackOptions};
use harness::{
    Desk, Folder, Program, RESEARCHER, assert_refused, begin, call, claims_of, eventually, no_file_longer, renew,
    short_files, signal,
};
use http::Method;
use rustix::process::Signal;
use serde_json::json;

const AWAY: &str = "temporarily_unavailable";

#[tokio::test]
async fn what_cannot_be_recorded_is_not_issued() {
    let folder = Folder::new();
    let ledger = Folder::new();
    let record = ledger.path("record.jsonl");
    write_long_record(&record);
    let options = StackOptions {
        members: Vec::new(),
        binaries: Some(short_files(&folder, None)),
        broker: json!({"ledger": ledger.path("")}),
        ..Desk::options()
    };
    let desk = Desk::open_with(options).await;
    let length = fs::metadata(&record).expect("there").len();
    no_file_longer(&desk.stack, length);
    let alice = desk.alice().await;
    for _round in 0..3 {
        let answer = desk.ask("planner", &begin(&alice, "tickets:read")).await;
        assert_refused("begin", &answer, 503, AWAY, "fault.record");
    }
    assert_eq!(fs::metadata(&record).expect("there").len(), length, "no half line");
    let ready = format!("http://{}/ready", desk.stack.address("broker", "admin").expect("an admin door"));
    let answer = Call::new(Method::GET, &ready).send().await.expect("answered");
    assert_eq!(answer.status, 503, "a broker that cannot record is not ready");
    assert!(String::from_utf8_lossy(&answer.body).contains("record"), "it says what is wrong");
    desk.close().await;
}

#[tokio::test]
async fn what_cannot_be_stored_is_not_begun() {
    let folder = Folder::new();
    let binaries = Some(short_files(&folder, 1024));
    let desk = Desk::open_with(StackOptions { members: Vec::new(), binaries, ..Desk::options() }).await;
    let alice = desk.alice().await;
    let txn = desk.begun().await;
    let refused = eventually("the store is full", || async {
        Some(desk.ask("planner", &begin(&alice, "tickets:read")).await).filter(|answer| answer.status != 200)
    })
    .await;
    assert_refused("begin", &refused, 503, AWAY, "fault.store");
    let begun = || desk.stack.records().iter().filter(|record| record["t"] == "begin").count();
    let before = begun();
    for round in 0..10 {
        let again = desk.ask("planner", &begin(&alice, "tickets:read")).await;
        assert_refused(&format!("again, {round}"), &again, 503, AWAY, "fault.store");
    }
    assert_eq!(begun(), before, "nothing is recorded as given");
    for form in [call(&txn, RESEARCHER, ""), renew(&txn, "tickets:read")] {
        let answer = desk.ask("planner", &form).await;
        assert_eq!(answer.status, 200, "what was stored before goes on: {}", answer.json());
    }
    desk.close().await;
}

#[tokio::test]
async fn a_broker_that_was_killed_knows_what_it_gave() {
    let mut desk = Desk::open().await;
    let txn = desk.begun().await;
    signal(&desk.stack, "broker", Signal::KILL);
    eventually("it is gone", || std::future::ready(desk.stack.first_ended())).await;
    let told = claims_of(&txn)["jti"].as_str().expect("an id").to_owned();
    let recorded = |desk: &Desk| desk.stack.records().iter().any(|record| record.to_string().contains(&told));
    assert!(recorded(&desk), "the line was on disk before the token left");
    desk.stack.revive("broker").await.expect("back");
    for form in [call(&txn, RESEARCHER, ""), renew(&txn, "tickets:read")] {
        let answer = desk.ask("planner", &form).await;
        assert_eq!(answer.status, 200, "key and transaction survived: {}", answer.json());
    }
    assert!(recorded(&desk), "and the line is still there");
    desk.close().await;
}

/// Two brokers on one store would each believe that they alone write to it. The second must find out before it changes
/// anything: its version may be another.
#[tokio::test]
async fn a_second_broker_touches_no_store() {
    let folder = Folder::new();
    let key = folder.write("wrapping.key", &"k".repeat(32));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("protected");
    let rule = r#"@id("begin") permit (principal == Workload::"spiffe://corp.example/planner",
        action == Action::"begin", resource == TrustDomain::"corp.example");"#;
    fs::create_dir_all(folder.path("policies")).expect("a folder");
    fs::write(folder.path("policies/begin.cedar"), rule).expect("written");
    let text = format!(
        "issuer: https://broker.agents.svc\ntrust_domain: corp.example\nworkload_api: unix://{}\nauthorities:\n  \
         - keycloak: http://127.0.0.1:1/realms/agents\n    client_id: txn-broker\nstore: sqlite://{}\n\
         wrapping_key: {key}\nledger: {}\npolicies: {}\nlisten: 127.0.0.1:0\npublic:\n  listen: 127.0.0.1:0\n\
         admin:\n  listen: unix://{}\n",
        folder.path("nobody.sock"),
        folder.path("broker.db"),
        folder.path("ledger"),
        folder.path("policies"),
        folder.path("admin.sock"),
    );
    let config = folder.write("broker.yaml", &text);
    fs::create_dir_all(folder.path("ledger")).expect("a folder");
    let first = fs::File::create(folder.path("ledger/record.jsonl")).expect("a file");
    first.try_lock().expect("held as by the first");
    let finished = Program::new("countersign-broker").arguments(["--config", &config]).run().await;
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    assert!(finished.stderr.contains("another process writes the record"), "{}", finished.stderr);
    assert!(!fs::exists(folder.path("broker.db")).expect("told"), "the store was not touched");
}

/// A record that is longer than the limit already, and sparse: no line more can be written.
fn write_long_record(path: &str) {
    let mut file = fs::File::create(path).expect("a file");
    file.seek(SeekFrom::Start(64 * 1024 * 1024)).expect("a hole");
    file.write_all(b"\n").expect("a line's end");
}
