//! The broker's answer to a workload that wants to call a target in its own name: policy alone says yes, every yes is on
//! record, and nothing is issued (`protocol.md` §6).

use dev::apps::{Answer, Call};
use harness::{
    Desk, Form, INVENTORY, Program, RESEARCHER, TICKETS, alert_without_certificate, assert_refused, call, eventually,
    planner_uses, service,
};
use http::Method;
use serde_json::{Value, json};

const USE: &str = "https://broker.agents.svc/use";
const INVALID: &str = "invalid_request";
const PLANNER: &str = "spiffe://corp.example/ns/agents/sa/planner";

/// A broker that knows `inventory`, which planner may use, and `clock`, which nobody may yet.
async fn desk(rules: &[(&str, &str)]) -> Desk {
    let mut options = Desk::options();
    options.members.clear();
    options.targets.extend([service("inventory", "http://127.0.0.1:1"), service("clock", "https://127.0.0.1:1")]);
    options.policies.extend([planner_uses("inventory")]);
    options.policies.extend(rules.iter().map(|(name, rule)| (format!("{name}.cedar"), (*rule).to_owned())));
    Desk::open_with(options).await
}

fn allowed(answer: &Answer) -> Option<u64> {
    let body = answer.json();
    assert_eq!((answer.status.as_u16(), body["decision"].as_str()), (200, Some("allowed")), "{body}");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(body.as_object().map(serde_json::Map::len), Some(2), "a decision and its life, and no token: {body}");
    body["expires_in"].as_u64()
}

/// The lines about `target` in the record.
fn lines(desk: &Desk, target: &str) -> Vec<Value> {
    desk.stack.records().into_iter().filter(|line| line["target"] == target).collect()
}

#[tokio::test]
async fn a_rule_allows_for_a_minute_at_most_and_the_record_says_so_before_the_answer() {
    let brief = r#"@id("clock-for-planner") @max_life("7s")
        permit (principal is Workload, action == Action::"use", resource == Target::"clock")
        when { principal == Workload::"spiffe://corp.example/ns/agents/sa/planner" };"#;
    let desk = desk(&[("clock-for-planner", brief)]).await;
    assert_eq!(allowed(&desk.ask_to_use("planner", INVENTORY).await), Some(60));
    let recorded = lines(&desk, "inventory");
    let [line] = recorded.as_slice() else { panic!("{recorded:?}") };
    for (key, value) in [
        ("t", json!("use")),
        ("op", json!("use")),
        ("req", json!(PLANNER)),
        ("rule", json!(["planner-uses-inventory"])),
        ("dec", json!("allow")),
    ] {
        assert_eq!(line[key], value, "{key} in {line}");
    }
    assert!(["sub", "txn", "act", "jti", "scope"].iter().all(|key| line[key].is_null()), "no user, no token: {line}");
    assert_eq!(
        allowed(&desk.ask_to_use("planner", "https://clock.tools.svc/v1").await),
        Some(7),
        "the rule's own life"
    );
    let metrics = desk.stack.metrics("broker").await.expect("metrics");
    assert!(metrics.contains(r#"decisions_total{kind="use",outcome="granted",code=""} 2"#), "{metrics}");
    desk.close().await;
}

#[tokio::test]
async fn without_a_rule_it_is_refused_and_recorded() {
    let frozen = r#"@id("frozen") forbid (principal, action == Action::"use", resource == Target::"clock");"#;
    let everyone =
        r#"@id("anyone") permit (principal is Workload, action == Action::"use", resource == Target::"clock");"#;
    let desk = desk(&[("frozen", frozen), ("anyone", everyone)]).await;
    let answer = desk.ask_to_use("stranger", INVENTORY).await;
    assert_refused("nobody's rule", &answer, 400, "invalid_target", "policy.no_rule");
    let answer = desk.ask_to_use("planner", "https://clock.tools.svc/v1").await;
    assert_refused("a forbid", &answer, 400, "invalid_target", "policy.frozen");
    let refused = eventually("both are recorded", || async {
        let found = [lines(&desk, "inventory"), lines(&desk, "clock")].concat();
        (found.len() == 2).then_some(found)
    })
    .await;
    let told = |line: &Value| (line["t"].clone(), line["op"].clone(), line["dec"].clone(), line["code"].clone());
    assert_eq!(told(&refused[0]), ("refuse".into(), "use".into(), "deny".into(), "policy.no_rule".into()));
    assert_eq!(told(&refused[1]), ("refuse".into(), "use".into(), "deny".into(), "policy.frozen".into()));
    desk.close().await;
}

#[tokio::test]
async fn a_rule_that_fails_refuses() {
    let broken = r#"@id("broken") forbid (principal, action == Action::"use", resource)
        when { 9223372036854775807 + 1 > 0 };"#;
    let desk = desk(&[("broken", broken)]).await;
    let answer = desk.ask_to_use("planner", INVENTORY).await;
    assert_refused("use", &answer, 400, "invalid_target", "policy.error");
    desk.close().await;
}

#[tokio::test]
async fn only_one_target_of_this_kind_may_be_named_and_the_form_is_read_strictly() {
    let desk = desk(&[]).await;
    let good = || Form::default().add("resource", INVENTORY);
    let (researcher, clock) = ("spiffe://corp.example/ns/agents/sa/researcher", "https://clock.tools.svc/v1");
    for (case, form, status, error, refusal) in [
        ("none", Form::default(), 400, "invalid_target", "target.missing"),
        ("empty", Form::default().add("resource", ""), 400, "invalid_target", "target.missing"),
        ("unknown", Form::default().add("resource", "https://x.svc"), 400, "invalid_target", "target.unknown"),
        (
            "another spelling",
            Form::default().add("resource", &format!("{INVENTORY}/")),
            400,
            "invalid_target",
            "target.unknown",
        ),
        ("of the mesh", Form::default().add("resource", TICKETS), 400, "invalid_target", "target.kind"),
        ("of the mesh, by name", good().add("audience", "tickets"), 400, "invalid_target", "target.kind"),
        ("two", good().add("resource", clock), 400, "invalid_target", "target.several"),
        ("two names", good().add("audience", "clock"), 400, "invalid_target", "target.several"),
        ("repeated", good().add("x", "1").add("x", "1"), 400, INVALID, "request.repeated_parameter"),
        ("another client", good().add("client_id", researcher), 401, "invalid_client", "client.mismatch"),
    ] {
        let answer = desk.to_broker("planner", Call::new(Method::POST, USE).form(&form.pairs())).await;
        assert_refused(case, &answer, status, error, refusal);
    }
    for form in [good().add("foo", "bar"), good().add("client_id", PLANNER), good().add("audience", "inventory")] {
        allowed(&desk.to_broker("planner", Call::new(Method::POST, USE).form(&form.pairs())).await);
    }
    let answer = desk.to_broker("planner", Call::new(Method::GET, USE)).await;
    assert_refused("GET", &answer, 405, INVALID, "request.method");
    let answer = desk.to_broker("planner", Call::new(Method::POST, USE).json(&json!({"resource": INVENTORY}))).await;
    assert_refused("JSON", &answer, 400, INVALID, "request.media_type");
    let long = Form::default().add("resource", INVENTORY).add("pad", &"x".repeat(16 * 1024));
    let answer = desk.to_broker("planner", Call::new(Method::POST, USE).form(&long.pairs())).await;
    assert_refused("too long", &answer, 413, INVALID, "request.too_large");
    desk.close().await;
}

#[tokio::test]
async fn a_user_s_authority_does_not_reach_such_a_target_nor_does_a_stranger_get_here() {
    let desk = desk(&[]).await;
    let txn = desk.begun().await;
    let answer = desk.ask("planner", &call(&txn, INVENTORY, "")).await;
    assert_refused("an exchange", &answer, 400, "invalid_target", "target.kind");
    assert_eq!(desk.ask("planner", &call(&txn, RESEARCHER, "")).await.status, 200);
    let alert = alert_without_certificate(desk.stack.broker_token_address()).await;
    assert!(alert.contains("CertificateRequired"), "{alert}");
    let url = format!("{}/use", desk.stack.broker_public().expect("a public door"));
    let answer = Call::new(Method::POST, &url).form(&[("resource", INVENTORY)]).send().await.expect("answered");
    assert_eq!(answer.status, 404, "not on the public door");
    desk.close().await;
}

#[tokio::test]
async fn no_such_target_has_a_reserved_audience() {
    let folder = harness::Folder::new();
    let text = "issuer: https://broker.agents.svc\ntrust_domain: corp.example\nworkload_api: unix:///run/agent.sock\n\
         authorities:\n  - keycloak: https://keycloak.corp.example/realms/agents\n    client_id: txn-broker\n\
         store: sqlite:///nonexistent/broker.db\nwrapping_key: /nonexistent/wrapping.key\n\
         ledger: /nonexistent/ledger\npolicies: /nonexistent/policies\ntargets:\n  - name: evil\n    kind: workload\n    \
         resource: HTTPS://Keycloak.corp.example:443/realms/x/../agents/\n    connect: https://keycloak.corp.example\n";
    let config = folder.write("broker.yaml", text);
    let finished = Program::new("countersign-broker").arguments(["check", "--config", &config]).run().await;
    assert_eq!(finished.code, Some(2));
    let told =
        |line: &str| line.contains("broker.yaml:14: targets[0].resource") && line.contains("target.reserved_audience");
    assert!(finished.stderr.lines().any(told), "N105: {}", finished.stderr);
}
