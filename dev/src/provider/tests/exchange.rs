//! Standard token exchange, row by row (`keycloak.md` §4).

use super::*;

const SCOPE: (&str, &str) = ("scope", "tickets:read");

fn invalid_token() -> (u16, String, String) {
    refusal(400, "invalid_request", "Invalid token")
}

#[tokio::test]
async fn a_keeper_says_who_in_which_session_with_groups_and_roles() {
    let stand = Stand::start().await;
    let subject = stand.user_token("alice", "openid tickets:read tickets:write").await;
    let user = part(&subject, 1);
    let answer = stand.exchange(&subject, &[("scope", "tickets:read tickets:write")]).await;
    let (body, claims) = (answer.json(), answer.claims());
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    let issued = claims["iat"].as_u64().expect("iat");
    assert_eq!(
        claims,
        json!({
            "exp": issued + 120, "iat": issued, "jti": claims["jti"], "iss": stand.server.issuer(), "aud": "txn-broker",
            "sub": user["sub"], "typ": "Bearer", "azp": "txn-broker", "sid": user["sid"],
            "scope": "tickets:read tickets:write", "preferred_username": "alice", "groups": ["support"],
            "realm_access": { "roles": ["tickets-reader", "tickets-writer"] },
        })
    );
    assert!(claims["jti"].as_str().expect("jti").starts_with("ntrtte:"));
    assert_eq!(
        body,
        json!({
            "access_token": body["access_token"], "expires_in": 120, "refresh_expires_in": 0, "token_type": "Bearer",
            "not-before-policy": 0, "session_state": user["sid"], "scope": "tickets:read tickets:write",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        })
    );
}

#[tokio::test]
async fn a_keeper_can_be_exchanged_for_itself_and_holds_only_the_roles_of_its_scope() {
    let stand = Stand::start().await;
    let subject = stand.user_token("alice", "tickets:read tickets:write").await;
    let keeper = stand.exchange(&subject, &[SCOPE]).await;
    assert_eq!(keeper.claims()["realm_access"]["roles"], json!(["tickets-reader"]));
    let keeper = keeper.json()["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(stand.exchange(&keeper, &[SCOPE]).await.claims()["scope"], "tickets:read");
    let beyond = stand.exchange(&keeper, &[("scope", "tickets:write")]).await.refusal();
    assert_eq!((beyond.0, beyond.1.as_str()), (400, "invalid_scope"));
}

#[tokio::test]
async fn the_life_of_the_keeper_does_not_depend_on_the_subject_token() {
    let stand = Stand::start().await;
    let form = [
        ("grant_type", "password"),
        ("client_id", "console"),
        ("username", "alice"),
        ("password", "alice"),
        ("scope", "tickets:read"),
        ("dev_life", "30"),
    ];
    let short = stand.post(TOKEN, &form).await.json();
    assert_eq!(short["expires_in"], 30);
    let keeper = stand.exchange(short["access_token"].as_str().expect("a token"), &[SCOPE]).await;
    assert_eq!(keeper.json()["expires_in"], 120);
}

#[tokio::test]
async fn a_role_that_is_gone_takes_its_scope_along_without_an_error() {
    let stand = Stand::start().await;
    let subject = stand.user_token("alice", "tickets:read tickets:write").await;
    stand.server.handle().remove_role("alice", "tickets-writer").expect("removed");
    let answer = stand.exchange(&subject, &[("scope", "tickets:read tickets:write")]).await;
    assert_eq!((answer.status, &answer.json()["scope"]), (StatusCode::OK, &json!("tickets:read")));
    stand.server.handle().remove_role("alice", "tickets-reader").expect("removed");
    let answer = stand.exchange(&subject, &[SCOPE]).await;
    assert_eq!((answer.status, &answer.json()["scope"]), (StatusCode::OK, &json!("")));
    assert_eq!(answer.claims().get("realm_access"), None);
    stand.server.handle().add_role("alice", "tickets-reader").expect("added");
    assert_eq!(stand.exchange(&subject, &[SCOPE]).await.json()["scope"], "tickets:read");
}

#[tokio::test]
async fn no_scope_asked_is_no_scope_given() {
    let stand = Stand::start().await;
    let subject = stand.user_token("alice", "tickets:read").await;
    assert_eq!(stand.exchange(&subject, &[]).await.json()["scope"], "");
}

#[tokio::test]
async fn scope_beyond_the_token_is_refused() {
    let stand = Stand::start().await;
    let subject = stand.user_token("bob", "openid tickets:read").await;
    for (asked, beyond) in [
        ("tickets:write", "tickets:write"),
        ("tickets:read tickets:write", "tickets:write"),
        ("nope", "nope"),
        (" ", ""),
    ] {
        let description = format!("Scopes [{beyond}] not present in the initial access token [tickets:read]");
        let answer = stand.exchange(&subject, &[("scope", asked)]).await;
        assert_eq!(answer.refusal(), refusal(400, "invalid_scope", &description), "{asked}");
    }
}

#[tokio::test]
async fn a_session_that_ended_and_a_disabled_user_are_refused() {
    let stand = Stand::start().await;
    let handle = stand.server.handle();
    let subject = stand.user_token("alice", "tickets:read").await;
    handle.set_enabled("alice", false).expect("disabled");
    assert_eq!(stand.exchange(&subject, &[SCOPE]).await.refusal(), invalid_token());
    handle.set_enabled("alice", true).expect("enabled");
    assert_eq!(stand.exchange(&subject, &[SCOPE]).await.status, StatusCode::OK, "enabled again, the old token works");
    let keeper = stand.exchange(&subject, &[SCOPE]).await.json()["access_token"].as_str().expect("a token").to_owned();
    handle.sign_out(part(&subject, 1)["sid"].as_str().expect("sid")).await.expect("signed out");
    for token in [&subject, &keeper] {
        assert_eq!(stand.exchange(token, &[SCOPE]).await.refusal(), invalid_token());
    }
}

#[tokio::test]
async fn a_token_that_is_not_a_living_access_token_of_this_realm_is_refused() {
    let stand = Stand::start().await;
    for claims in [
        json!({ "exp": now().secs() }),
        json!({ "exp": null }),
        json!({ "iss": "https://other" }),
        json!({ "typ": "ID" }),
        json!({ "typ": "Refresh" }),
        json!({ "typ": null }),
        json!({ "sid": "gone" }),
        json!({ "azp": "nobody" }),
        json!({ "sub": "nobody" }),
    ] {
        let subject = stand.forged(claims.clone()).await;
        assert_eq!(stand.exchange(&subject, &[SCOPE]).await.refusal(), invalid_token(), "{claims}");
    }
    let good = stand.user_token("alice", "tickets:read").await;
    let (input, _signature) = good.rsplit_once('.').expect("a signature");
    assert_eq!(stand.exchange(&format!("{input}.AAAA"), &[SCOPE]).await.refusal(), invalid_token());
    let description = "Assertion contains an invalid access token";
    assert_eq!(stand.exchange("junk", &[SCOPE]).await.refusal(), refusal(400, "invalid_request", description));
}

#[tokio::test]
async fn a_client_outside_the_audience_is_refused() {
    let stand = Stand::start().await;
    let subject = stand.forged(json!({ "aud": ["tickets", "calendar"] })).await;
    let denied = refusal(403, "access_denied", "Client is not within the token audience");
    assert_eq!(stand.exchange(&subject, &[SCOPE]).await.refusal(), denied);
    let among = stand.forged(json!({ "aud": ["tickets", "txn-broker"] })).await;
    assert_eq!(stand.exchange(&among, &[SCOPE]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn act_may_act_and_a_missing_session_are_not_looked_at() {
    let stand = Stand::start().await;
    for claims in [json!({ "act": { "sub": "x" }, "may_act": { "sub": "y" } }), json!({ "sid": null })] {
        let answer = stand.exchange(&stand.forged(claims.clone()).await, &[SCOPE]).await;
        assert_eq!(answer.status, StatusCode::OK, "{claims} {answer:?}");
        assert!(answer.claims().get("act").is_none() && answer.claims().get("may_act").is_none());
    }
}

#[tokio::test]
async fn audiences_are_told_apart() {
    let mut realm = Realm::demo(SpiffeId::new(BROKER).expect("an id"));
    realm.clients.push(Client { id: "tickets".to_owned(), kind: ClientKind::Audience });
    for client in &mut realm.clients {
        if let ClientKind::Exchange { audiences, .. } = &mut client.kind {
            audiences.push("tickets".to_owned());
        }
    }
    let stand = Stand::with(realm, true).await;
    let subject = stand.user_token("alice", "tickets:read").await;
    let asked = async |audience| stand.exchange(&subject, &[SCOPE, ("audience", audience)]).await;
    assert_eq!(asked("tickets").await.claims()["aud"], "tickets");
    assert_eq!(asked("").await.claims()["aud"], json!(["txn-broker", "tickets"]), "none asked: all");
    assert_eq!(asked("calendar").await.refusal(), refusal(400, "invalid_client", "Audience not found"));
    let unavailable = "Requested audience not available: console";
    assert_eq!(asked("console").await.refusal(), refusal(400, "invalid_request", unavailable));
}

#[tokio::test]
async fn parameters_are_checked_as_keycloak_checks_them() {
    let stand = Stand::start().await;
    let subject = stand.user_token("alice", "tickets:read").await;
    let required = "Parameter 'subject_token' required for standard token exchange";
    let only = "Parameter 'subject_token' supports access tokens only";
    for (change, description) in [
        (("subject_token", ""), required),
        (("subject_token_type", ""), required),
        (("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"), only),
        (
            ("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"),
            "requested_token_type unsupported",
        ),
        (("requested_subject", "bob"), "Parameter 'requested_subject' is not supported for standard token exchange"),
    ] {
        assert_eq!(
            stand.exchange(&subject, &[change]).await.refusal(),
            refusal(400, "invalid_request", description),
            "{change:?}"
        );
    }
    for ignored in [("resource", "https://x"), ("actor_token", "junk"), ("foo", "bar")] {
        assert_eq!(stand.exchange(&subject, &[ignored]).await.status, StatusCode::OK, "{ignored:?}");
    }
}

#[tokio::test]
async fn other_forms_of_request_are_refused() {
    let stand = Stand::start().await;
    let path = format!("/realms/agents{TOKEN}");
    let missing = refusal(400, "invalid_request", "Missing form parameter: grant_type");
    let json = [(header::CONTENT_TYPE, "application/json")];
    assert_eq!(stand.send(Method::POST, &path, &json, "{}".to_owned()).await.refusal(), missing);
    assert_eq!(stand.post(TOKEN, &[("client_id", "console")]).await.refusal(), missing);
    let unsupported = stand.post(TOKEN, &[("grant_type", "refresh_token")]).await.refusal();
    assert_eq!((unsupported.0, unsupported.1.as_str()), (400, "unsupported_grant_type"));
    let twice = stand.post(TOKEN, &[("grant_type", "password"), ("grant_type", "password")]).await.refusal();
    assert_eq!(twice, refusal(400, "invalid_request", "duplicated parameter"));
    assert_eq!(stand.browse(TOKEN).await.status, StatusCode::METHOD_NOT_ALLOWED);
    let form = [(header::CONTENT_TYPE, "application/x-www-form-urlencoded")];
    let large = stand.send(Method::POST, &path, &form, "a".repeat(64 * 1024 + 1)).await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
}
