//! What is no logout token of the authority ends nobody's work, whoever sends it and however often: the public door is
//! open to everybody (OpenID Connect Back-Channel Logout 1.0 §2.6).

use dev::apps::{Answer, Call};
use harness::{
    Desk, Forger, Lie, OwnProvider, TICKETS, assert_refused, begin, call, claims_of, eventually, logout, logout_claims,
    odd_forms,
};
use http::Method;
use serde_json::{Value, json};

const INVALID: &str = "invalid_request";
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Alice's transaction, and the session that somebody wants to end.
struct Victim {
    desk: Desk,
    txn: String,
    sid: Value,
}

impl Victim {
    async fn open() -> Self {
        let desk = Desk::open().await;
        let user = desk.alice().await;
        let begun = desk.ask("planner", &begin(&user, "tickets:read")).await;
        let txn = begun.text("/access_token").unwrap_or_else(|| panic!("begun: {}", begun.json()));
        Self { desk, txn, sid: claims_of(&user)["sid"].clone() }
    }

    /// A good logout token of her session but for `changes`.
    async fn token(&self, changes: &Value) -> String {
        let mut claims = json!({"sid": self.sid});
        claims.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
        self.desk.logout_token(&claims).await
    }

    async fn post(&self, media_type: &str, body: String) -> Answer {
        let call = Call::new(Method::POST, &self.desk.logout_url()).header("content-type", media_type).body(body);
        call.send().await.expect("answered")
    }

    /// Her work goes on, and no line says that anybody wanted to end it.
    async fn goes_on(self) {
        let answer = self.desk.ask("planner", &call(&self.txn, TICKETS, "tickets:read")).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        let lines = self.desk.stack.records();
        let harmless = |line: &Value| matches!(line["t"].as_str(), Some("key" | "begin" | "exchange"));
        assert!(lines.iter().all(harmless), "{lines:?}");
        let answer = logout(&self.desk, &self.token(&json!({})).await).await;
        assert_eq!(answer.status, 200, "the same token unchanged ends her session: {}", answer.json());
        let answer = self.desk.ask("planner", &call(&self.txn, TICKETS, "tickets:read")).await;
        assert_refused("ended", &answer, 400, INVALID, "subject.session_ended");
        self.desk.close().await;
    }
}

#[tokio::test]
async fn one_wrong_claim_ends_nothing() {
    let victim = Victim::open().await;
    let issuer = victim.desk.stack.issuer().to_owned();
    let now = runtime::clock::now().secs();
    for (case, changes, refusal) in [
        ("another issuer", json!({"iss": "https://other.example/realms/agents"}), "logout_token.issuer"),
        ("a slash more", json!({"iss": format!("{issuer}/")}), "logout_token.issuer"),
        ("no issuer", json!({"iss": null}), "logout_token.issuer"),
        ("the broker's client", json!({"aud": "txn-broker"}), "logout_token.audience"),
        ("two clients", json!({"aud": ["console", "account"]}), "logout_token.audience"),
        ("no client", json!({"aud": null}), "logout_token.audience"),
        ("expired", json!({"iat": now - 200, "exp": now - 80}), "logout_token.expired"),
        ("issued tomorrow", json!({"iat": now + 3600, "exp": now + 3700}), "logout_token.not_yet_valid"),
        ("lives for an hour", json!({"exp": now + 3600}), "logout_token.claim"),
        ("lives for ever", json!({"exp": null}), "logout_token.claim"),
        ("issued never", json!({"iat": null}), "logout_token.claim"),
        ("no events", json!({"events": null}), "logout_token.claim"),
        ("events as list", json!({"events": [EVENT]}), "logout_token.claim"),
        ("another event", json!({"events": {"http://schemas.openid.net/event/other": {}}}), "logout_token.claim"),
        ("an event that is no object", json!({"events": {EVENT: "x"}}), "logout_token.claim"),
        ("a nonce", json!({"nonce": "n"}), "logout_token.claim"),
        ("no jti", json!({"jti": null}), "logout_token.claim"),
        ("nobody", json!({"sid": null}), "logout_token.no_session"),
    ] {
        let answer = logout(&victim.desk, &victim.token(&changes).await).await;
        assert_refused(case, &answer, 400, INVALID, refusal);
    }
    let metrics = victim.desk.stack.metrics("broker").await.expect("metrics");
    let counted = r#"countersign_logouts_total{outcome="refused",code="logout_token.issuer"} 3"#;
    assert!(metrics.contains(counted), "{metrics}");
    victim.goes_on().await;
}

#[tokio::test]
async fn what_is_no_logout_token_at_all_ends_nothing() {
    let victim = Victim::open().await;
    let good = victim.token(&json!({})).await;
    let user = victim.desk.alice().await;
    let [too_long, malformed, repeated, brings_key, unsigned, other_typ, other_key, wrong_signature] = odd_forms(&good);
    for (case, token, refusal) in [
        ("too long", too_long, "logout_token.too_long"),
        ("padded", malformed, "logout_token.malformed"),
        ("no JWT", "nonsense".to_owned(), "logout_token.malformed"),
        ("encrypted", format!("{good}.a.b"), "logout_token.malformed"),
        ("a name twice", repeated, "logout_token.repeated_name"),
        ("brings its key", brings_key, "logout_token.forbidden_header"),
        ("unsigned", unsigned, "logout_token.algorithm"),
        ("of another type", other_typ, "logout_token.type"),
        ("the user's own token", user, "logout_token.type"),
        ("somebody's key", other_key, "logout_token.key_unknown"),
        ("somebody's signature", wrong_signature, "logout_token.signature"),
        ("a signature that was changed", changed_signature(&good), "logout_token.signature"),
    ] {
        assert_refused(case, &logout(&victim.desk, &token).await, 400, INVALID, refusal);
    }
    victim.goes_on().await;
}

/// `token` with a signature that is as long, and another.
fn changed_signature(token: &str) -> String {
    let (unsigned, signature) = token.rsplit_once('.').expect("a JWS");
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{unsigned}.{first}{}", &signature[1..])
}

#[tokio::test]
async fn a_request_of_another_form_ends_nothing() {
    const FORM: &str = "application/x-www-form-urlencoded";
    let victim = Victim::open().await;
    let token = victim.token(&json!({})).await;
    for (case, media_type, body, refusal) in [
        ("JSON", "application/json", json!({"logout_token": token}).to_string(), "request.media_type"),
        ("a bare JWT", "application/jwt", token.clone(), "request.media_type"),
        ("twice", FORM, format!("logout_token={token}&logout_token={token}"), "request.repeated_parameter"),
        ("twice, once disguised", FORM, format!("logout_token={token}&logout%5Ftoken=x"), "request.repeated_parameter"),
        ("none", FORM, "token=x".to_owned(), "request.missing_parameter"),
        ("empty", FORM, "logout_token=".to_owned(), "request.missing_parameter"),
        ("no form", FORM, "logout_token=%zz".to_owned(), "request.malformed"),
        ("oversize", FORM, format!("logout_token={token}&x={}", "x".repeat(10 * 1024)), "request.too_large"),
    ] {
        assert_refused(case, &victim.post(media_type, body).await, 400, INVALID, refusal);
    }
    let url = victim.desk.logout_url();
    let in_query = Call::new(Method::POST, &format!("{url}?logout_token={token}")).header("content-type", FORM);
    let answer = in_query.send().await.expect("answered");
    assert_refused("in the query", &answer, 400, INVALID, "request.missing_parameter");
    let get = Call::new(Method::GET, &format!("{url}?logout_token={token}")).send().await.expect("answered");
    assert_refused("GET", &get, 405, INVALID, "request.method");
    let inside = Call::new(Method::POST, "https://broker.agents.svc/backchannel-logout");
    let answer = victim.desk.to_broker("planner", inside.form(&[("logout_token", &token)])).await;
    assert_eq!(answer.header("grpc-status"), "12", "workloads have no such door: {}", answer.status);
    victim.goes_on().await;
}

#[tokio::test]
async fn a_logout_token_counts_once() {
    let mut victim = Victim::open().await;
    let token = victim.token(&json!({})).await;
    let first = logout(&victim.desk, &token).await;
    assert_eq!((first.status.as_u16(), first.body.len(), first.header("cache-control")), (200, 0, "no-store"));
    let again = logout(&victim.desk, &token).await;
    assert_refused("again", &again, 400, INVALID, "logout_token.replayed");
    let line = eventually("the logout is recorded", || async {
        victim.desk.stack.records().into_iter().find(|line| line["op"] == "logout")
    })
    .await;
    let closed = victim.desk.stack.record_file();
    victim.desk.stack.halt("broker").await;
    let lines = std::fs::read_to_string(closed).expect("the record");
    assert_eq!(lines.matches("\"logout\"").count(), 1, "{line} and no other");
    victim.desk.close().await;
}

#[tokio::test]
async fn strangers_lead_to_no_storm_at_the_provider_and_keep_nobody_out() {
    let provider = OwnProvider::open().await;
    let authorities = json!([{"keycloak": provider.issuer(), "client_id": "txn-broker"}]);
    let broker = json!({"authorities": authorities});
    let options = dev::stack::StackOptions { members: Vec::new(), broker, ..Desk::options() };
    let desk = Desk::open_with(options).await;
    let user = provider.user_token("tickets:read");
    assert_eq!(desk.ask("planner", &begin(&user, "tickets:read")).await.status, 200);
    let before = (provider.key_fetches(), provider.exchanges());
    let forger = Forger::default();
    for number in 0..50 {
        let header = json!({"typ": "logout+jwt", "alg": "ES256", "kid": format!("unknown-{number}")});
        let claims = logout_claims(&provider.issuer(), &json!({"sid": "session-of-alice"}));
        let answer = logout(&desk, &forger.sign(&header.to_string(), &claims.to_string())).await;
        assert_refused("unknown key", &answer, 400, INVALID, "logout_token.key_unknown");
    }
    let fetches = provider.key_fetches() - before.0;
    assert!(fetches <= 1, "{fetches} fetches");
    assert_eq!(provider.exchanges(), before.1, "and nothing else");
    provider.tells(Lie::None);
    let answer = desk.ask("planner", &begin(&user, "tickets:read")).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    desk.close().await;
}
