//! A sidecar that hears nothing of its broker for a minute cannot know what was revoked: it lets nothing through, ends
//! what runs, says so, and is back with the broker's next word (`protocol.md` §8).

use dev::{apps::Call, stack::App};
use harness::{
    Desk, Reader, Sink, Spring, assert_turned_away, begin, open_self_door, patiently, planner_uses, service, signal,
    to_tickets, tool,
};
use http::Method;
use rustix::process::Signal;
use serde_json::json;

/// What `/ready` of a sidecar says: nothing where it is ready.
async fn missing(desk: &Desk, sidecar: &str) -> Option<String> {
    let admin = desk.stack.address(sidecar, "admin").expect("an admin door");
    let answer = Call::new(Method::GET, &format!("http://{admin}/ready")).send().await.expect("answered");
    (answer.status != 200).then(|| String::from_utf8_lossy(&answer.body).into_owned())
}

/// The broker stands still with its connections open, so nobody is told that it is away.
#[tokio::test]
async fn after_a_minute_of_silence_nothing_goes_in_out_or_on() {
    let (planner, tickets) = (Spring::open().await, Sink::open().await);
    let mut options = Desk::options();
    options.members.retain(|member| member.name != "researcher");
    options.members[0].app = App::At(planner.url());
    options.members[1].app = App::At(tickets.url());
    options.targets[0]["connect"] = json!("127.0.0.1:1");
    options.targets.push(service("inventory", &tickets.url()));
    options.policies.extend([planner_uses("inventory")]);
    open_self_door(&mut options, "planner");
    let desk = Desk::open_with(options).await;
    let edge = desk.stack.edge("planner").expect("an edge");
    let reading = async |user: String| {
        let bearer = format!("Bearer {user}");
        Reader::open(edge.trim_start_matches("http://"), "/ask", &[("authorization", &bearer)], &json!({})).await
    };
    let alice = desk.alice().await;
    let reader = reading(alice.clone()).await;
    planner.flows(1).await;
    let handle = planner.received()[0].headers["countersign-handle"].to_str().expect("text").to_owned();
    signal(&desk.stack, "broker", Signal::STOP);
    for sidecar in ["planner-sidecar", "tickets-sidecar"] {
        let silent = || async { missing(&desk, sidecar).await };
        let reason = patiently(&format!("{sidecar} has heard nothing for a minute"), silent).await;
        assert!(reason.contains("no good word from the broker for 60 s"), "{sidecar}: {reason}");
    }
    reader.end().await;
    planner.flows(0).await;
    let entering = Call::new(Method::POST, &format!("{edge}/ask"));
    let entering = entering.header("authorization", &format!("Bearer {alice}")).json(&json!({}));
    assert_turned_away("edge", &entering.send().await.expect("answered"), 503, "fault.not_ready");
    let list = || Call::new(Method::POST, "http://tickets.tool/mcp").json(&tool("list_tickets"));
    let agent = desk.stack.agent("planner").expect("an agent door");
    let calling = list().header("countersign-handle", &handle).send_through(&agent).await.expect("answered");
    assert_turned_away("agent", &calling, 503, "fault.not_ready");
    let own = format!("http://{}", desk.stack.address("planner-sidecar", "self").expect("a self door"));
    let using = || Call::new(Method::GET, "http://inventory.tool/v1/items").send_through(&own);
    assert_turned_away("self", &using().await.expect("answered"), 503, "fault.not_ready");
    let answer = desk.to_mesh("planner", "tickets", to_tickets("x", &tool("list_tickets"))).await;
    assert_turned_away("mesh", &answer, 503, "fault.not_ready");
    assert!(tickets.received().is_empty(), "nothing went out or in");
    signal(&desk.stack, "broker", Signal::CONT);
    for sidecar in ["planner-sidecar", "tickets-sidecar"] {
        let ready = || async { missing(&desk, sidecar).await.is_none().then_some(()) };
        patiently(&format!("{sidecar} has heard the broker again"), ready).await;
    }
    assert_eq!(using().await.expect("answered").status, 200);
    // Its provider has to confirm sessions first.
    let begins = || async { (desk.ask("planner", &begin(&alice, "tickets:read")).await.status == 200).then_some(()) };
    patiently("the broker begins again", begins).await;
    assert!(reading(desk.alice().await).await.reads_on().await, "who asks again is served");
    desk.close().await;
}
