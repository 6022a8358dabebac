//! Who asks has proved it by a certificate or by a JWT-SVID, or is not heard (N10–N25).

use dev::{apps::Call, identity::OddX509};
use harness::{
    Desk, Form, RESEARCHER, alert_with_certificate, alert_without_certificate, begin, call, odd_forms,
    open_assertion_door, rogue_certificate_is_refused,
};
use http::Method;
use identity::{TrustDomain, workload_id};
use runtime::clock;
use serde_json::{Value, json};

use super::{
    Expect::{self, Granted},
    Row, asserting, client, hold, invalid, refused, row, stranger, with,
};

const ISSUER: &str = "https://broker.agents.svc";
const TOKEN: &str = "https://broker.agents.svc/token";
const PLANNER: &str = "spiffe://corp.example/ns/agents/sa/planner";
const OTHER: &str = "spiffe://corp.example/ns/agents/sa/researcher";
const ASSERTION: &str = "client_assertion";
const TYPE: &str = "client_assertion_type";

/// Without apps, with the door for client assertions.
async fn desk() -> Desk {
    let mut options = Desk::options();
    options.members.clear();
    open_assertion_door(&mut options);
    Desk::open_with(options).await
}

/// What a good JWT-SVID of planner claims.
fn claims() -> Value {
    let now = clock::now().secs();
    json!({"sub": PLANNER, "aud": [ISSUER], "iat": now, "exp": now + 60})
}

/// `form` with an `Authorization` header.
fn with_authorization(form: &Form, value: &str) -> Call {
    Call::new(Method::POST, TOKEN).header("authorization", value).form(&form.pairs())
}

#[tokio::test]
async fn a_client_proves_itself_in_one_way_that_is_offered() {
    let desk = desk().await;
    let good = begin(&desk.alice().await, "tickets:read");
    let (svid, other) = (desk.jwt_svid("planner", ISSUER).await, desk.jwt_svid("researcher", ISSUER).await);
    let proved = good.clone().by(&svid);
    let (method, missing) = (client("client.method"), invalid("request.missing_parameter"));
    let (several, mismatch) = (invalid("client.several_methods"), client("client.mismatch"));
    let basic = Expect::Refused {
        status: 401,
        error: "invalid_client",
        code: "client.method",
        challenge: "Basic realm=\"countersign\"",
    };
    let bearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let jwt_bearer = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let switched_off = refused(400, "unsupported_grant_type", "request.grant_type");
    let rows = vec![
        asserting("N10 control", "planner", proved.clone(), Granted),
        stranger("N10 no assertion", good.clone(), client("client_assertion.missing")),
        stranger("N11 unknown type", proved.clone().set(TYPE, "urn:x"), method),
        stranger("N11 Basic", with_authorization(&good, "Basic eDp5"), basic),
        stranger("N11 secret", good.clone().add("client_secret", "x"), method),
        stranger("N11 odd scheme", with_authorization(&good, "Odd x"), method),
        row("N11 unknown type beside a certificate", "planner", proved.clone().set(TYPE, "urn:x"), method),
        row("N11 Basic beside a certificate", "planner", with_authorization(&good, "basic eDp5"), basic),
        stranger("N12 without its type", proved.clone().without(TYPE), missing),
        stranger("N12 type alone", proved.clone().without(ASSERTION), missing),
        stranger("N12 two", proved.clone().add(ASSERTION, &svid), invalid("request.repeated_parameter")),
        stranger("N12 Basic and assertion", with_authorization(&proved, "Basic eDp5"), several),
        stranger("N12 secret and assertion", proved.clone().add("client_secret", "x"), several),
        row("N12 beside a certificate", "planner", proved.clone().without(TYPE), missing),
        row("N12 Basic, too", "planner", with_authorization(&proved, "Basic eDp5"), several),
        stranger("N20", proved.clone().add("client_id", OTHER), mismatch),
        row("N20 by certificate", "planner", good.clone().add("client_id", OTHER), mismatch),
        asserting("N20 its own", "planner", proved.clone().add("client_id", PLANNER), Granted),
        row("N22", "planner", good.clone().by(&other), mismatch),
        row("N22 the same", "planner", proved.clone(), Granted),
        asserting("N23", "planner", proved.clone().set("grant_type", jwt_bearer), switched_off),
        row("N23 by certificate", "planner", good.clone().set("grant_type", jwt_bearer), switched_off),
        stranger("N24", proved.clone().set(TYPE, bearer), method),
        stranger("N24 replayed", proved.clone().set(TYPE, bearer), method),
    ];
    hold(&desk, rows).await;
    desk.close().await;
}

#[tokio::test]
async fn an_assertion_is_a_fresh_svid_of_our_trust_domain_for_the_broker_alone() {
    let desk = desk().await;
    let good = begin(&desk.alice().await, "tickets:read");
    let (claims, now) = (claims(), clock::now().secs());
    let (audience, claim) = (client("client_assertion.audience"), client("client_assertion.claim"));
    let wrong = [
        ("N13 expired", "exp", json!(now - 1), client("client_assertion.expired")),
        ("N13 future", "iat", json!(now + 3600), client("client_assertion.not_yet_valid")),
        ("N13 no exp", "exp", Value::Null, claim),
        ("N13 long-lived", "exp", json!(now + 700), client("client_assertion.long_lived")),
        ("N14 token URL", "aud", json!(TOKEN), audience),
        ("N14 two", "aud", json!([ISSUER, "https://other.svc"]), audience),
        ("N14 none", "aud", Value::Null, audience),
        ("N14 empty", "aud", json!([]), audience),
        ("N14 slash", "aud", json!([format!("{ISSUER}/")]), audience),
        ("N18 upper case", "sub", json!("spiffe://CORP.example/ns/agents/sa/planner"), claim),
        ("N18 dots", "sub", json!("spiffe://corp.example/ns/../planner"), claim),
        ("N18 final slash", "sub", json!(format!("{PLANNER}/")), claim),
        ("N18 query", "sub", json!(format!("{PLANNER}?x")), claim),
        ("N18 port", "sub", json!("spiffe://corp.example:443/planner"), claim),
        ("N18 no path", "sub", json!("spiffe://corp.example"), claim),
        ("N18 no ID", "sub", json!("planner"), claim),
        ("N18 none", "sub", Value::Null, claim),
        ("N19", "sub", json!("spiffe://other.example/planner"), claim),
    ];
    let mut rows: Vec<Row> = Vec::new();
    for (case, name, value, expect) in wrong {
        let svid = desk.forged_svid(json!({}), with(&claims, name, value)).await;
        rows.push(stranger(case, good.clone().by(&svid), expect));
    }
    for (case, header, code) in [
        ("N13 unknown kid", json!({"kid": "nobody"}), "client_assertion.key_unknown"),
        ("N13 no kid", json!({"kid": null}), "client_assertion.key_unknown"),
        ("N15 none", json!({"alg": "none"}), "client_assertion.algorithm"),
        ("N15 HS256", json!({"alg": "HS256"}), "client_assertion.algorithm"),
        ("N15 ES512", json!({"alg": "ES512"}), "client_assertion.algorithm"),
        ("N15 not the key's", json!({"alg": "RS256"}), "client_assertion.algorithm"),
        ("N16 jku", json!({"jku": "https://evil.example/"}), "client_assertion.forbidden_header"),
        ("N16 x5u", json!({"x5u": "https://evil.example/"}), "client_assertion.forbidden_header"),
        ("N16 jwk", json!({"jwk": {}}), "client_assertion.forbidden_header"),
        ("N16 crit", json!({"crit": ["exp"]}), "client_assertion.forbidden_header"),
    ] {
        let svid = desk.forged_svid(header, claims.clone()).await;
        rows.push(stranger(case, good.clone().by(&svid), client(code)));
    }
    let codes = [
        "client_assertion.too_long",
        "client_assertion.malformed",
        "client_assertion.repeated_name",
        "client_assertion.forbidden_header",
        "client_assertion.algorithm",
        "client_assertion.type",
        "client_assertion.key_unknown",
        "client_assertion.signature",
    ];
    let odd = odd_forms(&desk.jwt_svid("planner", ISSUER).await);
    rows.extend(
        odd.iter()
            .zip(codes)
            .map(|(svid, code)| stranger("N13 bad signature and other forms", good.clone().by(svid), client(code))),
    );
    let svid = desk.forged_svid(json!({}), claims.clone()).await;
    rows.push(asserting("N13 unchanged", "planner", good.clone().by(&svid), Granted));
    let svid = desk.forged_svid(json!({"typ": null}), with(&claims, "aud", json!(ISSUER))).await;
    rows.push(asserting("N14 a text", "planner", good.clone().by(&svid), Granted));
    hold(&desk, rows).await;
    desk.close().await;
}

/// The Workload API gives the keys of federated domains, too; none of them speaks for ours, and nobody of theirs is a
/// client.
#[tokio::test]
async fn a_federated_domain_s_key_proves_nobody() {
    let desk = desk().await;
    let other = TrustDomain::new("other.example").expect("a domain");
    desk.stack.registrar().expect("embedded").federate(&other).await.expect("published");
    let good = begin(&desk.alice().await, "tickets:read");
    let ours = desk.federated_svid(claims()).await;
    let theirs = desk.federated_svid(with(&claims(), "sub", json!("spiffe://other.example/planner"))).await;
    let unknown = client("client_assertion.key_unknown");
    let rows = vec![
        stranger("N17", good.clone().by(&ours), unknown),
        stranger("N17 untrusted domain", good.clone().by(&theirs), unknown),
        row("N17 beside a certificate", "planner", good.by(&ours), unknown),
    ];
    hold(&desk, rows).await;
    desk.close().await;
}

#[tokio::test]
async fn no_other_token_is_an_assertion() {
    let desk = desk().await;
    let alice = desk.alice().await;
    let good = begin(&alice, "tickets:read");
    let txn = desk.begun().await;
    let (access, _handed) = desk.called_researcher(&txn).await;
    let kind = client("client_assertion.type");
    let rows = vec![
        stranger("N25", good.clone().by(&txn), kind),
        stranger("N25 A", good.clone().by(&access), kind),
        stranger("N25 U", good.clone().by(&alice), client("client_assertion.key_unknown")),
        row("N25 beside a certificate", "planner", call(&txn, RESEARCHER, "").by(&txn), kind),
    ];
    hold(&desk, rows).await;
    desk.close().await;
}

/// N10, N21: at the door for certificates nobody says a word before he has shown one that is an X509-SVID.
#[tokio::test]
async fn a_certificate_that_is_no_svid_ends_in_an_alert() {
    let desk = Desk::open().await;
    let before = desk.stack.records().len();
    let address = desk.stack.broker_token_address();
    let alert = alert_without_certificate(address).await;
    assert!(alert.contains("CertificateRequired"), "N10: {alert}");
    let alert = rogue_certificate_is_refused(address, PLANNER).await;
    assert!(alert.contains("alert"), "N21 another authority: {alert}");
    let (registrar, planner) = (desk.stack.registrar().expect("embedded"), workload_id(PLANNER).expect("an id"));
    for odd in [OddX509::TwoIds, OddX509::Authority, OddX509::CertificateSigner, OddX509::Expired] {
        let (certificate, key) = registrar.forge_x509(&planner, odd).await.expect("made");
        let alert = alert_with_certificate(address, certificate, key).await;
        assert!(alert.contains("alert"), "N21 {odd:?}: {alert}");
    }
    assert_eq!(desk.stack.records().len(), before, "nobody leaves a line");
    desk.close().await;
}
