//! `/dev/…` and what guards it; discovery.

use super::*;

#[tokio::test]
async fn discovery_names_the_endpoints_of_keycloaks_layout() {
    let stand = Stand::start().await;
    let document = stand.browse("/.well-known/openid-configuration").await.json();
    let issuer = stand.server.issuer();
    assert_eq!(issuer, format!("http://{}/realms/agents", stand.server.provider.address));
    assert_eq!(document["issuer"], issuer);
    for (member, name) in [
        ("authorization_endpoint", "auth"),
        ("token_endpoint", "token"),
        ("jwks_uri", "certs"),
        ("end_session_endpoint", "logout"),
    ] {
        assert_eq!(document[member], format!("{issuer}/protocol/openid-connect/{name}"));
    }
    let keys = stand.browse("/protocol/openid-connect/certs").await.json();
    assert_eq!(keys["keys"][0]["kid"], part(&stand.user_token("alice", "").await, 0)["kid"]);
}

#[tokio::test]
async fn another_realm_and_another_host_name_are_not_answered() {
    let stand = Stand::start().await;
    let other = stand.send(Method::GET, "/realms/other/protocol/openid-connect/certs", &[], String::new()).await;
    assert_eq!((other.status, other.json()), (StatusCode::NOT_FOUND, json!({ "error": "Realm does not exist" })));
    for host in ["evil.example", "127.0.0.1", "127.0.0.1:1"] {
        let answer = stand.send(Method::GET, "/dev/exchanges", &[(header::HOST, host)], String::new()).await;
        assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{host}");
    }
}

#[tokio::test]
async fn a_session_is_ended_and_a_user_changed_from_outside() {
    let stand = Stand::start().await;
    let subject = stand.user_token("alice", "tickets:read").await;
    let scope = async || stand.exchange(&subject, &[("scope", "tickets:read")]).await;
    for (command, body, answer) in [
        ("disable", json!({ "user": "alice" }), 400),
        ("enable", json!({ "user": "alice" }), 200),
        ("remove-role", json!({ "user": "alice", "role": "tickets-reader" }), 200),
        ("add-role", json!({ "user": "alice", "role": "tickets-reader" }), 200),
        ("sign-out", json!({ "sid": part(&subject, 1)["sid"] }), 400),
    ] {
        assert_eq!(stand.dev(command, body).await.status, StatusCode::NO_CONTENT, "{command}");
        let exchange = scope().await;
        assert_eq!(exchange.status.as_u16(), answer, "{command}");
        if command == "remove-role" {
            assert_eq!(exchange.json()["scope"], "");
        }
    }
    let counted = stand.send(Method::GET, "/dev/exchanges", &[], String::new()).await;
    assert_eq!(counted.json(), json!({ "exchanges": 5 }));
    assert_eq!(stand.server.handle().exchanges(), 5);
}

#[tokio::test]
async fn what_is_not_there_cannot_be_changed() {
    let stand = Stand::start().await;
    for (command, body, status) in [
        ("disable", json!({ "user": "nobody" }), 404),
        ("sign-out", json!({ "sid": "nothing" }), 404),
        ("destroy", json!({}), 404),
        ("disable", json!({ "user": "alice", "more": 1 }), 400),
    ] {
        assert_eq!(stand.dev(command, body).await.status.as_u16(), status, "{command}");
    }
}

#[tokio::test]
async fn a_web_page_cannot_command() {
    let stand = Stand::start().await;
    let body = json!({ "user": "alice" }).to_string();
    for headers in [
        vec![(header::CONTENT_TYPE, "text/plain")],
        vec![(header::CONTENT_TYPE, "application/json"), (header::ORIGIN, "https://evil.example")],
    ] {
        let answer = stand.send(Method::POST, "/dev/disable", &headers, body.clone()).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
    }
    stand.user_token("alice", "").await;
}

#[tokio::test]
async fn nothing_foreign_is_signed_unless_it_was_started_so() {
    let realm = Realm::demo(SpiffeId::new(BROKER).expect("an id"));
    let strict = Stand::with(realm, false).await;
    let body = json!({ "header": { "typ": "x", "alg": "none" }, "claims": { "sub": "y" } });
    assert_eq!(strict.dev("sign", body.clone()).await.status, StatusCode::FORBIDDEN);
    let open = Stand::start().await;
    let token = open.dev("sign", body).await.json()["token"].as_str().expect("a token").to_owned();
    let header = part(&token, 0);
    assert_eq!((&header["typ"], &header["alg"], header["kid"].is_string()), (&json!("x"), &json!("none"), true));
    assert_eq!(part(&token, 1), json!({ "sub": "y" }));
}
