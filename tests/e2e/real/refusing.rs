//! What Keycloak itself says no to, and what the caller hears of it (K3, K4, K6). A misconfigured realm is never told as
//! the user's mistake, and once it is mended the next begin is as good as before.
//! K2 cannot be had here: the audience asked for is the broker's own client, which has just authenticated.

use dev::real::admin::Admin;
use harness::{Desk, assert_refused, begin, eventually};
use http::Method;
use serde_json::{Value, json};

const SCOPE: &str = "tickets:read";
const AWAY: &str = "temporarily_unavailable";

/// The broker's client in the realm, to be broken.
struct Client<'a> {
    admin: &'a Admin,
    good: Value,
}

impl<'a> Client<'a> {
    async fn of(desk: &'a Desk) -> Self {
        let admin = desk.stack.admin().expect("Keycloak");
        let found = admin.call(Method::GET, "clients?clientId=txn-broker", None).await.expect("read").json();
        Self { admin, good: found[0].clone() }
    }

    fn path(&self) -> String {
        format!("clients/{}", self.good["id"].as_str().expect("an id"))
    }

    async fn put(&self, client: &Value) {
        self.admin.call(Method::PUT, &self.path(), Some(client)).await.expect("set");
    }

    async fn changed(&self, pointer: &str, name: &str, value: Value) {
        let mut client = self.good.clone();
        client.pointer_mut(pointer).expect("a member")[name] = value;
        self.put(&client).await;
    }

    /// Takes a scope from the client, or gives it back.
    async fn scope(&self, method: Method, kind: &str, name: &str) {
        let scopes = self.admin.call(Method::GET, "client-scopes", None).await.expect("read").json();
        let found = scopes.as_array().and_then(|all| all.iter().find(|scope| scope["name"] == name)).expect("a scope");
        let path = format!("{}/{kind}-client-scopes/{}", self.path(), found["id"].as_str().expect("an id"));
        self.admin.call(method, &path, None).await.expect("changed");
    }
}

/// One begin is refused so, recorded so, and nothing is begun.
async fn refused(desk: &Desk, case: &str, (status, error, refusal): (u16, &str, &str)) {
    let lines = |kind: &str| desk.stack.records().into_iter().filter(|line| line["t"] == kind).collect::<Vec<_>>();
    let (refusals, begun) = (lines("refuse").len(), lines("begin").len());
    let answer = desk.ask("planner", &begin(&desk.alice().await, SCOPE)).await;
    assert_refused(case, &answer, status, error, refusal);
    let line = eventually("it is recorded", || async { lines("refuse").into_iter().nth(refusals) }).await;
    assert_eq!(line["code"], json!(refusal), "{case}: {line}");
    assert_eq!(lines("begin").len(), begun, "{case}: nothing was begun");
}

async fn begins(desk: &Desk, case: &str) {
    let answer = desk.ask("planner", &begin(&desk.alice().await, SCOPE)).await;
    assert_eq!(answer.status, 200, "{case}, mended: {}", answer.json());
}

#[tokio::test]
async fn what_keycloak_refuses_for_the_realm_is_told_as_what_it_is() {
    let desk = Desk::open_real().await;
    let client = Client::of(&desk).await;
    begins(&desk, "good").await;

    let case = "K3 the broker is no audience of its own";
    client.scope(Method::DELETE, "default", "to-broker").await;
    refused(&desk, case, (400, "invalid_target", "target.unknown")).await;
    client.scope(Method::PUT, "default", "to-broker").await;
    begins(&desk, case).await;

    let case = "K4 a scope that the broker's client has not";
    client.scope(Method::DELETE, "optional", SCOPE).await;
    refused(&desk, case, (400, "invalid_scope", "scope.withdrawn")).await;
    client.scope(Method::PUT, "optional", SCOPE).await;
    begins(&desk, case).await;

    let case = "K4 consent";
    client.changed("", "consentRequired", json!(true)).await;
    refused(&desk, case, (400, "invalid_scope", "scope.withdrawn")).await;
    client.put(&client.good).await;
    begins(&desk, case).await;

    let ours = (503, AWAY, "fault.provider");
    for (case, pointer, name, value) in [
        ("K6 the client is disabled", "", "enabled", json!(false)),
        ("K6 another workload's", "/attributes", "jwt.credential.sub", json!("spiffe://corp.example/ns/x/sa/other")),
        ("K6 may not exchange", "/attributes", "standard.token.exchange.enabled", json!("false")),
    ] {
        client.changed(pointer, name, value).await;
        refused(&desk, case, ours).await;
        client.put(&client.good).await;
        begins(&desk, case).await;
    }
    let alarms = desk.stack.log_of("broker").matches("the provider refused the broker; check its client there").count();
    assert!(alarms >= 4, "an operator is told: {}", desk.stack.log_of("broker"));
    desk.close().await;
}

/// Keycloak's events tell how often it was asked; the broker's own count, how many shared an answer.
#[tokio::test]
async fn begins_of_one_user_at_once_share_keycloaks_answers() {
    const CROWD: usize = 50;
    let desk = Desk::open_real().await;
    let form = begin(&desk.alice().await, SCOPE);
    let mut lines = Vec::new();
    for _ in 0..CROWD {
        lines.push(desk.line("planner").await);
    }
    let answers = futures_util::future::join_all(lines.iter_mut().map(|line| line.ask(&form))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let metrics = desk.stack.metrics("broker").await.expect("metrics");
    let shared = metrics.lines().find(|line| line.contains(r#"authority_exchanges_total"#) && line.contains("shared"));
    let shared = shared.and_then(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).unwrap_or_default();
    let asked = desk.stack.exchanges_at_provider().await.expect("told");
    assert_eq!((asked > 0, asked + shared), (true, CROWD));
    desk.close().await;
}
