//! A permit on trial (`@observe`) gives nothing: what it would have allowed is refused as before, and record, metric and
//! `countersign policies` tell what it would have done.

use std::fs;

use harness::{Desk, Finished, Folder, Program, RESEARCHER, TICKETS, assert_refused, begin, call, eventually, renew};
use serde_json::{Value, json};

const WRITES: &str = "planner-may-write-tickets";

/// A day so many days from now, as `@observe` wants it.
fn day(from_now: u64) -> String {
    let mut days = runtime::clock::now().secs() / 86_400 + from_now;
    let mut year = 1970;
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}

fn on_trial(through: &str) -> String {
    format!(
        r#"@id("{WRITES}") @observe("{through}")
permit (principal == Workload::"spiffe://corp.example/ns/agents/sa/planner", action == Action::"exchange", resource == Target::"tickets")
when {{ ["tickets:read", "tickets:write"].containsAll(context.scopes) }};"#
    )
}

/// A broker that has the story's rules, and this one.
async fn opened(rule: String) -> Desk {
    let mut options = Desk::options();
    options.members.clear();
    options.policies.insert(format!("{WRITES}.cedar"), rule);
    Desk::open_with(options).await
}

async fn until_metric(desk: &Desk, line: &str) {
    // The whole line: the help of a gauge may begin like its value.
    let told = || async { desk.stack.metrics("broker").await.ok()?.lines().any(|found| found == line).then_some(()) };
    eventually(line, told).await;
}

/// The lines of refusals, once there are as many.
async fn refusals(desk: &Desk, count: usize) -> Vec<Value> {
    eventually("the refusals are recorded", || async {
        let lines: Vec<Value> = desk.stack.records().into_iter().filter(|line| line["t"] == json!("refuse")).collect();
        (lines.len() >= count).then_some(lines)
    })
    .await
}

async fn policies(arguments: &[&str]) -> Finished {
    Program::new("countersign").arguments([&["policies"], arguments].concat()).run().await
}

fn assert_says(finished: &Finished, code: i32, words: &[&str]) {
    let text = format!("{}{}", finished.stdout, finished.stderr);
    assert_eq!(finished.code, Some(code), "{text}");
    for expected in words {
        assert!(text.contains(expected), "`{expected}` in\n{text}");
    }
}

#[tokio::test]
async fn a_permit_on_trial_gives_nothing_and_record_and_metric_tell_what_it_would_have_given() {
    let desk = opened(on_trial(&day(30))).await;
    let txn = desk.begun().await;
    let answer = desk.ask("planner", &call(&txn, TICKETS, "tickets:write")).await;
    assert_refused("on trial", &answer, 400, "invalid_scope", "scope.not_permitted");
    assert_eq!(desk.ask("planner", &call(&txn, TICKETS, "tickets:read")).await.status, 200);
    let answer = desk.ask("planner", &call(&txn, RESEARCHER, "tickets:write")).await;
    assert_refused("not the rule's", &answer, 400, "invalid_scope", "scope.beyond_target");

    let lines = refusals(&desk, 2).await;
    let would = json!({"dec": "allow", "rule": [WRITES]});
    assert_eq!((&lines[0]["would"], &lines[0]["asked"]), (&would, &json!("tickets:write")));
    assert_eq!((&lines[0]["rule"], &lines[0]["dec"]), (&json!([]), &json!("deny")), "it decided nothing");
    assert!(lines[1]["would"].is_null() && lines[1]["asked"].is_null(), "{}", lines[1]);
    let records = desk.stack.records();
    let granted = records.iter().find(|line| line["t"] == json!("exchange")).expect("a grant");
    assert_eq!(granted["would"], would, "where another permits, too");
    assert_eq!(granted["rule"], json!(["planner-may-read-tickets"]));

    for line in [
        format!("countersign_policy_trials_total{{rule=\"{WRITES}\",would=\"allow\"}} 1"),
        format!("countersign_policy_trials_total{{rule=\"{WRITES}\",would=\"allow_too\"}} 1"),
        "countersign_policies_on_trial{state=\"running\"} 1".to_owned(),
        "countersign_policies_on_trial{state=\"over\"} 0".to_owned(),
    ] {
        until_metric(&desk, &line).await;
    }
    desk.close().await;
}

/// A date that was forgotten grants nothing, stops no broker, and is told.
#[tokio::test]
async fn a_trial_that_is_over_still_gives_nothing_and_is_told_by_metric_log_and_check() {
    let desk = opened(on_trial("2026-01-31")).await;
    let txn = desk.begun().await;
    let answer = desk.ask("planner", &call(&txn, TICKETS, "tickets:write")).await;
    assert_refused("over", &answer, 400, "invalid_scope", "scope.not_permitted");
    let lines = refusals(&desk, 1).await;
    assert!(lines[0]["would"].is_null(), "nor is it observed: {}", lines[0]);
    until_metric(&desk, "countersign_policies_on_trial{state=\"over\"} 1").await;
    let log = desk.stack.log_of("broker");
    assert!(log.contains(WRITES) && log.contains("the trial of a rule is over"), "{log}");
    let folder = desk.stack.folder().join("policies");
    let checked = policies(&["check", folder.to_str().expect("UTF-8")]).await;
    assert_says(&checked, 2, &[&format!("{WRITES}.cedar:1:"), "the trial ended with 2026-01-31"]);
    desk.close().await;
}

#[tokio::test]
async fn policies_tell_what_a_rule_on_trial_says_and_what_it_would_have_changed() {
    let desk = opened(on_trial(&day(30))).await;
    let txn = desk.begun().await;
    assert_eq!(desk.ask("planner", &call(&txn, TICKETS, "tickets:write")).await.status, 400);
    let bob = desk.stack.sign_in("bob", "openid tickets:read").await.expect("signed in");
    assert_eq!(desk.ask("planner", &begin(&bob, "tickets:read")).await.status, 400);
    let lines = refusals(&desk, 2).await;
    let record: String = desk.stack.records().iter().map(|line| format!("{line}\n")).collect();
    let rules = desk.stack.folder().join("policies");

    let folder = Folder::new();
    let (old, new) = (folder.path("old"), folder.path("new"));
    for copy in [&old, &new] {
        fs::create_dir(copy).expect("a folder");
        for entry in fs::read_dir(&rules).expect("the rules") {
            let path = entry.expect("an entry").path();
            fs::copy(&path, folder.path(&format!("{copy}/{}", path.file_name().expect("a name").display())))
                .expect("copied");
        }
    }
    desk.close().await;

    let line = folder.write("line.json", &lines[0].to_string());
    let told = policies(&["explain", &old, "--request", &line]).await;
    assert_says(
        &told,
        0,
        &["denied", "On trial, which decides nothing", WRITES, "would permit it", "(on trial through"],
    );

    let record = folder.write("record.jsonl", &record);
    let same = policies(&["diff", &old, &new, "--record", &record]).await;
    let trial = format!("On trial: `{WRITES}` would have allowed what was refused, 1");
    assert_says(&same, 0, &["1 grant would still be allowed.", "2 refusals would still be refused.", &trial]);

    let file = format!("{new}/{WRITES}.cedar");
    let text = fs::read_to_string(&file).expect("the rule");
    let (head, rest) = text.split_once("@observe").expect("a trial");
    let (_day, rest) = rest.split_once('\n').expect("two lines");
    fs::write(&file, format!("{head}\n{rest}")).expect("written");
    let changed = policies(&["diff", &old, &new, "--record", &record]).await;
    let by = format!("by `{WRITES}`");
    assert_says(&changed, 1, &["Would be allowed", "called tickets with", &by, "1 refusal would still be refused."]);

    let cases = folder.write("cases.yaml", CASES);
    fs::create_dir(folder.path("cases")).expect("a folder");
    fs::rename(cases, folder.path("cases/trial.yaml")).expect("moved");
    let cases = folder.path("cases");
    assert_says(&policies(&["test", &old, "--cases", &cases]).await, 0, &["1 case, all as expected"]);
    let told = policies(&["test", &new, "--cases", &cases]).await;
    let expected = format!("expected on trial: permit by `{WRITES}`, found no rule");
    assert_says(&told, 1, &["found permit by", &expected]);
}

const CASES: &str = "\
- case: on trial, planner may write
  requester: spiffe://corp.example/ns/agents/sa/planner
  action: exchange
  target: tickets
  subject: alice
  scopes: [tickets:write]
  expect: deny
  would: [planner-may-write-tickets]
";

/// A renewal asks what gave the authority: a rule, and an edge where users may enter.
#[tokio::test]
async fn who_is_no_edge_any_more_renews_no_transaction_that_began_there() {
    let mut desk = Desk::open().await;
    let txn = desk.begun().await;
    let renewal = renew(&txn, "tickets:read tickets:write");
    assert_eq!(desk.ask("planner", &renewal).await.status, 200);
    let config = desk.stack.folder().join("broker.yaml");
    let text = fs::read_to_string(&config).expect("the configuration");
    assert_eq!(text.matches("sa/planner").count(), 1, "the edge alone names it: {text}");
    fs::write(&config, text.replace("sa/planner", "sa/stranger")).expect("written");
    desk.stack.halt("broker").await;
    desk.stack.revive("broker").await.expect("back");
    let answer = desk.ask("planner", &renewal).await;
    assert_refused("no edge", &answer, 400, "invalid_request", "edge.not_registered");
    desk.close().await;
}
