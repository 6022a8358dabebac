//! What callers get for a refusal.

use http_body_util::BodyExt as _;

use super::*;
use identity::TokenFault;

async fn json(response: Response<Body>) -> Value {
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    serde_json::from_slice(&bytes).expect("JSON")
}

fn at(door: Door) -> About {
    let metadata = Some("https://tickets.tools.svc/.well-known/oauth-protected-resource/mcp".to_owned());
    let mut about = About::new(door);
    about.metadata = metadata;
    about
}

fn challenge(about: &About, refusal: &Refusal) -> Option<String> {
    let response = about.refused(refusal, "1");
    response.headers().get(header::WWW_AUTHENTICATE).map(|value| value.to_str().expect("text").to_owned())
}

#[test]
fn an_app_gets_401_only_for_the_subject() {
    for refusal in Refusal::catalogue() {
        let of_subject = refusal.code().starts_with("subject.");
        for door in [Door::Agent, Door::Own] {
            assert_eq!(status(&refusal, door) == StatusCode::UNAUTHORIZED, of_subject, "{}", refusal.code());
        }
    }
}

#[test]
fn every_family_has_its_status() {
    for refusal in Refusal::catalogue() {
        let code = refusal.code().into_owned();
        let family = code.split('.').next().unwrap_or_default();
        let agent = status(&refusal, Door::Agent).as_u16();
        let expected: &[u16] = match family {
            "subject" => &[401],
            "policy" | "chain" | "edge" | "scope" | "target" | "actor" | "client" | "client_assertion" | "request"
            | "logout_token" => &[403],
            "access_token" | "txn_token" => &[403],
            "call" => &[400, 403, 404, 413],
            "peer" => &[502, 503],
            "fault" => &[503],
            other => panic!("unknown family {other}"),
        };
        assert!(expected.contains(&agent), "{code}: {agent}");
        if matches!(family, "access_token" | "txn_token") {
            assert_eq!(status(&refusal, Door::Mesh), StatusCode::UNAUTHORIZED, "{code}");
        }
        if family == "fault" {
            assert!(refusal.is_fault());
        }
    }
}

#[test]
fn a_missing_token_is_challenged_without_an_error() {
    assert_eq!(
        challenge(&at(Door::Mesh), &Refusal::AccessTokenMissing).as_deref(),
        Some(r#"Bearer resource_metadata="https://tickets.tools.svc/.well-known/oauth-protected-resource/mcp""#)
    );
}

#[test]
fn a_bad_token_and_too_little_scope_are_challenged_by_name() {
    let bad = challenge(&at(Door::Mesh), &Refusal::AccessToken(TokenFault::Expired)).expect("a challenge");
    assert!(bad.starts_with(r#"Bearer error="invalid_token", resource_metadata=""#), "{bad}");
    let mut about = at(Door::Mesh);
    about.scope = "tickets:write".parse().ok();
    let small = challenge(&about, &Refusal::ScopeInsufficient).expect("a challenge");
    assert!(small.starts_with(r#"Bearer error="insufficient_scope", scope="tickets:write", resource_"#), "{small}");
    assert_eq!(challenge(&at(Door::Mesh), &Refusal::PolicyNoRule), None);
}

#[test]
fn only_a_mesh_door_marks_its_refusals() {
    for door in [Door::Edge, Door::Mesh, Door::Agent, Door::Own] {
        let response = at(door).refused(&Refusal::AccessToken(TokenFault::Expired), "1");
        let marked = response.headers().get(strip::REFUSAL).map(HeaderValue::as_bytes);
        assert_eq!(marked, (door == Door::Mesh).then_some(&b"access_token.expired"[..]));
    }
}

#[tokio::test]
async fn the_body_says_what_and_how_to_learn_more() {
    let body = json(at(Door::Agent).answer(Err(Refusal::CallUnlistedHost), &Metrics::default())).await;
    assert_eq!(body["error"], "access_denied");
    assert_eq!(body["refusal"], "call.unlisted_host");
    assert_eq!(body["help"], "countersign explain call.unlisted_host");
    assert!(body["message"].is_string() && body["request_id"].as_str().is_some_and(|id| id.len() == 22));
}

#[tokio::test]
async fn an_mcp_message_is_answered_as_json_rpc_with_its_id() {
    let mut about = at(Door::Agent);
    about.rpc = Some(Rpc { id: json!("seven"), code: -32000 });
    let response = about.answer(Err(Refusal::ScopeNotPermitted), &Metrics::default());
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let body = json(response).await;
    assert_eq!((&body["jsonrpc"], &body["id"]), (&json!("2.0"), &json!("seven")));
    assert_eq!(body["error"]["data"]["refusal"], "scope.not_permitted");
    assert_eq!(body["error"]["data"]["error"], "insufficient_scope");
}

#[test]
fn faults_say_when_to_come_back() {
    let response = at(Door::Agent).refused(&Refusal::FaultBroker, "1");
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key(header::RETRY_AFTER));
}
