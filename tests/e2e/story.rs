//! The story and its refusals, as `cargo demo` tells them to a newcomer and to a program.

use std::{fs, os::unix::fs::PermissionsExt as _};

use harness::{Folder, Program, binaries, eventually, tells_token};
use rustix::process::Signal;
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

/// The programs in a folder of their own, with a broker that says thirty lines and fails.
fn with_a_failing_broker(folder: &Folder) -> String {
    for name in ["countersign", "countersign-demo-app", "countersign-sidecar"] {
        let (from, to) = (binaries().join(name), folder.path(name));
        if fs::hard_link(&from, &to).is_err() {
            fs::copy(&from, &to).expect("copied");
        }
    }
    let lines: String = (1..=30).map(|n| format!("echo 'line {n} of the broker' >&2\n")).collect();
    let broker = folder.write("countersign-broker", &format!("#!/bin/sh\n{lines}exit 1\n"));
    fs::set_permissions(broker, fs::Permissions::from_mode(0o755)).expect("executable");
    folder.path("countersign")
}

#[tokio::test]
async fn a_failure_names_the_process_its_last_lines_and_the_work_folder() {
    let (programs, folder) = (Folder::new(), Folder::new());
    let program = with_a_failing_broker(&programs);
    let demo = async |arguments: &[&str]| {
        Program::at(&program).variable("TMPDIR", &folder.path("")).arguments(arguments).run().await
    };
    let told = demo(&["demo"]).await;
    let text = format!("{}{}", told.stdout, told.stderr);
    assert_eq!(told.code, Some(1), "{text}");
    for expected in ["broker", "line 11 of the broker", "line 30 of the broker", folder.path("countersign-").as_str()] {
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
    assert!(!text.contains("line 10 of the broker"), "the last twenty lines:\n{text}");
    let as_json = demo(&["demo", "--json"]).await;
    let last = as_json.stdout.lines().last().expect("a last line");
    let summary: Value = serde_json::from_str(last).expect("an object");
    assert_eq!((as_json.code, &summary["event"], &summary["ok"]), (Some(1), &json!("summary"), &json!(false)));
}

/// How many processes were started with a path below `folder`.
fn processes_below(folder: &str) -> usize {
    let all = fs::read_dir("/proc").expect("proc").filter_map(Result::ok);
    let lines = all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(folder)).count()
}

#[tokio::test]
async fn an_interrupted_demo_leaves_no_process_and_no_key() {
    let folder = Folder::new();
    let work = folder.path("countersign-");
    let demo = Program::new("countersign").variable("TMPDIR", &folder.path("")).arguments(["demo", "--keep"]).start();
    eventually("the stack runs", || async { (processes_below(&work) >= 9).then_some(()) }).await;
    demo.signal(Signal::INT);
    let finished = demo.end().await;
    assert!(finished.code.is_some(), "it ends by itself: {}", finished.stderr);
    assert_eq!(processes_below(&work), 0, "nothing is left running");
    for left in fs::read_dir(folder.path("")).expect("a folder").filter_map(Result::ok) {
        assert!(!left.path().join("wrapping.key").exists(), "{}", left.path().display());
    }
}
