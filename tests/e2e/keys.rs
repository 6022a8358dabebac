//! Signing keys change while the broker runs: a rotation fails no call, a revocation is known everywhere at once, and the
//! states survive a restart (`security.md` §5).

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use dev::{apps::Call, stack::StackOptions};
use harness::{
    Desk, Finished, Folder, Lie, OwnProvider, Program, TICKETS, assert_challenged, assert_refused, begin, call,
    eventually, no_file_longer, renew, short_files, to_tickets,
};
use http::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

/// What is promised of a revocation.
const REVOKED_WITHIN: Duration = Duration::from_secs(5);

/// A broker whose keys are published for two seconds before they sign.
fn hasty(mut options: StackOptions, keys: &Value) -> StackOptions {
    options.broker = json!({"keys": {"danger_publication": "2s"}});
    for (name, value) in keys.as_object().expect("keys") {
        options.broker["keys"][name] = value.clone();
    }
    options
}

fn alone() -> StackOptions {
    StackOptions { members: Vec::new(), ..Desk::options() }
}

/// The story's tickets alone, with its sidecar: whoever has the right token may call it.
fn tickets_alone() -> StackOptions {
    let mut options = Desk::options();
    options.members.retain(|member| member.name == "tickets");
    options.targets.iter_mut().filter(|target| target["name"] == "researcher").for_each(|target| {
        target["connect"] = json!("127.0.0.1:1");
    });
    options
}

fn config(desk: &Desk) -> PathBuf {
    desk.stack.folder().join("broker.yaml")
}

async fn order(desk: &Desk, words: &[&str]) -> Finished {
    let config = config(desk);
    let config = config.to_str().expect("text");
    Program::new("countersign").arguments([&["keys"], words, &["--config", config]].concat()).run().await
}

/// All keys, as the command tells them to a program.
async fn listed(desk: &Desk) -> Vec<Value> {
    let told = order(desk, &["list", "--json"]).await;
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let keys: Value = serde_json::from_str(&told.stdout).expect("JSON");
    keys["keys"].as_array().expect("keys").clone()
}

/// Name and state of each.
async fn states(desk: &Desk) -> Vec<(String, String)> {
    let text = |key: &Value, name: &str| key[name].as_str().expect("text").to_owned();
    listed(desk).await.iter().map(|key| (text(key, "kid"), text(key, "state"))).collect()
}

/// The key that signs.
async fn signing(desk: &Desk) -> String {
    let keys = states(desk).await;
    keys.into_iter().find(|(_kid, state)| state == "signing").expect("one signs").0
}

async fn until_another_signs(desk: &Desk, before: &str) -> String {
    let changed = || async { Some(signing(desk).await).filter(|kid| kid != before) };
    eventually("the successor signs", changed).await
}

fn header(token: &str) -> Value {
    let part = URL_SAFE_NO_PAD.decode(token.split('.').next().expect("a header")).expect("base64url");
    serde_json::from_slice(&part).expect("JSON")
}

/// `kid` of each published key.
async fn published(desk: &Desk) -> Vec<String> {
    let answer = desk.to_broker("stranger", Call::new(Method::GET, "https://broker.agents.svc/jwks")).await.json();
    answer["keys"].as_array().expect("keys").iter().map(|key| key["kid"].as_str().expect("text").to_owned()).collect()
}

/// What the record says of keys: what happened, and to which.
fn recorded(desk: &Desk) -> Vec<(String, String)> {
    let lines = desk.stack.records();
    let text = |line: &Value, name: &str| line[name].as_str().expect("text").to_owned();
    lines.iter().filter(|line| line["t"] == "key").map(|line| (text(line, "op"), text(line, "kid"))).collect()
}

/// Planner's token for tickets.
async fn for_tickets(desk: &Desk, txn: &str) -> String {
    let answer = desk.ask("planner", &call(txn, TICKETS, "tickets:read")).await;
    answer.text("/access_token").unwrap_or_else(|| panic!("{}", answer.json()))
}

/// What a client says first.
fn hello() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25",
        "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}})
}

/// Status of a call of tickets' sidecar.
async fn at_tickets(desk: &Desk, access: &str) -> u16 {
    desk.to_mesh("planner", "tickets", to_tickets(access, &hello())).await.status.as_u16()
}

#[tokio::test]
async fn no_call_fails_while_keys_rotate_and_old_tokens_are_good_to_their_end() {
    let desk = Desk::open_with(hasty(tickets_alone(), &json!({"algorithm": "ES256"}))).await;
    let first = signing(&desk).await;
    let txn = desk.begun().await;
    let access = for_tickets(&desk, &txn).await;
    assert_eq!(header(&access)["kid"], json!(first));
    let mut kids = vec![first.clone()];
    for _rotation in 0..3 {
        let before = signing(&desk).await;
        let told = order(&desk, &["rotate"]).await;
        assert_eq!(told.code, Some(0), "{}", told.stderr);
        let ended = timeout(Duration::from_secs(60), async {
            loop {
                // Begin, call, renew, and the call at the real sidecar: all through the rotation.
                let begun = desk.begun().await;
                let given = for_tickets(&desk, &begun).await;
                assert_eq!(at_tickets(&desk, &given).await, 200, "a token of {}", header(&given));
                let renewed = desk.ask("planner", &renew(&txn, "tickets:read")).await;
                assert_eq!(renewed.status, 200, "{}", renewed.json());
                if header(&given)["kid"] != json!(before) {
                    break header(&given)["kid"].as_str().expect("text").to_owned();
                }
            }
        });
        kids.push(ended.await.expect("the successor signs"));
        assert_eq!(at_tickets(&desk, &access).await, 200, "what the first key signed");
    }
    let again = for_tickets(&desk, &txn).await;
    assert_eq!(header(&again)["kid"], json!(kids[3]), "the transaction of the first key goes on");
    let expected: Vec<(String, String)> = std::iter::once(("signing".to_owned(), first))
        .chain(kids.windows(2).flat_map(|pair| {
            let event = |what: &str, kid: &String| (what.to_owned(), kid.clone());
            [event("published", &pair[1]), event("retired", &pair[0]), event("signing", &pair[1])]
        }))
        .collect();
    assert_eq!(recorded(&desk), expected);
    desk.close().await;
}

#[tokio::test]
async fn a_successor_is_published_and_does_not_sign_before_its_time_also_after_a_restart() {
    let mut desk = Desk::open_with(alone()).await;
    let told = order(&desk, &["rotate"]).await;
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let [(old, signs), (new, waits)] = states(&desk).await.try_into().expect("two keys");
    assert_eq!((signs.as_str(), waits.as_str()), ("signing", "published"));
    assert!(published(&desk).await.contains(&new), "whoever verifies can learn it");
    assert_eq!(header(&desk.begun().await)["kid"], json!(old));
    let keys = listed(&desk).await;
    let wait = keys[1]["next"]["at"].as_u64().expect("a date") - keys[1]["since"].as_u64().expect("a date");
    assert!((600..660).contains(&wait), "ten minutes: {wait}");
    let again = order(&desk, &["rotate"]).await;
    assert_eq!(again.code, Some(1), "{}", again.stdout);
    assert!(again.stderr.contains(&new) && again.stderr.contains("published already"), "{}", again.stderr);
    desk.stack.halt("broker").await;
    desk.stack.revive("broker").await.expect("back");
    assert_eq!(states(&desk).await, [(old.clone(), signs), (new.clone(), waits)]);
    assert_eq!(header(&desk.begun().await)["kid"], json!(old));
    let table = order(&desk, &["list"]).await.stdout;
    assert!(table.contains(&new) && table.contains("signs in"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    desk.close().await;
}

#[tokio::test]
async fn a_revoked_key_is_refused_by_broker_and_sidecars_within_seconds_and_never_comes_back() {
    let mut desk = Desk::open_with(tickets_alone()).await;
    let stolen = signing(&desk).await;
    let txn = desk.begun().await;
    let access = for_tickets(&desk, &txn).await;
    assert_eq!(at_tickets(&desk, &access).await, 200);
    let started = Instant::now();
    let told = order(&desk, &["revoke", &stolen]).await;
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let refused = eventually("the sidecar refuses", || async {
        let answer = desk.to_mesh("planner", "tickets", to_tickets(&access, &hello())).await;
        Some(answer).filter(|answer| answer.status == 401)
    })
    .await;
    assert_challenged("revoked", &refused, 401, "access_token.key_unknown");
    assert!(started.elapsed() <= REVOKED_WITHIN, "{:?}", started.elapsed());
    for (case, form) in [("call", call(&txn, TICKETS, "tickets:read")), ("renew", renew(&txn, "tickets:read"))] {
        assert_refused(case, &desk.ask("planner", &form).await, 400, "invalid_request", "subject.key_unknown");
    }
    let now = signing(&desk).await;
    assert_eq!(published(&desk).await, std::slice::from_ref(&now));
    // A new key signs at once; the sidecar learned it with the revocation.
    let fresh = for_tickets(&desk, &desk.begun().await).await;
    assert_eq!((header(&fresh)["kid"].clone(), at_tickets(&desk, &fresh).await), (json!(now), 200));
    let event = |what: &str, kid: &str| (what.to_owned(), kid.to_owned());
    assert_eq!(recorded(&desk), [event("signing", &stolen), event("revoked", &stolen), event("signing", &now)]);
    assert_eq!(order(&desk, &["revoke", &stolen]).await.code, Some(0), "done already");
    desk.stack.halt("broker").await;
    desk.stack.revive("broker").await.expect("back");
    assert_eq!(states(&desk).await, [event(&now, "signing"), event(&stolen, "revoked")]);
    assert_eq!(published(&desk).await, [now]);
    assert_eq!(at_tickets(&desk, &access).await, 401);
    desk.close().await;
}

#[tokio::test]
async fn a_revocation_takes_a_published_successor_where_there_is_one() {
    let desk = Desk::open_with(alone()).await;
    assert_eq!(order(&desk, &["rotate"]).await.code, Some(0));
    let [(old, _), (new, _)] = states(&desk).await.try_into().expect("two keys");
    assert_eq!(order(&desk, &["revoke", &old]).await.code, Some(0));
    assert_eq!(signing(&desk).await, new, "verifiers hold it already");
    assert_eq!(header(&desk.begun().await)["kid"], json!(new));
    desk.close().await;
}

#[tokio::test]
async fn sidecars_verify_edwards_signatures_as_they_do_elliptic_ones() {
    let mut options = hasty(Desk::options(), &json!({"algorithm": "EdDSA"}));
    options.members.retain(|member| member.name != "attacker");
    let desk = Desk::open_with(options).await;
    let txn = desk.begun().await;
    assert_eq!(header(&txn)["alg"], "EdDSA");
    let (_access, passed_on) = desk.called_researcher(&txn).await;
    let access = desk.called_tickets(&passed_on, "tickets:read").await;
    assert_eq!(header(&access)["alg"], "EdDSA");
    let answer = desk.to_mesh("researcher", "tickets", to_tickets(&access, &hello())).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    let edge = format!("{}/ask", desk.stack.edge("planner").expect("an edge"));
    let asked = Call::new(Method::POST, &edge)
        .header("authorization", &format!("Bearer {}", desk.alice().await))
        .json(&json!({"question": "which tickets are open?"}));
    let answer = asked.send().await.expect("answered");
    assert_eq!(answer.status, 200, "the whole story: {}", answer.json());
    desk.close().await;
}

#[tokio::test]
async fn another_algorithm_comes_with_the_next_rotation_and_fails_no_call() {
    let mut desk = Desk::open_with(hasty(tickets_alone(), &json!({"algorithm": "ES256"}))).await;
    let old = signing(&desk).await;
    let txn = desk.begun().await;
    let access = for_tickets(&desk, &txn).await;
    let text = fs::read_to_string(config(&desk)).expect("the file");
    fs::write(config(&desk), text.replace("algorithm: ES256", "algorithm: EdDSA")).expect("written");
    desk.stack.halt("broker").await;
    desk.stack.revive("broker").await.expect("back");
    assert_eq!(header(&desk.begun().await)["alg"], "ES256", "a restart alone changes no key");
    assert_eq!(order(&desk, &["rotate"]).await.code, Some(0));
    until_another_signs(&desk, &old).await;
    let given = for_tickets(&desk, &txn).await;
    assert_eq!(header(&given)["alg"], "EdDSA");
    for token in [&access, &given] {
        assert_eq!(at_tickets(&desk, token).await, 200, "{}", header(token));
    }
    desk.close().await;
}

#[tokio::test]
async fn orders_are_taken_from_the_brokers_own_user_on_its_own_socket_alone() {
    let mut desk = Desk::open_with(alone()).await;
    let socket = desk.stack.folder().join("store/keys.sock");
    assert_eq!(fs::metadata(&socket).expect("a socket").permissions().mode() & 0o777, 0o600);
    let socket = socket.to_str().expect("text").to_owned();
    let named = Program::new("countersign").arguments(["keys", "list", "--socket", &socket]).run().await;
    assert_eq!(named.code, Some(0), "{}", named.stderr);
    for path in ["/keys", "/keys/rotate"] {
        let call = Call::new(Method::POST, &format!("https://broker.agents.svc{path}"));
        let outside = desk.to_broker("planner", call).await;
        assert_eq!(outside.header("grpc-status"), "12", "no workload gives orders: nothing is at `{path}`");
    }
    let unknown = order(&desk, &["revoke", "nobody"]).await;
    assert_eq!(
        (unknown.code, unknown.stderr.contains("there is no key `nobody`")),
        (Some(1), true),
        "{}",
        unknown.stderr
    );
    for words in [&["revoke"][..], &["revoke", "../rotate"], &["list", "more"]] {
        assert_eq!(order(&desk, words).await.code, Some(2), "{words:?}");
    }
    desk.stack.halt("broker").await;
    let away = order(&desk, &["list"]).await;
    assert_eq!(away.code, Some(1));
    assert!(away.stderr.contains("is the broker running"), "{}", away.stderr);
    let nowhere = Program::new("countersign").arguments(["keys", "list", "--config", "/nowhere.yaml"]).run().await;
    assert_eq!((nowhere.code, nowhere.stderr.contains("--socket")), (Some(2), true), "{}", nowhere.stderr);
    desk.close().await;
}

const STRICT: &str = r#"
@id("planner-may-call-tickets-strictly")
@liveness("strict")
permit (
    principal == Workload::"spiffe://corp.example/ns/agents/sa/planner",
    action == Action::"exchange",
    resource == Target::"tickets"
) when { context.subject in Group::"support" };
"#;

/// Whoever stole a key has exchanges on the way at every moment.
#[tokio::test]
async fn what_a_key_signed_that_is_revoked_during_the_exchange_gets_nothing_of_its_successor() {
    let provider = OwnProvider::open().await;
    let broker = json!({"authorities": [{"keycloak": provider.issuer(), "client_id": "txn-broker"}]});
    let mut options = StackOptions { members: Vec::new(), broker, ..Desk::options() };
    options.policies.insert("strict.cedar".to_owned(), STRICT.to_owned());
    let desk = Desk::open_with(options).await;
    let begun = desk.ask("planner", &begin(&provider.user_token("tickets:read"), "tickets:read")).await;
    let txn = begun.text("/access_token").unwrap_or_else(|| panic!("begun: {}", begun.json()));
    let (stolen, asked) = (signing(&desk).await, provider.exchanges());
    provider.tells(Lie::Silence);
    let form = call(&txn, TICKETS, "tickets:read");
    let (answer, ()) = tokio::join!(desk.ask("planner", &form), async {
        eventually("the provider is asked", || async { (provider.exchanges() > asked).then_some(()) }).await;
        let told = order(&desk, &["revoke", &stolen]).await;
        assert_eq!(told.code, Some(0), "{}", told.stderr);
        provider.tells(Lie::None);
    });
    assert_refused("on the way", &answer, 400, "invalid_request", "subject.key_unknown");
    let void = || async { desk.stack.records().into_iter().find(|line| line["t"] == "void") };
    assert_eq!(eventually("the record says so", void).await["code"], "subject.key_unknown");
    desk.close().await;
}

#[tokio::test]
async fn a_key_is_revoked_also_while_the_store_takes_nothing() {
    let folder = Folder::new();
    let mut desk = Desk::open_with(StackOptions { binaries: Some(short_files(&folder, None)), ..alone() }).await;
    let (user, txn) = (desk.alice().await, desk.begun().await);
    let stolen = signing(&desk).await;
    no_file_longer(&desk.stack, 64 * 1024);
    let answer = desk.ask("planner", &begin(&user, "tickets:read")).await;
    assert_refused("the store is full", &answer, 503, "temporarily_unavailable", "fault.store");
    let told = order(&desk, &["revoke", &stolen]).await;
    assert_eq!((told.code, told.stderr.contains("a restart would bring")), (Some(1), true), "{}", told.stderr);
    let refused = desk.ask("planner", &call(&txn, TICKETS, "tickets:read")).await;
    assert_refused("gone all the same", &refused, 400, "invalid_request", "subject.key_unknown");
    assert!(!published(&desk).await.contains(&stolen));
    no_file_longer(&desk.stack, 1 << 40);
    eventually("it is stored", || async { (order(&desk, &["revoke", &stolen]).await.code == Some(0)).then_some(()) })
        .await;
    desk.stack.halt("broker").await;
    desk.stack.revive("broker").await.expect("back");
    assert!(states(&desk).await.contains(&(stolen, "revoked".to_owned())), "and stays so");
    desk.close().await;
}
