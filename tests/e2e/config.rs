//! Mistakes in a configuration are all listed at once, with file and line, and stop the start with exit code 2.

use harness::{Folder, Program};

/// A broker's file with much that is wrong, its trust domain under `key`, and `resource` as that of its target.
fn broken(key: &str, resource: &str) -> String {
    format!(
        "issuer: http://broker.agents.svc\n\
         {key}: corp.example\n\
         workload_api: unix:///run/agent.sock\n\
         authorities:\n  - keycloak: nonsense\n    client_id: txn-broker\n\
         store: sqlite:///nonexistent/broker.db\n\
         wrapping_key: /nonexistent/wrapping.key\n\
         ledger: /nonexistent/ledger\n\
         policies: /nonexistent/policies\n\
         edges: []\n\
         targets:\n  - name: tickets\n    resource: {resource}\n    hosts: [tickets.tool]\n    workload: tickets\n    connect: tickets\n",
    )
}

#[tokio::test]
async fn every_mistake_is_listed_at_once() {
    let folder = Folder::new();
    let config = folder.write("broker.yaml", &broken("trust_domian", "tickets"));
    let finished = Program::new("countersign-broker").arguments(["check", "--config", &config]).run().await;
    assert_eq!(finished.code, Some(2), "{}{}", finished.stdout, finished.stderr);
    let report = finished.stderr;
    for expected in ["broker.yaml:2", "trust_domian", "did you mean `trust_domain`"] {
        assert!(report.contains(expected), "{expected} in\n{report}");
    }
    // The unknown key hides no wrong value.
    for expected in ["broker.yaml:1: issuer", "broker.yaml:5: authorities[0].keycloak", "broker.yaml:8: wrapping_key"] {
        assert!(report.contains(expected), "{expected} in\n{report}");
    }
}

#[tokio::test]
async fn every_wrong_value_is_listed_at_once() {
    let folder = Folder::new();
    let config = folder.write("broker.yaml", &broken("trust_domain", "https://broker.agents.svc/token"));
    let finished = Program::new("countersign-broker").arguments(["check", "--config", &config]).run().await;
    assert_eq!(finished.code, Some(2), "{}{}", finished.stdout, finished.stderr);
    let report = finished.stderr;
    for line in [5, 8, 10, 14, 16, 17] {
        assert!(report.contains(&format!("broker.yaml:{line}")), "line {line} in\n{report}");
    }
    assert!(report.contains("target.reserved_audience") && report.contains("countersign keys init"), "{report}");
}

#[tokio::test]
async fn no_target_has_a_reserved_audience_however_it_is_spelled() {
    let reserved = [
        "https://broker.agents.svc",
        "https://broker.agents.svc/",
        "https://BROKER.agents.svc/token",
        "https://broker.agents.svc:443/token",
        "https://broker.agents.svc/x/../token",
        "https://keycloak.corp.example/realms/agents",
        "HTTPS://keycloak.corp.example/realms/agents/",
        "https://keycloak.corp.example/realms/agents/protocol/openid-connect/token",
    ];
    let mut text =
        "issuer: https://broker.agents.svc\ntrust_domain: corp.example\nworkload_api: unix:///run/agent.sock\n\
         authorities:\n  - keycloak: https://keycloak.corp.example/realms/agents\n    client_id: txn-broker\n\
         store: sqlite:///nonexistent/broker.db\nwrapping_key: /nonexistent/wrapping.key\n\
         ledger: /nonexistent/ledger\npolicies: /nonexistent/policies\ntargets:\n"
            .to_owned();
    let before = text.lines().count();
    for (number, resource) in reserved.iter().enumerate() {
        text.push_str(&format!("  - name: t{number}\n    resource: {resource}\n"));
        text.push_str("    workload: spiffe://corp.example/t\n    connect: \"t:1\"\n");
    }
    let folder = Folder::new();
    let config = folder.write("broker.yaml", &text);
    let finished = Program::new("countersign-broker").arguments(["check", "--config", &config]).run().await;
    assert_eq!(finished.code, Some(2));
    for (number, resource) in reserved.iter().enumerate() {
        let place = format!("broker.yaml:{}", before + 4 * number + 2);
        let told = |line: &str| line.contains(&place) && line.contains("target.reserved_audience");
        assert!(finished.stderr.lines().any(told), "N105 {resource} at {place} in\n{}", finished.stderr);
    }
}

#[tokio::test]
async fn a_missing_file_says_which_and_how_to_give_another() {
    for name in ["countersign-broker", "countersign-sidecar"] {
        let finished = Program::new(name).arguments(["--config", "/nonexistent/x.yaml"]).run().await;
        assert_eq!(finished.code, Some(2));
        assert!(
            finished.stderr.contains("/nonexistent/x.yaml") && finished.stderr.contains("--config"),
            "{}",
            finished.stderr
        );
    }
}

/// The YAML examples of a page, in order.
fn examples(page: &str) -> Vec<&str> {
    page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// The broker's example with the authorities and edges of `several` in place of its own.
fn with_several(broker: &str, several: &str) -> String {
    let section = |line: &str| line.starts_with("authorities:") || line.starts_with("edges:");
    let (mut kept, mut is_replaced) = (String::new(), false);
    for line in broker.lines() {
        if !line.starts_with([' ', '#']) {
            is_replaced = section(line);
        }
        if !is_replaced {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    format!("{several}{kept}")
}

#[tokio::test]
async fn what_the_documentation_shows_is_accepted() {
    let page = include_str!("../../docs/configuration.md");
    let blocks = examples(page);
    let [broker, sidecar, several, targets, edge, own] = blocks.as_slice() else {
        panic!("other examples: {blocks:?}")
    };
    let folder = Folder::new();
    let here = folder.path("");
    std::fs::create_dir(folder.path("policies")).expect("a folder");
    let rule = r#"@id("begin") permit (principal is Workload, action == Action::"begin", resource == TrustDomain::"corp.example");"#;
    let _rule = folder.write("policies/begin.cedar", rule);
    let made = Program::new("countersign").arguments(["keys", "init", &folder.path("wrapping.key")]).run().await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let inside = |text: &str| {
        let text = text.replace("/var/lib/countersign/", &here).replace("/etc/countersign/", &here);
        text.replace("/tls/", &here)
    };
    // The page's further targets belong under the `targets:` that the broker's example ends with.
    let more = targets.strip_prefix("targets:\n").expect("more targets");
    tls_files(&folder);
    for (name, text) in [
        ("broker", (*broker).to_owned()),
        ("broker", format!("{broker}{more}")),
        ("broker", with_several(broker, several)),
        ("sidecar", (*sidecar).to_owned()),
        ("sidecar", format!("{sidecar}{edge}")),
        ("sidecar", format!("{sidecar}{edge}{own}")),
    ] {
        let config = folder.write(&format!("{name}.yaml"), &inside(&text));
        let program = Program::new(&format!("countersign-{name}"));
        let finished = program.arguments(["check", "--config", &config]).run().await;
        assert_eq!(finished.code, Some(0), "{text}\n{}", finished.stderr);
    }
}

/// The certificates and the key that the examples of doors name.
fn tls_files(folder: &Folder) {
    let made = rcgen::generate_simple_self_signed(["planner.corp.example".to_owned()]).expect("a certificate");
    let _certificate = folder.write("tls.crt", &made.cert.pem());
    let _authority = folder.write("ca.crt", &made.cert.pem());
    let _key = folder.write("tls.key", &made.signing_key.serialize_pem());
}
