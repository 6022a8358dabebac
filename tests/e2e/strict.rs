//! Where a rule wants the session to live (`@liveness("strict")`), it also wants to know who the user is by now.

use std::path::PathBuf;

use dev::stack::StackOptions;
use harness::{Desk, Folder, Lie, OwnProvider, RESEARCHER, assert_refused, begin, call, eventually, short_files};
use serde_json::json;

const RULE: &str = r#"
@id("planner-may-call-researcher")
@liveness("strict")
permit (
    principal == Workload::"spiffe://corp.example/ns/agents/sa/planner",
    action == Action::"exchange",
    resource == Target::"researcher"
) when { context.subject in Group::"support" };
"#;

/// A keeper that is asked about again at every call.
const BRIEF_KEEPER: Lie = Lie::Keeper(|claims| {
    claims["exp"] = json!(claims["iat"].as_u64().expect("a date") + 45);
});

const SESSION_OVER: Lie = Lie::Text(400, r#"{"error":"invalid_request","error_description":"Invalid token"}"#);

/// A broker that `provider` is the authority of, and a transaction that may outlive the user's token.
async fn long_work(provider: &OwnProvider, binaries: Option<PathBuf>) -> (Desk, String) {
    let authorities = json!([{"keycloak": provider.issuer(), "client_id": "txn-broker"}]);
    let broker = json!({"authorities": authorities});
    let mut options = StackOptions { members: Vec::new(), broker, binaries, ..Desk::options() };
    let rule = options.policies.get_mut("support-may-begin-at-planner.cedar").expect("the rule");
    *rule = rule.replace("permit (", "@long_work(\"1h\")\npermit (");
    let desk = Desk::open_with(options).await;
    provider.tells(BRIEF_KEEPER);
    let begun = desk.ask("planner", &begin(&provider.user_token("tickets:read"), "tickets:read")).await;
    let txn = begun.text("/access_token").unwrap_or_else(|| panic!("begun: {}", begun.json()));
    (desk, txn)
}

/// Work that may outlive the user's token asks the provider on the way. Once it said that the session is over, the
/// transaction is: not until the keeper is too old to be asked about, after which nobody would ask any more.
#[tokio::test]
async fn what_the_provider_said_has_ended_stays_ended() {
    let provider = OwnProvider::open().await;
    let (desk, txn) = long_work(&provider, None).await;
    let ask = async || desk.ask("planner", &call(&txn, RESEARCHER, "")).await;
    let asked = provider.exchanges();
    provider.tells(Lie::Text(503, "{}"));
    assert_eq!(ask().await.status, 200, "a provider that is away ends nothing");
    assert_eq!(provider.exchanges(), asked + 1, "it was asked on the way");
    provider.tells(SESSION_OVER);
    assert_refused("the session is over", &ask().await, 400, "invalid_request", "subject.session_ended");
    provider.tells(BRIEF_KEEPER);
    let asked = provider.exchanges();
    assert_refused("and so is the work", &ask().await, 400, "invalid_request", "subject.session_ended");
    assert_eq!(provider.exchanges(), asked, "nobody asks again");
    desk.close().await;
}

#[tokio::test]
async fn what_the_provider_said_has_ended_gets_nothing_where_the_store_cannot_end_it() {
    let (folder, provider) = (Folder::new(), OwnProvider::open().await);
    let (desk, txn) = long_work(&provider, Some(short_files(&folder, 1024))).await;
    let user = provider.user_token("tickets:read");
    eventually("the store is full", || async {
        (desk.ask("planner", &begin(&user, "tickets:read")).await.status == 503).then_some(())
    })
    .await;
    assert_eq!(desk.ask("planner", &call(&txn, RESEARCHER, "")).await.status, 200, "what was stored goes on");
    provider.tells(SESSION_OVER);
    for _round in 0..2 {
        let answer = desk.ask("planner", &call(&txn, RESEARCHER, "")).await;
        assert_refused("the session is over", &answer, 400, "invalid_request", "subject.session_ended");
    }
    desk.close().await;
}

#[tokio::test]
async fn a_group_that_the_user_left_does_not_count_at_a_strict_decision() {
    let provider = OwnProvider::open().await;
    let authorities = json!([{"keycloak": provider.issuer(), "client_id": "txn-broker"}]);
    let broker = json!({"authorities": authorities});
    let mut options = StackOptions { members: Vec::new(), broker, ..Desk::options() };
    options.policies.insert("planner-may-call-researcher.cedar".to_owned(), RULE.to_owned());
    let desk = Desk::open_with(options).await;

    let begun = desk.ask("planner", &begin(&provider.user_token("tickets:read"), "tickets:read")).await;
    let txn = begun.text("/access_token").unwrap_or_else(|| panic!("begun: {}", begun.json()));
    let ask = async || desk.ask("planner", &call(&txn, RESEARCHER, "")).await;
    assert_eq!(ask().await.status, 200, "a member of the group");
    provider.tells(Lie::Keeper(|claims| claims["groups"] = json!([])));
    assert_refused("who left", &ask().await, 400, "invalid_target", "policy.no_rule");
    desk.close().await;
}

/// Equal questions are asked once; but the answer to one that was asked before the user was changed says nothing of it.
#[tokio::test]
async fn an_answer_that_was_on_its_way_takes_no_doubt_away() {
    let provider = OwnProvider::open().await;
    let (desk, txn) = long_work(&provider, None).await;
    let asked = provider.exchanges();
    provider.tells(Lie::Silence);
    let form = call(&txn, RESEARCHER, "");
    let (answer, ()) = tokio::join!(desk.ask("planner", &form), async {
        eventually("asked on the way", || async { (provider.exchanges() == asked + 1).then_some(()) }).await;
        let change = json!({"operationType": "UPDATE", "resourceType": "USER", "resourcePath": "users/alice"});
        provider.log().note_change(&change);
        eventually("asked because of the doubt", || async { (provider.exchanges() == asked + 2).then_some(()) }).await;
        provider.tells(BRIEF_KEEPER);
    });
    assert_eq!(answer.status, 200, "{}", answer.json());
    let metrics = desk.stack.metrics("broker").await.expect("metrics");
    assert!(!metrics.contains(r#"outcome="shared""#), "each has an answer of its own: {metrics}");
    desk.close().await;
}
