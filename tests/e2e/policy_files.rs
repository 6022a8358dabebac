//! `countersign policies`: mistakes in rules are shown where they stand, cases decide as they say, a denial tells what is
//! missing, and a change of rules tells what it would change in a record that a real broker wrote.

use std::{fs, path::Path};

use harness::{Desk, Finished, Folder, Program, RESEARCHER, TICKETS, begin, call};
use serde_json::{Value, json};

const DEFAULT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../policies/default");
const PLANNER: &str = "spiffe://corp.example/ns/agents/sa/planner";
const REGISTRY: &str = "\
trust_domain: corp.example
edges:
  - workload: spiffe://corp.example/ns/agents/sa/planner
    login_clients: [console]
    scopes: [tickets:read, tickets:write]
targets:
  - name: researcher
    resource: https://researcher.agents.svc
    workload: spiffe://corp.example/ns/agents/sa/researcher
    passes_on: [tickets:read]
  - name: tickets
    resource: https://tickets.tools.svc/mcp
    workload: spiffe://corp.example/ns/tools/sa/tickets
    mcp:
      tools: { list_tickets: tickets:read, close_ticket: tickets:write }
";

async fn policies(arguments: &[&str]) -> Finished {
    Program::new("countersign").arguments([&["policies"], arguments].concat()).run().await
}

/// A copy of the default rules that a test may change.
fn rules(folder: &Folder, name: &str) -> String {
    let copy = folder.path(name);
    fs::create_dir(&copy).expect("a folder");
    for entry in fs::read_dir(DEFAULT).expect("the default rules") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, Path::new(&copy).join(path.file_name().expect("a name"))).expect("copied");
    }
    copy
}

fn change(folder: &str, rule: &str, from: &str, to: &str) {
    let file = Path::new(folder).join(format!("{rule}.cedar"));
    let text = fs::read_to_string(&file).expect("the rule");
    assert!(text.contains(from), "{from} in {text}");
    fs::write(file, text.replace(from, to)).expect("written");
}

fn assert_says(finished: &Finished, code: i32, words: &[&str]) {
    let text = format!("{}{}", finished.stdout, finished.stderr);
    assert_eq!(finished.code, Some(code), "{text}");
    for expected in words {
        assert!(text.contains(expected), "`{expected}` in\n{text}");
    }
}

#[tokio::test]
async fn every_mistake_is_shown_at_once_where_it_stands() {
    let folder = Folder::new();
    let registry = folder.write("broker.yaml", REGISTRY);
    let rules = rules(&folder, "rules");
    let check = |more: &[&str]| {
        let arguments: Vec<String> = ["check", &rules].iter().chain(more).map(ToString::to_string).collect();
        async move { policies(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };
    assert_says(&check(&["--registry", &registry]).await, 0, &["fine: 4 rules"]);

    change(&rules, "planner-may-read-tickets", "Target::\"tickets\"", "Target::\"tikcets\"");
    change(&rules, "planner-may-call-researcher", "resource == Target::\"researcher\"", "resource");
    change(&rules, "support-may-begin-at-planner", "Group::\"support\"", "Gruop::\"support\"");
    change(&rules, "researcher-may-read-tickets-when-planner-asked", "\"tickets:read\"", "\"tickets:raed\"");
    let words = [
        "planner-may-call-researcher.cedar:4:1: a permit must say for which resource it holds",
        "(lint: open-head)",
        "did you mean `Group`?",
    ];
    let without = check(&[]).await;
    assert_says(&without, 2, &words);
    assert_says(&without, 2, &["2 problems"]);
    let with = check(&["--registry", &registry]).await;
    assert_says(&with, 2, &words);
    assert_says(
        &with,
        2,
        &[
            "planner-may-read-tickets.cedar:7:15: the registry has no target `tikcets`; did you mean `tickets`?",
            "  7 |   resource == Target::\"tikcets\"\n    |               ^\n",
            "has the scope `tickets:raed`; did you mean `tickets:read`?",
            "4 problems",
        ],
    );
    let unreadable = check(&["--registry", "/nonexistent/broker.yaml"]).await;
    assert_says(&unreadable, 1, &["/nonexistent/broker.yaml", "cannot be read"]);
    assert_says(&policies(&["check", "/nonexistent/rules"]).await, 2, &["/nonexistent/rules", "cannot be read"]);
}

#[tokio::test]
async fn an_open_head_is_refused_by_the_broker_too() {
    let folder = Folder::new();
    let rules = rules(&folder, "rules");
    change(&rules, "planner-may-read-tickets", &format!("principal == Workload::\"{PLANNER}\""), "principal");
    let config = folder.write("broker.yaml", &format!("{REGISTRY}policies: {rules}\n"));
    let finished = Program::new("countersign-broker").arguments(["check", "--config", &config]).run().await;
    assert_says(&finished, 2, &["a permit must say for which principal it holds", "(lint: open-head)"]);
}

#[tokio::test]
async fn cases_are_put_to_the_rules_and_what_comes_out_otherwise_is_told() {
    assert_says(&policies(&["test", DEFAULT]).await, 0, &["20 cases, all as expected"]);

    let folder = Folder::new();
    let rules = rules(&folder, "rules");
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/../policies/cases");
    change(&rules, "support-may-begin-at-planner", "when { context.subject in Group::\"support\" }", "");
    let finished = policies(&["test", &rules, "--cases", cases]).await;
    let told =
        "bob has the role, not the group: expected deny by no rule, found permit by `support-may-begin-at-planner`";
    assert_says(&finished, 1, &["default.yaml:", told, "20 cases, 3 not as expected"]);

    fs::create_dir(folder.path("rules/cases")).expect("a folder");
    let mistakes = "\
- case: one
  requester: planner
  action: beginn
- case: two
  requester: spiffe://corp.example/a
  action: use
  target: tickets
  groups: [support]
  expect: permit
";
    let _file = folder.write("rules/cases/wrong.yaml", mistakes);
    let finished = policies(&["test", &rules]).await;
    assert_says(
        &finished,
        2,
        &[
            "wrong.yaml:1:3: requester: `planner` is",
            "wrong.yaml:1:3: action: `beginn` is none of",
            "wrong.yaml:1:3: expect: missing",
            "wrong.yaml:4:3: groups: has no meaning at `use`",
            "wrong.yaml:4:3: rules: missing",
        ],
    );
    let _file = folder.write("rules/cases/wrong.yaml", "- case: one\n  requestor: a\n");
    assert_says(&policies(&["test", &rules]).await, 2, &["wrong.yaml:2:", "requestor"]);
}

#[tokio::test]
async fn a_denial_tells_what_would_have_to_change() {
    let folder = Folder::new();
    let explain = |text: &str, more: &[&str]| {
        let file = folder.write("question.yaml", text);
        let arguments = [vec!["explain", DEFAULT, "--request", &file], more.to_vec()].concat();
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        async move { policies(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };
    let bob = format!("requester: {PLANNER}\naction: begin\nsubject: bob\nroles: [tickets-reader]\n");
    let words = ["denied (policy.no_rule", "support-may-begin-at-planner", "- the user must be in the group `support`"];
    assert_says(&explain(&bob, &[]).await, 0, &words);
    assert_says(&explain(&bob, &["--group", "support"]).await, 0, &["permitted", "Permitted by"]);

    let write =
        format!("requester: {PLANNER}\naction: exchange\ntarget: tickets\nsubject: alice\nscopes: [tickets:write]\n");
    let words = ["planner-may-read-tickets", "- the scopes may hold only `tickets:read`", "no scope at all"];
    assert_says(&explain(&write, &[]).await, 0, &words);
    let payroll = write.replace("target: tickets", "target: payroll");
    assert_says(&explain(&payroll, &[]).await, 0, &["- the target must be `tickets`", "a rule is missing"]);
    assert_says(
        &explain(&write.replace("exchange", "exchnage"), &[]).await,
        2,
        &["question.yaml:1:1: action: `exchnage`"],
    );
}

#[tokio::test]
async fn a_brokers_own_record_is_explained_and_compared_with_other_rules() {
    let mut options = Desk::options();
    options.members.clear();
    let desk = Desk::open_with(options).await;
    let txn = desk.begun().await;
    assert_eq!(desk.ask("planner", &call(&txn, TICKETS, "tickets:read")).await.status, 200);
    assert_eq!(desk.ask("planner", &call(&txn, TICKETS, "tickets:read")).await.status, 200);
    assert_eq!(desk.ask("planner", &call(&txn, RESEARCHER, "")).await.status, 200);
    assert_eq!(desk.ask("planner", &call(&txn, TICKETS, "tickets:write")).await.status, 400);
    let bob = desk.stack.sign_in("bob", "openid tickets:read").await.expect("signed in");
    assert_eq!(desk.ask("planner", &begin(&bob, "tickets:read")).await.status, 400);
    let lines = harness::eventually("both refusals are recorded", || async {
        let records = desk.stack.records();
        (records.iter().filter(|record| record["dec"] == json!("deny")).count() == 2).then_some(records)
    })
    .await;
    desk.close().await;

    let folder = Folder::new();
    let record = folder.write("record.jsonl", &lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    let new = rules(&folder, "new");
    let diff = |new: &str| {
        let (new, record) = (new.to_owned(), record.clone());
        async move { policies(&["diff", DEFAULT, &new, "--record", &record]).await }
    };
    assert_says(&diff(&new).await, 0, &["4 grants would still be allowed.", "2 refusals would still be refused."]);
    change(&new, "planner-may-read-tickets", "[\"tickets:read\"]", "[\"tickets:list\"]");
    change(
        &new,
        "support-may-begin-at-planner",
        "Group::\"support\"",
        "Group::\"support\" && context.subject in Role::\"staff\"",
    );
    assert_says(
        &diff(&new).await,
        1,
        &[
            "Would be refused",
            "2 times",
            "called tickets with",
            "the scopes may hold only `tickets:list`",
            "Might be refused: it depends on who the user was",
            "1 time ",
            "the user must have the role `staff`",
            "1 grant would still be allowed.",
        ],
    );
    let wide = rules(&folder, "wide");
    change(&wide, "planner-may-read-tickets", "[\"tickets:read\"]", "[\"tickets:read\", \"tickets:write\"]");
    change(&wide, "support-may-begin-at-planner", "when { context.subject in Group::\"support\" }", "");
    let words = [
        "Would be allowed",
        "called tickets with\n    `tickets:write`",
        "began in corp.example with\n    `tickets:read`",
        "by `support-may-begin-at-planner`",
        "4 grants would still be allowed.",
    ];
    assert_says(&diff(&wide).await, 1, &words);
    let refused = lines.iter().find(|line| line["dec"] == json!("deny") && line["op"] == json!("exchange"));
    let line = folder.write("line.json", &refused.expect("a refused call").to_string());
    let explained = policies(&["explain", DEFAULT, "--request", &line]).await;
    assert_says(&explained, 0, &["the scopes may hold only `tickets:read`", "the record names no users"]);
    let granted: Vec<&Value> = lines.iter().filter(|line| line["t"] == json!("exchange")).collect();
    let line = folder.write("line.json", &granted[0].to_string());
    assert_says(
        &policies(&["explain", DEFAULT, "--request", &line]).await,
        0,
        &["permitted", "planner-may-read-tickets"],
    );
}
