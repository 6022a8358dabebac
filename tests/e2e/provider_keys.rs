//! A provider's keys: a document at the limit is taken, one beyond it or with a fault in it is refused whole, and what was
//! learned stays. Nobody, and no number of them, makes the broker fetch more often than it wants to.

use dev::stack::StackOptions;
use harness::{
    Desk, Forger, OwnProvider, Published, assert_refused, begin, claims_of, eventually, logout, logout_claims,
};
use serde_json::{Value, json};

const SCOPE: &str = "tickets:read";
const AWAY: &str = "temporarily_unavailable";
/// `security.md` T9.
const LENGTH_MAX: usize = 1024 * 1024;
const KEYS_MAX: usize = 64;

async fn desk_with(provider: &OwnProvider) -> Desk {
    let authorities = json!([{"keycloak": provider.issuer(), "client_id": "txn-broker"}]);
    let broker = json!({"authorities": authorities});
    Desk::open_with(StackOptions { members: Vec::new(), broker, ..Desk::options() }).await
}

/// The provider's key among so many keys, in so many bytes.
fn document(provider: &OwnProvider, keys: usize, length: usize) -> String {
    let mut jwks = provider.jwks();
    let list = jwks["keys"].as_array_mut().expect("keys");
    let other = Forger::default().jwks()["keys"][0].clone();
    list.extend((1..keys).map(|number| {
        let mut key = other.clone();
        key["kid"] = json!(format!("other-{number}"));
        key
    }));
    let text = jwks.to_string();
    let padding = " ".repeat(length.saturating_sub(text.len()));
    text + &padding
}

fn with_the_kid_twice(provider: &OwnProvider) -> String {
    let mut jwks = provider.jwks();
    let key = jwks["keys"][0].clone();
    jwks["keys"].as_array_mut().expect("keys").push(key);
    jwks.to_string()
}

fn rows(provider: &OwnProvider) -> Vec<(&'static str, Published)> {
    let (keys, text) = (provider.jwks().to_string(), |text: &str| Published::Text(200, text.to_owned()));
    vec![
        ("HTML", text("<html>")),
        ("truncated", text(&keys[..keys.len() - 2])),
        ("a name twice", text(&keys.replacen('{', r#"{"keys":[],"#, 1))),
        ("a kid twice", text(&with_the_kid_twice(provider))),
        ("no key", text(r#"{"keys":[]}"#)),
        ("65 keys", text(&document(provider, KEYS_MAX + 1, 0))),
        ("a byte more than 1 MiB", text(&document(provider, 1, LENGTH_MAX + 1))),
        ("an error with the keys", Published::Text(500, keys.clone())),
        ("a redirect to the keys", Published::Text(302, String::new())),
        ("a redirect with the keys", Published::Text(307, keys)),
        ("nothing at all", Published::Nothing),
    ]
}

#[tokio::test]
async fn a_document_at_the_limit_is_taken_and_any_other_is_refused_whole() {
    let provider = OwnProvider::publishing(Published::Text(404, String::new())).await;
    let desk = desk_with(&provider).await;
    let user = provider.user_token(SCOPE);
    let ask = async || desk.ask("planner", &begin(&user, SCOPE)).await;
    for (case, published) in rows(&provider) {
        let fetched = provider.key_fetches();
        provider.publishes(published);
        eventually("the document was fetched", || async {
            assert_refused(case, &ask().await, 503, AWAY, "fault.provider");
            (provider.key_fetches() > fetched).then_some(())
        })
        .await;
        assert_refused(case, &ask().await, 503, AWAY, "fault.provider");
    }
    assert_eq!(provider.exchanges(), 0, "nobody was asked about");
    provider.publishes(Published::Text(200, document(&provider, KEYS_MAX, LENGTH_MAX)));
    eventually("64 keys in 1 MiB are taken", || async { Some(ask().await).filter(|answer| answer.status == 200) })
        .await;
    desk.close().await;
}

/// Users and strangers together: the keys are those of one fetch, and everybody who could before still gets in.
#[tokio::test]
async fn no_crowd_makes_the_broker_fetch_keys_twice_in_thirty_seconds() {
    let provider = OwnProvider::open().await;
    let desk = desk_with(&provider).await;
    let user = provider.user_token(SCOPE);
    let before = eventually("the keys are learned", || async {
        let answer = desk.ask("planner", &begin(&user, SCOPE)).await;
        (answer.status == 200).then(|| provider.key_fetches())
    })
    .await;
    provider.publishes(Published::Text(200, with_the_kid_twice(&provider)));
    let forger = Forger::default();
    let unknown = |typ: &str, number: usize, claims: &Value| {
        let header = json!({"typ": typ, "alg": "ES256", "kid": format!("unknown-{number}")});
        forger.sign(&header.to_string(), &claims.to_string())
    };
    for number in 0..25 {
        let forged = unknown("JWT", number, &claims_of(&user));
        let answer = desk.ask("planner", &begin(&forged, SCOPE)).await;
        assert_refused("a user", &answer, 400, "invalid_request", "subject.key_unknown");
        let claims = logout_claims(&provider.issuer(), &json!({"sid": "session-of-alice"}));
        let answer = logout(&desk, &unknown("logout+jwt", number, &claims)).await;
        assert_refused("a stranger", &answer, 400, "invalid_request", "logout_token.key_unknown");
    }
    let fetches = provider.key_fetches() - before;
    assert!(fetches <= 1, "{fetches} fetches");
    let answer = desk.ask("planner", &begin(&user, SCOPE)).await;
    assert_eq!(answer.status, 200, "the last good keys: {}", answer.json());
    desk.close().await;
}
