//! One thing wrong at a time: each must be refused with its own fault (`tokens.md` §8, N40–N51, N58–N60, N84–N89).

use identity::{
    AccessRule, KeeperRule, KeySet, RawToken, Registry, Reserved, Rule, SpiffeId, SvidRule, TargetSpec, TokenFault,
    TrustDomain, TxnRule, UnixTime, UserRule, verify,
};
use serde_json::{Value, json};

use crate::signer::{Signer, raw};

const NOW: u64 = 1_795_300_000;
const ISSUER: &str = "https://keycloak.corp.example/realms/agents";
const BROKER: &str = "https://broker.agents.svc";
const PLANNER: &str = "spiffe://corp.example/ns/agents/sa/planner";
const RESEARCHER: &str = "spiffe://corp.example/ns/agents/sa/researcher";
const TICKETS: &str = "https://tickets.tools.svc/mcp";

fn now() -> UnixTime {
    UnixTime::from_secs(NOW).expect("a time")
}

fn user() -> Value {
    json!({"iss": ISSUER, "aud": "txn-broker", "sub": "5f1c-alice", "typ": "Bearer", "azp": "console", "sid": "s-1",
        "iat": NOW, "exp": NOW + 300, "jti": "onrtac:1", "scope": "openid tickets:read"})
}

fn txn() -> Value {
    json!({"iss": BROKER, "aud": "corp.example", "iat": NOW, "exp": NOW + 120, "jti": "t-2", "txn": "0199-a3", "sub": "5f1c-alice",
        "scope": "tickets:read", "req_wl": PLANNER, "callee": RESEARCHER, "act": {"sub": PLANNER}})
}

fn access() -> Value {
    json!({"iss": BROKER, "aud": TICKETS, "iat": NOW, "exp": NOW + 60, "jti": "a-7", "txn": "0199-a3", "sub": "5f1c-alice",
        "scope": "tickets:read", "client_id": RESEARCHER, "act": {"sub": RESEARCHER, "act": {"sub": PLANNER}}})
}

fn user_rule() -> UserRule<'static> {
    UserRule { issuer: ISSUER, audience: "txn-broker" }
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().expect("claims").remove(name);
    claims
}

fn fault<R: Rule>(token: &RawToken, keys: &KeySet, rule: &R) -> Option<TokenFault> {
    verify(token, keys, rule, now()).err()
}

fn user_fault(claims: &Value) -> Option<TokenFault> {
    let signer = Signer::new("k");
    fault(&raw(signer.sign("JWT", claims)), &signer.keys(), &user_rule())
}

fn txn_fault(claims: &Value) -> Option<TokenFault> {
    let signer = Signer::new("k");
    let trust_domain = TrustDomain::new("corp.example").expect("a trust domain");
    fault(
        &raw(signer.sign("txntoken+jwt", claims)),
        &signer.keys(),
        &TxnRule { issuer: BROKER, trust_domain: &trust_domain },
    )
}

fn access_fault(typ: &str, claims: &Value) -> Option<TokenFault> {
    let signer = Signer::new("k");
    let spec = TargetSpec {
        name: "tickets".into(),
        resource: TICKETS.into(),
        workload: "spiffe://corp.example/ns/tools/sa/tickets".into(),
        connect: "tickets:8443".into(),
        ..TargetSpec::default()
    };
    let registry = Registry::new(vec![spec], &Reserved::default()).expect("a registry");
    let target = registry.by_name("tickets").expect("registered");
    let peer = SpiffeId::new(RESEARCHER).expect("an id");
    fault(
        &raw(signer.sign(typ, claims)),
        &signer.keys(),
        &AccessRule { issuer: BROKER, audience: target.audience(), peer: &peer },
    )
}

#[test]
fn good_tokens_are_accepted() {
    assert_eq!(user_fault(&user()), None);
    assert_eq!(user_fault(&with(user(), "aud", json!(["account", "txn-broker"]))), None);
    assert_eq!(txn_fault(&txn()), None);
    assert_eq!(txn_fault(&with(txn(), "scope", json!(""))), None);
    assert_eq!(access_fault("at+jwt", &access()), None);
    assert_eq!(access_fault("at+jwt", &without(access(), "scope")), None);
}

#[test]
fn claims_of_a_users_token_are_each_required_and_typed() {
    for name in ["sub", "azp", "scope", "exp", "iat"] {
        assert_eq!(user_fault(&without(user(), name)), Some(TokenFault::Claim(name)), "{name} absent");
        assert_eq!(user_fault(&with(user(), name, json!({"x": 1}))), Some(TokenFault::Claim(name)), "{name} an object");
    }
    assert_eq!(user_fault(&with(user(), "groups", json!("support"))), Some(TokenFault::Claim("groups")));
    assert_eq!(
        user_fault(&with(user(), "realm_access", json!({"roles": "admin"}))),
        Some(TokenFault::Claim("realm_access"))
    );
}

#[test]
fn a_users_token_of_another_issuer_audience_kind_or_without_session_is_refused() {
    for issuer in [json!("https://other.example"), json!(format!("{ISSUER}/")), json!([ISSUER]), Value::Null] {
        assert_eq!(user_fault(&with(user(), "iss", issuer)), Some(TokenFault::Issuer));
    }
    let many: Vec<String> = (0..16).map(|n| format!("a{n}")).chain(["txn-broker".into()]).collect();
    for audience in [json!("account"), json!(["account"]), json!([]), json!(["txn-broker", 1]), json!(many)] {
        assert_eq!(user_fault(&with(user(), "aud", audience)), Some(TokenFault::Audience));
    }
    for typ in ["ID", "Refresh"] {
        assert_eq!(user_fault(&with(user(), "typ", json!(typ))), Some(TokenFault::Type));
    }
    assert_eq!(user_fault(&without(user(), "sid")), Some(TokenFault::NoSession));
    assert_eq!(user_fault(&with(user(), "act", json!({"sub": "x"}))), Some(TokenFault::Delegated));
    assert_eq!(user_fault(&with(user(), "may_act", json!({"sub": "x"}))), Some(TokenFault::Delegated));
}

#[test]
fn a_users_token_that_is_bound_to_a_key_is_no_bearer_token() {
    for cnf in [json!({"jkt": "x"}), json!({"x5t#S256": "x"}), json!({}), json!("x")] {
        assert_eq!(user_fault(&with(user(), "cnf", cnf)), Some(TokenFault::Claim("cnf")), "N55");
    }
}

#[test]
fn a_keeper_is_for_the_broker_alone_and_issued_to_it() {
    let signer = Signer::new("k");
    let rule = KeeperRule { issuer: ISSUER, client: "txn-broker" };
    let found = |claims: &Value| fault(&raw(signer.sign("JWT", claims)), &signer.keys(), &rule);
    let keeper = with(user(), "azp", json!("txn-broker"));
    assert_eq!(found(&keeper), None);
    assert_eq!(found(&with(keeper.clone(), "aud", json!(["txn-broker"]))), None);
    for audience in [json!(["txn-broker", "tickets"]), json!(["txn-broker", "txn-broker"]), json!("tickets"), json!([])]
    {
        assert_eq!(found(&with(keeper.clone(), "aud", audience)), Some(TokenFault::Audience), "K7");
    }
    assert_eq!(found(&without(keeper.clone(), "aud")), Some(TokenFault::Audience), "K7");
    assert_eq!(found(&user()), Some(TokenFault::NotBound), "issued to another client");
    for (name, value, expected) in [
        ("iss", json!("https://other.example"), TokenFault::Issuer),
        ("typ", json!("ID"), TokenFault::Type),
        ("exp", json!(NOW), TokenFault::Expired),
        ("act", json!({"sub": "x"}), TokenFault::Delegated),
        ("cnf", json!({"jkt": "x"}), TokenFault::Claim("cnf")),
        ("groups", json!("support"), TokenFault::Claim("groups")),
        ("sid", json!(""), TokenFault::NoSession),
    ] {
        assert_eq!(found(&with(keeper.clone(), name, value)), Some(expected), "{name}");
    }
}

#[test]
fn dates_are_bounded_whole_numbers() {
    assert_eq!(user_fault(&with(user(), "exp", json!(NOW))), Some(TokenFault::Expired));
    assert_eq!(user_fault(&with(user(), "iat", json!(NOW + 31))), Some(TokenFault::NotYetValid));
    assert_eq!(user_fault(&with(user(), "nbf", json!(NOW + 31))), Some(TokenFault::NotYetValid));
    assert_eq!(user_fault(&with(user(), "nbf", json!(NOW + 30))), None);
    for name in ["exp", "iat", "nbf"] {
        for odd in [
            json!("1795300300"),
            json!(-1),
            json!(1.5),
            json!(u64::MAX),
            json!(253_402_300_800_u64),
            json!([NOW]),
            Value::Null,
        ] {
            assert_eq!(user_fault(&with(user(), name, odd.clone())), Some(TokenFault::Claim(name)), "{name} = {odd}");
        }
    }
    let signer = Signer::new("k");
    let huge = user().to_string().replace(&(NOW + 300).to_string(), "1e400");
    let token = raw(signer.sign_text(r#"{"typ":"JWT","alg":"ES256","kid":"k"}"#, &huge));
    assert_eq!(fault(&token, &signer.keys(), &user_rule()), Some(TokenFault::Malformed));
}

#[test]
fn keys_signatures_and_algorithms_are_never_mixed_up() {
    let (signer, other) = (Signer::new("k"), Signer::new("k"));
    let token = signer.sign("JWT", &user());
    assert_eq!(fault(&raw(token.clone()), &other.keys(), &user_rule()), Some(TokenFault::Signature));
    assert_eq!(fault(&raw(token.clone()), &Signer::new("other").keys(), &user_rule()), Some(TokenFault::KeyUnknown));
    assert_eq!(fault(&raw(token), &KeySet::default(), &user_rule()), Some(TokenFault::KeyUnknown));
    for (header, expected) in [
        (r#"{"typ":"JWT","alg":"RS256","kid":"k"}"#, TokenFault::Algorithm),
        (r#"{"typ":"JWT","alg":"HS256","kid":"k"}"#, TokenFault::Algorithm),
        (r#"{"typ":"JWT","alg":"none","kid":"k"}"#, TokenFault::Algorithm),
        (r#"{"typ":"JWT","alg":"ES256"}"#, TokenFault::KeyUnknown),
        (r#"{"typ":"JWT","alg":"ES256","kid":"k","crit":["exp"]}"#, TokenFault::ForbiddenHeader),
        (r#"{"typ":"JWT","alg":"ES256","kid":"k","b64":false}"#, TokenFault::ForbiddenHeader),
        (r#"{"typ":"jwt","alg":"ES256","kid":"k"}"#, TokenFault::Type),
        (r#"{"alg":"ES256","kid":"k"}"#, TokenFault::Type),
    ] {
        let token = raw(signer.sign_text(header, &user().to_string()));
        assert_eq!(fault(&token, &signer.keys(), &user_rule()), Some(expected), "{header}");
    }
}

#[test]
fn claims_of_a_transaction_token_are_each_required_and_typed() {
    for name in ["txn", "req_wl", "scope", "sub", "iat", "exp", "jti"] {
        assert_eq!(txn_fault(&without(txn(), name)), Some(TokenFault::Claim(name)), "{name} absent");
        assert_eq!(txn_fault(&with(txn(), name, json!(["x"]))), Some(TokenFault::Claim(name)), "{name} a list");
    }
    for audience in [json!("other.example"), json!(["corp.example"]), Value::Null] {
        assert_eq!(txn_fault(&with(txn(), "aud", audience)), Some(TokenFault::Audience));
    }
    for act in [
        json!("x"),
        json!([]),
        json!({}),
        json!({"sub": "x"}),
        json!({"sub": PLANNER, "act": {"sub": PLANNER}}),
        Value::Null,
    ] {
        assert_eq!(txn_fault(&with(txn(), "act", act)), Some(TokenFault::Actors));
    }
    assert_eq!(txn_fault(&without(txn(), "act")), Some(TokenFault::Actors));
    assert_eq!(txn_fault(&with(txn(), "callee", json!("researcher"))), Some(TokenFault::Claim("callee")));
    assert_eq!(txn_fault(&with(txn(), "iss", json!(ISSUER))), Some(TokenFault::Issuer));
}

#[test]
fn an_access_token_holds_for_one_audience_and_one_caller() {
    for audience in [json!("https://other.svc"), json!([TICKETS]), json!(format!("{TICKETS}/"))] {
        assert_eq!(access_fault("at+jwt", &with(access(), "aud", audience)), Some(TokenFault::Audience));
    }
    assert_eq!(access_fault("at+jwt", &with(access(), "client_id", json!(PLANNER))), Some(TokenFault::NotBound));
    assert_eq!(access_fault("at+jwt", &with(access(), "act", json!({"sub": PLANNER}))), Some(TokenFault::Actors));
    assert_eq!(access_fault("at+jwt", &with(access(), "cnf", json!({"jkt": "x"}))), Some(TokenFault::Claim("cnf")));
    for typ in ["JWT", "txntoken+jwt", "AT+JWT", "application/at+jwt"] {
        assert_eq!(access_fault(typ, &access()), Some(TokenFault::Type), "{typ}");
    }
}

#[test]
fn a_jwt_svid_is_for_a_sole_audience_in_its_own_trust_domain() {
    let signer = Signer::new("k");
    let domain = TrustDomain::new("corp.example").expect("a trust domain");
    let svid = json!({"sub": PLANNER, "aud": [BROKER], "exp": NOW + 60, "iat": NOW});
    let found = |claims: &Value| {
        fault(&raw(signer.sign("JWT", claims)), &signer.keys(), &SvidRule { audience: BROKER, trust_domain: &domain })
    };
    assert_eq!(found(&svid), None);
    for audience in [json!([BROKER, "x"]), json!([]), json!("x")] {
        assert_eq!(found(&with(svid.clone(), "aud", audience)), Some(TokenFault::Audience));
    }
    for sub in [
        "spiffe://other.example/a",
        "spiffe://corp.example",
        "spiffe://CORP.example/a",
        "spiffe://corp.example/a/",
        "corp.example/a",
    ] {
        assert_eq!(found(&with(svid.clone(), "sub", json!(sub))), Some(TokenFault::Claim("sub")), "{sub}");
    }
    assert_eq!(found(&without(svid, "exp")), Some(TokenFault::Claim("exp")));
}
