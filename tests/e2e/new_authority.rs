//! The Workload API goes, and comes back with other keys: until then all goes on with what is held, afterwards nobody is
//! believed by the old ones, and nothing has to be started again (`security.md` §5).

use dev::{
    apps::{Answer, Call},
    stack::IDENTITY,
};
use harness::{Desk, MEMBERS, alert_with_certificate, claims_of, patiently, renew, to_researcher};
use http::Method;
use serde_json::json;

/// Alice asks planner.
async fn asked(desk: &Desk, token: &str) -> Answer {
    let url = format!("{}/ask", desk.stack.edge("planner").expect("an edge"));
    let call = Call::new(Method::POST, &url).header("authorization", &format!("Bearer {token}"));
    call.json(&json!({"question": "which tickets are open?"})).send().await.expect("answered")
}

/// How many identities a process has taken.
async fn taken(desk: &Desk, process: &str) -> u64 {
    let metrics = desk.stack.metrics(process).await.expect("metrics");
    let line = metrics.lines().find(|line| line.contains("identity_updates") && line.contains(r#"outcome="taken""#));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

/// Planner's certificate and key, as a thief of the node would have them.
async fn stolen(desk: &Desk) -> (Vec<u8>, Vec<u8>) {
    let client = spiffe::WorkloadApiClient::connect_to(desk.stack.workload_api()).await.expect("a client");
    let context = client.fetch_x509_context().await.expect("identities");
    let (_name, planner) = MEMBERS[0];
    let svid = context.svids().iter().find(|svid| svid.spiffe_id().to_string() == planner).expect("planner's");
    (svid.cert_chain()[0].as_bytes().to_vec(), svid.private_key().as_bytes().to_vec())
}

#[tokio::test]
async fn a_workload_api_that_comes_back_with_another_authority_is_taken_and_the_old_one_is_not_believed() {
    let mut desk = Desk::open_story().await;
    let (alice, txn, old) = (desk.alice().await, desk.begun().await, stolen(&desk).await);
    assert_eq!(asked(&desk, &alice).await.status, 200);
    let processes = ["broker", "planner-sidecar", "researcher-sidecar", "tickets-sidecar"];
    let mut before = Vec::new();
    for process in processes {
        before.push(taken(&desk, process).await);
    }

    desk.stack.halt(IDENTITY).await;
    // The provider has nothing to judge the broker's JWT-SVIDs by, so only what is begun goes on.
    let (access, passed_on) = desk.called_researcher(&txn).await;
    let answer = desk.to_mesh("planner", "researcher", to_researcher(&access, &passed_on)).await;
    assert_eq!(answer.status, 200, "all goes on with what is held: {}", answer.json());

    desk.stack.revive(IDENTITY).await.expect("back");
    for (process, before) in processes.into_iter().zip(before) {
        let has_taken = || async { (taken(&desk, process).await > before).then_some(()) };
        patiently(&format!("{process} has taken the new identity"), has_taken).await;
    }
    for (name, id) in MEMBERS {
        desk.add_caller(name, id).await;
    }
    let answer = desk.ask("planner", &renew(&txn, "tickets:read")).await;
    assert_eq!(answer.status, 200, "what was begun goes on: {}", answer.json());
    let is_served = || async { (asked(&desk, &alice).await.status == 200).then_some(()) };
    patiently("who asks is served through all of them", is_served).await;

    for door in [desk.stack.broker_token_address(), desk.stack.mesh("tickets").expect("a door")] {
        let alert = alert_with_certificate(door, old.0.clone(), old.1.clone()).await;
        // The new authority bears the same name: it is its signature that is missing.
        assert_eq!(alert, "received fatal alert: DecryptError");
    }
    let id = claims_of(&answer.text("/access_token").expect("a token"))["jti"].clone();
    assert!(desk.stack.records().iter().any(|line| line.to_string().contains(id.as_str().expect("an id"))));
    desk.close().await;
}
