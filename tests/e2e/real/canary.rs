//! No token, no key and no foreign handle in anything that an app's process receives, prints or has in its environment.

use std::fs;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use dev::{apps::Call, stack::Peers};
use harness::{Desk, Inside, Sink, shared_keycloak, tells_token, tool};
use http::Method;

const APPS: [&str; 3] = ["planner", "researcher", "tickets"];

#[tokio::test]
async fn no_app_has_a_token_a_key_or_a_secret_anywhere() {
    let desk = Desk::open_real_story().await;
    let alice = desk.alice().await;
    let answer = desk.ask_planner(&alice).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let secrets = secrets(&desk, &alice);
    for app in APPS {
        let seen = desk.stack.seen(app).await.expect("told");
        assert!(seen.requests > 0 && seen.tokens == 0, "{app}: {seen:?}");
        let pid = desk.stack.pid(app).expect("running");
        let environment = fs::read(format!("/proc/{pid}/environ")).expect("readable");
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).expect("readable");
        let places = [
            ("log", desk.stack.log_of(app)),
            ("environment", String::from_utf8_lossy(&environment).into_owned()),
            ("arguments", String::from_utf8_lossy(&arguments).into_owned()),
        ];
        for (place, text) in places {
            assert_silent(app, place, &text, &secrets);
        }
    }
    for process in desk.stack.processes() {
        assert!(!tells_token(&desk.stack.log_of(process)), "a token in the log of {process}");
        assert_silent(process, "log", &desk.stack.log_of(process), &secrets);
    }
    assert_silent("the user", "answer", &String::from_utf8_lossy(&answer.body), &secrets);
    desk.close().await;
}

#[tokio::test]
async fn no_app_is_given_the_handle_of_another() {
    let tickets = Sink::open().await;
    let keycloak = shared_keycloak().await;
    let inside = Inside::open_with(&tickets.url(), |options| {
        options.peers = Peers::RealAt(keycloak);
    })
    .await;
    inside.through(Call::new(Method::POST, "http://tickets.tool/mcp").json(&tool("list_tickets"))).await;
    let received = tickets.received();
    let received = received.first().expect("the call reached tickets");
    let own = received.headers["countersign-handle"].to_str().expect("text");
    assert_ne!(own, inside.handle, "a handle of its own");
    let whole = format!("{} {:?} {}", received.line, received.headers, String::from_utf8_lossy(&received.body));
    assert!(!whole.contains(&inside.handle), "planner's handle left its pod: {whole}");
    assert!(!tells_token(&whole), "{whole}");
    inside.close().await;
}

/// What must be nowhere: parts of alice's token, the broker's wrapping key, her session.
fn secrets(desk: &Desk, token: &str) -> Vec<(&'static str, String)> {
    let key = fs::read(desk.stack.folder().join("wrapping.key")).expect("a key");
    let signature = token.rsplit('.').next().expect("a signature");
    vec![
        ("the signature of alice's token", signature.to_owned()),
        ("the wrapping key", URL_SAFE_NO_PAD.encode(&key)),
        ("the client's secret", ::peers::development::TEST_LOGIN_SECRET.to_owned()),
    ]
}

fn assert_silent(who: &str, place: &str, text: &str, secrets: &[(&str, String)]) {
    assert!(!tells_token(text), "{who}: a token in its {place}");
    assert!(!text.contains("PRIVATE KEY"), "{who}: a key in its {place}");
    for (what, secret) in secrets {
        assert!(!text.contains(secret.as_str()), "{who}: {what} in its {place}");
    }
}
