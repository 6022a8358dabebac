//! A subject token that is not exactly what it must be begins nothing (N40–N51, N53, N56, N60, N101–N103, K8–K10).

use harness::{Desk, Forger, assert_refused, begin, call, claims_of, renew};
use serde_json::{Value, json};

const SCOPE: &str = "tickets:read";

fn changed(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    match value {
        Value::Null => claims.as_object_mut().expect("claims").remove(name).map_or((), drop),
        value => claims[name] = value,
    }
    claims
}

#[tokio::test]
async fn one_wrong_claim_of_a_users_token_begins_nothing() {
    let desk = Desk::open().await;
    let claims = claims_of(&desk.alice().await);
    let now = claims["iat"].as_u64().expect("a date");
    let issuer = desk.stack.issuer().to_owned();
    let before = desk.exchanges_at_provider().await;
    let rows = [
        ("N41 expired", "exp", json!(now - 1), "subject.expired"),
        ("N41 nbf", "nbf", json!(now + 3600), "subject.not_yet_valid"),
        ("N41 iat", "iat", json!(now + 3600), "subject.not_yet_valid"),
        ("N44 unknown", "iss", json!("https://other.example/realms/agents"), "subject.issuer"),
        ("N44 slash", "iss", json!(format!("{issuer}/")), "subject.issuer"),
        ("N44 absent", "iss", Value::Null, "subject.issuer"),
        ("N45", "aud", json!("account"), "subject.audience"),
        ("N45", "aud", json!(["account", "tickets"]), "subject.audience"),
        ("N46 N102", "azp", json!("other-client"), "edge.login_client"),
        ("N47 ID", "typ", json!("ID"), "subject.type"),
        ("N47 refresh", "typ", json!("Refresh"), "subject.type"),
        ("N56", "scope", Value::Null, "subject.claim"),
        ("N59 text", "exp", json!((now + 300).to_string()), "subject.claim"),
        ("N59 negative", "exp", json!(-1), "subject.claim"),
        ("N59 fraction", "iat", json!(0.5), "subject.claim"),
        ("N60 N103", "act", json!("x"), "subject.delegated"),
        ("N60 N103", "act", json!([]), "subject.delegated"),
        ("N103", "act", json!({"sub": "admin"}), "subject.delegated"),
        ("N103", "may_act", json!({"sub": "admin"}), "subject.delegated"),
        ("K9", "sid", Value::Null, "subject.no_session"),
    ];
    for (case, name, value, refusal) in rows {
        let token = desk.signed(&json!({"typ": "JWT"}), &changed(&claims, name, value)).await;
        assert_refused(case, &desk.ask("planner", &begin(&token, SCOPE)).await, 400, "invalid_request", refusal);
    }
    assert_eq!(desk.exchanges_at_provider().await, before, "refused before the provider was asked");
    let control = desk.signed(&json!({"typ": "JWT"}), &claims).await;
    assert_eq!(desk.ask("planner", &begin(&control, SCOPE)).await.status, 200, "the same token unchanged begins");
    desk.close().await;
}

#[tokio::test]
async fn a_hostile_token_begins_nothing() {
    let desk = Desk::open().await;
    let alice = desk.alice().await;
    let (unsigned, signature) = alice.rsplit_once('.').expect("a JWS");
    let (header, payload) = unsigned.split_once('.').expect("a JWS");
    let flipped: String = signature.chars().rev().map(|c| if c == 'A' { 'B' } else { 'A' }).collect();
    let claims = claims_of(&alice).to_string();
    let forger = Forger::default();
    let repeated = claims.replacen('{', r#"{"sub":"bob","#, 1);
    let sign = |alg: &str, more: &str, claims: &str| {
        forger.sign(&format!(r#"{{"typ":"JWT","alg":"{alg}","kid":"x"{more}}}"#), claims)
    };
    let rows = [
        ("N40 no JWT", "nonsense".to_owned(), "subject.malformed"),
        ("N40 JWE", format!("{alice}.a.b"), "subject.malformed"),
        ("N40 JWS JSON", json!({"payload": payload, "signatures": []}).to_string(), "subject.malformed"),
        ("N40 repeated", sign("ES256", "", &repeated), "subject.repeated_name"),
        ("N40 padded", format!("{alice}="), "subject.malformed"),
        ("N42 signature", format!("{unsigned}.{flipped}"), "subject.signature"),
        (
            "N42 payload",
            format!(
                "{header}.{}.{signature}",
                forger.sign("{}", &claims.replace("alice", "bob")).split('.').nth(1).expect("a part")
            ),
            "subject.signature",
        ),
        ("N42 none", sign("none", "", &claims), "subject.algorithm"),
        ("N42 HS256", sign("HS256", "", &claims), "subject.algorithm"),
        ("N43 unknown kid", sign("ES256", "", &claims), "subject.key_unknown"),
        ("N58 crit", sign("ES256", r#","crit":["exp"]"#, &claims), "subject.forbidden_header"),
        ("jku", sign("ES256", r#","jku":"https://evil.example/""#, &claims), "subject.forbidden_header"),
        ("jwk", sign("ES256", r#","jwk":{}"#, &claims), "subject.forbidden_header"),
        ("8 KiB", format!("{header}.{}.{signature}", "A".repeat(8192)), "subject.too_long"),
    ];
    for (case, token, refusal) in rows {
        if token != alice {
            assert_refused(case, &desk.ask("planner", &begin(&token, SCOPE)).await, 400, "invalid_request", refusal);
        }
    }
    desk.close().await;
}

#[tokio::test]
async fn a_token_of_another_kind_begins_and_calls_nothing() {
    let desk = Desk::open().await;
    let txn = desk.begun().await;
    let (access, _for_researcher) = desk.called_researcher(&txn).await;
    let researcher = "https://researcher.agents.svc";
    let rows = [
        ("N48 T as access token", begin(&txn, SCOPE), "subject.issuer"),
        ("N48 A as T", call(&access, researcher, ""), "subject.type"),
        ("N48 A as T, renewed", renew(&access, SCOPE), "subject.type"),
        ("N51 A as subject", begin(&access, SCOPE), "subject.issuer"),
        ("U as T", call(&desk.alice().await, researcher, ""), "subject.type"),
    ];
    for (case, form, refusal) in rows {
        assert_refused(case, &desk.ask("planner", &form).await, 400, "invalid_request", refusal);
    }
    let svid = desk.jwt_svid("planner", "https://broker.agents.svc").await;
    assert_refused("N50", &desk.ask("planner", &begin(&svid, SCOPE)).await, 400, "invalid_request", "subject.issuer");
    let forger = Forger::default();
    for (case, name, value) in
        [("N49", "aud", json!("other.example")), ("N49", "txn", Value::Null), ("N60", "act", json!([]))]
    {
        let forged = forger.resign(&txn, |claims| *claims = changed(claims, name, value));
        let answer = desk.ask("planner", &call(&forged, researcher, "")).await;
        assert_refused(case, &answer, 400, "invalid_request", "subject.signature");
    }
    desk.close().await;
}

#[tokio::test]
async fn only_an_edge_takes_users_in() {
    let desk = Desk::open().await;
    let alice = desk.alice().await;
    for caller in ["researcher", "tickets", "stranger"] {
        let answer = desk.ask(caller, &begin(&alice, SCOPE)).await;
        assert_refused("N101", &answer, 400, "invalid_request", "edge.not_registered");
    }
    desk.close().await;
}

#[tokio::test]
async fn the_provider_has_the_last_word_at_begin() {
    let desk = Desk::open().await;
    // It tells the broker nothing, so that the broker has to ask.
    desk.tell_provider("backchannel-logout-url", &json!({"client": "console", "url": null})).await;
    let out = desk.alice().await;
    desk.tell_provider("sign-out", &json!({"sid": claims_of(&out)["sid"]})).await;
    let answer = desk.ask("planner", &begin(&out, SCOPE)).await;
    assert_refused("N53 signed out", &answer, 400, "invalid_request", "subject.session_ended");
    let alice = desk.alice().await;
    desk.tell_provider("remove-role", &json!({"user": "alice", "role": "tickets-writer"})).await;
    let answer = desk.ask("planner", &begin(&alice, "tickets:read tickets:write")).await;
    assert_refused("K8", &answer, 400, "invalid_scope", "scope.withdrawn");
    assert_eq!(desk.ask("planner", &begin(&alice, SCOPE)).await.status, 200, "what is left still begins");
    desk.tell_provider("disable", &json!({"user": "alice"})).await;
    let answer = desk.ask("planner", &begin(&alice, SCOPE)).await;
    assert_refused("N53 disabled", &answer, 400, "invalid_request", "subject.session_ended");
    desk.close().await;
}

#[tokio::test]
async fn nothing_outlives_the_users_token() {
    let desk = Desk::open().await;
    let token = desk.stack.sign_in_with("alice", "openid tickets:read", &[("dev_life", "4")]).await.expect("signed in");
    let end = claims_of(&token)["exp"].as_u64().expect("a date");
    let begun = desk.ask("planner", &begin(&token, SCOPE)).await;
    let txn = begun.json()["access_token"].as_str().unwrap_or_else(|| panic!("K10: {}", begun.json())).to_owned();
    assert!(begun.json()["expires_in"].as_u64().expect("seconds") <= 4);
    assert_eq!(claims_of(&txn)["exp"].as_u64(), Some(end));
    let (access, passed_on) = desk.called_researcher(&txn).await;
    for minted in [access, passed_on] {
        assert!(claims_of(&minted)["exp"].as_u64().expect("a date") <= end);
    }
    harness::eventually("the user's token ends", || async { (runtime::clock::now().secs() >= end).then_some(()) })
        .await;
    let answer = desk.ask("planner", &renew(&txn, SCOPE)).await;
    assert_refused("N66 N41", &answer, 400, "invalid_request", "subject.expired");
    desk.close().await;
}
