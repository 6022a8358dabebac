//! A broker whose wall clock jumps issues nothing that lives longer for it, and what waits by the clock's monotonic
//! time goes on waiting (`security.md` T20).

use dev::{apps::Call, stack::StackOptions};
use harness::{Desk, Folder, RESEARCHER, SetClock, assert_refused, begin, call, eventually, renew};
use http::Method;

const SCOPE: &str = "tickets:read";
const AWAY: &str = "temporarily_unavailable";
const JUMP: i64 = 300;

async fn open(folder: &Folder) -> (Desk, SetClock) {
    let (clock, binaries) = SetClock::binaries(folder);
    let options = StackOptions { members: Vec::new(), binaries: Some(binaries), ..Desk::options() };
    (Desk::open_with(options).await, clock)
}

/// Status and body of the broker's readiness.
async fn readiness(desk: &Desk) -> (u16, String) {
    let url = format!("http://{}/ready", desk.stack.address("broker", "admin").expect("an admin door"));
    let answer = Call::new(Method::GET, &url).send().await.expect("answered");
    (answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned())
}

#[tokio::test]
async fn on_a_clock_that_ran_backwards_nothing_is_issued_until_it_is_right_again() {
    let folder = Folder::new();
    let (desk, clock) = open(&folder).await;
    let (alice, txn) = (desk.alice().await, desk.begun().await);
    // Opened before: by that clock nobody's certificate is valid yet, and no new connection comes about.
    let mut line = desk.line("planner").await;
    assert_eq!(line.ask(&renew(&txn, SCOPE)).await.status, 200, "by the right clock");
    let granted = || desk.stack.records().iter().filter(|line| line["dec"] == "allow").count();
    let before = granted();
    clock.set(-JUMP);
    for (case, form) in [("begin", begin(&alice, SCOPE)), ("renew", renew(&txn, SCOPE))] {
        assert_refused(case, &line.ask(&form).await, 503, AWAY, "fault.clock");
    }
    assert_eq!(granted(), before, "and nothing is recorded as given");
    eventually("it is not ready, and says why", || async {
        Some(readiness(&desk).await).filter(|(status, body)| *status == 503 && body.contains("clock: the clock ran"))
    })
    .await;
    clock.set(0);
    assert_eq!(line.ask(&renew(&txn, SCOPE)).await.status, 200, "what was begun goes on");
    eventually("it is ready again", || async { Some(readiness(&desk).await).filter(|(status, _body)| *status == 200) })
        .await;
    desk.close().await;
}

#[tokio::test]
async fn on_a_clock_that_runs_ahead_all_has_ended_and_a_restart_takes_the_right_one() {
    let folder = Folder::new();
    let (mut desk, clock) = open(&folder).await;
    let (alice, txn) = (desk.alice().await, desk.begun().await);
    let mut line = desk.line("planner").await;
    assert_eq!(line.ask(&renew(&txn, SCOPE)).await.status, 200, "by the right clock");
    clock.set(JUMP);
    for (case, form) in
        [("begin", begin(&alice, SCOPE)), ("renew", renew(&txn, SCOPE)), ("call", call(&txn, RESEARCHER, ""))]
    {
        assert_refused(case, &line.ask(&form).await, 400, "invalid_request", "subject.expired");
    }
    clock.set(0);
    assert_refused("it ran backwards now", &line.ask(&renew(&txn, SCOPE)).await, 503, AWAY, "fault.clock");
    desk.stack.halt("broker").await;
    desk.stack.revive("broker").await.expect("back");
    assert_eq!(desk.ask("planner", &renew(&txn, SCOPE)).await.status, 200, "what was begun goes on");
    desk.close().await;
}
