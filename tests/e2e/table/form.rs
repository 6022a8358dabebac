//! A request that is not what RFC 6749 and RFC 8693 say is refused before anything in it is believed (N1–N9).

use dev::apps::Call;
use harness::{Desk, Form, begin};
use http::Method;
use serde_json::json;

use super::{Expect::Granted, hold, invalid, refused, row};

const TOKEN: &str = "https://broker.agents.svc/token";
const FORM: &str = "application/x-www-form-urlencoded";
/// Longest body in bytes.
const BODY_MAX: usize = 64 * 1024;

fn posted(body: impl Into<bytes::Bytes>) -> Call {
    Call::new(Method::POST, TOKEN).header("content-type", FORM).body(body)
}

/// As no browser writes it: every byte escaped.
fn encoded(form: &Form) -> String {
    let mut text = String::new();
    for (name, value) in &form.0 {
        let value: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
        text.push_str(&format!("{name}={value}&"));
    }
    text
}

#[tokio::test]
async fn only_a_posted_form_of_one_spelling_is_read() {
    let desk = Desk::open().await;
    let good = begin(&desk.alice().await, "tickets:read");
    let text = encoded(&good);
    let padded = |length: usize| posted(format!("{text}pad={}", "x".repeat(length - text.len() - 4)));
    let broken = |value: &str| posted(format!("{text}x={value}"));
    let grant = |name: &str| good.clone().set("grant_type", name);
    let other = refused(400, "unsupported_grant_type", "request.grant_type");
    let rows = vec![
        row("N1", "planner", Call::new(Method::GET, TOKEN), refused(405, "invalid_request", "request.method")),
        row("N1 PUT", "planner", Call::new(Method::PUT, TOKEN), refused(405, "invalid_request", "request.method")),
        row("N2", "planner", Call::new(Method::POST, TOKEN).json(&json!({})), invalid("request.media_type")),
        row("N2 none", "planner", Call::new(Method::POST, TOKEN).body(text.clone()), invalid("request.media_type")),
        row("N3 the longest", "planner", padded(BODY_MAX), Granted),
        row("N3", "planner", padded(BODY_MAX + 1), refused(413, "invalid_request", "request.too_large")),
        row("N4 absent", "planner", good.clone().without("grant_type"), invalid("request.missing_parameter")),
        row("N4 empty", "planner", grant(""), invalid("request.missing_parameter")),
        row("N5", "planner", grant("client_credentials"), other),
        row("N5 password", "planner", grant("password"), other),
        row("N5 unknown", "planner", grant("urn:x"), other),
        row(
            "N6",
            "planner",
            Call::new(Method::POST, &format!("{TOKEN}?{text}")).header("content-type", FORM),
            invalid("request.missing_parameter"),
        ),
        row("N7", "planner", good.clone().add("subject_token", "x"), invalid("request.repeated_parameter")),
        row("N7 scope", "planner", good.clone().add("scope", "tickets:read"), invalid("request.repeated_parameter")),
        row("N7 grant", "planner", good.clone().add("grant_type", "x"), invalid("request.repeated_parameter")),
        row("N8 no digits", "planner", broken("%zz"), invalid("request.malformed")),
        row("N8 one digit", "planner", broken("%f"), invalid("request.malformed")),
        row("N8 none", "planner", broken("%"), invalid("request.malformed")),
        row("N8 UTF-8", "planner", broken("%ff%fe"), invalid("request.malformed")),
        row("N8 cut UTF-8", "planner", broken("%c3%28"), invalid("request.malformed")),
        row("N8 raw", "planner", posted([text.as_bytes(), b"x=\xff"].concat()), invalid("request.malformed")),
        row("N9", "planner", good.clone().add("foo", "bar").add("actor_token", ""), Granted),
    ];
    hold(&desk, rows).await;
    desk.close().await;
}
