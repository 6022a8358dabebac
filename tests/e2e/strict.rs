//! Where a rule wants the session to live (`@liveness("strict")`), it also wants to know who the user is by now.

use dev::stack::StackOptions;
use harness::{Desk, Lie, OwnProvider, RESEARCHER, assert_refused, begin, call};
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
