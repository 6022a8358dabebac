//! A request that is not what RFC 6749 and RFC 8693 say is refused before anything in it is believed (N1–N10, N20, N21).

use dev::apps::Call;
use harness::{Desk, Form, alert_without_certificate, assert_refused, begin, rogue_certificate_is_refused};
use http::Method;

const TOKEN: &str = "https://broker.agents.svc/token";
const FORM: &str = "application/x-www-form-urlencoded";

fn posted(body: impl Into<bytes::Bytes>, media_type: &str) -> Call {
    Call::new(Method::POST, TOKEN).header("content-type", media_type).body(body)
}

fn encoded(form: &Form) -> String {
    let mut text = String::new();
    for (name, value) in &form.0 {
        let value: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
        text.push_str(&format!("{name}={value}&"));
    }
    text
}

#[tokio::test]
async fn only_a_post_of_a_form_is_read() {
    let desk = Desk::open().await;
    let good = begin(&desk.alice().await, "tickets:read");
    let answer = desk.to_broker("planner", Call::new(Method::GET, TOKEN)).await;
    assert_refused("N1", &answer, 405, "invalid_request", "request.method");
    assert_eq!(answer.header("allow"), "POST");
    let json = Call::new(Method::POST, TOKEN).json(&serde_json::json!({"grant_type": "x"}));
    assert_refused("N2", &desk.to_broker("planner", json).await, 400, "invalid_request", "request.media_type");
    let query = Call::new(Method::POST, &format!("{TOKEN}?{}", encoded(&good))).header("content-type", FORM);
    assert_refused("N6", &desk.to_broker("planner", query).await, 400, "invalid_request", "request.missing_parameter");
    let padded = |length: usize| {
        let text = encoded(&good);
        format!("{text}pad={}", "x".repeat(length - text.len() - 4))
    };
    let largest = desk.to_broker("planner", posted(padded(64 * 1024), FORM)).await;
    assert_eq!(largest.status, 200, "{}", largest.json());
    let answer = desk.to_broker("planner", posted(padded(64 * 1024 + 1), FORM)).await;
    assert_refused("N3", &answer, 413, "invalid_request", "request.too_large");
    desk.close().await;
}

#[tokio::test]
async fn parameters_are_read_strictly() {
    let desk = Desk::open().await;
    let good = begin(&desk.alice().await, "tickets:read");
    let rows = [
        ("N4 absent", good.clone().without("grant_type"), "invalid_request", "request.missing_parameter"),
        ("N4 empty", good.clone().set("grant_type", ""), "invalid_request", "request.missing_parameter"),
        ("N5", good.clone().set("grant_type", "client_credentials"), "unsupported_grant_type", "request.grant_type"),
        ("N5", good.clone().set("grant_type", "password"), "unsupported_grant_type", "request.grant_type"),
        ("N5", good.clone().set("grant_type", "urn:x"), "unsupported_grant_type", "request.grant_type"),
        ("N7", good.clone().add("subject_token", "x"), "invalid_request", "request.repeated_parameter"),
        ("N7", good.clone().add("scope", "tickets:read"), "invalid_request", "request.repeated_parameter"),
        ("N7", good.clone().add("grant_type", "x"), "invalid_request", "request.repeated_parameter"),
    ];
    for (case, form, error, refusal) in rows {
        assert_refused(case, &desk.ask("planner", &form).await, 400, error, refusal);
    }
    for broken in ["%zz", "%f", "%", "%ff%fe", "%c3%28"] {
        let body = format!("{}x={broken}", encoded(&good));
        let answer = desk.to_broker("planner", posted(body, FORM)).await;
        assert_refused(&format!("N8 {broken}"), &answer, 400, "invalid_request", "request.malformed");
    }
    let raw = [encoded(&good).as_bytes(), b"x=\xff"].concat();
    assert_refused(
        "N8 raw",
        &desk.to_broker("planner", posted(raw, FORM)).await,
        400,
        "invalid_request",
        "request.malformed",
    );
    let answer = desk.ask("planner", &good.clone().add("foo", "bar").add("actor_token", "")).await;
    assert_eq!(answer.status, 200, "N9: {}", answer.json());
    desk.close().await;
}

#[tokio::test]
async fn the_client_is_who_its_certificate_says() {
    let desk = Desk::open().await;
    let good = begin(&desk.alice().await, "tickets:read");
    let (planner, researcher) =
        ("spiffe://corp.example/ns/agents/sa/planner", "spiffe://corp.example/ns/agents/sa/researcher");
    let answer = desk.ask("planner", &good.clone().set("client_id", researcher)).await;
    assert_refused("N20", &answer, 401, "invalid_client", "client.mismatch");
    assert_eq!(desk.ask("planner", &good.set("client_id", planner)).await.status, 200);
    let address = desk.stack.broker_token_address().to_owned();
    let alert = alert_without_certificate(&address).await;
    assert!(alert.contains("CertificateRequired"), "N10: {alert}");
    let alert = rogue_certificate_is_refused(&address, planner).await;
    assert!(alert.contains("alert"), "N21: {alert}");
    desk.close().await;
}
