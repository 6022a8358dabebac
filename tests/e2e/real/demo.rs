//! `countersign demo --real`, as `cargo xtask demo --real` starts it.

use harness::{Folder, Program, tells_token};
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
    assert_eq!(summary["logout_refusal"], json!({"code": "subject.session_ended", "status": 401}));
    assert!(summary["logout_to_refused_ms"].as_u64().is_some_and(|took| took <= 1000), "{summary}");
    assert_eq!((&summary["tokens_seen_by_apps"], &summary["control_tokens_seen"]), (&json!(0), &json!(1)));
}
