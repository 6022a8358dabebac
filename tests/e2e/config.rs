//! Mistakes in a configuration are all listed at once, with file and line, and stop the start with exit code 2.

use harness::{Folder, Program};

#[tokio::test]
async fn every_mistake_is_listed_at_once() {
    let folder = Folder::new();
    let config = folder.write(
        "broker.yaml",
        "issuer: http://broker.agents.svc\n\
         trust_domian: corp.example\n\
         workload_api: unix:///run/agent.sock\n\
         authorities:\n  - keycloak: nonsense\n    client_id: txn-broker\n\
         store: sqlite:///nonexistent/broker.db\n\
         wrapping_key: /nonexistent/wrapping.key\n\
         ledger: /nonexistent/ledger\n\
         policies: /nonexistent/policies\n\
         edges: []\n\
         targets:\n  - name: tickets\n    resource: tickets\n    hosts: [tickets.tool]\n    workload: tickets\n    connect: tickets\n",
    );
    let finished = Program::new("countersign-broker").arguments(["check", "--config", &config]).run().await;
    assert_eq!(finished.code, Some(2), "{}{}", finished.stdout, finished.stderr);
    let report = finished.stderr;
    for expected in ["broker.yaml:2", "trust_domian", "did you mean `trust_domain`"] {
        assert!(report.contains(expected), "{expected} in\n{report}");
    }
}

#[tokio::test]
async fn every_wrong_value_is_listed_at_once() {
    let folder = Folder::new();
    let config = folder.write(
        "broker.yaml",
        "issuer: http://broker.agents.svc\n\
         trust_domain: corp.example\n\
         workload_api: unix:///run/agent.sock\n\
         authorities:\n  - keycloak: nonsense\n    client_id: txn-broker\n\
         store: sqlite:///nonexistent/broker.db\n\
         wrapping_key: /nonexistent/wrapping.key\n\
         ledger: /nonexistent/ledger\n\
         policies: /nonexistent/policies\n\
         edges: []\n\
         targets:\n  - name: tickets\n    resource: https://broker.agents.svc/token\n    hosts: [tickets.tool]\n    workload: tickets\n    connect: tickets\n",
    );
    let finished = Program::new("countersign-broker").arguments(["check", "--config", &config]).run().await;
    assert_eq!(finished.code, Some(2), "{}{}", finished.stdout, finished.stderr);
    let report = finished.stderr;
    for line in [5, 8, 10, 14, 16, 17] {
        assert!(report.contains(&format!("broker.yaml:{line}")), "line {line} in\n{report}");
    }
    assert!(report.contains("target.reserved_audience") && report.contains("countersign keys init"), "{report}");
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
