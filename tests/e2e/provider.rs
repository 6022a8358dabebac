//! The provider is believed in nothing that was not asked: more, less, another user, another session, or no answer at
//! all each mean that nothing is issued (K1–K8, N80). Each refusal is on record, and the next begin is as good as ever.

use std::time::{Duration, Instant};

use dev::stack::StackOptions;
use harness::{Desk, Forger, Lie, OwnProvider, assert_refused, begin, claims_of, eventually};
use serde_json::json;

const SCOPE: &str = "tickets:read";
const WIDE: &str = "tickets:read tickets:write";
const INVALID: &str = "invalid_request";
const AWAY: &str = "temporarily_unavailable";
/// Begins at once of one user.
const CROWD: usize = 50;

/// A case, the answer, and what the caller gets for it: status, error, refusal.
type Row = (&'static str, Lie, u16, &'static str, &'static str);

async fn desk_with(provider: &OwnProvider) -> Desk {
    let authorities = json!([{"keycloak": provider.issuer(), "client_id": "txn-broker"}]);
    let broker = json!({"authorities": authorities});
    Desk::open_with(StackOptions { members: Vec::new(), broker, ..Desk::options() }).await
}

/// How many lines the record has of this kind.
fn recorded(desk: &Desk, kind: &str) -> usize {
    desk.stack.records().iter().filter(|line| line["t"] == kind).count()
}

/// Each row is refused as it says, and recorded as a refusal and nothing else. In between the provider tells the truth:
/// so nothing of one row, not even that it failed, is left for the next.
async fn assert_rows(rows: impl IntoIterator<Item = Row>) {
    let provider = OwnProvider::open().await;
    let desk = desk_with(&provider).await;
    let user = provider.user_token(&format!("openid {WIDE}"));
    for (begun, (case, lie, status, error, refusal)) in rows.into_iter().enumerate() {
        let before = (provider.exchanges(), recorded(&desk, "refuse"));
        provider.tells(lie);
        assert_refused(case, &desk.ask("planner", &begin(&user, SCOPE)).await, status, error, refusal);
        assert_eq!(provider.exchanges(), before.0 + 1, "{case}: asked once, and not again");
        let line = eventually("the refusal is recorded", || async {
            desk.stack.records().into_iter().filter(|line| line["t"] == "refuse").nth(before.1)
        })
        .await;
        assert_eq!((line["code"].as_str(), line["dec"].as_str()), (Some(refusal), Some("deny")), "{case}: {line}");
        assert_eq!(recorded(&desk, "begin"), begun, "{case}: nothing else was begun");
        provider.tells(Lie::None);
        let answer = desk.ask("planner", &begin(&user, SCOPE)).await;
        assert_eq!(answer.status, 200, "{case}, then the truth: {}", answer.json());
    }
    desk.close().await;
}

#[tokio::test]
async fn an_answer_that_was_not_asked_for_is_discarded() {
    let rows: [Row; 15] = [
        ("K7 said", Lie::Around(|answer| answer["scope"] = json!(WIDE)), 400, "invalid_scope", "scope.widened"),
        ("K7 held", Lie::Keeper(|claims| claims["scope"] = json!(WIDE)), 400, "invalid_scope", "scope.widened"),
        ("K8 said", Lie::Around(|answer| answer["scope"] = json!("")), 400, "invalid_scope", "scope.withdrawn"),
        ("K8 held", Lie::Keeper(|claims| claims["scope"] = json!("")), 400, "invalid_scope", "scope.withdrawn"),
        ("another user", Lie::Keeper(|claims| claims["sub"] = json!("bob")), 503, AWAY, "fault.provider"),
        ("another session", Lie::Keeper(|claims| claims["sid"] = json!("x")), 503, AWAY, "fault.provider"),
        ("another client", Lie::Keeper(|claims| claims["azp"] = json!("console")), 503, AWAY, "fault.provider"),
        ("K7 elsewhere", Lie::Keeper(|claims| claims["aud"] = json!("account")), 400, "invalid_scope", "scope.widened"),
        (
            "K7 also elsewhere",
            Lie::Keeper(|claims| claims["aud"] = json!(["txn-broker", "tickets"])),
            400,
            "invalid_scope",
            "scope.widened",
        ),
        ("an old keeper", Lie::Keeper(|claims| claims["exp"] = json!(1)), 503, AWAY, "fault.provider"),
        ("another issuer", Lie::Keeper(|claims| claims["iss"] = json!("https://x")), 503, AWAY, "fault.provider"),
        ("no bearer", Lie::Around(|answer| answer["token_type"] = json!("N_A")), 503, AWAY, "fault.provider"),
        ("no keeper", Lie::Around(|answer| answer["access_token"] = json!(7)), 503, AWAY, "fault.provider"),
        ("a scope that is none", Lie::Around(|answer| answer["scope"] = json!("\"")), 503, AWAY, "fault.provider"),
        ("another kind", Lie::Around(|answer| answer["issued_token_type"] = json!("x")), 503, AWAY, "fault.provider"),
    ];
    assert_rows(rows).await;
}

#[tokio::test]
async fn what_is_no_answer_is_a_fault() {
    const LIMIT: usize = 1024 * 1024;
    let rows: [Row; 10] = [
        ("garbage", Lie::Text(200, "<html>"), 503, AWAY, "fault.provider"),
        ("an error page", Lie::Text(500, "<html>"), 503, AWAY, "fault.provider"),
        ("an error in JSON", Lie::Text(500, r#"{"error":"invalid_scope"}"#), 503, AWAY, "fault.provider"),
        ("too busy", Lie::Text(429, ""), 503, AWAY, "fault.provider"),
        ("a redirect", Lie::Text(302, ""), 503, AWAY, "fault.provider"),
        ("a redirect that keeps the method", Lie::Text(307, ""), 503, AWAY, "fault.provider"),
        ("no realm", Lie::Text(404, r#"{"error":"Realm does not exist"}"#), 503, AWAY, "fault.provider"),
        ("nothing", Lie::Text(200, ""), 503, AWAY, "fault.provider"),
        ("as long as may be, of spaces", Lie::Long(LIMIT), 503, AWAY, "fault.provider"),
        ("endless", Lie::Long(LIMIT + 1), 503, AWAY, "fault.provider"),
    ];
    assert_rows(rows).await;
}

#[tokio::test]
async fn the_providers_own_refusals_are_told_in_our_words() {
    const NO_AUDIENCE: &str = r#"{"error":"invalid_client","error_description":"Audience not found"}"#;
    const DISABLED: &str = r#"{"error":"invalid_client","error_description":"Client disabled"}"#;
    const UNAVAILABLE: &str =
        r#"{"error":"invalid_request","error_description":"Requested audience not available: txn-broker"}"#;
    const CONSENT: &str =
        r#"{"error":"invalid_scope","error_description":"Missing consents for Token Exchange in client txn-broker"}"#;
    const ENDED: &str = r#"{"error":"invalid_request","error_description":"Invalid token"}"#;
    const CREDENTIALS: &str =
        r#"{"error":"invalid_client","error_description":"Invalid client or Invalid client credentials"}"#;
    const AUDIENCE: &str = r#"{"error":"invalid_client","error_description":"Invalid token audience"}"#;
    const NOT_ENABLED: &str = r#"{"error":"invalid_request","error_description":"Standard token exchange is not enabled for the requested client"}"#;
    let rows: [Row; 11] = [
        ("K1", Lie::Text(403, r#"{"error":"access_denied"}"#), 400, INVALID, "subject.audience"),
        ("K2 unknown", Lie::Text(400, NO_AUDIENCE), 400, "invalid_target", "target.unknown"),
        ("K2 disabled", Lie::Text(400, DISABLED), 400, "invalid_target", "target.unknown"),
        ("K3", Lie::Text(400, UNAVAILABLE), 400, "invalid_target", "target.unknown"),
        ("K4 scope", Lie::Text(400, r#"{"error":"invalid_scope"}"#), 400, "invalid_scope", "scope.withdrawn"),
        ("K4 consent", Lie::Text(400, CONSENT), 400, "invalid_scope", "scope.withdrawn"),
        ("K5", Lie::Text(400, ENDED), 400, INVALID, "subject.session_ended"),
        ("K6 unknown to it", Lie::Text(401, CREDENTIALS), 503, AWAY, "fault.provider"),
        ("K6 our assertion", Lie::Text(400, AUDIENCE), 503, AWAY, "fault.provider"),
        ("K6 in no words", Lie::Text(401, r#"{"error":"invalid_client"}"#), 503, AWAY, "fault.provider"),
        ("our client may not exchange", Lie::Text(400, NOT_ENABLED), 503, AWAY, "fault.provider"),
    ];
    assert_rows(rows).await;
}

#[tokio::test]
async fn unknown_keys_lead_to_one_look_and_to_no_storm() {
    let provider = OwnProvider::open().await;
    let desk = desk_with(&provider).await;
    let user = provider.user_token(SCOPE);
    assert_eq!(desk.ask("planner", &begin(&user, SCOPE)).await.status, 200);
    let before = provider.key_fetches();
    let forger = Forger::default();
    for number in 0..CROWD {
        let header = format!(r#"{{"typ":"JWT","alg":"ES256","kid":"unknown-{number}"}}"#);
        let forged = forger.sign(&header, &claims_of(&user).to_string());
        let answer = desk.ask("planner", &begin(&forged, SCOPE)).await;
        assert_refused("N43", &answer, 400, INVALID, "subject.key_unknown");
    }
    assert!(provider.key_fetches() <= before + 1, "{} fetches", provider.key_fetches() - before);
    desk.close().await;
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_not_waited_for() {
    let provider = OwnProvider::open().await;
    let desk = desk_with(&provider).await;
    let user = provider.user_token(SCOPE);
    assert_eq!(desk.ask("planner", &begin(&user, SCOPE)).await.status, 200);
    provider.tells(Lie::Silence);
    let started = Instant::now();
    let answer = desk.ask("planner", &begin(&user, SCOPE)).await;
    assert_refused("N80", &answer, 503, AWAY, "fault.provider");
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    provider.tells(Lie::None);
    assert_eq!(desk.ask("planner", &begin(&user, SCOPE)).await.status, 200, "and asked again");
    desk.close().await;
}

/// Alice at planner, so often at once, on connections that are open already.
async fn crowd(desk: &Desk, user: &str) -> Vec<dev::apps::Answer> {
    let mut lines = Vec::new();
    for _ in 0..CROWD {
        lines.push(desk.line("planner").await);
    }
    let form = begin(user, SCOPE);
    futures_util::future::join_all(lines.iter_mut().map(|line| line.ask(&form))).await
}

async fn counted(desk: &Desk, line: &str) -> bool {
    desk.stack.metrics("broker").await.expect("metrics").lines().any(|told| told == line)
}

fn exchanges(provider: &OwnProvider, outcome: &str, count: usize) -> String {
    let issuer = provider.issuer();
    format!(r#"countersign_authority_exchanges_total{{issuer="{issuer}",outcome="{outcome}"}} {count}"#)
}

fn circuit(provider: &OwnProvider, is_open: u8) -> String {
    format!(r#"countersign_authority_circuit_open{{issuer="{}"}} {is_open}"#, provider.issuer())
}

#[tokio::test]
async fn equal_begins_ask_the_provider_once_and_each_has_a_transaction_of_its_own() {
    let provider = OwnProvider::open().await;
    let desk = desk_with(&provider).await;
    let user = provider.user_token(SCOPE);
    provider.tells(Lie::Silence);
    let all_wait = async {
        eventually("all wait for one answer", || async {
            counted(&desk, &exchanges(&provider, "shared", CROWD - 1)).await.then_some(())
        })
        .await;
        provider.tells(Lie::None);
    };
    let (answers, ()) = tokio::join!(crowd(&desk, &user), all_wait);
    let transaction = |answer: &dev::apps::Answer| {
        let token = answer.text("/access_token").unwrap_or_else(|| panic!("{}", answer.json()));
        claims_of(&token)["txn"].as_str().expect("an id").to_owned()
    };
    let transactions: std::collections::BTreeSet<_> = answers.iter().map(transaction).collect();
    assert_eq!((transactions.len(), provider.exchanges()), (CROWD, 1));
    assert_eq!(recorded(&desk, "begin"), CROWD, "and a line of its own");
    desk.close().await;
}

#[tokio::test]
async fn one_failure_answers_all_who_wait_and_the_next_one_asks_again() {
    let provider = OwnProvider::open().await;
    let desk = desk_with(&provider).await;
    let user = provider.user_token(SCOPE);
    provider.tells(Lie::Silence);
    for answer in crowd(&desk, &user).await {
        assert_refused("all", &answer, 503, AWAY, "fault.provider");
    }
    let asked = provider.exchanges();
    assert!(asked <= 2, "{asked} calls for {CROWD}");
    assert_eq!(recorded(&desk, "begin"), 0);
    provider.tells(Lie::None);
    assert_eq!(desk.ask("planner", &begin(&user, SCOPE)).await.status, 200);
    desk.close().await;
}

#[tokio::test]
async fn begins_that_differ_share_nothing() {
    let provider = OwnProvider::open().await;
    let desk = desk_with(&provider).await;
    let (user, other) = (provider.user_token(WIDE), provider.user_token_with(WIDE, &json!({"jti": "another"})));
    provider.tells(Lie::Silence);
    let forms = [begin(&user, SCOPE), begin(&user, WIDE), begin(&other, SCOPE)];
    let all_ask = async {
        eventually("all three ask", || async { (provider.exchanges() == forms.len()).then_some(()) }).await;
        provider.tells(Lie::None);
    };
    let asking = futures_util::future::join_all(forms.iter().map(|form| desk.ask("planner", form)));
    let (answers, ()) = tokio::join!(asking, all_ask);
    assert!(answers.iter().all(|answer| answer.status == 200));
    desk.close().await;
}

#[tokio::test]
async fn a_provider_that_keeps_failing_is_left_alone_until_it_is_back() {
    let provider = OwnProvider::open().await;
    let desk = desk_with(&provider).await;
    let user = provider.user_token(SCOPE);
    let ask = async || desk.ask("planner", &begin(&user, SCOPE)).await;
    assert_eq!(ask().await.status, 200);
    provider.tells(Lie::Text(500, "<html>"));
    for _ in 0..5 {
        assert_refused("fails", &ask().await, 503, AWAY, "fault.provider");
    }
    assert!(counted(&desk, &circuit(&provider, 1)).await);
    let (asked, started) = (provider.exchanges(), Instant::now());
    for _ in 0..CROWD {
        assert_refused("left alone", &ask().await, 503, AWAY, "fault.provider");
    }
    let (looks, seconds) = (provider.exchanges() - asked, started.elapsed().as_secs());
    assert!(u64::try_from(looks).expect("few") <= seconds + 1, "{looks} looks in {seconds} s");
    provider.tells(Lie::None);
    eventually("it is back", || async { Some(ask().await).filter(|answer| answer.status == 200) }).await;
    assert!(counted(&desk, &circuit(&provider, 0)).await);
    assert_eq!(ask().await.status, 200);
    let log = desk.stack.log_of("broker");
    assert!(log.contains("is left alone") && log.contains("the provider is back"), "{log}");
    desk.close().await;
}

#[tokio::test]
async fn refusals_are_answers_of_a_provider_that_works() {
    const ENDED: Lie = Lie::Text(400, r#"{"error":"invalid_request","error_description":"Invalid token"}"#);
    const LONG: Lie = Lie::Keeper(|claims| claims["groups"] = json!(["support", "x".repeat(9000)]));
    let provider = OwnProvider::open().await;
    let desk = desk_with(&provider).await;
    let user = provider.user_token(SCOPE);
    for (lie, status) in [(ENDED, 400), (LONG, 503)] {
        for _ in 0..6 {
            let asked = provider.exchanges();
            provider.tells(lie);
            assert_eq!(desk.ask("planner", &begin(&user, SCOPE)).await.status, status);
            assert_eq!(provider.exchanges(), asked + 1, "one user's trouble keeps nobody away");
        }
    }
    provider.tells(Lie::None);
    assert_eq!(desk.ask("planner", &begin(&user, SCOPE)).await.status, 200);
    desk.close().await;
}
