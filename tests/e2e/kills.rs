//! A broker that is killed at any moment has given nothing that it does not know of afterwards (`security.md` §5).

use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use harness::{BROKER, Desk, Form, RESEARCHER, begin, call, claims_of, eventually, renew, signal};
use identity::{SpiffeId, workload_id};
use runtime::mtls::Connector;
use rustix::process::Signal;
use serde_json::Value;
use tokio::task::JoinSet;

const KILLS: usize = 20;
const CLIENTS: usize = 16;
const SCOPE: &str = "tickets:read";

/// One that asks again and again, and keeps what it is given.
#[derive(Clone)]
struct Client {
    connector: Connector,
    address: String,
    broker: SpiffeId,
    alice: String,
    given: Arc<Mutex<Vec<String>>>,
    refused: Arc<Mutex<Vec<Value>>>,
    is_over: Arc<AtomicBool>,
}

impl Client {
    /// Begins, calls and renews in turn, whatever becomes of the broker.
    async fn run(self, mut txn: String) {
        let mut pace = tokio::time::interval(Duration::from_millis(5));
        let mut turn = 0_usize;
        while !self.is_over.load(Ordering::Relaxed) {
            pace.tick().await;
            turn = turn.wrapping_add(1);
            let form = match turn % 3 {
                0 => begin(&self.alice, SCOPE),
                1 => call(&txn, RESEARCHER, ""),
                _renews => renew(&txn, SCOPE),
            };
            if let Some(newer) = self.ask(form).await.filter(|_newer| turn % 3 != 1) {
                txn = newer;
            }
        }
    }

    /// The token that the answer brings, if one comes.
    async fn ask(&self, form: Form) -> Option<String> {
        let stream = self.connector.connect(&self.address, &self.broker).await.ok()?;
        let answer = dev::apps::Call::from(form).send_over(stream).await.ok()?;
        let tokens = ["/access_token", "/txn_token"].map(|name| answer.text(name));
        self.given.lock().expect("whole").extend(tokens.iter().flatten().cloned());
        if answer.status != 200 && answer.status != 503 {
            self.refused.lock().expect("whole").push(answer.json());
        }
        tokens.into_iter().next().flatten()
    }
}

#[tokio::test]
async fn every_token_in_a_hand_is_in_the_record_however_often_the_broker_is_killed() {
    let mut desk = Desk::open().await;
    let client = Client {
        connector: Connector::new(desk.workload("planner")),
        address: desk.stack.broker_token_address().to_owned(),
        broker: workload_id(BROKER).expect("an id"),
        alice: desk.alice().await,
        given: Arc::default(),
        refused: Arc::default(),
        is_over: Arc::default(),
    };
    let txn = desk.begun().await;
    let mut clients = JoinSet::new();
    for _client in 0..CLIENTS {
        clients.spawn(client.clone().run(txn.clone()));
    }
    let given = || client.given.lock().expect("whole").len();
    for kill in 0..KILLS {
        let enough = given() + 1 + kill * 7 % 23;
        eventually("tokens are given", || async { (given() >= enough).then_some(()) }).await;
        signal(&desk.stack, "broker", Signal::KILL);
        eventually("it is gone", || std::future::ready(desk.stack.first_ended())).await;
        desk.stack.revive("broker").await.expect("back");
    }
    let enough = given() + CLIENTS;
    eventually("it goes on", || async { (given() >= enough).then_some(()) }).await;
    client.is_over.store(true, Ordering::Relaxed);
    while clients.join_next().await.is_some() {}

    let record = fs::read_to_string(desk.stack.record_file()).expect("a record");
    assert!(record.ends_with('\n'), "no line is torn");
    for line in record.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|fault| panic!("{fault}: {line}"));
        assert!(line["t"].is_string(), "{line}");
    }
    let given: BTreeSet<String> = client.given.lock().expect("whole").iter().map(|token| id(token)).collect();
    let unknown: Vec<_> = given.iter().filter(|id| !record.contains(*id)).collect();
    assert!(unknown.is_empty(), "{} of {} tokens are not in the record", unknown.len(), given.len());
    let refused = client.refused.lock().expect("whole").clone();
    assert!(refused.is_empty(), "what was begun went on: {refused:?}");
    desk.close().await;
}

fn id(token: &str) -> String {
    claims_of(token)["jti"].as_str().expect("an id").to_owned()
}
