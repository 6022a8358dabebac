//! The story on real peers.

use dev::stack::BROKER;
use harness::{Desk, tells_token};

#[tokio::test]
async fn the_story_runs_on_keycloak_and_spire() {
    let desk = Desk::open_real_story().await;
    let answer = desk.ask_planner(&desk.alice().await).await;
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, 200, "{text}\n{}", desk.stack.log_of(BROKER));
    assert!(!tells_token(&text), "{text}");
    let records = desk.stack.records();
    let granted: Vec<_> =
        records.iter().filter(|record| record["txn"].is_string() && record["dec"] == "allow").collect();
    assert_eq!(granted.len(), 4, "begin, researcher, tickets without and with scope: {records:?}");
    assert!(granted.iter().all(|record| record["sub"] == granted[0]["sub"]), "for one subject: {records:?}");
    assert_eq!(desk.stack.exchanges_at_provider().await.expect("told"), 1, "Keycloak was asked once");
    for app in ["planner", "researcher", "tickets"] {
        let seen = desk.stack.seen(app).await.expect("told");
        assert!(seen.requests > 0 && seen.tokens == 0, "{app}: {seen:?}");
        let identity = desk.stack.identity_of_app(app).await.expect("told");
        assert!(identity.contains("PermissionDenied"), "{app} has an identity of SPIRE: {identity}");
    }
    desk.close().await;
}
