//! The browser's way and the password grant.

use aws_lc_rs::digest::{SHA256, digest};

use super::*;

const REDIRECT: &str = "http://127.0.0.1:7777/callback";
const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters-0";

fn request(changes: &[(&str, &str)]) -> String {
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, VERIFIER.as_bytes()));
    let mut query = vec![
        ("client_id", "console"),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("state", "s&1"),
        ("nonce", "n1"),
        ("scope", "openid tickets:read"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in changes {
        query.retain(|(held, _)| held != name);
        if !value.is_empty() {
            query.push((name, value));
        }
    }
    format!("/protocol/openid-connect/auth?{}", encoded(&query))
}

/// The path of the form's action, below the realm.
fn action(stand: &Stand, page: &Answer) -> String {
    let (_, rest) = page.text.split_once("action=\"").expect("a form");
    let (action, _) = rest.split_once('"').expect("an end");
    action.strip_prefix(stand.server.issuer()).expect("the own issuer").to_owned()
}

/// Parameters with which the browser comes back.
fn sent_back(answer: &Answer) -> std::collections::HashMap<String, String> {
    assert_eq!(answer.status, StatusCode::FOUND, "{answer:?}");
    let target = url::Url::parse(answer.headers[header::LOCATION].to_str().expect("text")).expect("a URL");
    assert!(target.as_str().starts_with(REDIRECT));
    target.query_pairs().into_owned().collect()
}

async fn code(stand: &Stand, changes: &[(&str, &str)]) -> String {
    let page = stand.browse(&request(changes)).await;
    let answer = stand.post(&action(stand, &page), &[("username", "alice"), ("password", "alice")]).await;
    sent_back(&answer).remove("code").expect("a code")
}

fn redeem<'f>(code: &'f str, changes: &[(&'f str, &'f str)]) -> Vec<(&'f str, &'f str)> {
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("client_id", "console"),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
        ("code", code),
    ];
    form.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    form.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
    form
}

#[tokio::test]
async fn alice_signs_in_with_a_browser() {
    let stand = Stand::start().await;
    let page = stand.browse(&request(&[])).await;
    assert!(page.text.contains("development sign-in"));
    let back = sent_back(&stand.post(&action(&stand, &page), &[("username", "alice"), ("password", "alice")]).await);
    assert_eq!((back["state"].as_str(), back["iss"].as_str()), ("s&1", stand.server.issuer()));
    let answer = stand.post(TOKEN, &redeem(&back["code"], &[])).await;
    let (header, claims) = (part(answer.json()["access_token"].as_str().expect("a token"), 0), answer.claims());
    assert_eq!(header, json!({ "alg": "RS256", "typ": "JWT", "kid": header["kid"] }));
    let issued = claims["iat"].as_u64().expect("iat");
    assert_eq!(
        claims,
        json!({
            "exp": issued + 300, "iat": issued, "auth_time": claims["auth_time"], "jti": claims["jti"], "iss": stand.server.issuer(),
            "aud": "txn-broker", "sub": claims["sub"], "typ": "Bearer", "azp": "console", "sid": back["session_state"],
            "scope": "openid tickets:read", "preferred_username": "alice",
        })
    );
    assert!(claims["auth_time"].is_u64() && claims["jti"].as_str().expect("jti").starts_with("onrtac:"));
    let id_token = part(answer.json()["id_token"].as_str().expect("an ID token"), 1);
    assert_eq!(
        (&id_token["typ"], &id_token["aud"], &id_token["nonce"]),
        (&json!("ID"), &json!("console"), &json!("n1"))
    );
}

#[tokio::test]
async fn a_code_works_once_and_only_for_whoever_asked() {
    let stand = Stand::start().await;
    for (change, description) in [
        (("code_verifier", "another-verifier"), "PKCE verification failed: Code mismatch"),
        (("code_verifier", ""), "PKCE code verifier not specified"),
        (("redirect_uri", "http://127.0.0.1:7778/callback"), "Incorrect redirect_uri"),
    ] {
        let code = code(&stand, &[]).await;
        let answer = stand.post(TOKEN, &redeem(&code, &[change])).await;
        assert_eq!(answer.refusal(), refusal(400, "invalid_grant", description));
        let again = stand.post(TOKEN, &redeem(&code, &[])).await;
        assert_eq!(again.refusal(), refusal(400, "invalid_grant", "Code not valid"), "spent");
    }
    let code = code(&stand, &[]).await;
    assert_eq!(stand.post(TOKEN, &redeem(&code, &[])).await.status, StatusCode::OK);
    assert_eq!(stand.post(TOKEN, &redeem(&code, &[])).await.refusal(), refusal(400, "invalid_grant", "Code not valid"));
}

#[tokio::test]
async fn a_bad_authorization_request_goes_back_with_its_error() {
    let stand = Stand::start().await;
    for (change, error) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("scope", "openid nope"), "invalid_scope"),
    ] {
        assert_eq!(sent_back(&stand.browse(&request(&[change])).await)["error"], error, "{change:?}");
    }
}

#[tokio::test]
async fn nobody_is_sent_to_another_host_or_to_an_unknown_client() {
    let stand = Stand::start().await;
    for change in [
        ("redirect_uri", "https://evil.example/"),
        ("redirect_uri", ""),
        ("client_id", "nobody"),
        ("client_id", "txn-broker"),
    ] {
        let answer = stand.browse(&request(&[change])).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{change:?}");
        assert!(!answer.headers.contains_key(header::LOCATION));
    }
}

#[tokio::test]
async fn a_wrong_password_shows_the_form_again() {
    let stand = Stand::start().await;
    let page = stand.browse(&request(&[])).await;
    let path = action(&stand, &page);
    let again = stand.post(&path, &[("username", "alice"), ("password", "bob")]).await;
    assert!(again.text.contains("Invalid username or password."));
    stand.server.handle().set_enabled("alice", false).expect("disabled");
    let again = stand.post(&path, &[("username", "alice"), ("password", "alice")]).await;
    assert!(again.text.contains("Account is disabled"));
    let gone = stand.post("/login-actions/authenticate?session_code=x", &[("username", "alice")]).await;
    assert_eq!(gone.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_scope_without_its_role_is_left_out_at_sign_in() {
    let stand = Stand::start().await;
    assert_eq!(
        part(&stand.user_token("bob", "openid tickets:read tickets:write").await, 1)["scope"],
        "openid tickets:read"
    );
}

#[tokio::test]
async fn the_password_grant_refuses_what_is_wrong() {
    let stand = Stand::start().await;
    let ask = async |changes: &[(&str, &str)]| {
        let mut form =
            vec![("grant_type", "password"), ("client_id", "console"), ("username", "bob"), ("password", "bob")];
        form.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        form.extend(changes);
        stand.post(TOKEN, &form).await
    };
    assert_eq!(ask(&[]).await.status, StatusCode::OK);
    let unknown = refusal(401, "invalid_client", "Invalid client or Invalid client credentials");
    assert_eq!(ask(&[("client_id", "nobody")]).await.refusal(), unknown);
    assert_eq!(ask(&[("client_id", "txn-broker")]).await.refusal(), unknown);
    assert_eq!(ask(&[("password", "x")]).await.refusal(), refusal(401, "invalid_grant", "Invalid user credentials"));
    assert_eq!(ask(&[("scope", "nope")]).await.refusal(), refusal(400, "invalid_scope", "Invalid scopes: nope"));
    for life in ["0", "86401", "soon"] {
        assert_eq!(ask(&[("dev_life", life)]).await.status, StatusCode::BAD_REQUEST, "{life}");
    }
    stand.server.handle().set_enabled("bob", false).expect("disabled");
    assert_eq!(ask(&[]).await.refusal(), refusal(400, "invalid_grant", "Account disabled"));
}

#[tokio::test]
async fn signing_out_ends_the_session_of_the_hint() {
    let stand = Stand::start().await;
    let code = code(&stand, &[]).await;
    let tokens = stand.post(TOKEN, &redeem(&code, &[])).await.json();
    let (access, id) =
        (tokens["access_token"].as_str().expect("a token"), tokens["id_token"].as_str().expect("a token"));
    assert_eq!(stand.exchange(access, &[]).await.status, StatusCode::OK);
    let logout = "/protocol/openid-connect/logout";
    assert_eq!(stand.post(logout, &[]).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(stand.post(logout, &[("id_token_hint", "forged.x.y")]).await.status, StatusCode::BAD_REQUEST);
    let query = encoded(&[("id_token_hint", id), ("post_logout_redirect_uri", REDIRECT), ("state", "z")]);
    assert_eq!(sent_back(&stand.browse(&format!("{logout}?{query}")).await)["state"], "z");
    assert_eq!(stand.exchange(access, &[]).await.refusal(), refusal(400, "invalid_request", "Invalid token"));
}
