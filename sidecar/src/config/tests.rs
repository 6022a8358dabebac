//! What a configuration may say, and that every mistake is told.

use std::path::Path;

use runtime::config::load;

use super::*;
use crate::App;

const SMALL: &str = "
workload_api: unix:///run/spire/agent.sock
broker:
  url: https://broker.agents.svc
  id: spiffe://corp.example/ns/agents/sa/broker
app: http://127.0.0.1:8000
";

fn read(text: &str) -> Result<Config, String> {
    let loaded = load::<App>(Path::new("sidecar.yaml"), text, []);
    loaded.map(|loaded| loaded.config).map_err(|report| report.to_string())
}

#[test]
fn the_small_file_is_enough_and_its_defaults_are_safe() {
    let config = read(SMALL).expect("a configuration");
    assert_eq!(config.broker.connect, "broker.agents.svc:443");
    assert_eq!(config.app, "127.0.0.1:8000");
    assert_eq!(config.mesh, "0.0.0.0:8443");
    assert!(config.agent.ip().is_loopback() && config.edge.is_none());
    assert!(config.own.is_none() && config.outside.is_none(), "nothing in the own name unless it is asked for");
}

#[test]
fn every_problem_is_told_at_once_with_its_key() {
    let report = read(
        "
workload_api: /run/spire/agent.sock
broker: { url: 'http://broker', id: 'spiffe://CORP.example/x' }
app: http://10.0.0.1:8000
mesh: { listen: '8443' }
agent: { listen: '0.0.0.0:15001' }
self: { listen: '0.0.0.0:15002' }
outside: { ca: /nowhere/ca.pem }
edge: { listen: '0.0.0.0:9443', danger_plain: true }
admin: { listen: '0.0.0.0:15020' }
",
    )
    .expect_err("wrong");
    for key in [
        "workload_api",
        "broker.url",
        "broker.id",
        "app",
        "mesh.listen",
        "agent.listen",
        "self.listen",
        "outside.ca",
        "edge.danger_plain",
        "admin.listen",
    ] {
        assert!(report.contains(&format!(": {key}: ")), "{key} in {report}");
    }
    assert!(report.contains("10 problems"), "{report}");
}

#[test]
fn the_own_name_has_a_door_of_its_own_on_loopback() {
    let own = |text: &str| read(&format!("{SMALL}self: {text}")).map(|config| config.own.map(|own| own.to_string()));
    assert_eq!(own("{}"), Ok(Some("127.0.0.1:15002".to_owned())));
    assert_eq!(own("{ listen: '[::1]:0' }"), Ok(Some("[::1]:0".to_owned())));
    assert_eq!(own("null"), Ok(None));
    let taken = own("{ listen: '127.0.0.1:15001' }");
    assert!(taken.is_err_and(|report| report.contains("self.listen: `127.0.0.1:15001` is where `agent.listen`")));
    assert!(own("{ listen: 'localhost:15002' }").is_err_and(|report| report.contains("names are not resolved here")));
    assert!(own("{ listne: '127.0.0.1:1' }").is_err_and(|report| report.contains("did you mean `listen`")));
}

#[test]
fn an_edge_is_protected_or_says_that_it_is_not() {
    let edge = |text: &str| read(&format!("{SMALL}edge: {text}")).map(|config| config.edge.is_some());
    assert!(edge("{ listen: '127.0.0.1:9443' }").is_err_and(|report| report.contains("edge.tls: is missing: give")));
    let named = edge("{ listen: 'localhost:9443', danger_plain: true }");
    assert!(named.is_err_and(|report| report.contains("edge.listen") && report.contains("not resolved")));
    assert!(edge("").is_err_and(|report| report.contains("edge: is empty: give a mapping (the door for users")));
    assert_eq!(edge("null"), Ok(false));
    assert_eq!(edge("{ listen: '127.0.0.1:9443', danger_plain: true }"), Ok(true));
    let files = "{ listen: '0.0.0.0:9443', tls: { certificate: /nowhere/a, key: /nowhere/b } }";
    let report = edge(files).expect_err("a problem");
    for name in ["edge.tls.certificate: cannot read `/nowhere/a`: No such", "edge.tls.key: cannot read `/nowhere/b`"] {
        assert!(report.contains(name), "{report}");
    }
}

#[test]
fn an_app_elsewhere_or_with_more_than_an_address_is_refused() {
    let app = |url: &str| read(&SMALL.replace("http://127.0.0.1:8000", url));
    for url in ["http://127.0.0.1:8000/", "http://localhost:8000", "http://[::1]:8000"] {
        assert!(app(url).is_ok(), "{url}");
    }
    for url in ["https://127.0.0.1:8000", "http://app:8000", "http://127.0.0.1:8000/x", "http://u@127.0.0.1", "x"] {
        assert!(app(url).is_err(), "{url}");
    }
}

#[test]
fn two_doors_on_one_address_are_refused() {
    let report = read(&format!("{SMALL}mesh: {{ listen: '0.0.0.0:15001' }}\n")).expect_err("a problem");
    assert!(report.contains("agent.listen: `127.0.0.1:15001` is where `mesh.listen` listens"), "{report}");
    let report = read(&format!("{SMALL}mesh: {{ listen: 'https://0.0.0.0:8443' }}\n")).expect_err("a problem");
    assert!(report.contains("mesh.listen") && report.contains("write host:port without a scheme"), "{report}");
}
