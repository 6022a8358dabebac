//! The story: alice asks planner, planner asks researcher, researcher asks the tickets tool. Each hop is shown when the
//! broker has recorded it, and checked against what it must be.

use std::{collections::BTreeSet, pin::pin, time::Duration};

use dev::{
    apps::{Answer, Call, claims_of},
    stack::{Problem, Stack, StackFault},
};
use http::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    APPS, BARE, Run,
    event::{Event, Hop, ShownHop},
    record::Record,
};

/// What alice signs in with.
const ALICE_SCOPE: &str = "tickets:read tickets:write";
/// What alice asks.
const QUESTION: &str = "Which of my tickets are open?";
/// Tickets of alice that are open when the demo starts.
const ALICE_TICKETS: usize = 2;
/// Broker calls of the story: begin, planner to researcher, researcher to tickets without and with scope.
const BROKER_CALLS: usize = 4;
/// How sidecars count them.
const BROKER_CALLS_METRIC: &str = "countersign_broker_calls_total{";
/// Hops of the story whose authority is used.
const HOPS: usize = 3;
/// How often the record is looked at while the request is under way.
const POLL_EVERY: Duration = Duration::from_millis(10);
/// Longest wait for the record after the answer came. A grant is recorded before its tokens leave, so it is there.
const RECORD_WITHIN: Duration = Duration::from_secs(2);

/// Tells the story and returns alice's token.
pub(super) async fn tell(run: &mut Run, stack: &Stack) -> Result<String, StackFault> {
    let alice = stack.sign_in("alice", ALICE_SCOPE).await?;
    run.show(&Event::Asked { user: "alice", question: QUESTION });
    let mut hops = Hops { subject: subject_of(&alice), ..Hops::default() };
    let answer = hops.watch(run, stack, ask(stack, &alice, QUESTION)).await?;
    run.expect(answer.status.is_success(), &format!("alice's request was answered {}", answer.status));

    let tickets = tickets_in(&answer.json());
    let broker_calls = broker_calls(stack).await?;
    let provider_calls = stack.exchanges_at_provider().await?;
    run.show(&Event::Answered { tickets, broker_calls, provider_calls });
    run.expect(tickets == ALICE_TICKETS, "the answer does not hold alice's tickets and no others");
    run.expect(broker_calls == BROKER_CALLS, "there were not exactly four broker calls");
    let recorded = stack.records().iter().filter(|line| line["txn"].is_string()).count();
    run.expect(recorded == BROKER_CALLS, "the broker did not record exactly four calls");
    run.expect(provider_calls == 1, "there was not exactly one call at the provider");
    run.expect(hops.subjects.len() == 1 && !hops.subject.is_empty(), "the hops are not all for alice");
    check_hops(run, stack);
    Ok(alice)
}

/// Asks planner at its edge door, as a user's program would.
pub(super) async fn ask(stack: &Stack, token: &str, question: &str) -> Result<Answer, StackFault> {
    let edge = stack.edge("planner").unwrap_or_default();
    let call = Call::new(Method::POST, &format!("{edge}/ask")).header("authorization", &format!("Bearer {token}"));
    let answer = call.json(&json!({ "question": question })).send().await;
    answer.map_err(|fault| stack.fault("planner-sidecar", Problem::Call(fault)))
}

/// Sends the user's token to an app that no sidecar guards.
pub(super) async fn show_token_to_bare_app(stack: &Stack, token: &str) -> Result<(), StackFault> {
    let url = format!("{}/mcp", stack.app(BARE).unwrap_or_default());
    let call = Call::new(Method::POST, &url).header("authorization", &format!("Bearer {token}"));
    let sent = call.json(&json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })).send().await;
    sent.map(drop).map_err(|fault| stack.fault(BARE, Problem::Call(fault)))
}

/// The tickets that an answer holds, however deep agents packed it.
pub(super) fn tickets_in(answer: &Value) -> usize {
    match answer {
        Value::Object(members) => match members.get("tickets").and_then(Value::as_array) {
            Some(tickets) => tickets.len(),
            None => members.values().map(tickets_in).max().unwrap_or_default(),
        },
        Value::Array(items) => items.iter().map(tickets_in).max().unwrap_or_default(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Where the reading of the record stands.
#[derive(Default)]
struct Hops {
    read: usize,
    /// Whose hops these must be.
    subject: String,
    /// The record names nobody: it holds a keyed hash, equal for equal subjects.
    subjects: BTreeSet<String>,
}

impl Hops {
    /// Shows hops as the broker records them, until the answer is there and with it every hop.
    async fn watch<F>(&mut self, run: &mut Run, stack: &Stack, request: F) -> Result<Answer, StackFault>
    where
        F: Future<Output = Result<Answer, StackFault>>,
    {
        let mut request = pin!(request);
        let answer = loop {
            tokio::select! {
                answer = &mut request => break answer?,
                () = sleep(POLL_EVERY) => self.show_new(run, stack),
            }
        };
        let answered = Instant::now();
        self.show_new(run, stack);
        while run.summary.hops.len() < HOPS && answered.elapsed() < RECORD_WITHIN {
            sleep(POLL_EVERY).await;
            self.show_new(run, stack);
        }
        Ok(answer)
    }

    fn show_new(&mut self, run: &mut Run, stack: &Stack) {
        for line in stack.records().iter().skip(self.read) {
            self.read = self.read.saturating_add(1);
            let Some(record) = Record::read(line, stack.options()) else { continue };
            self.subjects.insert(record.subject.clone());
            if !record.is_used() {
                continue;
            }
            let scope = record.scope_handed_on();
            let hop = Hop {
                workload: record.workload,
                subject: self.subject.clone(),
                actors: record.actors,
                audience: record.audience,
                scope,
                txn: record.txn,
            };
            run.summary.hops.push(hop.clone());
            let (step, scope_before, life_seconds) = (record.name, record.shown, record.life_seconds);
            run.show(&Event::Hop(ShownHop { step, hop, scope_before, life_seconds }));
        }
    }
}

/// The `sub` of a token.
fn subject_of(token: &str) -> String {
    let subject = claims_of(token).and_then(|claims| claims.get("sub").and_then(Value::as_str).map(str::to_owned));
    subject.unwrap_or_default()
}

/// Every hop is exactly what the story says.
fn check_hops(run: &mut Run, stack: &Stack) {
    let options = stack.options();
    let (planner, researcher) = (options.agent_id("planner"), options.agent_id("researcher"));
    let tickets = format!("spiffe://{}/ns/tools/sa/tickets", options.trust_domain);
    let (read, both) = (["tickets:read"].as_slice(), ["tickets:read", "tickets:write"].as_slice());
    let expected = [
        (&planner, vec![&planner], options.trust_domain.as_str(), both),
        (&researcher, vec![&planner], "https://researcher.agents.svc", read),
        (&tickets, vec![&researcher, &planner], "https://tickets.tools.svc/mcp", read),
    ];
    let hops = run.summary.hops.clone();
    run.expect(hops.len() == HOPS, "there were not exactly three hops");
    for (hop, (workload, actors, audience, scope)) in hops.iter().zip(expected) {
        let name = format!("the hop for {audience}");
        run.expect(hop.workload == *workload, &format!("{name} gave authority to another workload"));
        run.expect(hop.actors.iter().eq(actors), &format!("{name} has another actor chain"));
        run.expect(hop.audience == audience, &format!("{name} has another audience"));
        run.expect(hop.scope == scope, &format!("{name} has another scope"));
    }
    let same = |one: &Hop, other: &Hop| one.txn == other.txn && one.subject == other.subject && !one.txn.is_empty();
    run.expect(
        hops.iter().all(|hop| hops.first().is_some_and(|first| same(hop, first))),
        "txn or subject changed on the way",
    );
}

/// Calls at the broker so far, as the sidecars that made them count them.
async fn broker_calls(stack: &Stack) -> Result<usize, StackFault> {
    let mut calls: usize = 0;
    for app in APPS {
        let metrics = stack.metrics(&format!("{app}-sidecar")).await?;
        let counts = metrics.lines().filter(|line| line.starts_with(BROKER_CALLS_METRIC));
        let counted = counts.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok());
        calls = counted.fold(calls, usize::saturating_add);
    }
    Ok(calls)
}
