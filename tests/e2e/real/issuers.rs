//! Three realms of one Keycloak: two that are asked, side by side, and one as the plain OpenID issuer that it is too.

use std::fs;

use dev::{
    apps::{Answer, Call},
    real::{
        admin::Admin,
        realm::{self, LOGIN_CLIENTS},
    },
    stack::BROKER,
};
use harness::{Desk, RESEARCHER, assert_refused, begin, call, claims_of, shared_keycloak};
use http::Method;
use serde_json::{Value, json};

const SCOPE: &str = "tickets:read";
const INVALID: &str = "invalid_request";

/// A desk whose broker knows its own realm as `own`, and two more.
struct Realms {
    desk: Desk,
    second: Admin,
    plain: Admin,
}

impl Realms {
    async fn open() -> Self {
        let mut desk = Desk::open_real().await;
        let (base, domain) = (shared_keycloak().await, desk.stack.options().trust_domain.clone());
        let second = realm::one_more(&base, &domain).await.expect("made");
        let plain = realm::one_more(&base, &domain).await.expect("made");
        let keys = desk.stack.spire().expect("SPIRE").keys_url();
        second.set_bundle_url(&keys).await.expect("set");
        for admin in [&second, &plain] {
            admin.set_logout_url(&LOGIN_CLIENTS, &desk.logout_url()).await.expect("set");
            // Whoever is not asked for groups must say them.
            give_groups(admin).await;
        }
        desk.stack.halt(BROKER).await;
        let file = desk.stack.folder().join("broker.yaml");
        let text = fs::read_to_string(&file).expect("written");
        let authorities = json!([
            {"keycloak": desk.stack.issuer(), "client_id": "txn-broker", "name": "own"},
            {"keycloak": second.issuer(), "client_id": "txn-broker", "name": "second"},
            {"oidc": plain.issuer(), "audience": "txn-broker", "name": "plain"},
        ]);
        let text = with(
            &with(&text, "authorities:", &authorities),
            "login_clients:",
            &json!(["own:test-login", "second:test-login", "plain:test-login"]),
        );
        fs::write(&file, text).expect("written");
        desk.stack.revive(BROKER).await.expect("with three authorities");
        Self { desk, second, plain }
    }

    async fn ask(&self, user: &str) -> Answer {
        self.desk.ask("planner", &begin(user, SCOPE)).await
    }

    async fn begun(&self, user: &str) -> String {
        let answer = self.ask(user).await;
        answer.text("/access_token").unwrap_or_else(|| panic!("{}\n{}", answer.json(), self.desk.stack.log_of(BROKER)))
    }
}

/// `text` with the block below `key` replaced.
fn with(text: &str, key: &str, value: &Value) -> String {
    let (before, rest) = text.split_once(&format!("{key}\n")).expect("the key");
    let indent = before.rsplit('\n').next().expect("a line").len();
    let is_below = |line: &&str| line.len() - line.trim_start().len() > indent;
    let after: Vec<&str> = rest.lines().skip_while(is_below).collect();
    // JSON is YAML.
    format!("{before}{key} {value}\n{}\n", after.join("\n"))
}

async fn give_groups(admin: &Admin) {
    let read = async |path: &str| admin.call(Method::GET, path, None).await.expect("read").json();
    let (scopes, clients) = (read("client-scopes").await, read("clients?clientId=test-login").await);
    let groups = scopes.as_array().and_then(|all| all.iter().find(|scope| scope["name"] == "groups")).expect("groups");
    let (client, scope) = (clients[0]["id"].as_str().expect("an id"), groups["id"].as_str().expect("an id"));
    let path = format!("clients/{client}/default-client-scopes/{scope}");
    admin.call(Method::PUT, &path, None).await.expect("given");
}

async fn alice(issuer: &str) -> String {
    let form = [
        ("grant_type", "password"),
        ("client_id", "test-login"),
        ("client_secret", ::peers::development::TEST_LOGIN_SECRET),
        ("username", "alice"),
        ("password", ::peers::development::ALICE_PASSWORD),
        ("scope", "openid tickets:read tickets:write"),
    ];
    let url = format!("{issuer}/protocol/openid-connect/token");
    let answer = Call::new(Method::POST, &url).form(&form).send().await.expect("answered");
    answer.text("/access_token").unwrap_or_else(|| panic!("{}", answer.json()))
}

#[tokio::test]
async fn two_realms_that_are_asked_and_a_plain_issuer_stand_side_by_side() {
    let realms = Realms::open().await;
    let issuers = [realms.desk.stack.issuer().to_owned(), realms.second.issuer(), realms.plain.issuer()];
    let mut begun = Vec::new();
    for (name, issuer) in ["own", "second", "plain"].into_iter().zip(&issuers) {
        let user = alice(issuer).await;
        let txn = realms.begun(&user).await;
        let subject = format!("{name}:{}", claims_of(&user)["sub"].as_str().expect("a subject"));
        assert_eq!(claims_of(&txn)["sub"], json!(subject));
        assert_eq!(realms.desk.ask("planner", &call(&txn, RESEARCHER, "")).await.status, 200, "{name}");
        begun.push((user, txn));
    }
    let asked = async |admin: &Admin| admin.exchanges().await.expect("told");
    assert_eq!((asked(&realms.second).await, asked(&realms.plain).await), (1, 0));
    // Keycloak tells each realm's sign-outs; those of the plain issuer are all that anybody hears of it.
    for (admin, at) in [(&realms.plain, 2), (&realms.second, 1)] {
        admin.log_out("alice").await.expect("signed out");
        let (user, txn) = &begun[at];
        let refused = realms.desk.ask("planner", &call(txn, RESEARCHER, "")).await;
        assert_refused("signed out", &refused, 400, INVALID, "subject.session_ended");
        assert_refused("signed out", &realms.ask(user).await, 400, INVALID, "subject.session_ended");
    }
    let answer = realms.desk.ask("planner", &call(&begun[0].1, RESEARCHER, "")).await;
    assert_eq!(answer.status, 200, "the first realm's alice goes on: {}", answer.json());
    realms.desk.close().await;
}
