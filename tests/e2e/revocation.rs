//! What is revoked counts no more, whoever shows it: at the broker at once, at the sidecars as soon as they hear of it
//! (`protocol.md` §8; RFC 7009). Who may revoke what others were given is for policy to say.

mod administer;
mod introspection;
mod operator;
mod sidecars;
mod streams;

use dev::{
    apps::{Answer, Call},
    stack::StackOptions,
};
use harness::{
    Desk, Form, RESEARCHER, TICKETS, alert_without_certificate, assert_refused, call, claims_of, eventually, renew,
    signal,
};
use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

const SCOPE: &str = "tickets:read";
const INVALID: &str = "invalid_request";
const PLANNER: &str = "spiffe://corp.example/ns/agents/sa/planner";
/// Whom [`SECURITY_MAY`] lets administer.
const SECURITY: &str = "spiffe://corp.example/ops/security";
const SECURITY_MAY: &str = r#"@id("security-may-administer")
permit (principal == Workload::"spiffe://corp.example/ops/security", action == Action::"administer",
    resource == TrustDomain::"corp.example");"#;

/// A broker with alice's world, whose rules let `security` administer.
async fn desk() -> Desk {
    with_security(StackOptions { members: Vec::new(), ..Desk::options() }).await
}

async fn with_security(mut options: StackOptions) -> Desk {
    options.policies.insert("security-may-administer.cedar".to_owned(), SECURITY_MAY.to_owned());
    let mut desk = Desk::open_with(options).await;
    desk.add_caller("security", SECURITY).await;
    desk
}

/// Posts a form to an endpoint of the broker as `caller`.
async fn post(desk: &Desk, caller: &str, endpoint: &str, fields: &[(&str, &str)]) -> Answer {
    let call = Call::new(Method::POST, &format!("https://broker.agents.svc/{endpoint}")).form(fields);
    desk.to_broker(caller, call).await
}

async fn revoke(desk: &Desk, caller: &str, token: &str) -> Answer {
    post(desk, caller, "revoke", &[("token", token)]).await
}

/// Done, and nothing was told (RFC 7009 §2.2).
fn assert_done(case: &str, answer: &Answer) {
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0), "{case}: {:?}", answer.body);
    assert_eq!(answer.header("cache-control"), "no-store", "{case}");
}

/// What ended by an operator's word, and how many running transactions with it.
fn ended(answer: &Answer) -> (Value, u64) {
    let body = answer.json();
    assert_eq!(answer.status, 200, "{body}");
    assert_eq!(answer.header("cache-control"), "no-store");
    (body["revoked"].clone(), body["transactions"].as_u64().expect("a count"))
}

async fn assert_revoked(case: &str, desk: &Desk, caller: &str, form: &Form) {
    assert_refused(case, &desk.ask(caller, form).await, 400, INVALID, "subject.revoked");
}

async fn assert_goes_on(case: &str, desk: &Desk, caller: &str, form: &Form) {
    let answer = desk.ask(caller, form).await;
    assert_eq!(answer.status, 200, "{case}: {}", answer.json());
}

/// The record's lines about what was revoked, once there are `count`.
async fn revocations(desk: &Desk, count: usize) -> Vec<Value> {
    let lines = || desk.stack.records().into_iter().filter(|line| line["op"] == "revoke").collect::<Vec<_>>();
    eventually("they are recorded", || std::future::ready(Some(lines()).filter(|lines| lines.len() >= count))).await
}

/// N52.
#[tokio::test]
async fn an_owner_ends_its_transaction_with_the_whole_tree_below_it_and_nothing_else() {
    let desk = desk().await;
    let (txn, other) = (desk.begun().await, desk.begun().await);
    let (_access, handed) = desk.called_researcher(&txn).await;
    let renewed = desk.ask("researcher", &renew(&handed, SCOPE)).await.text("/access_token").expect("renewed");
    assert_done("revoked", &revoke(&desk, "planner", &txn).await);
    for (case, caller, form) in [
        ("the owner's call", "planner", call(&txn, TICKETS, SCOPE)),
        ("the owner's renewal", "planner", renew(&txn, SCOPE)),
        ("the callee's call", "researcher", call(&handed, TICKETS, SCOPE)),
        ("the callee's renewal", "researcher", renew(&handed, SCOPE)),
        ("what the callee had renewed", "researcher", call(&renewed, TICKETS, SCOPE)),
    ] {
        assert_revoked(case, &desk, caller, &form).await;
    }
    assert_goes_on("her other transaction", &desk, "planner", &call(&other, TICKETS, SCOPE)).await;
    let line = &revocations(&desk, 1).await[0];
    for (key, value) in [
        ("t", json!("revoke")),
        ("what", json!("token")),
        ("req", json!(PLANNER)),
        ("rule", json!([])),
        ("txn", claims_of(&txn)["txn"].clone()),
        ("jti", json!([claims_of(&txn)["jti"]])),
        ("txns", json!(1)),
        ("dec", json!("allow")),
    ] {
        assert_eq!(line[key], value, "{key} in {line}");
    }
    assert_done("again, and it was ended already", &revoke(&desk, "planner", &txn).await);
    desk.close().await;
}

#[tokio::test]
async fn an_access_token_ends_alone_with_what_was_handed_over_with_it() {
    let desk = desk().await;
    let txn = desk.begun().await;
    let (access, handed) = desk.called_researcher(&txn).await;
    assert_done("revoked", &revoke(&desk, "planner", &access).await);
    for form in [call(&handed, TICKETS, SCOPE), renew(&handed, SCOPE)] {
        assert_revoked("handed over with it", &desk, "researcher", &form).await;
    }
    assert_goes_on("the transaction", &desk, "planner", &call(&txn, RESEARCHER, "")).await;
    desk.close().await;
}

/// N78, and that a callee cannot end the work of its caller.
#[tokio::test]
async fn what_was_issued_to_another_stays_active() {
    let desk = desk().await;
    let txn = desk.begun().await;
    let (access, handed) = desk.called_researcher(&txn).await;
    for (case, caller, token) in [
        ("a stranger, a transaction token", "stranger", &txn),
        ("a stranger, an access token", "stranger", &access),
        ("the callee, its caller's transaction", "researcher", &txn),
        ("the callee, the access token that it was shown", "researcher", &access),
        ("the callee, the token that it uses", "researcher", &handed),
        ("the caller, a token that it may not use", "planner", &handed),
    ] {
        let answer = revoke(&desk, caller, token).await;
        assert_refused(case, &answer, 400, "unauthorized_client", "client.not_permitted");
    }
    assert_goes_on("the owner", &desk, "planner", &call(&txn, TICKETS, SCOPE)).await;
    assert_goes_on("the callee", &desk, "researcher", &call(&handed, TICKETS, SCOPE)).await;
    let lines = revocations(&desk, 6).await;
    assert!(lines.iter().all(|line| line["dec"] == "deny" && line["code"] == "client.not_permitted"), "{lines:?}");
    assert!(lines.iter().all(|line| line["t"] == "refuse" && line["txns"].is_null()), "{lines:?}");
    assert_done("whom policy lets", &revoke(&desk, "security", &handed).await);
    assert_revoked("the whole transaction", &desk, "planner", &call(&txn, TICKETS, SCOPE)).await;
    let lines = revocations(&desk, 7).await;
    let allowed = lines.iter().find(|line| line["dec"] == "allow").expect("a line");
    assert_eq!((&allowed["req"], &allowed["rule"]), (&json!(SECURITY), &json!(["security-may-administer"])));
    desk.close().await;
}

/// N74, N76, N77, N79.
#[tokio::test]
async fn the_endpoint_is_the_standard_s() {
    let desk = desk().await;
    let txn = desk.begun().await;
    let forged = format!("{}x", &txn[..txn.len() - 1]);
    for (case, token) in [("no token at all", "rubbish"), ("a broken signature", forged.as_str()), ("dots", "a.b.c")] {
        assert_done(case, &revoke(&desk, "stranger", token).await);
    }
    let user = desk.alice().await;
    let foreign = revoke(&desk, "planner", &user).await;
    assert_refused("N79", &foreign, 400, "unsupported_token_type", "request.foreign_token");
    assert_refused("N76", &post(&desk, "planner", "revoke", &[]).await, 400, INVALID, "request.missing_parameter");
    let empty = post(&desk, "planner", "revoke", &[("token", "")]).await;
    assert_refused("N76, empty", &empty, 400, INVALID, "request.missing_parameter");
    let get = desk.to_broker("planner", Call::new(Method::GET, "https://broker.agents.svc/revoke")).await;
    assert_refused("GET", &get, 405, INVALID, "request.method");
    let other = post(&desk, "planner", "revoke", &[("token", &txn), ("client_id", SECURITY)]).await;
    assert_refused("another client", &other, 401, "invalid_client", "client.mismatch");
    let alert = alert_without_certificate(desk.stack.broker_token_address()).await;
    assert!(alert.contains("CertificateRequired"), "N74: {alert}");
    let url = format!("{}/revoke", desk.stack.broker_public().expect("a public door"));
    let outside = Call::new(Method::POST, &url).form(&[("token", &txn)]).send().await.expect("answered");
    assert_eq!(outside.status, 404, "not on the public door");
    assert_goes_on("none of it ended anything", &desk, "planner", &call(&txn, TICKETS, SCOPE)).await;
    let hinted = [("token", txn.as_str()), ("token_type_hint", "refresh_token")];
    assert_done("a wrong hint does not matter", &post(&desk, "planner", "revoke", &hinted).await);
    assert_revoked("it", &desk, "planner", &call(&txn, TICKETS, SCOPE)).await;
    desk.close().await;
}

#[tokio::test]
async fn the_metadata_names_both_endpoints() {
    let desk = desk().await;
    let url = format!("{}/.well-known/oauth-authorization-server", desk.stack.broker_public().expect("a public door"));
    let document = Call::new(Method::GET, &url).send().await.expect("answered").json();
    for name in ["revocation_endpoint", "introspection_endpoint"] {
        assert!(document[name].as_str().is_some_and(|url| url.starts_with("https://")), "{document}");
        assert_eq!(document[format!("{name}_auth_methods_supported")], json!(["spiffe_x509"]), "{document}");
    }
    desk.close().await;
}

#[tokio::test]
async fn a_killed_broker_remembers_what_was_revoked() {
    let mut desk = desk().await;
    let (txn, partly) = (desk.begun().await, desk.begun().await);
    let (access, handed) = desk.called_researcher(&partly).await;
    assert_done("a transaction", &revoke(&desk, "planner", &txn).await);
    assert_done("a token", &revoke(&desk, "planner", &access).await);
    signal(&desk.stack, "broker", Signal::KILL);
    eventually("it is gone", || std::future::ready(desk.stack.first_ended())).await;
    desk.stack.revive("broker").await.expect("back");
    assert_revoked("the transaction", &desk, "planner", &call(&txn, TICKETS, SCOPE)).await;
    assert_revoked("the token", &desk, "researcher", &call(&handed, TICKETS, SCOPE)).await;
    assert_goes_on("what was not", &desk, "planner", &call(&partly, TICKETS, SCOPE)).await;
    desk.close().await;
}
