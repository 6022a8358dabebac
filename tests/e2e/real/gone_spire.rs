//! SPIRE's server dies: its agent serves on what has ended, and is not believed.

use std::time::Duration;

use dev::stack::SPIRE_SERVER;
use harness::{Desk, assert_turned_away, eventually};

#[tokio::test]
async fn an_svid_that_ended_is_not_used_although_the_agent_serves_it_on() {
    let mut options = Desk::real_options().await;
    options.spire_lives = Some((Duration::from_secs(8), Duration::from_secs(60)));
    let mut desk = Desk::open_with(options).await;
    let alice = desk.alice().await;
    assert_eq!(desk.ask_planner(&alice).await.status, 200);
    desk.stack.halt(SPIRE_SERVER).await;
    // Planner's own refusal, not one that planner reports from further on.
    let answer = eventually("the SVIDs end and no new ones come", || async {
        Some(desk.ask_planner(&alice).await).filter(|answer| answer.json()["refusal"] == "fault.identity")
    })
    .await;
    assert_turned_away("N100", &answer, 503, "fault.identity");
    let client = spiffe::WorkloadApiClient::connect_to(desk.stack.workload_api()).await.expect("a client");
    client.fetch_x509_context().await.expect("the agent still serves what has ended");
    desk.stack.revive(SPIRE_SERVER).await.expect("back");
    desk.close().await;
}
