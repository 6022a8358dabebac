//! What encrypts the store can be changed without a loss, and nothing else opens it: not another wrapping key, and not the one of
//! another broker.

use std::fs;

use dev::{apps::Call, stack::StackOptions};
use harness::{Desk, Finished, Program, RESEARCHER, assert_refused, begin, call, claims_of, renew};
use http::Method;
use serde_json::{Value, json};

async fn alone() -> Desk {
    Desk::open_with(StackOptions { members: Vec::new(), ..Desk::options() }).await
}

fn path(desk: &Desk, name: &str) -> String {
    desk.stack.folder().join(name).to_str().expect("text").to_owned()
}

async fn keys(words: &[&str]) -> Finished {
    Program::new("countersign").arguments([&["keys"], words].concat()).run().await
}

/// Starts the stack's broker by hand, which is expected to fail.
async fn refused_start(desk: &Desk) -> String {
    let config = path(desk, "broker.yaml");
    let finished = Program::new("countersign-broker").arguments(["--config", &config]).run().await;
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    finished.stderr
}

/// Names another wrapping key in broker.yaml.
fn configure(desk: &Desk, key: &str) {
    let file = path(desk, "broker.yaml");
    let text = fs::read_to_string(&file).expect("the file");
    fs::write(&file, text.replace(&path(desk, "wrapping.key"), key)).expect("written");
}

async fn published(desk: &Desk) -> Value {
    desk.to_broker("stranger", Call::new(Method::GET, "https://broker.agents.svc/jwks")).await.json()
}

#[tokio::test]
async fn the_wrapping_key_is_changed_and_everything_goes_on() {
    let mut desk = alone().await;
    let (config, new) = (path(&desk, "broker.yaml"), path(&desk, "wrapping-2.key"));
    assert_eq!(keys(&["init", &new]).await.code, Some(0));
    let alice = desk.alice().await;
    let begun = desk.ask("planner", &begin(&alice, "tickets:read")).await.text("/access_token").expect("begun");
    let (before, recorded) = (published(&desk).await, subjects(&desk));
    let running = keys(&["rewrap", "--config", &config, "--new-key", &new]).await;
    assert_eq!(running.code, Some(1), "{}", running.stdout);
    assert!(running.stderr.contains("another process writes the record"), "{}", running.stderr);

    desk.stack.halt("broker").await;
    let old = path(&desk, "wrapping.key");
    let same = keys(&["rewrap", "--config", &config, "--new-key", &old]).await;
    assert_eq!((same.code, same.stdout.as_str()), (Some(1), ""), "nobody is told to destroy the only key");
    assert!(same.stderr.contains("is the key in use already"), "{}", same.stderr);
    let done = keys(&["rewrap", "--config", &config, "--new-key", &new]).await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stdout.contains(&format!("set `wrapping_key: {new}`")), "{}", done.stdout);
    let told = refused_start(&desk).await;
    assert!(told.contains("the wrapping key is not the one that the store was written with"), "{told}");

    configure(&desk, &new);
    desk.stack.revive("broker").await.expect("back");
    assert_eq!(published(&desk).await, before, "the same signing key");
    for form in [call(&begun, RESEARCHER, ""), renew(&begun, "tickets:read")] {
        let answer = desk.ask("planner", &form).await;
        assert_eq!(answer.status, 200, "what was begun goes on: {}", answer.json());
    }
    let after = subjects(&desk);
    assert!(after.len() > recorded.len() && after.iter().all(|subject| *subject == after[0]), "one hash for one user");
    let last = desk.stack.records().into_iter().rfind(|line| line["t"] == "key").expect("a line");
    assert_eq!(last["op"], "rewrapped");
    desk.close().await;
}

/// Hashes of users in the record.
fn subjects(desk: &Desk) -> Vec<String> {
    desk.stack.records().iter().filter_map(|line| line["sub"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_sign_out_is_not_forgotten_with_the_wrapping_key() {
    let mut desk = alone().await;
    let alice = desk.alice().await;
    let begun = desk.ask("planner", &begin(&alice, "tickets:read")).await.text("/access_token").expect("begun");
    desk.tell_provider("sign-out", &json!({"sid": claims_of(&alice)["sid"]})).await;
    let new = path(&desk, "wrapping-2.key");
    assert_eq!(keys(&["init", &new]).await.code, Some(0));
    desk.stack.halt("broker").await;
    let done = keys(&["rewrap", "--config", &path(&desk, "broker.yaml"), "--new-key", &new]).await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    configure(&desk, &new);
    desk.stack.revive("broker").await.expect("back");
    let answer = desk.ask("planner", &renew(&begun, "tickets:read")).await;
    assert_refused("signed out", &answer, 400, "invalid_request", "subject.session_ended");
    desk.close().await;
}

#[tokio::test]
async fn a_new_key_that_is_none_changes_nothing() {
    let mut desk = alone().await;
    let config = path(&desk, "broker.yaml");
    desk.stack.halt("broker").await;
    let short = path(&desk, "short.key");
    fs::write(&short, "too short").expect("written");
    for (key, told) in [(short, "exactly 32 bytes"), (path(&desk, "nowhere.key"), "cannot read")] {
        let refused = keys(&["rewrap", "--config", &config, "--new-key", &key]).await;
        assert_eq!(refused.code, Some(1), "{}", refused.stdout);
        assert!(refused.stderr.contains(told), "{}", refused.stderr);
    }
    assert_eq!(keys(&["rewrap", "--config", &config]).await.code, Some(2), "no new key");
    desk.stack.revive("broker").await.expect("as it was");
    desk.close().await;
}

#[tokio::test]
async fn keys_of_another_broker_start_none() {
    let (mut desk, mut other) = (alone().await, alone().await);
    desk.stack.halt("broker").await;
    other.stack.halt("broker").await;
    let store = |desk: &Desk| desk.stack.folder().join("store");
    fs::rename(store(&desk), path(&desk, "own")).expect("put away");
    fs::create_dir(store(&desk)).expect("a folder");
    for file in fs::read_dir(store(&other)).expect("files") {
        let file = file.expect("a file");
        if file.file_type().expect("known").is_file() {
            fs::copy(file.path(), store(&desk).join(file.file_name())).expect("copied");
        }
    }
    let told = refused_start(&desk).await;
    assert!(told.contains("the wrapping key is not the one that the store was written with"), "{told}");
    fs::remove_dir_all(store(&desk)).expect("removed");
    fs::rename(path(&desk, "own"), store(&desk)).expect("put back");
    desk.stack.revive("broker").await.expect("as it was");
    other.close().await;
    desk.close().await;
}
