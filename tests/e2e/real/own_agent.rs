//! An agent in LangGraph and a server with the MCP Python SDK, as they stand in `examples` and with no line about tokens,
//! behind `countersign up` and `countersign run`: by the trace rule (`platform.md` §3.4), and with the MCP session that
//! people share by mistake.

mod bench;

use std::fs;

use harness::tells_token;

use self::bench::Bench;

/// A registry and rules by which alice and bob may both ask `helpdesk`.
const OWN: [&str; 4] =
    ["--registry", "examples/own-registry/registry.yaml", "--policies", "examples/own-registry/policies"];

/// What a newcomer reads.
const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/own-agent.md");

/// As the guide has it.
#[tokio::test]
async fn an_agent_that_knows_nothing_serves_who_may_ask_and_never_has_a_token() {
    let mut bench = Bench::up(&[]).await;
    bench.run_tickets().await;
    bench.run_agent("planner", &[]).await;
    let alice = bench.ask("alice").await;
    alice.assert_served("alice");
    let bob = bench.ask("bob").await;
    assert_eq!((bob.status.as_u16(), bob.body["refusal"].as_str()), (403, Some("policy.no_rule")), "{}", bob.body);
    for workload in ["planner", "tickets"] {
        for (place, text) in bench.process_of(workload) {
            assert!(!tells_token(&text), "{workload}: a token in its {place}");
            assert!(!text.contains("SPIFFE_ENDPOINT_SOCKET"), "{workload}: a way to an identity in its {place}");
        }
    }
    let told = bench.end().await;
    let (planner, tickets) = (&told["planner"], &told["tickets"]);
    for text in [planner, tickets] {
        assert!(!tells_token(text), "a token: {text}");
        assert!(!text.contains("for bob"), "bob's request went on: {text}");
    }
    assert_one_line(planner, ["→ tickets", "list_tickets", "for alice", "scope tickets:read", "allowed"]);
    assert_one_line(planner, ["← alice via edge", "scope tickets:read tickets:write", "allowed"]);
    assert_one_line(planner, ["← ", "via edge", "refused policy.no_rule"]);
    assert_one_line(tickets, ["← planner for alice via mesh", "list_tickets", "scope tickets:read", "allowed"]);
    let guide = fs::read_to_string(GUIDE).expect("the guide");
    assert!(guide.contains(&alice.body.to_string()), "the guide shows another answer than {}", alice.body);
    for line in guide.lines().filter(|line| line.starts_with("cs │")) {
        // How `countersign` was called stands in brackets at the end.
        let told = line.split("  (").next().unwrap_or(line);
        assert!(planner.contains(told), "the guide shows `{told}`, and planner's terminal {planner}");
    }
}

/// With OpenTelemetry's launcher and the instrumentation of MCP messages that it finds.
#[tokio::test]
async fn two_users_at_once_are_both_served_where_each_request_opens_its_session() {
    let mut bench = Bench::up(&OWN).await;
    bench.run_tickets().await;
    bench.run_agent("helpdesk", &[]).await;
    let (alice, bob) = bench.ask_at_once().await;
    alice.assert_served("alice");
    bob.assert_served("bob");
    let told = bench.end().await;
    assert!(!told["helpdesk"].contains("refused"), "{}", told["helpdesk"]);
}

/// The SDK 1.x alone has the trace in the head only, which may be anybody's while two are at work.
#[tokio::test]
async fn two_users_at_once_are_told_apart_or_refused_where_messages_do_not_name_their_trace() {
    let mut bench = Bench::up(&OWN).await;
    bench.run_tickets().await;
    bench.run_agent("helpdesk", &[("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "mcp")]).await;
    bench.ask("bob").await.assert_served("bob");
    let (alice, bob) = bench.ask_at_once().await;
    alice.assert_never("bob");
    bob.assert_refused();
    bench.ask("alice").await.assert_served("alice");
    let told = bench.end().await;
    assert!(told["helpdesk"].contains("refused call.ambiguous"), "{}", told["helpdesk"]);
}

/// Where the second to ask would be answered in the name of the first.
#[tokio::test]
async fn a_session_that_all_share_serves_nobody_in_the_name_of_another() {
    let mut bench = Bench::up(&OWN).await;
    bench.run_tickets().await;
    bench.run_agent("helpdesk", &[("SHARED_SESSION", "1")]).await;
    bench.ask("alice").await.assert_served("alice");
    bench.ask("bob").await.assert_refused();
    // The agent has given the broken session up, so this one is bob's.
    bench.ask("bob").await.assert_served("bob");
    bench.ask("alice").await.assert_refused();
    let (alice, bob) = bench.ask_at_once().await;
    alice.assert_never("bob");
    bob.assert_refused();
    let told = bench.end().await;
    let (helpdesk, tickets) = (&told["helpdesk"], &told["tickets"]);
    let refused = ["refused call.trace_ended", "refused call.contradiction"].map(|code| helpdesk.matches(code).count());
    assert!(refused.iter().sum::<usize>() >= 3, "each of the three by the sidecar: {helpdesk}");
    // The one call for which bob was answered. Every other one in which he had a part was refused.
    assert_one_line(tickets, ["← helpdesk for bob via mesh", "list_tickets"]);
}

fn assert_one_line<const N: usize>(text: &str, parts: [&str; N]) {
    let lines = text.lines().filter(|line| parts.iter().all(|part| line.contains(part)));
    assert_eq!(lines.count(), 1, "{parts:?} in: {text}");
}
