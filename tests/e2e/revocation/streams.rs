//! What runs at a sidecar ends with what an owner or an operator revokes at the broker, and nothing else does.

use dev::stack::App;
use harness::{Crowd, Desk, Reader, Spring, TICKETS, assert_challenged, assert_turned_away, call, header_of, tool};
use identity::workload_id;
use serde_json::json;

use super::*;

/// The sidecar of tickets alone, in front of an app whose answers do not end.
async fn at_tickets(tickets: &Spring) -> Desk {
    let mut options = Desk::options();
    options.members.retain(|member| member.name == "tickets");
    options.members[0].app = App::At(tickets.url());
    options.targets[0]["connect"] = json!("127.0.0.1:1");
    with_security(options).await
}

/// An access token of planner in a transaction of its own.
async fn issued(desk: &Desk) -> String {
    let answer = desk.ask("planner", &call(&desk.begun().await, TICKETS, SCOPE)).await;
    answer.text("/access_token").unwrap_or_else(|| panic!("issued: {}", answer.json()))
}

/// A call of tickets with `access`, whose answer planner reads as it comes.
async fn reading(desk: &Desk, access: &str) -> Reader {
    let tickets = workload_id("spiffe://corp.example/ns/tools/sa/tickets").expect("an id");
    let stream = desk.connect("planner", desk.stack.mesh("tickets").expect("a mesh door"), &tickets).await;
    let bearer = format!("Bearer {access}");
    Reader::over(stream, "tickets.tools.svc", "/mcp", &[("authorization", &bearer)], &tool("list_tickets")).await
}

async fn assert_refused_at_tickets(case: &str, desk: &Desk, access: &str) {
    let answer = desk.to_mesh("planner", "tickets", harness::to_tickets(access, &tool("list_tickets"))).await;
    assert_challenged(case, &answer, 401, "access_token.revoked");
}

#[tokio::test]
async fn a_stream_ends_with_the_token_or_the_workload_that_opened_it() {
    let tickets = Spring::open().await;
    let desk = at_tickets(&tickets).await;
    let (one, two) = (issued(&desk).await, issued(&desk).await);
    let (ends, mut goes_on) = (reading(&desk, &one).await, reading(&desk, &two).await);
    tickets.flows(2).await;
    assert_done("by its owner", &revoke(&desk, "planner", &one).await);
    ends.end().await;
    tickets.flows(1).await;
    assert_refused_at_tickets("its owner's", &desk, &one).await;
    for _event in 0..20 {
        assert!(goes_on.reads_on().await, "the other token's goes on");
    }
    let finished = operator::run(&desk, Some(SECURITY), &["workload", PLANNER]).await;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    goes_on.end().await;
    tickets.flows(0).await;
    assert_refused_at_tickets("an operator's", &desk, &two).await;
    desk.close().await;
}

#[tokio::test]
async fn a_request_and_its_calls_end_at_once_with_the_key_that_signed_for_them() {
    let tickets = Spring::open().await;
    let mut options = Desk::options();
    options.policies.insert("security-may-administer.cedar".to_owned(), SECURITY_MAY.to_owned());
    let mut crowd = Crowd::open_with(&tickets.url(), options).await;
    crowd.desk.add_caller("security", SECURITY).await;
    let alice = crowd.enter(&[]).await;
    let agent = crowd.desk.stack.agent("planner").expect("an agent door");
    let shows = [("countersign-handle", alice.handle())];
    let url = "http://tickets.tool/mcp";
    let reader = Reader::open(agent.trim_start_matches("http://"), url, &shows, &tool("list_tickets")).await;
    tickets.flows(1).await;
    let access = issued(&crowd.desk).await;
    let kid = header_of(&access)["kid"].as_str().expect("a key").to_owned();
    let finished = operator::run(&crowd.desk, Some(SECURITY), &["key", &kid]).await;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    reader.end().await;
    tickets.flows(0).await;
    let handle = alice.handle().to_owned();
    assert_turned_away("she who waits for planner", &alice.answer().await, 401, "subject.revoked");
    let next = Call::new(Method::POST, url).json(&tool("list_tickets")).header("countersign-handle", &handle);
    assert_turned_away("planner's next call", &crowd.through(next).await, 401, "subject.revoked");
    let shown = harness::to_tickets(&access, &tool("list_tickets"));
    let answer = crowd.desk.to_mesh("planner", "tickets", shown).await;
    assert_challenged("a token of that key", &answer, 401, "access_token.key_unknown");
    crowd.close().await;
}
