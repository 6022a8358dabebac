//! Client authentication by JWT-SVID (`keycloak.md` §3.2).

use super::*;

async fn answer(stand: &Stand, svid: &str, changes: &[(&str, &str)]) -> (u16, String, String) {
    let subject = stand.user_token("alice", "tickets:read").await;
    let mut all = vec![("client_assertion", svid)];
    all.extend(changes);
    stand.exchange(&subject, &all).await.refusal()
}

fn unknown() -> (u16, String, String) {
    refusal(401, "invalid_client", "Invalid client or Invalid client credentials")
}

#[tokio::test]
async fn an_svid_with_wrong_claims_is_refused_with_400() {
    let stand = Stand::start().await;
    let issuer = stand.server.issuer();
    let ago = now().secs() - 5;
    for (claims, description) in [
        (json!({ "aud": format!("{issuer}{TOKEN}") }), "Invalid token audience"),
        (json!({ "aud": format!("{issuer}/") }), "Invalid token audience"),
        (json!({ "aud": [issuer, "https://other"] }), "Invalid token audience"),
        (json!({ "aud": null }), "Invalid token audience"),
        (json!({ "exp": ago }), "Token is not active"),
        (json!({ "exp": null }), "Token exp claim is required"),
    ] {
        let svid = stand.svid(&claims);
        assert_eq!(answer(&stand, &svid, &[]).await, refusal(400, "invalid_client", description), "{claims}");
    }
    let claims = json!({ "sub": BROKER, "aud": issuer, "exp": now().secs() + 60 });
    for alg in ["none", "HS256"] {
        let svid = stand.svids.sign(&json!({ "alg": alg, "kid": "s1" }), &claims);
        assert_eq!(
            answer(&stand, &svid, &[]).await,
            refusal(400, "invalid_client", "Invalid signature algorithm"),
            "{alg}"
        );
    }
}

#[tokio::test]
async fn an_svid_of_nobody_or_of_another_key_is_refused_with_401() {
    let stand = Stand::start().await;
    for sub in [
        json!("spiffe://corp.example/ns/agents/sa/planner"),
        json!("spiffe://other.example/ns/agents/sa/broker"),
        json!("alice"),
        Value::Null,
    ] {
        assert_eq!(answer(&stand, &stand.svid(&json!({ "sub": sub })), &[]).await, unknown(), "{sub}");
    }
    let claims = json!({ "sub": BROKER, "aud": stand.server.issuer(), "exp": now().secs() + 60 });
    let other = SvidKey::generate().sign(&json!({ "alg": "ES256", "kid": "s1" }), &claims);
    let unknown_kid = stand.svids.sign(&json!({ "alg": "ES256", "kid": "s2" }), &claims);
    for svid in [other.as_str(), &unknown_kid, "junk", ""] {
        assert_eq!(answer(&stand, svid, &[]).await, unknown(), "{svid}");
    }
}

#[tokio::test]
async fn a_client_without_svid_or_with_another_name_is_refused() {
    let stand = Stand::start().await;
    let svid = stand.svid(&json!({}));
    let kind = "client_assertion_type";
    for change in [
        (kind, ""),
        (kind, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_id", BROKER),
        ("client_id", "nobody"),
    ] {
        assert_eq!(answer(&stand, &svid, &[change]).await, unknown(), "{change:?}");
    }
    let mismatch = refusal(400, "invalid_client", "client_id parameter does not match authenticated client");
    assert_eq!(answer(&stand, &svid, &[("client_id", "console")]).await, mismatch);
}

#[tokio::test]
async fn the_audience_may_be_a_string_and_the_client_id_absent() {
    let stand = Stand::start().await;
    let svid = stand.svid(&json!({ "aud": stand.server.issuer() }));
    let subject = stand.user_token("alice", "tickets:read").await;
    let answer = stand.exchange(&subject, &[("client_assertion", &svid), ("client_id", "")]).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}

#[tokio::test]
async fn without_keys_no_client_is_known() {
    let svids = SvidKey::generate();
    let options = Options {
        listen: "127.0.0.1:0".parse().expect("an address"),
        realm: Realm::demo(SpiffeId::new(BROKER).expect("an id")),
        svid_keys: SvidKeys::Fixed(KeySet::default()),
        danger_sign_anything: false,
    };
    let server = Server::bind(options).await.expect("bound");
    let router = http::router(Arc::clone(&server.provider));
    let stand = Stand { server, router, svids };
    assert_eq!(answer(&stand, &stand.svid(&json!({})), &[]).await, unknown());
}
