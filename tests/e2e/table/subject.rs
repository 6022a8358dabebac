//! A subject token that is not exactly what it must be begins and calls nothing (N40–N60, N101–N103, K9).

use harness::{Desk, Forger, RESEARCHER, begin, call, claims_of, renew};
use serde_json::{Value, json};

use super::{Expect::Granted, Row, hold, invalid, row, scope, with};

const SCOPE: &str = "tickets:read";

#[tokio::test]
async fn one_wrong_claim_of_a_users_token_begins_nothing() {
    let desk = Desk::open().await;
    let claims = claims_of(&desk.alice().await);
    let now = claims["iat"].as_u64().expect("a date");
    let slash = format!("{}/", desk.stack.issuer());
    let before = desk.exchanges_at_provider().await;
    let (claim, delegated) = (invalid("subject.claim"), invalid("subject.delegated"));
    let wrong = [
        ("N41 expired", "exp", json!(now - 1), invalid("subject.expired")),
        ("N41 nbf", "nbf", json!(now + 3600), invalid("subject.not_yet_valid")),
        ("N41 iat", "iat", json!(now + 3600), invalid("subject.not_yet_valid")),
        ("N44 unknown", "iss", json!("https://other.example/realms/agents"), invalid("subject.issuer")),
        ("N44 slash", "iss", json!(slash), invalid("subject.issuer")),
        ("N44 absent", "iss", Value::Null, invalid("subject.issuer")),
        ("N45", "aud", json!("account"), invalid("subject.audience")),
        ("N45 list", "aud", json!(["account", "tickets"]), invalid("subject.audience")),
        ("N46", "azp", json!("other-client"), invalid("edge.login_client")),
        ("N102 the broker's own", "azp", json!("txn-broker"), invalid("edge.login_client")),
        ("N47 ID", "typ", json!("ID"), invalid("subject.type")),
        ("N47 refresh", "typ", json!("Refresh"), invalid("subject.type")),
        ("N54 covered by N103", "may_act", json!({"sub": "admin"}), delegated),
        ("N55", "cnf", json!({"jkt": "x"}), claim),
        ("N56", "scope", Value::Null, claim),
        ("N59 text", "exp", json!((now + 300).to_string()), claim),
        ("N59 negative", "exp", json!(-1), claim),
        ("N59 overflow", "exp", json!(u64::MAX), claim),
        ("N59 fraction", "iat", json!(0.5), claim),
        ("N60 text", "act", json!("x"), delegated),
        ("N60 array", "act", json!([]), delegated),
        ("N103", "act", json!({"sub": "admin"}), delegated),
        ("K9", "sid", Value::Null, invalid("subject.no_session")),
    ];
    let mut rows = Vec::new();
    for (case, name, value, expect) in wrong {
        let token = desk.signed(&json!({"typ": "JWT"}), &with(&claims, name, value)).await;
        rows.push(row(case, "planner", begin(&token, SCOPE), expect));
    }
    hold(&desk, rows).await;
    assert_eq!(desk.exchanges_at_provider().await, before, "refused before the provider was asked");
    let control = desk.signed(&json!({"typ": "JWT"}), &claims).await;
    hold(&desk, vec![row("unchanged", "planner", begin(&control, SCOPE), Granted)]).await;
    desk.close().await;
}

#[tokio::test]
async fn a_hostile_token_begins_nothing() {
    let desk = Desk::open().await;
    let alice = desk.alice().await;
    let (unsigned, signature) = alice.rsplit_once('.').expect("a JWS");
    let (header, payload) = unsigned.split_once('.').expect("a JWS");
    // Its last character carries fewer bits than the others, so it is left as it is.
    let (first, rest) = signature.split_at(1);
    let flipped = format!("{}{rest}", if first == "A" { 'B' } else { 'A' });
    let claims = claims_of(&alice).to_string();
    let forger = Forger::default();
    let payload_of = |claims: &str| forger.sign("{}", claims).split('.').nth(1).expect("a part").to_owned();
    let bobs = payload_of(&claims.replace("alice", "bob"));
    let sign = |alg: &str, more: &str, claims: &str| {
        forger.sign(&format!(r#"{{"typ":"JWT","alg":"{alg}","kid":"x"{more}}}"#), claims)
    };
    let (malformed, algorithm) = (invalid("subject.malformed"), invalid("subject.algorithm"));
    let (forged, header_refused) = (invalid("subject.signature"), invalid("subject.forbidden_header"));
    let hostile = [
        ("N40 no JWT", "nonsense".to_owned(), malformed),
        ("N40 JWE", format!("{alice}.a.b"), malformed),
        ("N40 JWS JSON", json!({"payload": payload, "signatures": []}).to_string(), malformed),
        ("N40 padded", format!("{alice}="), malformed),
        (
            "N40 repeated",
            sign("ES256", "", &claims.replacen('{', r#"{"sub":"bob","#, 1)),
            invalid("subject.repeated_name"),
        ),
        ("N40 8 KiB", format!("{header}.{}.{signature}", "A".repeat(8192)), invalid("subject.too_long")),
        ("N42 signature", format!("{unsigned}.{flipped}"), forged),
        ("N42 payload", format!("{header}.{bobs}.{signature}"), forged),
        ("N42 none", sign("none", "", &claims), algorithm),
        ("N42 HS256", sign("HS256", "", &claims), algorithm),
        ("N43", sign("ES256", "", &claims), invalid("subject.key_unknown")),
        ("N58", sign("ES256", r#","crit":["exp"]"#, &claims), header_refused),
        ("N58 b64", sign("ES256", r#","b64":false"#, &claims), header_refused),
        ("N58 jku", sign("ES256", r#","jku":"https://evil.example/""#, &claims), header_refused),
        ("N58 jwk", sign("ES256", r#","jwk":{}"#, &claims), header_refused),
        ("N59 1e400", sign("ES256", "", &claims.replacen('{', r#"{"nbf":1e400,"#, 1)), malformed),
    ];
    let hostile = hostile.into_iter().map(|(case, token, expect)| row(case, "planner", begin(&token, SCOPE), expect));
    hold(&desk, hostile.collect()).await;
    desk.close().await;
}

#[tokio::test]
async fn a_token_of_another_kind_begins_and_calls_nothing() {
    let desk = Desk::open().await;
    let txn = desk.begun().await;
    let (access, _for_researcher) = desk.called_researcher(&txn).await;
    let alice = desk.alice().await;
    let svid = desk.jwt_svid("planner", "https://broker.agents.svc").await;
    let others = desk.jwt_svid("researcher", "https://broker.agents.svc").await;
    let (kind, issuer) = (invalid("subject.type"), invalid("subject.issuer"));
    let of_type = |token: &str, name: &str| {
        begin(token, SCOPE).set("subject_token_type", &format!("urn:ietf:params:oauth:token-type:{name}"))
    };
    let mut rows = vec![
        row("N48", "planner", begin(&txn, SCOPE), issuer),
        row("N48 A as T", "planner", call(&access, RESEARCHER, ""), kind),
        row("N48 A as T, renewed", "planner", renew(&access, SCOPE), kind),
        row("N48 U as T", "planner", call(&alice, RESEARCHER, ""), kind),
        row("N50", "planner", begin(&svid, SCOPE), issuer),
        row("N50 of another", "planner", of_type(&others, "jwt"), invalid("request.token_type")),
        row("N51", "planner", begin(&access, SCOPE), issuer),
        row("N51 by its target", "researcher", begin(&access, SCOPE), invalid("edge.not_registered")),
        row("N57", "planner", of_type(r#"{"sub":"alice"}"#, "unsigned_json"), invalid("request.token_type")),
        row("N57 self_signed", "planner", of_type(&svid, "self_signed"), invalid("request.token_type")),
    ];
    // Under our own key no test can write these; `identity` has them one by one.
    let forger = Forger::default();
    let odd = |case: &'static str, name: &str, value: Value| -> Row {
        let forged = forger.resign(&txn, |claims| *claims = with(claims, name, value));
        row(case, "planner", call(&forged, RESEARCHER, ""), invalid("subject.signature"))
    };
    rows.push(odd("N49", "aud", json!("other.example")));
    for name in ["txn", "req_wl", "scope", "sub", "iat", "exp"] {
        rows.push(odd("N49 missing", name, Value::Null));
    }
    rows.push(odd("N60 of T", "act", json!([])));
    hold(&desk, rows).await;
    desk.close().await;
}

#[tokio::test]
async fn only_an_edge_takes_users_in() {
    let desk = Desk::open().await;
    let alice = desk.alice().await;
    let nobody = invalid("edge.not_registered");
    let rows = ["researcher", "tickets", "stranger"].map(|caller| row("N101", caller, begin(&alice, SCOPE), nobody));
    hold(&desk, rows.into()).await;
    desk.close().await;
}

/// N53: signed out or disabled at the first hop.
#[tokio::test]
async fn the_provider_has_the_last_word_at_begin() {
    let desk = Desk::open().await;
    // It tells the broker nothing, so that the broker has to ask.
    desk.tell_provider("backchannel-logout-url", &json!({"client": "console", "url": null})).await;
    let out = desk.alice().await;
    desk.tell_provider("sign-out", &json!({"sid": claims_of(&out)["sid"]})).await;
    let ended = invalid("subject.session_ended");
    hold(&desk, vec![row("N53 signed out", "planner", begin(&out, SCOPE), ended)]).await;
    let alice = desk.alice().await;
    desk.tell_provider("remove-role", &json!({"user": "alice", "role": "tickets-writer"})).await;
    let rows = vec![
        row("K8", "planner", begin(&alice, "tickets:read tickets:write"), scope("scope.withdrawn")),
        row("K8 what is left", "planner", begin(&alice, SCOPE), Granted),
    ];
    hold(&desk, rows).await;
    desk.tell_provider("disable", &json!({"user": "alice"})).await;
    hold(&desk, vec![row("N53 disabled", "planner", begin(&alice, SCOPE), ended)]).await;
    desk.close().await;
}
