//! `countersign revoke`, as an operator runs it.

use harness::{BROKER, Desk, Finished, Folder, Program, TICKETS, call, claims_of};
use identity::workload_id;
use serde_json::{Value, json};

use super::*;

/// What the command says and does as the workload `id`; without one no agent knows it.
pub(super) async fn run(desk: &Desk, id: Option<&str>, arguments: &[&str]) -> Finished {
    let broker = format!("https://{}", desk.stack.broker_token_address());
    let workload_api = id.map_or("unix:///nonexistent/agent.sock", |_known| desk.stack.workload_api());
    let program = Program::new("countersign").arguments(["revoke"]).arguments(arguments);
    let program = program.variable("COUNTERSIGN_BROKER", &broker).variable("COUNTERSIGN_BROKER_ID", BROKER);
    let running = program.variable("SPIFFE_ENDPOINT_SOCKET", workload_api).start();
    if let Some(id) = id {
        desk.stack.give(running.pid(), &workload_id(id).expect("an id")).await.expect("registered");
    }
    running.end().await
}

#[tokio::test]
async fn an_operator_ends_things_and_is_told_what_ended() {
    let desk = desk().await;
    let (txn, leaked) = (desk.begun().await, desk.begun().await);
    let id = claims_of(&txn)["txn"].as_str().expect("a txn").to_owned();
    let finished = run(&desk, Some(SECURITY), &["transaction", &id]).await;
    let words = "revoked the transaction; 1 running transaction ended with it\n";
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), words), "{}", finished.stderr);
    assert_revoked("it", &desk, "planner", &call(&txn, TICKETS, SCOPE)).await;
    let folder = Folder::new();
    let file = folder.write("leaked.jwt", &format!("{leaked}\n"));
    let finished = run(&desk, Some(SECURITY), &["token", &file, "--json"]).await;
    let answer: Value = serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{finished:?}"));
    assert_eq!((finished.code, answer), (Some(0), json!({"revoked": "token", "transactions": 1})));
    assert_revoked("it", &desk, "planner", &call(&leaked, TICKETS, SCOPE)).await;
    let finished = run(&desk, Some(SECURITY), &["workload", PLANNER]).await;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    desk.close().await;
}

#[tokio::test]
async fn whom_no_rule_names_is_told_so() {
    let desk = desk().await;
    let finished = run(&desk, Some(PLANNER), &["user", "alice"]).await;
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""));
    assert!(finished.stderr.contains("client.not_permitted"), "{}", finished.stderr);
    assert!(finished.stderr.contains("countersign explain"), "what to do: {}", finished.stderr);
    let finished = run(&desk, None, &["workload", "planner"]).await;
    assert_eq!(finished.code, Some(2), "usage: {}", finished.stderr);
    let finished = run(&desk, None, &["user", "alice"]).await;
    assert!(finished.code == Some(1) && finished.stderr.contains("no identity from"), "{}", finished.stderr);
    desk.close().await;
}
