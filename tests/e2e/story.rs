//! The story and its refusals, as `cargo demo` tells them to a newcomer and to a program.

use harness::{Folder, Program, tells_token};
use serde_json::{Value, json};

#[tokio::test]
async fn the_demo_tells_the_whole_story() {
    // The demo leaves its record behind; here it goes with the test.
    let folder = Folder::new();
    let demo =
        Program::new("countersign").variable("TMPDIR", &folder.path("")).arguments(["demo", "--json"]).run().await;
    assert_eq!(demo.code, Some(0), "{}\n{}", demo.stdout, demo.stderr);
    let events: Vec<Value> =
        demo.stdout.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    let summary = events.last().expect("a last line");
    assert_eq!((&summary["event"], &summary["ok"]), (&json!("summary"), &json!(true)));
    let id = |name: &str| format!("spiffe://corp.example/ns/{name}");
    let (planner, researcher, tickets) = (id("agents/sa/planner"), id("agents/sa/researcher"), id("tools/sa/tickets"));
    let hops = summary["hops"].as_array().expect("hops");
    let facts =
        |hop: &Value| (hop["workload"].clone(), hop["actors"].clone(), hop["audience"].clone(), hop["scope"].clone());
    let expected = [
        (json!(planner), json!([planner]), json!("corp.example"), json!(["tickets:read", "tickets:write"])),
        (json!(researcher), json!([planner]), json!("https://researcher.agents.svc"), json!(["tickets:read"])),
        (json!(tickets), json!([researcher, planner]), json!("https://tickets.tools.svc/mcp"), json!(["tickets:read"])),
    ];
    assert_eq!(hops.iter().map(facts).collect::<Vec<_>>(), expected);
    for hop in hops {
        assert_eq!(
            (&hop["txn"], &hop["subject"]),
            (&hops[0]["txn"], &hops[0]["subject"]),
            "one transaction, one subject"
        );
        assert!(hop["txn"].as_str().is_some_and(|txn| !txn.is_empty()) && hop["subject"].is_string());
    }
    let refusals = [
        ("bob", "policy.no_rule", 403),
        ("too_much_scope", "scope.not_permitted", 403),
        ("unlisted_host", "call.unlisted_host", 403),
        ("stolen_token", "access_token.not_bound", 401),
        ("passthrough", "access_token.type", 401),
    ];
    let expected: Vec<Value> =
        refusals.iter().map(|(case, code, status)| json!({"case": case, "code": code, "status": status})).collect();
    assert_eq!(summary["refusals"], json!(expected));
    assert_eq!((&summary["tokens_seen_by_apps"], &summary["control_tokens_seen"]), (&json!(0), &json!(1)));
}

#[tokio::test]
async fn the_screen_fits_eighty_columns_and_has_no_colour_without_a_terminal() {
    // The demo leaves its record behind; here it goes with the test.
    let folder = Folder::new();
    let demo = Program::new("countersign").variable("TMPDIR", &folder.path("")).arguments(["demo"]).run().await;
    assert_eq!(demo.code, Some(0), "{}\n{}", demo.stdout, demo.stderr);
    for line in demo.stdout.lines() {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
        assert!(!line.contains('\u{1b}'), "an escape: {line:?}");
    }
    assert!(!tells_token(&demo.stdout), "no token is printed");
}
