//! SPIRE takes an identity away, or dies: who has none is let nowhere, and SPIRE's agent is not believed beyond the
//! certificate's own end.

use std::time::Duration;

use dev::{
    apps::{Answer, Call},
    stack::{SPIRE_SERVER, Stack},
};
use harness::{Desk, assert_turned_away, eventually};
use http::Method;
use serde_json::json;

const TICKETS_ID: &str = "spiffe://corp.example/ns/tools/sa/tickets";

async fn ask(desk: &Desk, token: &str) -> Answer {
    let url = format!("{}/ask", desk.stack.edge("planner").expect("an edge"));
    let call = Call::new(Method::POST, &url).header("authorization", &format!("Bearer {token}"));
    call.json(&json!({"question": "which tickets are open?"})).send().await.expect("answered")
}

async fn readiness(stack: &Stack, process: &str) -> Answer {
    let url = format!("http://{}/ready", stack.address(process, "admin").expect("an admin door"));
    Call::new(Method::GET, &url).send().await.expect("answered")
}

#[tokio::test]
async fn a_sidecar_whose_entry_was_deleted_stops_at_once() {
    let desk = Desk::open_real_story().await;
    let alice = desk.alice().await;
    assert_eq!(ask(&desk, &alice).await.status, 200);
    desk.stack.spire().expect("SPIRE").expel(TICKETS_ID).await.expect("deleted");
    let ready = eventually("the sidecar is not ready", || async {
        Some(readiness(&desk.stack, "tickets-sidecar").await).filter(|answer| answer.status != 200)
    })
    .await;
    assert!(String::from_utf8_lossy(&ready.body).contains("identity"), "it says what is missing");
    let before = desk.stack.seen("tickets").await.expect("told").requests;
    let answer = ask(&desk, &alice).await;
    assert_ne!(answer.status, 200, "nobody is let to tickets: {}", String::from_utf8_lossy(&answer.body));
    assert_eq!(desk.stack.seen("tickets").await.expect("told").requests, before, "nothing reached it");
    assert_eq!(readiness(&desk.stack, "planner-sidecar").await.status, 200, "others go on");
    desk.close().await;
}

#[tokio::test]
async fn an_svid_that_ended_is_not_used_although_the_agent_serves_it_on() {
    let mut options = Desk::real_options().await;
    options.spire_lives = Some((Duration::from_secs(8), Duration::from_secs(60)));
    let mut desk = Desk::open_with(options).await;
    let alice = desk.alice().await;
    assert_eq!(ask(&desk, &alice).await.status, 200);
    desk.stack.halt(SPIRE_SERVER).await;
    // Planner's own refusal, not one that planner reports from further on.
    let answer = eventually("the SVIDs end and no new ones come", || async {
        Some(ask(&desk, &alice).await).filter(|answer| answer.json()["refusal"] == "fault.identity")
    })
    .await;
    assert_turned_away("N100", &answer, 503, "fault.identity");
    let client = spiffe::WorkloadApiClient::connect_to(desk.stack.workload_api()).await.expect("a client");
    client.fetch_x509_context().await.expect("the agent still serves what has ended");
    desk.stack.revive(SPIRE_SERVER).await.expect("back");
    desk.close().await;
}
