//! `countersign token inspect`: what a token says, and whether it verifies, without showing what could be used.

use harness::{Finished, Folder, Forger, Instance, Program, claims_of, tells_token};
use serde_json::{Value, json};

/// Seconds since 1970.
fn now() -> u64 {
    runtime::clock::now().secs()
}

/// A user's token, signed by `forger`, as an authority would.
fn user_token(forger: &Forger, change: impl FnOnce(&mut Value)) -> String {
    let mut claims = json!({
        "iss": "https://idp.example/realms/agents", "aud": "txn-broker", "azp": "console", "typ": "Bearer", "sub": "alice",
        "sid": "session", "scope": "tickets:read", "iat": now(), "exp": now() + 300,
    });
    change(&mut claims);
    forger.token("JWT", &claims)
}

/// Nothing of the token that could be used, or of what was typed instead, is shown.
fn assert_kept_secret(told: &Finished, token: &str) {
    let text = format!("{}{}", told.stdout, told.stderr);
    let signature = token.rsplit('.').next().unwrap_or_default();
    assert!(signature.len() < 8 || !text.contains(signature), "the signature is shown: {text}");
    assert!(!tells_token(&text), "{text}");
}

#[tokio::test]
async fn a_token_of_the_running_provider_verifies_by_its_issuer() {
    let instance = Instance::start(&[]).await;
    let token = instance.sign_in("alice").await;
    let inspect = |text: &str, more: &[&str]| {
        let file = instance.write("token", text);
        instance.program().arguments([&["token", "inspect", &file], more].concat()).run()
    };
    for text in [token.clone(), format!("Bearer {token}\n"), format!("Authorization: Bearer {token}")] {
        let told = inspect(&text, &[]).await;
        assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
        for words in [
            "user token",
            "alice",
            "tickets:read tickets:write",
            "UTC, in ",
            "verified with the keys of the running provider",
        ] {
            assert!(told.stdout.contains(words), "{words} in\n{}", told.stdout);
        }
        assert_kept_secret(&told, &token);
    }
    let told = inspect(&token, &["--json"]).await;
    let value: Value = serde_json::from_str(&told.stdout).expect("JSON");
    assert_eq!((&value["verified"], &value["kind"], &value["reason"]), (&json!(true), &json!("user"), &Value::Null));
    assert_eq!(value["claims"], claims_of(&token));

    let forged = Forger::default().resign(&token, |claims| claims["sub"] = json!("bob"));
    let told = inspect(&forged, &[]).await;
    assert_eq!(told.code, Some(1));
    assert!(told.stdout.contains("not verified: the token's signature does not hold"), "{}", told.stdout);
    assert!(told.stdout.contains("explain subject.signature"), "{}", told.stdout);
    assert_kept_secret(&told, &forged);

    let foreign = user_token(&Forger::default(), |_claims| {});
    let told = inspect(&foreign, &[]).await;
    assert_eq!(told.code, Some(1));
    assert!(told.stdout.contains("its issuer is not known to the running `countersign up`"), "{}", told.stdout);
    instance.end().await;
}

#[tokio::test]
async fn the_reason_is_told_with_the_code_that_its_receiver_would_give() {
    let (folder, forger) = (Folder::new(), Forger::default());
    let keys = folder.write("keys.json", &forger.jwks().to_string());
    let other = folder.write("other.json", &Forger::default().jwks().to_string());
    let inspect = async |token: &str, keys: &str| {
        let file = folder.write("token", token);
        let arguments = ["token", "inspect", &file, "--keys", keys, "--json"];
        let told = Program::new("countersign").arguments(arguments).run().await;
        assert_kept_secret(&told, token);
        let value: Value = serde_json::from_str(&told.stdout).unwrap_or_else(|_| panic!("{}", told.stderr));
        (told.code, value["kind"].clone(), value["code"].clone())
    };
    let id = "spiffe://corp.example/ns/agents/sa/planner";
    let times = json!({ "iat": now(), "exp": now() + 60 });
    let with = |claims: Value| {
        let mut all = times.clone();
        all.as_object_mut().expect("an object").extend(claims.as_object().expect("an object").clone());
        all
    };
    let access = with(json!({
        "iss": "https://broker.agents.svc", "aud": "https://tickets.tools.svc/mcp", "sub": "alice", "txn": "t", "jti": "j",
        "client_id": id, "act": { "sub": id }, "scope": "tickets:read",
    }));
    let transaction = with(json!({
        "iss": "https://broker.agents.svc", "aud": "corp.example", "sub": "alice", "txn": "t", "jti": "j", "scope": "",
        "req_wl": id, "act": { "sub": id },
    }));
    let svid = with(json!({ "sub": id, "aud": ["https://tickets.tools.svc"] }));
    for (kind, token) in [
        ("user", user_token(&forger, |_claims| {})),
        ("access", forger.token("at+jwt", &access)),
        ("transaction", forger.token("txntoken+jwt", &transaction)),
        ("jwt_svid", forger.token("JWT", &svid)),
    ] {
        assert_eq!(inspect(&token, &keys).await, (Some(0), json!(kind), Value::Null), "{kind}");
    }
    let expired = user_token(&forger, |claims| claims["exp"] = json!(now() - 1));
    let delegated = user_token(&forger, |claims| claims["act"] = json!({ "sub": id }));
    let early = user_token(&forger, |claims| claims["iat"] = json!(now() + 3600));
    let good = user_token(&forger, |_claims| {});
    for (token, keys, kind, code) in [
        (&expired, &keys, "user", json!("subject.expired")),
        (&delegated, &keys, "user", json!("subject.delegated")),
        (&early, &keys, "user", json!("subject.not_yet_valid")),
        (&good, &other, "user", json!("subject.signature")),
        (&user_token(&forger, |claims| claims["typ"] = json!("ID")), &keys, "id", Value::Null),
    ] {
        assert_eq!(inspect(token, keys).await, (Some(1), json!(kind), code));
    }
}

#[tokio::test]
async fn what_is_no_token_is_never_shown() {
    let folder = Folder::new();
    let secret = "correct-horse-battery-staple";
    let good = user_token(&Forger::default(), |_claims| {});
    let too_long = format!("{good}{}", "A".repeat(16 * 1024));
    for text in [secret, "", "a.b.c", &format!("{secret}.{secret}.{secret}"), &too_long] {
        let file = folder.write("token", text);
        let told = Program::new("countersign").arguments(["token", "inspect", &file]).run().await;
        assert_eq!(told.code, Some(1), "{}{}", told.stdout, told.stderr);
        assert!(told.stderr.contains("not a token: the token is "), "{}", told.stderr);
        assert!(!told.stderr.contains(secret) && told.stdout.is_empty(), "{}", told.stderr);
        assert_kept_secret(&told, &good);
    }
    for arguments in [
        &[good.as_str()][..],
        &["Bearer", good.as_str()],
        &["a", "b"],
        &["--keys", good.as_str()],
        &["/nonexistent/token"],
        &["--keys", "/nonexistent/keys"],
        &["--name", "A B"],
    ] {
        let file = folder.write("token", &good);
        let file = if arguments[0].starts_with("--") { vec![file.as_str()] } else { Vec::new() };
        let arguments = [&["token", "inspect"], file.as_slice(), arguments].concat();
        let told = Program::new("countersign").arguments(&arguments).run().await;
        assert_eq!(told.code, Some(2), "{}{}", told.stdout, told.stderr);
        assert_kept_secret(&told, &good);
    }
    let told = Program::new("countersign").arguments(["token", "inspect", "--keys", "https://x/jwks", "-"]).run().await;
    assert_eq!(told.code, Some(1), "an empty standard input is no token: {}", told.stderr);
}
