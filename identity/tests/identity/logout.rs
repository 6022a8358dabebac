//! A logout token ends sessions, so whatever is not exactly one is refused, each for its own reason (OpenID Connect
//! Back-Channel Logout 1.0 §2.4, §2.6).

use identity::{KeySet, LoggedOut, LogoutRule, TokenFault, UnixTime, UserRule, verify};
use serde_json::{Value, json};

use crate::signer::{Signer, raw};

const NOW: u64 = 1_795_300_000;
const ISSUER: &str = "https://keycloak.corp.example/realms/agents";
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// As Keycloak 26.7.3 writes it.
fn logout() -> Value {
    json!({"iss": ISSUER, "aud": "console", "sub": "5f1c-alice", "sid": "s-1", "iat": NOW, "exp": NOW + 120, "jti": "l-1",
        "typ": "Logout", "events": {EVENT: {}}})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = logout();
    let members = claims.as_object_mut().expect("claims");
    if value.is_null() {
        members.remove(name)
    } else {
        members.insert(name.to_owned(), value)
    };
    claims
}

fn proved(token: String, keys: &KeySet) -> Result<LoggedOut, TokenFault> {
    let rule = LogoutRule { issuer: ISSUER, clients: &["portal", "console"] };
    let now = UnixTime::from_secs(NOW).expect("a time");
    verify(&raw(token), keys, &rule, now).map(|token| token.logged_out().clone())
}

fn judged(claims: &Value) -> Result<LoggedOut, TokenFault> {
    let signer = Signer::new("k");
    proved(signer.sign("logout+jwt", claims), &signer.keys())
}

fn alice() -> Option<identity::Subject> {
    Some("5f1c-alice".parse().expect("a name"))
}

#[test]
fn a_logout_token_names_a_session_or_a_user() {
    let session = |subject| Ok(LoggedOut::Session { id: "s-1".to_owned(), subject });
    assert_eq!(judged(&logout()), session(alice()));
    assert_eq!(judged(&with("sub", Value::Null)), session(None));
    assert_eq!(judged(&with("sid", Value::Null)), Ok(LoggedOut::User(alice().expect("a name"))));
    for (name, value) in [
        ("aud", json!(["console"])),
        ("aud", json!("portal")),
        ("exp", json!(NOW + 300)),
        ("iat", json!(NOW + 30)),
        ("events", json!({EVENT: {}, "revoke_offline_access": true})),
        ("events", json!({EVENT: {"more": 1}})),
        ("typ", Value::Null),
    ] {
        assert_eq!(judged(&with(name, value.clone())), session(alice()), "{name} = {value}");
    }
}

#[test]
fn one_wrong_claim_is_refused() {
    for (case, name, value, fault) in [
        ("another issuer", "iss", json!("https://other.example"), TokenFault::Issuer),
        ("a slash more", "iss", json!(format!("{ISSUER}/")), TokenFault::Issuer),
        ("no issuer", "iss", Value::Null, TokenFault::Issuer),
        ("another client", "aud", json!("txn-broker"), TokenFault::Audience),
        ("two clients", "aud", json!(["console", "portal"]), TokenFault::Audience),
        ("the client twice", "aud", json!(["console", "console"]), TokenFault::Audience),
        ("no client", "aud", json!([]), TokenFault::Audience),
        ("no audience", "aud", Value::Null, TokenFault::Audience),
        ("expired", "exp", json!(NOW), TokenFault::Expired),
        ("lives too long", "exp", json!(NOW + 301), TokenFault::Claim("exp")),
        ("lives for ever", "exp", Value::Null, TokenFault::Claim("exp")),
        ("exp as text", "exp", json!("1795300120"), TokenFault::Claim("exp")),
        ("issued tomorrow", "iat", json!(NOW + 31), TokenFault::NotYetValid),
        ("issued never", "iat", Value::Null, TokenFault::Claim("iat")),
        ("not yet", "nbf", json!(NOW + 31), TokenFault::NotYetValid),
        ("no events", "events", Value::Null, TokenFault::Claim("events")),
        ("events as list", "events", json!([EVENT]), TokenFault::Claim("events")),
        ("events as text", "events", json!(EVENT), TokenFault::Claim("events")),
        ("another event", "events", json!({"http://schemas.openid.net/event/other": {}}), TokenFault::Claim("events")),
        ("event is no object", "events", json!({EVENT: true}), TokenFault::Claim("events")),
        ("event is a list", "events", json!({EVENT: []}), TokenFault::Claim("events")),
        ("a nonce", "nonce", json!("n"), TokenFault::Claim("nonce")),
        ("an empty nonce", "nonce", json!(""), TokenFault::Claim("nonce")),
        ("no jti", "jti", Value::Null, TokenFault::Claim("jti")),
        ("an empty jti", "jti", json!(""), TokenFault::Claim("jti")),
        ("sid as number", "sid", json!(7), TokenFault::Claim("sid")),
        ("an empty sid", "sid", json!(""), TokenFault::Claim("sid")),
        ("sub as list", "sub", json!(["5f1c-alice"]), TokenFault::Claim("sub")),
    ] {
        assert_eq!(judged(&with(name, value)), Err(fault), "{case}");
    }
    let mut nobody = with("sub", Value::Null);
    nobody.as_object_mut().expect("claims").remove("sid");
    assert_eq!(judged(&nobody), Err(TokenFault::NoSession), "neither sid nor sub");
    for name in ["nonce", "sid", "sub"] {
        let mut claims = logout();
        claims[name] = Value::Null;
        assert_eq!(judged(&claims), Err(TokenFault::Claim(name)), "{name} = null is not absent");
    }
}

#[test]
fn no_other_token_is_a_logout_token_and_it_is_no_other_token() {
    let signer = Signer::new("k");
    for typ in ["JWT", "at+jwt", "txntoken+jwt", "Logout", "LOGOUT+JWT", "application/logout+jwt"] {
        assert_eq!(proved(signer.sign(typ, &logout()), &signer.keys()), Err(TokenFault::Type), "{typ}");
    }
    let untyped = signer.sign_text(r#"{"alg":"ES256","kid":"k"}"#, &logout().to_string());
    assert_eq!(proved(untyped, &signer.keys()), Err(TokenFault::Type));
    let rule = UserRule { issuer: ISSUER, audience: "console" };
    let as_user = verify(
        &raw(signer.sign("logout+jwt", &logout())),
        &signer.keys(),
        &rule,
        UnixTime::from_secs(NOW).expect("a time"),
    );
    assert_eq!(as_user.err(), Some(TokenFault::Type));
}

#[test]
fn whoever_has_not_the_key_logs_nobody_out() {
    let (signer, other) = (Signer::new("k"), Signer::new("k"));
    let claims = logout().to_string();
    assert_eq!(proved(other.sign("logout+jwt", &logout()), &signer.keys()), Err(TokenFault::Signature));
    assert_eq!(proved(signer.sign("logout+jwt", &logout()), &Signer::new("x").keys()), Err(TokenFault::KeyUnknown));
    for (header, fault) in [
        (r#"{"typ":"logout+jwt","alg":"none","kid":"k"}"#, TokenFault::Algorithm),
        (r#"{"typ":"logout+jwt","alg":"HS256","kid":"k"}"#, TokenFault::Algorithm),
        (r#"{"typ":"logout+jwt","alg":"RS256","kid":"k"}"#, TokenFault::Algorithm),
        (r#"{"typ":"logout+jwt","alg":"ES256","kid":"k","jwk":{}}"#, TokenFault::ForbiddenHeader),
        (r#"{"typ":"logout+jwt","alg":"ES256","kid":"k","crit":["exp"]}"#, TokenFault::ForbiddenHeader),
    ] {
        assert_eq!(proved(signer.sign_text(header, &claims), &signer.keys()), Err(fault), "{header}");
    }
    let header = r#"{"typ":"logout+jwt","alg":"ES256","kid":"k"}"#;
    let repeated = claims.replacen('{', r#"{"sid":"s-2","#, 1);
    assert_eq!(proved(signer.sign_text(header, &repeated), &signer.keys()), Err(TokenFault::RepeatedName));
}
