//! What was revoked ends at every sidecar as soon as the broker tells it, and nothing else ends with it (N92, N108;
//! `protocol.md` §5, §8).

use api::{Revocations, RevokedWorkload};
use dev::{
    apps::{Answer, Call},
    stack::App,
};
use harness::{
    Crowd, Desk, Guest, OwnBroker, RESEARCHER, Reader, Sink, Spring, TICKETS, assert_challenged, assert_turned_away,
    claims_of, eventually, to_researcher, to_tickets, tool,
};
use http::Method;
use runtime::clock;
use serde_json::{Value, json};

const ISSUER: &str = "https://broker.agents.svc";
const PLANNER: &str = "spiffe://corp.example/ns/agents/sa/planner";
const RESEARCHER_ID: &str = "spiffe://corp.example/ns/agents/sa/researcher";
const LIST: &str = "http://tickets.tool/mcp";

async fn sign_out(desk: &Desk, user: &str) {
    desk.tell_provider("sign-out", &json!({"sid": claims_of(user)["sid"]})).await;
}

/// A call that planner's app makes for `guest`, whose answer it reads as it comes.
async fn reading(crowd: &Crowd, guest: &Guest) -> Reader {
    let agent = crowd.desk.stack.agent("planner").expect("an agent door");
    let address = agent.trim_start_matches("http://");
    Reader::open(address, LIST, &[("countersign-handle", guest.handle())], &tool("list_tickets")).await
}

async fn metric(desk: &Desk, sidecar: &str, line: &str) {
    let told = || async {
        let metrics = desk.stack.metrics(sidecar).await.expect("metrics");
        metrics.lines().any(|one| one == line).then_some(())
    };
    eventually(&format!("{sidecar} counts `{line}`"), told).await;
}

#[tokio::test]
async fn a_sign_out_ends_the_calls_of_its_user_on_both_sides_and_nobody_elses() {
    let tickets = Spring::open().await;
    let crowd = Crowd::open(&tickets.url()).await;
    let (alice, other) = (crowd.enter(&[]).await, crowd.enter(&[]).await);
    let (mut ends, mut goes_on) = (reading(&crowd, &alice).await, reading(&crowd, &other).await);
    tickets.flows(2).await;
    assert!(ends.reads_on().await && goes_on.reads_on().await);
    let handle = alice.handle().to_owned();
    sign_out(&crowd.desk, &alice.user).await;
    ends.end().await;
    tickets.flows(1).await;
    assert_turned_away("she who waits for planner", &alice.answer().await, 401, "subject.revoked");
    let call =
        |handle: &str| Call::new(Method::POST, LIST).json(&tool("list_tickets")).header("countersign-handle", handle);
    let before = tickets.received().len();
    assert_turned_away("planner's next call", &crowd.through(call(&handle)).await, 401, "subject.revoked");
    assert_eq!(tickets.received().len(), before, "nothing was sent");
    for _event in 0..20 {
        assert!(goes_on.reads_on().await, "her other request goes on");
    }
    drop(reading(&crowd, &other).await);
    metric(&crowd.desk, "planner-sidecar", "countersign_exchanges_ended_total{reason=\"revoked\"} 1").await;
    // Whose snapshot comes first cuts the call; at the other one it then just ends.
    for sidecar in ["planner-sidecar", "tickets-sidecar"] {
        metric(&crowd.desk, sidecar, "countersign_revocations 1").await;
    }
    crowd.close().await;
}

#[tokio::test]
async fn an_answer_at_the_edge_ends_with_its_session() {
    let planner = Spring::open().await;
    let mut options = Desk::options();
    options.members.retain(|member| member.name == "planner");
    options.members[0].app = App::At(planner.url());
    for target in &mut options.targets {
        target["connect"] = json!("127.0.0.1:1");
    }
    let desk = Desk::open_with(options).await;
    let edge = desk.stack.edge("planner").expect("an edge");
    let address = edge.trim_start_matches("http://");
    let (one, two) = (desk.alice().await, desk.alice().await);
    let asking = async |user: &str| {
        let bearer = format!("Bearer {user}");
        Reader::open(address, "/ask", &[("authorization", &bearer)], &json!({})).await
    };
    let (ends, mut goes_on) = (asking(&one).await, asking(&two).await);
    planner.flows(2).await;
    sign_out(&desk, &one).await;
    ends.end().await;
    planner.flows(1).await;
    assert!(goes_on.reads_on().await);
    desk.close().await;
}

/// A1 and T2: planner's access token for researcher in `txn`, and what researcher may use next.
fn hop(broker: &OwnBroker, txn: &str) -> (String, String) {
    let now = clock::now().secs();
    let common =
        json!({"iss": ISSUER, "iat": now, "exp": now + 60, "txn": txn, "sub": "alice", "act": {"sub": PLANNER}});
    let with = |changes: Value| {
        let mut claims = common.clone();
        claims.as_object_mut().expect("claims").extend(changes.as_object().expect("claims").clone());
        claims
    };
    let (access_id, txn_id) = (format!("a-{txn}"), format!("t-{txn}"));
    let access = with(json!({"aud": RESEARCHER, "jti": access_id, "client_id": PLANNER, "tjti": txn_id}));
    let handed = with(json!({"aud": "corp.example", "jti": txn_id, "req_wl": PLANNER, "callee": RESEARCHER_ID,
        "scope": "tickets:read"}));
    (broker.token("at+jwt", &access), broker.token("txntoken+jwt", &handed))
}

/// A2: researcher's access token for tickets in `txn`.
fn for_tickets(broker: &OwnBroker, txn: &str) -> String {
    let now = clock::now().secs();
    let claims = json!({"iss": ISSUER, "aud": TICKETS, "iat": now, "exp": now + 60, "jti": format!("b-{txn}"),
        "txn": txn, "sub": "alice", "scope": "tickets:read", "client_id": RESEARCHER_ID,
        "act": {"sub": RESEARCHER_ID, "act": {"sub": PLANNER}}});
    broker.token("at+jwt", &claims)
}

/// A stack whose apps are sinks, and a broker of the test's own.
async fn at_own_broker(researcher: &Sink, tickets: &Sink) -> (Desk, OwnBroker) {
    let mut options = Desk::options();
    options.members.retain(|member| member.name != "planner");
    options.members[0].app = App::At(researcher.url());
    options.members[1].app = App::At(tickets.url());
    let mut desk = Desk::open_with(options).await;
    let broker = OwnBroker::replace(&mut desk).await;
    let heard = || async {
        let answers = [at_researcher(&desk, &hop(&broker, "warm")).await, at_tickets(&desk, &broker, "warm").await];
        answers.iter().all(|answer| answer.status == 200).then_some(())
    };
    eventually("the sidecars hear the test's broker", heard).await;
    (desk, broker)
}

async fn at_researcher(desk: &Desk, (access, txn): &(String, String)) -> Answer {
    desk.to_mesh("planner", "researcher", to_researcher(access, txn)).await
}

async fn at_tickets(desk: &Desk, broker: &OwnBroker, txn: &str) -> Answer {
    desk.to_mesh("researcher", "tickets", to_tickets(&for_tickets(broker, txn), &tool("list_tickets"))).await
}

/// At the door; a call that was in progress is cut off.
fn is_refused(answer: &Answer) -> bool {
    answer.status != 200 && answer.refusal().as_deref() != Some("subject.revoked")
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn transactions(list: &[&str]) -> Revocations {
    Revocations { transactions: names(list), ..Revocations::default() }
}

fn tokens(list: &[&str]) -> Revocations {
    Revocations { tokens: names(list), ..Revocations::default() }
}

fn workload(id: &str, through: u64) -> Revocations {
    Revocations { workloads: vec![RevokedWorkload { id: id.to_owned(), through }], ..Revocations::default() }
}

#[tokio::test]
async fn what_was_revoked_opens_no_mesh_door() {
    let (researcher, tickets) = (Sink::open().await, Sink::open().await);
    let (desk, broker) = at_own_broker(&researcher, &tickets).await;
    let pair = hop(&broker, "one");
    let soon = clock::now().secs() + 3600;
    for (case, revocations, refusal) in [
        ("N92 its transaction", transactions(&["one"]), "access_token.revoked"),
        ("the access token", tokens(&["a-one"]), "access_token.revoked"),
        ("the token minted with it", tokens(&["t-one"]), "access_token.revoked"),
        ("its client", workload(PLANNER, soon), "access_token.revoked"),
        ("its callee", workload(RESEARCHER_ID, soon), "txn_token.revoked"),
    ] {
        broker.revoke(revocations);
        let refused = || async { Some(at_researcher(&desk, &pair).await).filter(is_refused) };
        let answer = eventually(case, refused).await;
        assert_challenged(case, &answer, 401, refusal);
        let before = researcher.received().len();
        at_researcher(&desk, &pair).await;
        assert_eq!(researcher.received().len(), before, "{case}: nothing reaches the app");
        broker.revoke(Revocations::default());
        let again = || async { (at_researcher(&desk, &pair).await.status == 200).then_some(()) };
        eventually("and is told no longer", again).await;
    }
    desk.close().await;
}

#[tokio::test]
async fn what_was_not_revoked_goes_on() {
    let (researcher, tickets) = (Sink::open().await, Sink::open().await);
    let (desk, broker) = at_own_broker(&researcher, &tickets).await;
    let before = clock::now().secs() - 60;
    for (case, revocations) in [
        ("another transaction", transactions(&["two", "a-one"])),
        ("another token", tokens(&["a-two", "one"])),
        ("a workload that is not named", workload("spiffe://corp.example/ns/agents/sa/stranger", before + 3600)),
        ("what a workload was given before", workload(PLANNER, before)),
    ] {
        let mut told = revocations;
        told.transactions.push("gone".into());
        broker.revoke(told);
        let heard = || async { (at_tickets(&desk, &broker, "gone").await.status == 401).then_some(()) };
        eventually("tickets hears it", heard).await;
        let heard = || async { (at_researcher(&desk, &hop(&broker, "gone")).await.status == 401).then_some(()) };
        eventually("researcher hears it", heard).await;
        assert_eq!(at_researcher(&desk, &hop(&broker, "one")).await.status, 200, "{case}");
        assert_eq!(at_tickets(&desk, &broker, "one").await.status, 200, "{case}");
        broker.revoke(Revocations::default());
        let again = || async { (at_tickets(&desk, &broker, "gone").await.status == 200).then_some(()) };
        eventually("and is told no longer", again).await;
    }
    desk.close().await;
}

#[tokio::test]
async fn a_key_that_is_withdrawn_verifies_nothing_more() {
    let (researcher, tickets) = (Sink::open().await, Sink::open().await);
    let (desk, broker) = at_own_broker(&researcher, &tickets).await;
    broker.withdraw_key();
    let refused = || async { Some(at_tickets(&desk, &broker, "one").await).filter(is_refused) };
    assert_challenged("withdrawn", &eventually("it is heard", refused).await, 401, "access_token.key_unknown");
    desk.close().await;
}

#[tokio::test]
async fn a_word_that_cannot_be_read_whole_revokes_nothing_and_frees_nothing() {
    let (researcher, tickets) = (Sink::open().await, Sink::open().await);
    let (desk, broker) = at_own_broker(&researcher, &tickets).await;
    broker.revoke(transactions(&["one"]));
    let refused = || async { (at_tickets(&desk, &broker, "one").await.status == 401).then_some(()) };
    eventually("it is heard", refused).await;
    broker.revoke(Revocations { tokens: names(&[""]), ..transactions(&["two"]) });
    let said = || async { desk.stack.log_of("tickets-sidecar").contains("snapshot refused whole").then_some(()) };
    eventually("it is refused whole", said).await;
    assert_challenged("kept", &at_tickets(&desk, &broker, "one").await, 401, "access_token.revoked");
    assert_eq!(at_tickets(&desk, &broker, "two").await.status, 200, "not taken in");
    metric(&desk, "tickets-sidecar", "countersign_revocations 1").await;
    desk.close().await;
}
