//! `countersign demo --real`, as `cargo xtask demo --real` starts it.

use harness::{Folder, Program, nothing_is_left, patiently, processes_below, tells_token, work_folder};
use rustix::process::Signal;
use serde_json::{Value, json};

#[tokio::test]
async fn the_demo_on_real_peers_ends_with_a_sign_out_that_is_felt_at_once() {
    // The demo leaves its record behind; here it goes with the test.
    let folder = Folder::new();
    let demo = Program::new("countersign").variable("TMPDIR", &folder.path(""));
    let demo = demo.arguments(["demo", "--real", "--json"]).run().await;
    assert_eq!(demo.code, Some(0), "{}\n{}", demo.stdout, demo.stderr);
    assert!(!tells_token(&demo.stdout), "no token is printed");
    let last = demo.stdout.lines().last().expect("a last line");
    let summary: Value = serde_json::from_str(last).expect("an object");
    assert_eq!((&summary["event"], &summary["ok"]), (&json!("summary"), &json!(true)));
    let peers = json!({"keycloak": ::peers::pins::KEYCLOAK, "spire": ::peers::pins::SPIRE});
    assert_eq!(summary["peers"], peers);
    let refusal = &summary["logout_refusal"];
    let known = refusal["code"] == "subject.revoked" || refusal["code"] == "subject.session_ended";
    assert!(known && refusal["status"] == 401, "{refusal}");
    assert!(summary["logout_to_refused_ms"].as_u64().is_some_and(|took| took <= 1000), "{summary}");
    assert_eq!((&summary["tokens_seen_by_apps"], &summary["control_tokens_seen"]), (&json!(0), &json!(1)));
}

/// Interrupts the demo once a process of its work folder was started with a path that begins with `begun`.
async fn interrupted_once(begun: &str) {
    let folder = Folder::new();
    let parent = folder.path("");
    let demo = Program::new("countersign").variable("TMPDIR", &parent).arguments(["demo", "--real", "--json"]).start();
    patiently("it is half-way", || async {
        let work = work_folder(&parent)?;
        (!processes_below(&format!("{work}/{begun}")).is_empty()).then_some(())
    })
    .await;
    demo.signal(Signal::INT);
    let ended = demo.end().await;
    assert_eq!(ended.code, Some(1), "a story half told is no success: {}{}", ended.stdout, ended.stderr);
    nothing_is_left(&parent).await;
}

#[tokio::test]
async fn interrupted_while_keycloak_starts_it_leaves_neither_process_nor_folder() {
    interrupted_once("keycloak/lib").await;
}

#[tokio::test]
async fn interrupted_while_spire_starts_it_leaves_neither_process_nor_folder() {
    interrupted_once("spire/server.conf").await;
}

#[tokio::test]
async fn interrupted_in_the_story_it_leaves_neither_process_nor_folder() {
    interrupted_once("tickets-sidecar.yaml").await;
}
