//! Rules change while the broker runs: at once for broker and sidecars where the folder is right, and not at all where
//! it is not, which metric, log and record then tell.

use std::{fs, os::unix::fs::symlink, path::PathBuf, time::Duration};

use bytes::Bytes;
use harness::{Desk, RESEARCHER, TICKETS, assert_refused, call, eventually};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http2::handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::timeout};

const READS: &str = "planner-may-read-tickets.cedar";
const CALLS: &str = "planner-may-call-researcher.cedar";
/// Before a sidecar would be told by itself: snapshots are repeated every 10 s.
const AT_ONCE: Duration = Duration::from_secs(8);

fn rule(desk: &Desk, name: &str) -> PathBuf {
    desk.stack.folder().join("policies").join(name)
}

async fn status(desk: &Desk, txn: &str) -> u16 {
    desk.ask("planner", &call(txn, TICKETS, "tickets:read")).await.status.as_u16()
}

async fn until_metric(desk: &Desk, line: &str) {
    // The whole line: the help of a gauge may begin like its value.
    let told = || async { desk.stack.metrics("broker").await.ok()?.lines().any(|found| found == line).then_some(()) };
    eventually(line, told).await;
}

/// Lines about the rules themselves.
fn about_rules(desk: &Desk) -> Vec<Value> {
    desk.stack.records().into_iter().filter(|record| record["t"] == json!("policies")).collect()
}

/// What `caller` is told; the stream lives as long as the set.
async fn watched(desk: &Desk, caller: &str, tasks: &mut JoinSet<()>) -> Incoming {
    let stream = TokioIo::new(desk.connect_to_broker_by_h2(caller).await);
    let (mut sender, connection) = handshake(TokioExecutor::new(), stream).await.expect("a connection");
    tasks.spawn(async move { drop(connection.await) });
    let request = Request::post("https://broker.agents.svc/countersign.watch.v1.WatchService/Watch")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from_static(&[0; 5])))
        .expect("a request");
    sender.send_request(request).await.expect("answered").into_body()
}

/// The next snapshot as bytes on the wire: strings stand in them as they are.
async fn snapshot(stream: &mut Incoming) -> String {
    let frame = timeout(AT_ONCE, stream.frame()).await.expect("told at once").expect("told").expect("told whole");
    String::from_utf8_lossy(frame.data_ref().expect("a snapshot")).into_owned()
}

#[tokio::test]
async fn a_rule_that_is_taken_away_or_brought_back_counts_within_seconds_for_broker_and_sidecars() {
    let desk = Desk::open().await;
    let txn = desk.begun().await;
    assert_eq!(status(&desk, &txn).await, 200);
    let mut tasks = JoinSet::new();
    let mut stream = watched(&desk, "planner", &mut tasks).await;
    assert!(snapshot(&mut stream).await.contains(TICKETS));

    let text = fs::read_to_string(rule(&desk, READS)).expect("the rule");
    fs::remove_file(rule(&desk, READS)).expect("removed");
    assert!(!snapshot(&mut stream).await.contains(TICKETS), "a sidecar is told at once what it no longer reaches");
    let answer = desk.ask("planner", &call(&txn, TICKETS, "tickets:read")).await;
    assert_refused("the rule is gone", &answer, 400, "invalid_target", "policy.no_rule");
    assert_eq!(desk.ask("planner", &call(&txn, RESEARCHER, "")).await.status, 200, "the transaction goes on");

    fs::write(rule(&desk, READS), text).expect("written");
    assert!(snapshot(&mut stream).await.contains(TICKETS), "and what it reaches again");
    assert_eq!(status(&desk, &txn).await, 200);
    let lines = about_rules(&desk);
    let [gone, back] = lines.as_slice() else { panic!("{lines:#?}") };
    assert_eq!((&gone["dec"], &back["dec"]), (&json!("allow"), &json!("allow")));
    let sets: Vec<Value> = desk
        .stack
        .records()
        .iter()
        .filter(|line| line["t"] == json!("exchange"))
        .map(|line| line["pol"].clone())
        .collect();
    assert_eq!(
        sets,
        [back["pol"].clone(), gone["pol"].clone(), back["pol"].clone()],
        "each line names the rules that decided"
    );
    assert_ne!(gone["pol"], back["pol"]);
    until_metric(&desk, "countersign_policy_reloads_total{outcome=\"loaded\"} 2").await;
    drop(tasks);
    desk.close().await;
}

#[tokio::test]
async fn a_folder_that_is_wrong_changes_nothing_and_is_told_until_it_is_right() {
    let desk = Desk::open().await;
    let txn = desk.begun().await;
    let text = fs::read_to_string(rule(&desk, CALLS)).expect("the rule");
    let half: String = text.chars().take(text.chars().count() / 2).collect();
    fs::write(rule(&desk, CALLS), half).expect("written");
    fs::remove_file(rule(&desk, READS)).expect("removed");
    until_metric(&desk, "countersign_policies_refused 1").await;
    assert_eq!(status(&desk, &txn).await, 200, "not even what is right of it counts");
    assert_eq!(desk.ask("planner", &call(&txn, RESEARCHER, "")).await.status, 200);
    let lines = eventually("the record tells", || async {
        let lines = about_rules(&desk);
        (!lines.is_empty()).then_some(lines)
    })
    .await;
    let [line] = lines.as_slice() else { panic!("{lines:#?}") };
    assert_eq!(
        (&line["dec"], &line["code"], &line["count"]),
        (&json!("deny"), &json!("policies.not_loaded"), &json!(1))
    );
    let begun = desk.stack.records().iter().find(|line| line["t"] == json!("begin")).map(|line| line["pol"].clone());
    assert_eq!(Some(&line["pol"]), begun.as_ref(), "the rules in force are still those of the start");
    let log = desk.stack.log_of("broker");
    assert!(log.contains(&format!("{CALLS}:")) && log.contains("the last good ones stay in force"), "{log}");

    fs::write(rule(&desk, CALLS), text).expect("written");
    until_metric(&desk, "countersign_policies_refused 0").await;
    let answer = desk.ask("planner", &call(&txn, TICKETS, "tickets:read")).await;
    assert_refused("the other half of the change", &answer, 400, "invalid_target", "policy.no_rule");
    desk.close().await;
}

#[tokio::test]
async fn an_empty_folder_takes_no_rule_away() {
    let desk = Desk::open().await;
    let txn = desk.begun().await;
    fs::remove_dir_all(desk.stack.folder().join("policies")).expect("removed");
    until_metric(&desk, "countersign_policies_refused 1").await;
    assert_eq!(status(&desk, &txn).await, 200);
    desk.close().await;
}

/// Whatever a folder is half-way, it takes no rule away; what it is in the end counts.
#[tokio::test]
async fn a_folder_half_written_changes_nothing_however_it_is_written() {
    let desk = Desk::open().await;
    let txn = desk.begun().await;
    let (folder, text) =
        (desk.stack.folder().join("policies"), fs::read_to_string(rule(&desk, READS)).expect("the rule"));
    let refused = |told: &'static str| {
        let desk = &desk;
        let txn = txn.as_str();
        async move {
            until_metric(desk, "countersign_policies_refused 1").await;
            assert_eq!(status(desk, txn).await, 200, "{told}");
        }
    };

    fs::write(rule(&desk, READS), "").expect("truncated");
    refused("a rule that is cut to nothing").await;
    let beside = folder.join("beside.tmp");
    fs::write(&beside, &text).expect("written");
    fs::rename(&beside, rule(&desk, READS)).expect("renamed");
    until_metric(&desk, "countersign_policies_refused 0").await;

    let rules: Vec<(PathBuf, String)> = fs::read_dir(&folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| (path.clone(), fs::read_to_string(&path).expect("a rule")))
        .collect();
    rules.iter().for_each(|(path, _text)| fs::remove_file(path).expect("removed"));
    refused("no rule at all").await;

    // As a mounted ConfigMap: files are links into a folder that is replaced whole, by one rename of one link.
    let version = |name: &str, taken: Option<&str>| {
        fs::create_dir(folder.join(name)).expect("a folder");
        for (path, text) in rules.iter().filter(|(path, _text)| taken.is_none_or(|taken| !path.ends_with(taken))) {
            fs::write(folder.join(name).join(path.file_name().expect("a name")), text).expect("written");
        }
    };
    let point_to = |name: &str| {
        symlink(name, folder.join("..data_tmp")).expect("a link");
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).expect("swapped");
    };
    version("..one", None);
    version("..two", Some(READS));
    point_to("..one");
    for (path, _text) in &rules {
        symlink(folder.join("..data").join(path.file_name().expect("a name")), path).expect("a link");
    }
    until_metric(&desk, "countersign_policies_refused 0").await;
    assert_eq!(status(&desk, &txn).await, 200);
    point_to("..two");
    refused("a link that leads nowhere, before it is taken away").await;
    fs::remove_file(rule(&desk, READS)).expect("removed");
    until_metric(&desk, "countersign_policies_refused 0").await;
    assert_eq!(status(&desk, &txn).await, 400, "the rule is gone on purpose now");
    desk.close().await;
}
