//! The provider is believed in nothing that was not asked: more, less, another user, another session, or no answer at
//! all each mean that nothing is issued (K1–K8, N80).

use std::time::{Duration, Instant};

use dev::stack::StackOptions;
use harness::{Desk, Forger, Lie, OwnProvider, assert_refused, begin, claims_of};
use serde_json::json;

const SCOPE: &str = "tickets:read";
const WIDE: &str = "tickets:read tickets:write";
const INVALID: &str = "invalid_request";
const AWAY: &str = "temporarily_unavailable";

async fn desk_with(provider: &OwnProvider) -> Desk {
    let authorities = json!([{"keycloak": provider.issuer(), "client_id": "txn-broker"}]);
    let broker = json!({"authorities": authorities});
    Desk::open_with(StackOptions { members: Vec::new(), broker, ..Desk::options() }).await
}

#[tokio::test]
async fn an_answer_that_was_not_asked_for_is_discarded() {
    let provider = OwnProvider::open().await;
    let desk = desk_with(&provider).await;
    let user = provider.user_token(&format!("openid {WIDE}"));
    let rows: [(&str, Lie, u16, &str, &str); 18] = [
        ("K7 said", Lie::Around(|answer| answer["scope"] = json!(WIDE)), 400, "invalid_scope", "scope.widened"),
        ("K7 held", Lie::Keeper(|claims| claims["scope"] = json!(WIDE)), 400, "invalid_scope", "scope.widened"),
        ("K8 said", Lie::Around(|answer| answer["scope"] = json!("")), 400, "invalid_scope", "scope.withdrawn"),
        ("K8 held", Lie::Keeper(|claims| claims["scope"] = json!("")), 400, "invalid_scope", "scope.withdrawn"),
        ("another user", Lie::Keeper(|claims| claims["sub"] = json!("bob")), 503, AWAY, "fault.provider"),
        ("another session", Lie::Keeper(|claims| claims["sid"] = json!("x")), 503, AWAY, "fault.provider"),
        ("another client", Lie::Keeper(|claims| claims["azp"] = json!("console")), 503, AWAY, "fault.provider"),
        ("K7 elsewhere", Lie::Keeper(|claims| claims["aud"] = json!("account")), 400, "invalid_scope", "scope.widened"),
        (
            "K7 also elsewhere",
            Lie::Keeper(|claims| claims["aud"] = json!(["txn-broker", "tickets"])),
            400,
            "invalid_scope",
            "scope.widened",
        ),
        ("an old keeper", Lie::Keeper(|claims| claims["exp"] = json!(1)), 503, AWAY, "fault.provider"),
        ("no bearer", Lie::Around(|answer| answer["token_type"] = json!("N_A")), 503, AWAY, "fault.provider"),
        ("no keeper", Lie::Around(|answer| answer["access_token"] = json!(7)), 503, AWAY, "fault.provider"),
        ("garbage", Lie::Text(200, "<html>"), 503, AWAY, "fault.provider"),
        ("an error page", Lie::Text(500, "<html>"), 503, AWAY, "fault.provider"),
        ("a redirect", Lie::Text(302, ""), 503, AWAY, "fault.provider"),
        ("endless", Lie::Long(1024 * 1024 + 1), 503, AWAY, "fault.provider"),
        ("K1", Lie::Text(403, r#"{"error":"access_denied"}"#), 400, INVALID, "subject.audience"),
        ("K6", Lie::Text(401, r#"{"error":"invalid_client"}"#), 503, AWAY, "fault.provider"),
    ];
    for (case, lie, status, error, refusal) in rows {
        provider.tells(lie);
        assert_refused(case, &desk.ask("planner", &begin(&user, SCOPE)).await, status, error, refusal);
    }
    assert!(desk.stack.records().iter().all(|record| record["t"] == "refuse"), "{:?}", desk.stack.records());
    provider.tells(Lie::None);
    let answer = desk.ask("planner", &begin(&user, SCOPE)).await;
    assert_eq!(answer.status, 200, "the truth begins: {}", answer.json());
    desk.close().await;
}

#[tokio::test]
async fn the_providers_own_refusals_are_told_in_our_words() {
    let provider = OwnProvider::open().await;
    let desk = desk_with(&provider).await;
    let user = provider.user_token(SCOPE);
    let missing = r#"{"error":"invalid_client","error_description":"Audience not found"}"#;
    let unavailable =
        r#"{"error":"invalid_request","error_description":"Requested audience not available: txn-broker"}"#;
    let ended = r#"{"error":"invalid_request","error_description":"Invalid token"}"#;
    for (case, lie, error, refusal) in [
        ("K2", Lie::Text(400, missing), "invalid_target", "target.unknown"),
        ("K3", Lie::Text(400, unavailable), "invalid_target", "target.unknown"),
        ("K4", Lie::Text(400, r#"{"error":"invalid_scope"}"#), "invalid_scope", "scope.withdrawn"),
        ("K5", Lie::Text(400, ended), INVALID, "subject.session_ended"),
    ] {
        provider.tells(lie);
        assert_refused(case, &desk.ask("planner", &begin(&user, SCOPE)).await, 400, error, refusal);
    }
    desk.close().await;
}

#[tokio::test]
async fn unknown_keys_lead_to_one_look_and_to_no_storm() {
    let provider = OwnProvider::open().await;
    let desk = desk_with(&provider).await;
    let user = provider.user_token(SCOPE);
    assert_eq!(desk.ask("planner", &begin(&user, SCOPE)).await.status, 200);
    let before = provider.key_fetches();
    let forger = Forger::default();
    for number in 0..50 {
        let header = format!(r#"{{"typ":"JWT","alg":"ES256","kid":"unknown-{number}"}}"#);
        let forged = forger.sign(&header, &claims_of(&user).to_string());
        let answer = desk.ask("planner", &begin(&forged, SCOPE)).await;
        assert_refused("N43", &answer, 400, INVALID, "subject.key_unknown");
    }
    assert!(provider.key_fetches() <= before + 1, "{} fetches", provider.key_fetches() - before);
    desk.close().await;
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_not_waited_for() {
    let provider = OwnProvider::open().await;
    let desk = desk_with(&provider).await;
    let user = provider.user_token(SCOPE);
    provider.tells(Lie::Silence);
    let started = Instant::now();
    let answer = desk.ask("planner", &begin(&user, SCOPE)).await;
    assert_refused("N80", &answer, 503, AWAY, "fault.provider");
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    provider.tells(Lie::None);
    assert_eq!(desk.ask("planner", &begin(&user, SCOPE)).await.status, 200, "and asked again");
    desk.close().await;
}
