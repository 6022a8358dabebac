//! What the authority's event logs say ends work within the second, and an authority that says nothing for too long is
//! one for whose users nothing is issued (`protocol.md` §7).

use dev::stack::StackOptions;
use harness::{
    Desk, Form, Lie, LogLie, OwnProvider, RESEARCHER, TICKETS, assert_refused, begin, call, claims_of, eventually,
    renew,
};
use rustix::process::Signal;
use serde_json::{Value, json};

const SCOPE: &str = "tickets:read";
const INVALID: &str = "invalid_request";
const AWAY: &str = "temporarily_unavailable";
const SESSION_OVER: Lie = Lie::Text(400, r#"{"error":"invalid_request","error_description":"Invalid token"}"#);

/// A broker with `provider` as its authority.
async fn desk_with(provider: &OwnProvider) -> Desk {
    desk_within(provider, "60s").await
}

/// The same, which must hear of it again within so long.
async fn desk_within(provider: &OwnProvider, within: &str) -> Desk {
    let authority = json!({"keycloak": provider.issuer(), "client_id": "txn-broker", "confirm_within": within});
    let broker = json!({"authorities": [authority]});
    Desk::open_with(StackOptions { members: Vec::new(), broker, ..Desk::options() }).await
}

async fn begun(desk: &Desk, token: &str) -> String {
    let answer = desk.ask("planner", &begin(token, SCOPE)).await;
    answer.text("/access_token").unwrap_or_else(|| panic!("begun: {}", answer.json()))
}

/// Until planner is refused with `refusal`; then a second call and a renewal are too.
async fn comes_to(desk: &Desk, txn: &str, status: u16, error: &str, refusal: &str) {
    let form = call(txn, TICKETS, SCOPE);
    eventually(&format!("`{refusal}`"), || async {
        (desk.ask("planner", &form).await.refusal().as_deref() == Some(refusal)).then_some(())
    })
    .await;
    for form in [form, renew(txn, SCOPE)] {
        assert_refused("from now on", &desk.ask("planner", &form).await, status, error, refusal);
    }
}

async fn goes_on(case: &str, desk: &Desk, form: &Form) {
    let answer = desk.ask("planner", form).await;
    assert_eq!(answer.status, 200, "{case}: {}", answer.json());
}

/// A look that began after this call has ended.
async fn looked(provider: &OwnProvider) {
    let before = provider.log().looks();
    eventually("the log is read", || async { (provider.log().looks() >= before + 2).then_some(()) }).await;
}

fn lines(desk: &Desk, op: &str) -> Vec<Value> {
    desk.stack.records().into_iter().filter(|record| record["op"] == op).collect()
}

#[tokio::test]
async fn a_sign_out_that_no_back_channel_told_ends_what_was_begun() {
    let desk = Desk::open().await;
    desk.tell_provider("backchannel-logout-url", &json!({"client": "console", "url": null})).await;
    let (user, elsewhere) = (desk.alice().await, desk.alice().await);
    let (txn, other) = (begun(&desk, &user).await, begun(&desk, &elsewhere).await);
    desk.tell_provider("sign-out", &json!({"sid": claims_of(&user)["sid"]})).await;
    comes_to(&desk, &txn, 400, INVALID, "subject.session_ended").await;
    goes_on("her other session", &desk, &call(&other, TICKETS, SCOPE)).await;
    let line = eventually("it is recorded", || async { lines(&desk, "event").pop() }).await;
    assert_eq!((&line["t"], &line["iss"], &line["txns"]), (&json!("revoke"), &json!(desk.stack.issuer()), &json!(1)));
    let sid = claims_of(&user)["sid"].as_str().expect("a sid").to_owned();
    assert!(!desk.stack.log_of("broker").contains(&sid), "no session is logged");
    assert_eq!(lines(&desk, "event").len(), 1, "the event counts once");
    desk.close().await;
}

#[tokio::test]
async fn a_disabled_user_and_a_logout_of_everybody_end_what_was_begun() {
    for (command, body) in [("disable", json!({"user": "alice"})), ("log-out-everybody", json!({}))] {
        let desk = Desk::open().await;
        let txn = begun(&desk, &desk.alice().await).await;
        desk.tell_provider(command, &body).await;
        comes_to(&desk, &txn, 400, INVALID, "subject.session_ended").await;
        let line = eventually("it is recorded", || async { lines(&desk, "answer").pop() }).await;
        assert_eq!(line["txns"], 1, "{command}: the provider was asked, and said so");
        desk.close().await;
    }
}

#[tokio::test]
async fn who_was_changed_and_may_still_be_acted_for_goes_on() {
    let provider = OwnProvider::open().await;
    let desk = desk_with(&provider).await;
    let txn = begun(&desk, &provider.user_token(SCOPE)).await;
    looked(&provider).await;
    let asked = provider.exchanges();
    provider
        .log()
        .note_change(&json!({"operationType": "UPDATE", "resourceType": "USER", "resourcePath": "users/alice"}));
    eventually("the provider is asked", || async { (provider.exchanges() > asked).then_some(()) }).await;
    goes_on("she is well", &desk, &call(&txn, RESEARCHER, "")).await;
    // Her answers are older than the change for two seconds more. Then somebody else's change asks nothing.
    let asked = eventually("no more is asked about her", || async {
        let before = provider.exchanges();
        looked(&provider).await;
        looked(&provider).await;
        (provider.exchanges() == before).then_some(before)
    })
    .await;
    provider
        .log()
        .note_change(&json!({"operationType": "UPDATE", "resourceType": "USER", "resourcePath": "users/bob"}));
    looked(&provider).await;
    assert_eq!(provider.exchanges(), asked, "bob has begun nothing");
    desk.close().await;
}

#[tokio::test]
async fn who_is_in_doubt_gets_nothing_while_the_provider_cannot_be_asked() {
    let provider = OwnProvider::open().await;
    let mut desk = desk_with(&provider).await;
    let txn = begun(&desk, &provider.user_token(SCOPE)).await;
    looked(&provider).await;
    provider.tells(Lie::Text(503, "{}"));
    goes_on("away alone ends nothing", &desk, &call(&txn, TICKETS, SCOPE)).await;
    provider.log().note(&json!({"type": "REVOKE_GRANT", "userId": "alice", "sessionId": "session-of-alice"}));
    comes_to(&desk, &txn, 503, AWAY, "fault.provider").await;
    harness::signal(&desk.stack, "broker", Signal::KILL);
    eventually("it is gone", || std::future::ready(desk.stack.first_ended())).await;
    desk.stack.revive("broker").await.expect("back");
    let answer = desk.ask("planner", &call(&txn, TICKETS, SCOPE)).await;
    assert_refused("a restart forgets no doubt", &answer, 503, AWAY, "fault.provider");
    provider.tells(SESSION_OVER);
    comes_to(&desk, &txn, 400, INVALID, "subject.session_ended").await;
    desk.close().await;
}

#[tokio::test]
async fn what_happened_while_the_broker_was_away_is_caught_up_with() {
    let provider = OwnProvider::open().await;
    let mut desk = desk_with(&provider).await;
    let txn = begun(&desk, &provider.user_token(SCOPE)).await;
    looked(&provider).await;
    harness::signal(&desk.stack, "broker", Signal::KILL);
    eventually("it is gone", || std::future::ready(desk.stack.first_ended())).await;
    provider.log().note(&json!({"type": "LOGOUT", "userId": "alice", "sessionId": "session-of-alice"}));
    desk.stack.revive("broker").await.expect("back");
    comes_to(&desk, &txn, 400, INVALID, "subject.session_ended").await;
    desk.close().await;
}

#[tokio::test]
async fn an_authority_that_tells_nothing_for_too_long_is_unconfirmed_and_comes_back() {
    let provider = OwnProvider::open().await;
    let desk = desk_within(&provider, "5s").await;
    let user = provider.user_token(SCOPE);
    let txn = begun(&desk, &user).await;
    let lies = [
        LogLie::Forbidden,
        LogLie::Off,
        LogLie::Text(200, "<html>"),
        LogLie::Text(200, r#"[{"id":"1","time":1,"realmId":"realm-of-the-test","type":"LOGIN"}]"#),
        LogLie::Text(500, "{}"),
        LogLie::OtherRealm,
    ];
    for lie in lies {
        provider.log().tells(lie);
        comes_to(&desk, &txn, 503, AWAY, "fault.unconfirmed").await;
        let new = desk.ask("planner", &begin(&user, SCOPE)).await;
        assert_refused(&format!("{lie:?}: a begin"), &new, 503, AWAY, "fault.unconfirmed");
        assert_eq!(desk.readiness("broker").await.status, 200, "{lie:?}: it stays ready");
        provider.log().tells(LogLie::None);
        eventually("and it goes on", || async {
            (desk.ask("planner", &call(&txn, TICKETS, SCOPE)).await.status == 200).then_some(())
        })
        .await;
    }
    let log = desk.stack.log_of("broker");
    for said in ["view-events", "realm-management", "txn-broker", "user events"] {
        assert!(log.contains(said), "the remedy names `{said}`");
    }
    desk.close().await;
}

#[tokio::test]
async fn more_events_than_can_be_read_put_everybody_in_doubt() {
    let provider = OwnProvider::open().await;
    let desk = desk_with(&provider).await;
    let txn = begun(&desk, &provider.user_token(SCOPE)).await;
    looked(&provider).await;
    let asked = provider.exchanges();
    provider.log().tells(LogLie::Endless);
    eventually("the provider is asked", || async { (provider.exchanges() > asked).then_some(()) }).await;
    goes_on("she is well", &desk, &call(&txn, TICKETS, SCOPE)).await;
    provider.tells(SESSION_OVER);
    comes_to(&desk, &txn, 400, INVALID, "subject.session_ended").await;
    desk.close().await;
}

/// An hour's strict work outlives the keeper that it began with (`keycloak.md` §4: 120 s).
#[tokio::test]
async fn keepers_are_renewed_before_they_end() {
    let provider = OwnProvider::open().await;
    let desk = desk_with(&provider).await;
    provider.tells(Lie::Keeper(|claims| claims["exp"] = json!(claims["iat"].as_u64().expect("a date") + 32)));
    begun(&desk, &provider.user_token(SCOPE)).await;
    let asked = provider.exchanges();
    eventually("the keeper is exchanged for itself", || async { (provider.exchanges() > asked).then_some(()) }).await;
    desk.close().await;
}
