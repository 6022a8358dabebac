//! SPIRE takes an identity away: who has none is let nowhere.

use harness::{Desk, eventually};

const TICKETS_ID: &str = "spiffe://corp.example/ns/tools/sa/tickets";

#[tokio::test]
async fn a_sidecar_whose_entry_was_deleted_stops_at_once() {
    let desk = Desk::open_real_story().await;
    let alice = desk.alice().await;
    assert_eq!(desk.ask_planner(&alice).await.status, 200);
    desk.stack.spire().expect("SPIRE").expel(TICKETS_ID).await.expect("deleted");
    let ready = eventually("the sidecar is not ready", || async {
        Some(desk.readiness("tickets-sidecar").await).filter(|answer| answer.status != 200)
    })
    .await;
    assert!(String::from_utf8_lossy(&ready.body).contains("identity"), "it says what is missing");
    let before = desk.stack.seen("tickets").await.expect("told").requests;
    let answer = desk.ask_planner(&alice).await;
    assert_ne!(answer.status, 200, "nobody is let to tickets: {}", String::from_utf8_lossy(&answer.body));
    assert_eq!(desk.stack.seen("tickets").await.expect("told").requests, before, "nothing reached it");
    assert_eq!(desk.readiness("planner-sidecar").await.status, 200, "others go on");
    desk.close().await;
}
