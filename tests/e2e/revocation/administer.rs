//! An operator ends what others were given: transaction, session, user, workload. Policy says who may what, and every
//! such decision is on record.

use harness::{Desk, TICKETS, assert_refused, begin, call, claims_of};
use serde_json::{Value, json};

use super::*;

async fn administer(desk: &Desk, caller: &str, fields: &[(&str, &str)]) -> Answer {
    post(desk, caller, "administer", fields).await
}

fn text(claims: &Value, name: &str) -> String {
    claims[name].as_str().unwrap_or_else(|| panic!("{name} in {claims}")).to_owned()
}

#[tokio::test]
async fn a_transaction_ends_by_its_name() {
    let desk = desk().await;
    let txn = desk.begun().await;
    let id = text(&claims_of(&txn), "txn");
    let fields = [("revoke", "transaction"), ("txn", id.as_str())];
    assert_eq!(ended(&administer(&desk, "security", &fields).await), (json!("transaction"), 1));
    assert_revoked("it", &desk, "planner", &call(&txn, TICKETS, SCOPE)).await;
    assert_eq!(ended(&administer(&desk, "security", &fields).await), (json!("transaction"), 0), "ended already");
    let line = &revocations(&desk, 1).await[0];
    assert_eq!((&line["what"], &line["txn"], &line["req"]), (&json!("transaction"), &json!(id), &json!(SECURITY)));
    assert_eq!((&line["rule"], &line["txns"]), (&json!(["security-may-administer"]), &json!(1)));
    desk.close().await;
}

#[tokio::test]
async fn a_session_ends_for_good_and_alone() {
    let desk = desk().await;
    let (user, elsewhere) = (desk.alice().await, desk.alice().await);
    let begun = async |user: &str| desk.ask("planner", &begin(user, SCOPE)).await.text("/access_token").expect("begun");
    let (txn, second, other) = (begun(&user).await, begun(&user).await, begun(&elsewhere).await);
    let sid = text(&claims_of(&user), "sid");
    let fields = [("revoke", "session"), ("sid", sid.as_str())];
    assert_eq!(ended(&administer(&desk, "security", &fields).await), (json!("session"), 2));
    for (case, form) in [
        ("the first", call(&txn, TICKETS, SCOPE)),
        ("the second", call(&second, TICKETS, SCOPE)),
        ("her token again", begin(&user, SCOPE)),
    ] {
        assert_refused(case, &desk.ask("planner", &form).await, 400, INVALID, "subject.session_ended");
    }
    assert_goes_on("her other session", &desk, "planner", &call(&other, TICKETS, SCOPE)).await;
    let line = &revocations(&desk, 1).await[0];
    assert_eq!(
        (&line["what"], &line["iss"], &line["txns"]),
        (&json!("session"), &json!(desk.stack.issuer()), &json!(2))
    );
    assert!(line["sid"].is_string() && !line.to_string().contains(&sid), "hashed: {line}");
    desk.close().await;
}

#[tokio::test]
async fn a_user_ends_with_every_session_of_hers_and_nobody_else_does() {
    let mut options = StackOptions { members: Vec::new(), ..Desk::options() };
    let rule = options.policies.get_mut("support-may-begin-at-planner.cedar").expect("the rule");
    *rule = rule.replace(r#"context.subject in Group::"support""#, "true");
    let desk = with_security(options).await;
    let (user, elsewhere) = (desk.alice().await, desk.alice().await);
    let bob = desk.stack.sign_in("bob", "openid tickets:read").await.expect("signed in");
    let begun = async |user: &str| desk.ask("planner", &begin(user, SCOPE)).await.text("/access_token").expect("begun");
    let (txn, other, bobs) = (begun(&user).await, begun(&elsewhere).await, begun(&bob).await);
    let subject = text(&claims_of(&user), "sub");
    let fields = [("revoke", "user"), ("sub", subject.as_str()), ("iss", desk.stack.issuer())];
    assert_eq!(ended(&administer(&desk, "security", &fields).await), (json!("user"), 2));
    for (case, form) in [
        ("one session", call(&txn, TICKETS, SCOPE)),
        ("the other", call(&other, TICKETS, SCOPE)),
        ("her token again", begin(&user, SCOPE)),
    ] {
        assert_refused(case, &desk.ask("planner", &form).await, 400, INVALID, "subject.session_ended");
    }
    assert_goes_on("bob", &desk, "planner", &call(&bobs, TICKETS, SCOPE)).await;
    let line = &revocations(&desk, 1).await[0];
    let begin_line = desk.stack.records().into_iter().find(|record| record["t"] == "begin").expect("a begin");
    assert_eq!((&line["what"], &line["sub"]), (&json!("user"), &begin_line["sub"]), "hashed as elsewhere");
    desk.close().await;
}

#[tokio::test]
async fn a_workload_ends_with_every_chain_that_names_it_and_may_be_given_something_later() {
    let mut desk = desk().await;
    desk.add_caller("security", SECURITY).await;
    let txn = desk.begun().await;
    let (_access, handed) = desk.called_researcher(&txn).await;
    let researcher = "spiffe://corp.example/ns/agents/sa/researcher";
    let fields = [("revoke", "workload"), ("workload", researcher)];
    assert_eq!(ended(&administer(&desk, "security", &fields).await), (json!("workload"), 0), "none began there");
    assert_revoked("the callee", &desk, "researcher", &call(&handed, TICKETS, SCOPE)).await;
    assert_goes_on("its caller, elsewhere", &desk, "planner", &call(&txn, TICKETS, SCOPE)).await;
    let fields = [("revoke", "workload"), ("workload", PLANNER)];
    assert_eq!(ended(&administer(&desk, "security", &fields).await), (json!("workload"), 1));
    assert_revoked("where it began", &desk, "planner", &call(&txn, TICKETS, SCOPE)).await;
    let user = desk.alice().await;
    eventually("the next second is new", || async {
        let answer = desk.ask("planner", &begin(&user, SCOPE)).await;
        let told = answer.text("/refusal");
        assert!(answer.status == 200 || told.as_deref() == Some("subject.revoked"), "{}", answer.json());
        (answer.status == 200).then_some(())
    })
    .await;
    desk.close().await;
}

#[tokio::test]
async fn a_key_ends_with_everything_that_it_signed() {
    let desk = desk().await;
    let txn = desk.begun().await;
    let kid = text(&harness::header_of(&txn), "kid");
    let fields = [("revoke", "key"), ("kid", kid.as_str())];
    assert_eq!(ended(&administer(&desk, "security", &fields).await), (json!("key"), 0));
    let answer = desk.ask("planner", &call(&txn, TICKETS, SCOPE)).await;
    assert_refused("it signed this", &answer, 400, INVALID, "subject.key_unknown");
    assert_eq!(ended(&administer(&desk, "security", &[("revoke", "key"), ("kid", "k")]).await), (Value::Null, 0));
    let line = revocations(&desk, 1).await.into_iter().find(|line| line["what"] == "key").expect("a line");
    assert_eq!((&line["name"], &line["req"]), (&json!(kid), &json!(SECURITY)));
    desk.begun().await;
    desk.close().await;
}

#[tokio::test]
async fn without_a_rule_nobody_ends_anything_and_each_refusal_is_recorded() {
    let desk = desk().await;
    let txn = desk.begun().await;
    let id = text(&claims_of(&txn), "txn");
    let whats = [
        ("transaction", "txn", id.as_str()),
        ("token", "token", txn.as_str()),
        ("session", "sid", "s"),
        ("user", "sub", "alice"),
        ("workload", "workload", PLANNER),
        ("key", "kid", "k"),
    ];
    for (what, name, value) in whats {
        // Not even the owner: by this endpoint only whom policy names.
        let answer = administer(&desk, "planner", &[("revoke", what), (name, value)]).await;
        assert_refused(what, &answer, 400, "unauthorized_client", "client.not_permitted");
    }
    let lines = revocations(&desk, whats.len()).await;
    let told: Vec<_> = lines.iter().map(|line| (line["what"].as_str(), line["code"].as_str())).collect();
    assert_eq!(told, whats.map(|(what, ..)| (Some(what), Some("client.not_permitted"))), "one line each");
    assert_goes_on("nothing ended", &desk, "planner", &call(&txn, TICKETS, SCOPE)).await;
    desk.close().await;
}

#[tokio::test]
async fn a_rule_can_speak_of_what_is_done_and_a_forbid_wins() {
    let mut options = StackOptions { members: Vec::new(), ..Desk::options() };
    let sessions = SECURITY_MAY
        .replace("security-may-administer", "stranger-may-end-sessions")
        .replace("ops/security", "ns/agents/sa/stranger")
        .replace(");", ")\nwhen { context.operation == \"revoke\" && context.what == \"session\" };");
    let forbid = r#"@id("no-users") forbid (principal, action == Action::"administer", resource)
        when { context.what == "user" };"#;
    options.policies.insert("stranger-may-end-sessions.cedar".to_owned(), sessions);
    options.policies.insert("no-users.cedar".to_owned(), forbid.to_owned());
    let desk = with_security(options).await;
    let session = [("revoke", "session"), ("sid", "nobody-has-it")];
    assert_eq!(ended(&administer(&desk, "stranger", &session).await), (json!("session"), 0));
    for (caller, fields) in [
        ("stranger", [("revoke", "workload"), ("workload", PLANNER)]),
        ("security", [("revoke", "user"), ("sub", "alice")]),
    ] {
        let answer = administer(&desk, caller, &fields).await;
        assert_refused(caller, &answer, 400, "unauthorized_client", "client.not_permitted");
    }
    desk.close().await;
}

#[tokio::test]
async fn what_is_named_wrongly_ends_nothing() {
    let desk = desk().await;
    for (case, fields, refusal) in [
        ("nothing", vec![], "request.missing_parameter"),
        ("what is unknown", vec![("revoke", "everything")], "request.malformed"),
        ("no name", vec![("revoke", "session")], "request.missing_parameter"),
        ("no id of a workload", vec![("revoke", "workload"), ("workload", "planner")], "request.malformed"),
        ("a name with a space", vec![("revoke", "transaction"), ("txn", "a b")], "request.malformed"),
        (
            "an unknown authority",
            vec![("revoke", "session"), ("sid", "s"), ("iss", "https://other.example")],
            "request.authority",
        ),
    ] {
        let answer = administer(&desk, "security", &fields).await;
        assert_refused(case, &answer, 400, INVALID, refusal);
    }
    let nothing = administer(&desk, "security", &[("revoke", "token"), ("token", "rubbish")]).await;
    assert_eq!(ended(&nothing), (Value::Null, 0));
    desk.close().await;
}
