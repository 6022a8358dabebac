//! A user who signs out ends what was begun for her, at once and without the provider being asked again; nobody else's
//! work ends with it (`protocol.md` §7; OpenID Connect Back-Channel Logout 1.0).

use std::sync::atomic::{AtomicUsize, Ordering};

use dev::{apps::Call, stack::StackOptions};
use harness::{
    Desk, Folder, Form, Inside, Lie, OwnProvider, RESEARCHER, Sink, TICKETS, assert_refused, assert_turned_away, begin,
    call, claims_of, eventually, logout, renew, short_files, signal, tool,
};
use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

const SCOPE: &str = "tickets:read";
const INVALID: &str = "invalid_request";
const ENDED: &str = "subject.session_ended";

/// A transaction of the user of `token` at planner.
async fn begun(desk: &Desk, token: &str) -> String {
    let answer = desk.ask("planner", &begin(token, SCOPE)).await;
    answer.text("/access_token").unwrap_or_else(|| panic!("begun: {}", answer.json()))
}

async fn sign_out(desk: &Desk, token: &str) {
    desk.tell_provider("sign-out", &json!({"sid": claims_of(token)["sid"]})).await;
}

async fn assert_ended(case: &str, desk: &Desk, caller: &str, form: &Form) {
    assert_refused(case, &desk.ask(caller, form).await, 400, INVALID, ENDED);
}

async fn assert_goes_on(case: &str, desk: &Desk, txn: &str) {
    for form in [call(txn, TICKETS, SCOPE), renew(txn, SCOPE)] {
        let answer = desk.ask("planner", &form).await;
        assert_eq!(answer.status, 200, "{case}: {}", answer.json());
    }
}

fn logouts(desk: &Desk) -> Vec<Value> {
    desk.stack.records().into_iter().filter(|record| record["op"] == "logout").collect()
}

/// The record's lines of `count` logouts; they are written soon, not before the provider is answered.
async fn recorded(desk: &Desk, count: usize) -> Vec<Value> {
    let lines =
        eventually("the logouts are recorded", || async { Some(logouts(desk)).filter(|lines| lines.len() >= count) })
            .await;
    assert_eq!(lines.len(), count, "{lines:?}");
    lines
}

#[tokio::test]
async fn a_sign_out_ends_what_was_begun_and_the_provider_is_not_asked() {
    let desk = Desk::open().await;
    let (user, elsewhere) = (desk.alice().await, desk.alice().await);
    let (txn, other) = (begun(&desk, &user).await, begun(&desk, &elsewhere).await);
    let (_access, handed) = desk.called_researcher(&txn).await;
    let before = desk.exchanges_at_provider().await;
    sign_out(&desk, &user).await;
    for (case, caller, form) in [
        ("a target not asked before", "planner", call(&txn, TICKETS, SCOPE)),
        ("a target asked before", "planner", call(&txn, RESEARCHER, "")),
        ("the owner's renewal", "planner", renew(&txn, SCOPE)),
        ("the callee's call", "researcher", call(&handed, TICKETS, SCOPE)),
        ("the callee's renewal", "researcher", renew(&handed, SCOPE)),
        ("the user's token again", "planner", begin(&user, SCOPE)),
    ] {
        assert_ended(case, &desk, caller, &form).await;
    }
    assert_eq!(desk.exchanges_at_provider().await, before, "the provider was not asked");
    assert_goes_on("her other session", &desk, &other).await;
    begun(&desk, &elsewhere).await;
    let line = &recorded(&desk, 1).await[0];
    let said = (&line["t"], &line["iss"], &line["txns"], &line["dec"]);
    assert_eq!(said, (&json!("revoke"), &json!(desk.stack.issuer()), &json!(1), &json!("allow")));
    let begin_line = desk.stack.records().into_iter().find(|record| record["t"] == "begin").expect("a begin");
    assert_eq!(line["sub"], begin_line["sub"], "the user, hashed as elsewhere");
    let sid = claims_of(&user)["sid"].as_str().expect("a sid").to_owned();
    assert!(line["sid"].is_string() && !line.to_string().contains(&sid), "the session, hashed: {line}");
    desk.close().await;
}

#[tokio::test]
async fn an_app_s_call_gets_401_once_its_user_has_signed_out() {
    let tickets = Sink::open().await;
    let inside = Inside::open(&tickets.url()).await;
    sign_out(&inside.desk, &inside.user).await;
    let list = || Call::new(Method::POST, "http://tickets.tool/mcp").json(&tool("list_tickets"));
    let heard = || async {
        let answer = inside.through(list()).await;
        let asked = answer.refusal().as_deref() == Some(ENDED);
        if asked {
            assert_turned_away("the broker says so", &answer, 401, ENDED);
        }
        (!asked).then_some(answer)
    };
    let answer = eventually("planner's sidecar says so itself", heard).await;
    assert_turned_away("signed out", &answer, 401, "subject.revoked");
    assert!(tickets.received().is_empty(), "nothing was sent");
    inside.close().await;
}

#[tokio::test]
async fn a_killed_broker_remembers_who_signed_out() {
    let mut desk = Desk::open().await;
    let (user, elsewhere) = (desk.alice().await, desk.alice().await);
    let (txn, other) = (begun(&desk, &user).await, begun(&desk, &elsewhere).await);
    sign_out(&desk, &user).await;
    signal(&desk.stack, "broker", Signal::KILL);
    eventually("it is gone", || std::future::ready(desk.stack.first_ended())).await;
    desk.stack.revive("broker").await.expect("back");
    let before = desk.exchanges_at_provider().await;
    for (case, form) in [
        ("a call", call(&txn, TICKETS, SCOPE)),
        ("a renewal", renew(&txn, SCOPE)),
        ("the user's token again", begin(&user, SCOPE)),
    ] {
        assert_ended(case, &desk, "planner", &form).await;
    }
    assert_eq!(desk.exchanges_at_provider().await, before, "the provider was not asked");
    assert_goes_on("her other session", &desk, &other).await;
    desk.close().await;
}

#[tokio::test]
async fn a_sign_out_that_cannot_be_stored_is_a_fault_and_ends_the_session_all_the_same() {
    let folder = Folder::new();
    let binaries = Some(short_files(&folder, 1024));
    let desk = Desk::open_with(StackOptions { members: Vec::new(), binaries, ..Desk::options() }).await;
    desk.tell_provider("backchannel-logout-url", &json!({"client": "console", "url": null})).await;
    let user = desk.alice().await;
    let txn = begun(&desk, &user).await;
    // Transactions fill it first, and then the ends of sessions that nobody has, which are smaller.
    let (tried, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    eventually("the store is full", || async {
        let began = desk.ask("planner", &begin(&user, SCOPE)).await;
        let sid = format!("nobody-{}", tried.fetch_add(1, Ordering::Relaxed));
        let answer = logout(&desk, &desk.logout_token(&json!({"sid": sid})).await).await;
        ended.fetch_add(usize::from(answer.status == 200), Ordering::Relaxed);
        (began.status == 503 && answer.status == 503).then_some(())
    })
    .await;
    recorded(&desk, ended.load(Ordering::Relaxed)).await;
    let token = desk.logout_token(&json!({"sid": claims_of(&user)["sid"]})).await;
    for _round in 0..2 {
        let answer = logout(&desk, &token).await;
        assert_refused("the same token, not taken in", &answer, 503, "temporarily_unavailable", "fault.store");
    }
    assert_ended("a call", &desk, "planner", &call(&txn, TICKETS, SCOPE)).await;
    recorded(&desk, ended.load(Ordering::Relaxed)).await;
    desk.close().await;
}

#[tokio::test]
async fn a_user_who_is_signed_out_everywhere_may_come_back_and_nobody_else_is() {
    let mut options = StackOptions { members: Vec::new(), ..Desk::options() };
    let rule = options.policies.get_mut("support-may-begin-at-planner.cedar").expect("the rule");
    *rule = rule.replace(r#"context.subject in Group::"support""#, "true");
    let desk = Desk::open_with(options).await;
    let bob = desk.stack.sign_in("bob", "openid tickets:read").await.expect("signed in");
    let (one, two) = (desk.alice().await, desk.alice().await);
    let (first, second, bobs) = (begun(&desk, &one).await, begun(&desk, &two).await, begun(&desk, &bob).await);
    let answer = logout(&desk, &desk.logout_token(&json!({"sub": claims_of(&one)["sub"]})).await).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    assert_ended("one session", &desk, "planner", &call(&first, TICKETS, SCOPE)).await;
    assert_ended("the other", &desk, "planner", &renew(&second, SCOPE)).await;
    assert_ended("a token of before", &desk, "planner", &begin(&one, SCOPE)).await;
    assert_goes_on("bob's", &desk, &bobs).await;
    assert_eq!(recorded(&desk, 1).await[0]["txns"], 2);
    let back = eventually("a token of a later second", || async {
        let token = desk.alice().await;
        (desk.ask("planner", &begin(&token, SCOPE)).await.status == 200).then_some(token)
    })
    .await;
    assert_goes_on("signed in again", &desk, &begun(&desk, &back).await).await;
    desk.close().await;
}

#[tokio::test]
async fn a_begin_that_waits_for_the_provider_ends_with_the_session() {
    let provider = OwnProvider::open().await;
    let authorities = json!([{"keycloak": provider.issuer(), "client_id": "txn-broker"}]);
    let broker = json!({"authorities": authorities});
    let desk = Desk::open_with(StackOptions { members: Vec::new(), broker, ..Desk::options() }).await;
    let user = provider.user_token(SCOPE);
    begun(&desk, &user).await;
    let (asked, recorded) = (provider.exchanges(), desk.stack.records().len());
    provider.tells(Lie::Silence);
    let begin = begin(&user, SCOPE);
    let (answer, ()) = futures_util::future::join(desk.ask("planner", &begin), async {
        eventually("the provider is asked", || async { (provider.exchanges() > asked).then_some(()) }).await;
        let ended = json!({"sid": claims_of(&user)["sid"]});
        let answer = logout(&desk, &provider.logout_token(&ended)).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        provider.tells(Lie::None);
    })
    .await;
    assert_refused("in flight", &answer, 400, INVALID, ENDED);
    let later: Vec<_> = desk.stack.records().split_off(recorded);
    assert!(later.iter().all(|record| record["dec"] != "allow" || record["op"] == "logout"), "{later:?}");
    desk.close().await;
}

#[tokio::test]
async fn one_authority_ends_no_session_of_another() {
    // Both call their user alice, and her session the same.
    let (ours, theirs) = (OwnProvider::open().await, OwnProvider::open().await);
    let named = |provider: &OwnProvider, name: &str| {
        let issuer = provider.issuer();
        json!({"keycloak": issuer, "client_id": "txn-broker", "name": name})
    };
    let broker = json!({"authorities": [named(&ours, "ours"), named(&theirs, "theirs")]});
    let mut options = StackOptions { members: Vec::new(), broker, ..Desk::options() };
    options.edges[0]["login_clients"] = json!(["ours:console", "theirs:console"]);
    let desk = Desk::open_with(options).await;
    let user = ours.user_token(SCOPE);
    let txn = begun(&desk, &user).await;
    let claims = claims_of(&user);
    for whom in [json!({"sid": claims["sid"]}), json!({"sub": claims["sub"]})] {
        let answer = logout(&desk, &theirs.logout_token(&whom)).await;
        assert_eq!(answer.status, 200, "of a session that nobody began with: {}", answer.json());
    }
    assert_goes_on("another authority's word", &desk, &txn).await;
    begun(&desk, &user).await;
    let answer = logout(&desk, &ours.logout_token(&json!({"sid": claims["sid"]}))).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    assert_ended("its own authority's word", &desk, "planner", &call(&txn, TICKETS, SCOPE)).await;
    let ended: Vec<_> = recorded(&desk, 3).await.iter().map(|line| line["txns"].clone()).collect();
    assert_eq!(ended, [0, 0, 2]);
    desk.close().await;
}
