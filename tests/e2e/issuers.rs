//! Several authorities side by side: a Keycloak that is asked, and a plain OpenID issuer whose tokens are only validated.
//! No user of one is ever one of the other, whatever the tokens say alike, and who cannot be asked is not believed for
//! longer than its token lives.

use dev::{apps::Answer, stack::StackOptions};
use harness::{
    Desk, OwnProvider, RESEARCHER, assert_refused, begin, call, claims_of, eventually, logout, logout_claims,
};
use serde_json::{Value, json};

const SCOPE: &str = "tickets:read";
const INVALID: &str = "invalid_request";
/// What stands for the broker at the plain issuer.
const AUDIENCE: &str = "https://broker.agents.svc/users";

/// A broker that knows a Keycloak and a plain issuer. Both call alice `alice`, and sign with keys of one `kid`.
struct Two {
    corp: OwnProvider,
    partner: OwnProvider,
    desk: Desk,
}

impl Two {
    async fn open() -> Self {
        Self::open_with(&["corp:console", "partner:console"], |_options| {}).await
    }

    async fn open_with(clients: &[&str], change: impl FnOnce(&mut StackOptions)) -> Self {
        let (corp, partner) = (OwnProvider::open().await, OwnProvider::open().await);
        let broker = json!({"authorities": [
            {"keycloak": corp.issuer(), "client_id": "txn-broker", "name": "corp"},
            {"oidc": partner.issuer(), "audience": AUDIENCE, "name": "partner"},
        ]});
        let mut options = StackOptions { members: Vec::new(), broker, ..Desk::options() };
        options.edges[0]["login_clients"] = json!(clients);
        change(&mut options);
        Self { desk: Desk::open_with(options).await, corp, partner }
    }

    /// A token of the plain issuer, with `changes`.
    fn partners(&self, changes: &Value) -> String {
        let mut all = json!({"aud": AUDIENCE, "jti": "u-1", "groups": ["support"]});
        all.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
        self.partner.user_token_with(SCOPE, &all)
    }

    async fn ask(&self, user: &str) -> Answer {
        self.desk.ask("planner", &begin(user, SCOPE)).await
    }

    async fn begun(&self, user: &str) -> String {
        let answer = self.ask(user).await;
        answer.text("/access_token").unwrap_or_else(|| panic!("{}", answer.json()))
    }
}

#[tokio::test]
async fn two_users_of_one_name_are_two_subjects_and_only_keycloak_is_asked() {
    let two = Two::open().await;
    let corps = two.begun(&two.corp.user_token(SCOPE)).await;
    let partners = two.begun(&two.partners(&json!({}))).await;
    let subject = |token: &str| claims_of(token)["sub"].clone();
    assert_eq!((subject(&corps), subject(&partners)), (json!("corp:alice"), json!("partner:alice")));
    let recorded: Vec<Value> =
        two.desk.stack.records().iter().filter(|line| line["t"] == "begin").map(|line| line["sub"].clone()).collect();
    assert_eq!(recorded.len(), 2);
    assert_ne!(recorded[0], recorded[1], "the record keeps them apart");
    for txn in [&corps, &partners] {
        let answer = two.desk.ask("planner", &call(txn, RESEARCHER, "")).await;
        let access = answer.text("/access_token").unwrap_or_else(|| panic!("{}", answer.json()));
        assert_eq!(subject(&access), subject(txn));
    }
    assert_eq!((two.corp.exchanges(), two.partner.exchanges()), (1, 0));
    two.desk.close().await;
}

#[tokio::test]
async fn no_token_of_one_authority_is_taken_for_one_of_the_other() {
    let two = Two::open().await;
    let (corp, partner) = (two.corp.issuer(), two.partner.issuer());
    let of_corp = |changes: Value| two.corp.user_token_with(SCOPE, &changes);
    for (case, token, refusal) in [
        ("N44 corp's key, partner's issuer", of_corp(json!({"iss": partner, "aud": AUDIENCE})), "subject.signature"),
        (
            "N44 partner's key, corp's issuer",
            two.partners(&json!({"iss": corp, "aud": "txn-broker"})),
            "subject.signature",
        ),
        ("N44 a slash more", two.partners(&json!({"iss": format!("{partner}/")})), "subject.issuer"),
        ("N44 unknown", two.partners(&json!({"iss": "https://other.example"})), "subject.issuer"),
        ("partner's audience at corp", of_corp(json!({"aud": AUDIENCE})), "subject.audience"),
        ("corp's audience at partner", two.partners(&json!({"aud": "txn-broker"})), "subject.audience"),
        ("no audience", two.partners(&json!({"aud": null})), "subject.audience"),
    ] {
        assert_refused(case, &two.ask(&token).await, 400, INVALID, refusal);
    }
    assert_eq!((two.corp.exchanges(), two.partner.exchanges()), (0, 0));
    two.begun(&of_corp(json!({"aud": [AUDIENCE, "txn-broker"]}))).await;
    two.desk.close().await;
}

#[tokio::test]
async fn an_application_of_one_authority_is_none_of_the_other() {
    let two = Two::open_with(&["corp:console", "partner:portal"], |_options| {}).await;
    two.begun(&two.corp.user_token(SCOPE)).await;
    assert_refused("partner's console", &two.ask(&two.partners(&json!({}))).await, 400, INVALID, "edge.login_client");
    let portal = two.corp.user_token_with(SCOPE, &json!({"azp": "portal"}));
    assert_refused("corp's portal", &two.ask(&portal).await, 400, INVALID, "edge.login_client");
    two.begun(&two.partners(&json!({"azp": "portal"}))).await;
    two.desk.close().await;
}

#[tokio::test]
async fn a_plain_issuers_token_is_an_access_token_of_a_user_or_refused() {
    let two = Two::open().await;
    for (case, changes, refusal) in [
        ("an ID token of Keycloak", json!({"typ": "ID"}), "subject.type"),
        ("a refresh token", json!({"typ": "Refresh"}), "subject.type"),
        ("an ID token by its nonce", json!({"nonce": "n"}), "subject.type"),
        ("an ID token by its hash", json!({"at_hash": "h"}), "subject.type"),
        ("no scope", json!({"scope": null}), "subject.claim"),
        ("expired", json!({"exp": 1}), "subject.expired"),
        ("of yesterday", json!({"iat": runtime::clock::now().secs() - 86_400}), "subject.expired"),
        ("no end", json!({"exp": null}), "subject.claim"),
        ("issued tomorrow", json!({"iat": runtime::clock::now().secs() + 3600}), "subject.not_yet_valid"),
        ("delegated", json!({"act": {"sub": "x"}}), "subject.delegated"),
        ("bound to a key", json!({"cnf": {"jkt": "x"}}), "subject.claim"),
        ("of no application", json!({"azp": null}), "subject.claim"),
        ("of two applications", json!({"client_id": "other"}), "subject.claim"),
        ("of no session", json!({"sid": null, "jti": null}), "subject.no_session"),
        ("groups that are none", json!({"groups": "support"}), "subject.claim"),
        ("not in the group", json!({"groups": []}), "policy.no_rule"),
        ("in a group of another claim", json!({"groups": null, "roles": ["support"]}), "policy.no_rule"),
    ] {
        let error = if refusal.starts_with("policy.") { "invalid_target" } else { INVALID };
        assert_refused(case, &two.ask(&two.partners(&changes)).await, 400, error, refusal);
    }
    for good in [
        json!({"typ": null, "sid": null, "azp": null, "client_id": "console"}),
        json!({"azp": "console", "client_id": "console"}),
    ] {
        two.begun(&two.partners(&good)).await;
    }
    assert_eq!(two.partner.exchanges(), 0);
    two.desk.close().await;
}

/// No rule can make more of it: what nobody can confirm ends with the user's token, and a rule that wants it confirmed
/// refuses.
#[tokio::test]
async fn what_nobody_can_confirm_is_never_long_and_never_strict() {
    let two = Two::open_with(&["corp:console", "partner:console"], |options| {
        let begin = options.policies.get_mut("support-may-begin-at-planner.cedar").expect("the rule");
        *begin = begin.replace("permit (", "@long_work(\"1h\")\npermit (");
        let call = options.policies.get_mut("planner-may-call-researcher.cedar").expect("the rule");
        *call = call.replace("permit (", "@liveness(\"strict\")\npermit (");
    })
    .await;
    let ends = runtime::clock::now().secs() + 40;
    let txn = two.begun(&two.partners(&json!({"exp": ends}))).await;
    assert!(claims_of(&txn)["exp"].as_u64().expect("a time") <= ends, "no longer than the user's own token");
    let answer = two.desk.ask("planner", &call(&txn, RESEARCHER, "")).await;
    assert_refused("strict", &answer, 400, "invalid_target", "policy.session_unconfirmed");
    let confirmed = two.begun(&two.corp.user_token(SCOPE)).await;
    assert_eq!(two.desk.ask("planner", &call(&confirmed, RESEARCHER, "")).await.status, 200, "Keycloak confirms");
    two.desk.close().await;
}

#[tokio::test]
async fn a_strict_begin_lets_in_nobody_who_cannot_be_confirmed() {
    let two = Two::open_with(&["corp:console", "partner:console"], |options| {
        let begin = options.policies.get_mut("support-may-begin-at-planner.cedar").expect("the rule");
        *begin = begin.replace("permit (", "@liveness(\"strict\")\npermit (");
    })
    .await;
    let refused = two.ask(&two.partners(&json!({}))).await;
    assert_refused("strict", &refused, 400, "invalid_target", "policy.session_unconfirmed");
    two.begun(&two.corp.user_token(SCOPE)).await;
    two.desk.close().await;
}

#[tokio::test]
async fn a_sign_out_at_one_authority_ends_nothing_of_the_other() {
    let two = Two::open().await;
    let partners = two.begun(&two.partners(&json!({"sid": "s-1"}))).await;
    let corps = two.begun(&two.corp.user_token_with(SCOPE, &json!({"sid": "session-of-alice"}))).await;
    let ask = async |txn: &str| two.desk.ask("planner", &call(txn, RESEARCHER, "")).await;
    for changes in [json!({"sid": "s-1"}), json!({"sub": "bob"})] {
        let token = two.corp.logout_token(&changes);
        assert_eq!(logout(&two.desk, &token).await.status, 200);
    }
    assert_eq!(
        (ask(&partners).await.status, ask(&corps).await.status),
        (200.try_into().expect("a status"), 200.try_into().expect("a status"))
    );
    let foreign = logout_claims(&two.partner.issuer(), &json!({"sid": "s-1", "aud": "portal"}));
    let answer = logout(&two.desk, &two.partner.logout_token(&json!({"aud": foreign["aud"], "sid": "s-1"}))).await;
    assert_refused("another application", &answer, 400, INVALID, "logout_token.audience");
    assert_eq!(logout(&two.desk, &two.partner.logout_token(&json!({"sid": "s-1"}))).await.status, 200);
    let refused = ask(&partners).await;
    assert_refused("signed out", &refused, 400, INVALID, "subject.session_ended");
    assert_refused(
        "for good",
        &two.ask(&two.partners(&json!({"sid": "s-1"}))).await,
        400,
        INVALID,
        "subject.session_ended",
    );
    assert_eq!(ask(&corps).await.status, 200, "corp's alice goes on");
    two.desk.close().await;
}

/// Access tokens of most issuers name no session, while their logout tokens do.
#[tokio::test]
async fn a_sign_out_at_a_plain_issuer_ends_what_was_begun_with_tokens_that_name_no_session() {
    let two = Two::open().await;
    let begun =
        async |user: &str, id: &str| two.begun(&two.partners(&json!({"sid": null, "jti": id, "sub": user}))).await;
    let (alices, bobs) = (begun("alice", "u-1").await, begun("bob", "u-2").await);
    let signed_out = two.partner.logout_token(&json!({"sid": "of-the-browser", "sub": "alice"}));
    assert_eq!(logout(&two.desk, &signed_out).await.status, 200);
    let ask = async |txn: &str| two.desk.ask("planner", &call(txn, RESEARCHER, "")).await;
    assert_refused("signed out", &ask(&alices).await, 400, INVALID, "subject.session_ended");
    assert_eq!(ask(&bobs).await.status, 200, "bob goes on");
    let line = || async { two.desk.stack.records().into_iter().find(|line| line["op"] == "logout") };
    assert_eq!(eventually("it is recorded", line).await["txns"], 1);
    two.desk.close().await;
}

#[tokio::test]
async fn one_authority_that_is_away_keeps_out_its_own_users_alone() {
    let two = Two::open().await;
    two.begun(&two.partners(&json!({}))).await;
    two.corp.tells(harness::Lie::Text(500, "<html>"));
    for _ in 0..6 {
        let refused = two.ask(&two.corp.user_token(SCOPE)).await;
        assert_refused("corp", &refused, 503, "temporarily_unavailable", "fault.provider");
        two.begun(&two.partners(&json!({}))).await;
    }
    two.corp.tells(harness::Lie::None);
    eventually("corp is back", || async {
        Some(two.ask(&two.corp.user_token(SCOPE)).await).filter(|answer| answer.status == 200)
    })
    .await;
    two.desk.close().await;
}
