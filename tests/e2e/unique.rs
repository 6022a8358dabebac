//! Whoever asks for something new each time fills nothing: what is remembered is bounded, and what is unknown is refused.

use dev::{apps::Call, stack::StackOptions};
use harness::{Desk, begin, call, renew, resident};
use http::Method;
use serde_json::json;

/// Requests of each kind: the first tell how much memory that takes.
const WARM: usize = 500;
const MORE: usize = 1500;

/// Later memory is not much more than earlier: allocators keep what they had.
fn assert_flat(process: &str, earlier: u64, later: u64) {
    assert!(later * 10 <= earlier * 13, "{process}: {earlier} KiB, then {later} KiB");
}

#[tokio::test]
async fn thousands_of_unknown_audiences_targets_and_tokens_leave_memory_as_it_was() {
    let broker = json!({"limits": {"per_second": 100_000, "burst": 100_000}});
    let mut options: StackOptions = Desk::options();
    options.broker = broker;
    options.members.retain(|member| member.name != "researcher");
    options.targets[0]["connect"] = json!("127.0.0.1:1");
    let desk = Desk::open_with(options).await;
    let (alice, txn) = (desk.alice().await, desk.begun().await);
    let granted = || desk.stack.records().iter().filter(|line| line["dec"] == "allow").count();
    let before = granted();
    let edge = format!("{}/ask", desk.stack.edge("planner").expect("an edge"));
    let agent = desk.stack.agent("planner").expect("an agent door");
    let mut line = desk.line("planner").await;
    let mut earlier = Vec::new();
    for number in 0..WARM + MORE {
        if number == WARM {
            earlier =
                ["broker", "planner-sidecar"].map(|name| resident(desk.stack.pid(name).expect("running"))).to_vec();
        }
        let forms = [
            call(&txn, &format!("https://t{number}.svc"), ""),
            call(&txn, &format!("https://t{number}.svc"), "")
                .without("resource")
                .set("audience", &format!("t{number}")),
            renew(&txn, "tickets:read").set("audience", &format!("d{number}.example")),
            begin(&format!("{alice}{number}"), "tickets:read"),
            renew(&format!("{txn}{number}"), "tickets:read"),
        ];
        for form in forms {
            let answer = line.ask(&form).await;
            assert_eq!(answer.status, 400, "{}", answer.json());
        }
        let entering = Call::new(Method::POST, &edge).header("authorization", &format!("Bearer {alice}{number}"));
        assert_eq!(entering.json(&json!({})).send().await.expect("answered").status, 401);
        let leaving = Call::new(Method::GET, &format!("http://t{number}.tool/")).send_through(&agent);
        assert_eq!(leaving.await.expect("answered").status, 403);
    }
    let later = ["broker", "planner-sidecar"].map(|name| (name, resident(desk.stack.pid(name).expect("running"))));
    for ((name, later), earlier) in later.into_iter().zip(earlier) {
        assert_flat(name, earlier, later);
    }
    assert_eq!(granted(), before, "nothing was given");
    desk.close().await;
}
