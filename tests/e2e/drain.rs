//! SIGTERM in the middle of a request: not ready at once, the request ends well, and the process ends with 0.

use std::time::Duration;

use dev::{
    apps::{Answer, Call},
    stack::{Problem, Stack},
};
use futures_util::{StreamExt as _, stream};
use harness::{Desk, Inside, Sink, begin, eventually, renew, signal};
use http::Method;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Connections that are open when the broker is told to stop.
const CONNECTIONS: usize = 1000;
/// Of those, how many ask at a time: below a workload's share.
const ASKING: usize = 64;

async fn ready(stack: &Stack, process: &str) -> Answer {
    let url = format!("http://{}/ready", stack.address(process, "admin").expect("an admin door"));
    Call::new(Method::GET, &url).send().await.expect("answered")
}

/// Not ready, long before it stops serving.
async fn leaves(stack: &Stack, process: &str) {
    assert_eq!(ready(stack, process).await.status, 200);
    signal(stack, process, Signal::TERM);
    let noticed = || async { Some(ready(stack, process).await).filter(|answer| answer.status == 503) };
    let answer = tokio::time::timeout(Duration::from_secs(2), eventually("it is not ready", noticed)).await;
    let text = String::from_utf8_lossy(&answer.expect("at once").body).into_owned();
    assert!(text.contains("drain"), "{text}");
}

/// Waits for the end of the process and says whether it ended with 0.
async fn ended_well(stack: &mut Stack, process: &str) -> bool {
    let fault = eventually("it ends", || std::future::ready(stack.first_ended())).await;
    assert_eq!(fault.process.as_deref(), Some(process));
    matches!(fault.problem, Problem::EndedLater(status) if status.success())
}

#[tokio::test]
async fn a_sidecar_ends_after_its_open_request() {
    let tickets = Sink::open().await;
    let mut inside = Inside::open(&tickets.url()).await;
    leaves(&inside.desk.stack, "planner-sidecar").await;
    let list = harness::tool("list_tickets");
    let answer = inside.through(Call::new(Method::POST, "http://tickets.tool/mcp").json(&list)).await;
    assert_eq!(answer.status, 200, "the transaction still works: {}", answer.json());
    inside.end().await;
    assert!(ended_well(&mut inside.desk.stack, "planner-sidecar").await);
    inside.close().await;
}

#[tokio::test]
async fn a_broker_ends_after_its_open_request() {
    let mut desk = Desk::open().await;
    let form = begin(&desk.alice().await, "tickets:read").encoded();
    let head = format!(
        "POST /token HTTP/1.1\r\nhost: broker.agents.svc\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        form.len()
    );
    let (first, rest) = form.split_at(form.len() / 2);
    let mut stream = desk.connect_to_broker("planner").await;
    stream.write_all(format!("{head}{first}").as_bytes()).await.expect("written");
    leaves(&desk.stack, "broker").await;
    stream.write_all(rest.as_bytes()).await.expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("closed in order");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("access_token"), "{answer}");
    assert!(ended_well(&mut desk.stack, "broker").await);
    desk.close().await;
}

/// Whoever asked before the connection ended has an answer; whoever has none was given nothing.
#[tokio::test]
async fn a_broker_that_stops_under_a_thousand_connections_loses_no_grant() {
    let mut desk = Desk::open().await;
    let form = renew(&desk.begun().await, "tickets:read");
    let opened = stream::iter(0..CONNECTIONS).map(|_number| desk.line("planner")).buffer_unordered(ASKING);
    let lines: Vec<_> = opened.collect().await;
    let asked = lines.into_iter().map(|mut line| {
        let form = &form;
        async move { line.try_to_ask(form).await.map(|answer| answer.status.as_u16()) }
    });
    let mut asked = stream::iter(asked).buffer_unordered(ASKING);
    let (mut granted, mut turned_away) = (0, 0);
    while let Some(status) = asked.next().await {
        match status {
            Some(200) => granted += 1,
            Some(other) => panic!("a good request got {other}"),
            None => turned_away += 1,
        }
        if granted + turned_away == CONNECTIONS / 10 {
            signal(&desk.stack, "broker", Signal::TERM);
        }
    }
    drop(asked);
    assert!(granted >= CONNECTIONS / 10, "{granted} were answered, {turned_away} turned away");
    assert!(ended_well(&mut desk.stack, "broker").await);
    let recorded = desk.stack.records().iter().filter(|line| line["t"] == "renew").count();
    assert_eq!(recorded, granted, "what was recorded as given was given, and nothing else");
    desk.close().await;
}
