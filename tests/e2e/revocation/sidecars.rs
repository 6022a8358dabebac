//! Sidecars hear of it at once, not when the broker next repeats itself: what they hold of it is refused.

use std::time::{Duration, Instant};

use dev::stack::App;
use harness::{Desk, Sink, TICKETS, assert_challenged, call, claims_of, eventually, to_tickets, tool};
use serde_json::json;

use super::*;

/// Far less than the 10 s after which a broker that woke nobody would tell; the promise is 1 s, and the bench measures it.
const HEARD_MAX: Duration = Duration::from_secs(5);

/// Shows `access` at the door of tickets until it is refused, and tells how long that took since `from`.
async fn refused_at_tickets(desk: &Desk, access: &str, from: Instant) -> Duration {
    eventually("tickets' sidecar refuses it", || async {
        let answer = desk.to_mesh("planner", "tickets", to_tickets(access, &tool("list_tickets"))).await;
        // One that was in progress then is cut off.
        if answer.status == 200 || answer.refusal().as_deref() == Some("subject.revoked") {
            return None;
        }
        assert_challenged("revoked", &answer, 401, "access_token.revoked");
        Some(from.elapsed())
    })
    .await
}

#[tokio::test]
async fn an_access_token_of_what_ended_is_refused_at_the_called_sidecar_at_once() {
    let tickets = Sink::open().await;
    let mut options = Desk::options();
    options.members.retain(|member| member.name == "tickets");
    options.members[0].app = App::At(tickets.url());
    options.targets[0]["connect"] = json!("127.0.0.1:1");
    let desk = with_security(options).await;
    let user = desk.alice().await;
    let begun = async || {
        let answer = desk.ask("planner", &harness::begin(&user, SCOPE)).await;
        answer.text("/access_token").unwrap_or_else(|| panic!("begun: {}", answer.json()))
    };
    let issued =
        async |txn: &str| desk.ask("planner", &call(txn, TICKETS, SCOPE)).await.text("/access_token").expect("A");
    let (txn, other, third) = (begun().await, begun().await, begun().await);
    let (access, of_other, of_third) = (issued(&txn).await, issued(&other).await, issued(&third).await);
    let open = desk.to_mesh("planner", "tickets", to_tickets(&access, &tool("list_tickets"))).await;
    assert_eq!(open.status, 200, "before: {}", String::from_utf8_lossy(&open.body));
    for (case, ends) in [("its own", &access), ("its transaction", &other)] {
        let shown = if ends == &access { &access } else { &of_other };
        let from = Instant::now();
        assert_done(case, &revoke(&desk, "planner", ends).await);
        let took = refused_at_tickets(&desk, shown, from).await;
        assert!(took < HEARD_MAX, "{case}: {took:?}");
    }
    let from = Instant::now();
    desk.tell_provider("sign-out", &json!({"sid": claims_of(&user)["sid"]})).await;
    let took = refused_at_tickets(&desk, &of_third, from).await;
    assert!(took < HEARD_MAX, "signed out: {took:?}");
    desk.close().await;
}
