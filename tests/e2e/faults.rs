//! What we or a dependency cannot do now is told as a fault, with a time to come back, and nothing is issued (N80, N96,
//! N99, N100). What does not need the missing part goes on.

use std::time::{Duration, Instant};

use dev::{
    apps::{Answer, Call},
    identity::Lives,
    stack::App,
};
use harness::{
    Desk, Folder, Inside, Program, RESEARCHER, Sink, TICKETS, assert_refused, assert_turned_away, begin, call,
    eventually, signal, to_tickets, tool,
};
use http::Method;
use identity::workload_id;
use rustix::process::Signal;
use serde_json::json;
use tokio::sync::Mutex;

const AWAY: &str = "temporarily_unavailable";
const STRANGER: &str = "spiffe://corp.example/ns/agents/sa/stranger";

/// Alice asks planner.
async fn asked(desk: &Desk, token: &str) -> Answer {
    let url = format!("{}/ask", desk.stack.edge("planner").expect("an edge"));
    let call = Call::new(Method::POST, &url).header("authorization", &format!("Bearer {token}"));
    call.json(&json!({"question": "which tickets are open?"})).send().await.expect("answered")
}

#[tokio::test]
async fn without_the_provider_nobody_enters_and_who_is_inside_goes_on() {
    let mut desk = Desk::open_story().await;
    let (alice, txn) = (desk.alice().await, desk.begun().await);
    desk.stack.halt("provider").await;
    let before = desk.stack.records().len();
    let answer = desk.ask("planner", &begin(&alice, "tickets:read")).await;
    assert_refused("N80", &answer, 503, AWAY, "fault.provider");
    assert_turned_away("N96 at the edge", &asked(&desk, &alice).await, 503, "fault.provider");
    let begun = |records: &[serde_json::Value]| records.iter().skip(before).any(|record| record["t"] == "begin");
    assert!(!begun(&desk.stack.records()), "{:?}", desk.stack.records());
    assert_eq!(desk.ask("planner", &call(&txn, RESEARCHER, "")).await.status, 200, "a begun transaction goes on");
    desk.close().await;
}

#[tokio::test]
async fn without_the_broker_nobody_enters_until_it_is_back() {
    let mut desk = Desk::open_story().await;
    let alice = desk.alice().await;
    assert_eq!(asked(&desk, &alice).await.status, 200);
    let seen = desk.stack.seen("planner").await.expect("counted").requests;
    desk.stack.halt("broker").await;
    assert_turned_away("N96", &asked(&desk, &alice).await, 503, "fault.broker");
    assert_eq!(desk.stack.seen("planner").await.expect("counted").requests, seen, "the app was not asked");
    desk.stack.revive("broker").await.expect("back");
    assert_eq!(asked(&desk, &alice).await.status, 200, "{}", desk.stack.log_of("planner-sidecar"));
    desk.close().await;
}

#[tokio::test]
async fn a_broker_that_stands_still_is_not_waited_for() {
    let desk = Desk::open_story().await;
    let alice = desk.alice().await;
    assert_eq!(asked(&desk, &alice).await.status, 200);
    signal(&desk.stack, "broker", Signal::STOP);
    let started = Instant::now();
    let answer = asked(&desk, &alice).await;
    signal(&desk.stack, "broker", Signal::CONT);
    assert_turned_away("N96 timeout", &answer, 503, "fault.broker");
    assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
    assert_eq!(asked(&desk, &alice).await.status, 200, "and it is asked again");
    desk.close().await;
}

#[tokio::test]
async fn an_app_that_is_away_is_told_so_at_both_doors() {
    let mut options = Desk::options();
    options.members.retain(|member| member.name != "researcher");
    for member in &mut options.members {
        member.app = App::At("http://127.0.0.1:1".into());
    }
    options.targets[0]["connect"] = json!("127.0.0.1:1");
    let desk = Desk::open_with(options).await;
    assert_turned_away("edge", &asked(&desk, &desk.alice().await).await, 503, "fault.app");
    let answer = desk.ask("planner", &call(&desk.begun().await, TICKETS, "tickets:read")).await;
    let access = answer.text("/access_token").expect("a token");
    let answer = desk.to_mesh("planner", "tickets", to_tickets(&access, &tool("list_tickets"))).await;
    assert_turned_away("mesh", &answer, 503, "fault.app");
    desk.close().await;
}

#[tokio::test]
async fn a_sidecar_without_identity_lets_nothing_in_or_out() {
    let tickets = Sink::open().await;
    let inside = Inside::open(&tickets.url()).await;
    let alice = inside.desk.alice().await;
    let pid = inside.desk.stack.pid("planner-sidecar").expect("running");
    inside.desk.stack.registrar().expect("embedded").remove(pid).await.expect("removed");
    let call = || Call::new(Method::POST, "http://tickets.tool/mcp").json(&tool("list_tickets"));
    let answer = eventually("the sidecar has noticed", || async {
        Some(inside.through(call()).await).filter(|answer| answer.status != 200)
    })
    .await;
    assert_turned_away("N99 agent door", &answer, 503, "fault.identity");
    assert_turned_away("N99 edge", &asked(&inside.desk, &alice).await, 503, "fault.identity");
    let before = tickets.received().len();
    inside.through(call()).await;
    assert_eq!(tickets.received().len(), before, "nothing leaves");
    inside.close().await;
}

#[tokio::test]
async fn an_identity_that_ended_is_not_used_on() {
    let tickets = Sink::open().await;
    let mut inside = Inside::open(&tickets.url()).await;
    let brief = Lives::new(Duration::from_secs(2), Duration::from_secs(60)).expect("lives");
    inside.desk.stack.registrar().expect("embedded").set_lives(brief).await.expect("set");
    inside.desk.stack.halt("identity").await;
    let call = || Call::new(Method::POST, "http://tickets.tool/mcp").json(&tool("list_tickets"));
    let answer = eventually("the SVID ends and no new one comes", || async {
        Some(inside.through(call()).await).filter(|answer| answer.refusal().as_deref() == Some("fault.identity"))
    })
    .await;
    assert_turned_away("N100", &answer, 503, "fault.identity");
    let before = tickets.received().len();
    inside.through(call()).await;
    assert_eq!(tickets.received().len(), before, "nothing leaves");
    inside.close().await;
}

#[tokio::test]
async fn a_broker_without_identity_begins_nothing() {
    let desk = Desk::open().await;
    let alice = desk.alice().await;
    // A connection from before: new ones are refused in the handshake.
    let line = Mutex::new(desk.line("planner").await);
    let ask = async || line.lock().await.ask(&begin(&alice, "tickets:read")).await;
    assert_eq!(ask().await.status, 200);
    desk.stack
        .registrar()
        .expect("embedded")
        .remove(desk.stack.pid("broker").expect("running"))
        .await
        .expect("removed");
    let noticed = || async { Some(ask().await).filter(|answer| answer.status != 200) };
    let answer = eventually("the broker has noticed", noticed).await;
    assert_refused("N99", &answer, 503, AWAY, "fault.identity");
    let (asked, recorded) = (desk.exchanges_at_provider().await, desk.stack.records().len());
    assert_refused("N99 again", &ask().await, 503, AWAY, "fault.identity");
    assert_eq!(desk.exchanges_at_provider().await, asked, "the provider is not asked");
    assert!(desk.stack.records().iter().skip(recorded).all(|record| record["t"] == "refuse"));
    desk.close().await;
}

#[tokio::test]
async fn a_sidecar_that_has_not_heard_the_broker_yet_serves_nobody() {
    let desk = Desk::open().await;
    let sink = Sink::open().await;
    let folder = Folder::new();
    let config = format!(
        "workload_api: {}\nbroker: {{url: \"https://127.0.0.1:1\", id: spiffe://corp.example/broker}}\napp: {}\n\
         mesh: {{listen: \"127.0.0.1:0\"}}\nagent: {{listen: \"127.0.0.1:0\"}}\nadmin: {{listen: \"127.0.0.1:0\"}}\n\
         edge: {{listen: \"127.0.0.1:0\", danger_plain: true}}\n",
        desk.stack.workload_api(),
        sink.url(),
    );
    let (config, ready_file) = (folder.write("sidecar.yaml", &config), folder.path("ready.json"));
    let arguments = ["--config", &config, "--ready-file", &ready_file, "--exit-on-stdin-close"];
    let sidecar = Program::new("countersign-sidecar").arguments(arguments).start();
    let id = workload_id(STRANGER).expect("an id");
    desk.stack.registrar().expect("embedded").register(sidecar.pid(), &[(id.clone(), None)]).await.expect("registered");
    let admin = sidecar.address(&ready_file, "admin").await;
    let ready = eventually("it has an identity", || async {
        let answer = Call::new(Method::GET, &format!("http://{admin}/ready")).send().await.expect("answered");
        Some(answer).filter(|answer| !String::from_utf8_lossy(&answer.body).contains("identity"))
    })
    .await;
    assert_eq!(ready.status, 503);
    assert!(String::from_utf8_lossy(&ready.body).contains("targets"), "it says what is missing");
    let edge = format!("http://{}/ask", sidecar.address(&ready_file, "edge").await);
    let entering = Call::new(Method::POST, &edge).header("authorization", "Bearer x");
    assert_turned_away("edge", &entering.send().await.expect("answered"), 503, "fault.not_ready");
    let mesh = sidecar.address(&ready_file, "mesh").await;
    let answer = desk.send("planner", &mesh, &id, to_tickets("x", &tool("list_tickets"))).await;
    assert_turned_away("mesh", &answer, 503, "fault.not_ready");
    assert!(sink.received().is_empty());
    assert_eq!(sidecar.end().await.code, Some(0));
    desk.close().await;
}
