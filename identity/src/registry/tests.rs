use super::*;
use crate::{McpOperation, McpSpec, RouteSpec, SCOPES_MAX};

fn spec() -> TargetSpec {
    TargetSpec {
        name: "tickets".into(),
        resource: "https://tickets.tools.svc/mcp".into(),
        hosts: vec!["tickets.tool".into()],
        workload: "spiffe://corp.example/ns/tools/sa/tickets".into(),
        connect: "tickets.tools.svc:8443".into(),
        mcp: Some(McpSpec { tools: [("list_tickets".into(), "tickets:read".into())].into(), ..McpSpec::default() }),
        ..TargetSpec::default()
    }
}

fn keys(specs: Vec<TargetSpec>, reserved: &Reserved) -> Vec<&'static str> {
    Registry::new(specs, reserved).err().unwrap_or_default().iter().map(|problem| problem.key).collect()
}

#[test]
fn a_reserved_audience_is_refused_by_any_spelling() {
    let reserved = Reserved::new([
        "https://keycloak.corp.example/realms/agents",
        "https://keycloak.corp.example:8443/realms/agents",
        "http://127.0.0.1:8080/realms/agents",
    ]);
    for resource in [
        "https://keycloak.corp.example/realms/agents",
        "https://keycloak.corp.example/realms/agents/",
        "https://KEYCLOAK.corp.example:443/realms//agents",
        "https://keycloak.corp.example./realms/agents",
        "https://keycloak.corp.example/realms/x/../agents",
        "https://keycloak.corp.example/realms/%61gents",
        "https://keycloak.corp.example/realms/%2561gents",
        "https://keycloak.corp.example/realms%2fagents",
        "http://keycloak.corp.example/realms/agents",
        "http://keycloak.corp.example:443/realms/agents",
        "https://keycloak.corp.example.:8443/realms/agents",
        "https://keycloak.corp.example:8443/realms/x/%252e%252e/agents",
        "https://keycloak.corp.example/realms/%255c/agents",
        "https://keycloak.corp.example/realms/agents?a",
        "https://0x7f.1:8080/realms/agents",
    ] {
        let spec = TargetSpec { resource: resource.into(), ..spec() };
        let problems = Registry::new(vec![spec], &reserved).err().unwrap_or_default();
        let refused = problems.iter().any(|problem| problem.message.contains("target.reserved_audience"));
        assert!(refused, "{resource}");
    }
    assert!(Registry::new(vec![spec()], &reserved).is_ok());
}

#[test]
fn a_reserved_audience_is_reserved_at_the_sidecars_too() {
    for url in ["https://keycloak.corp.example:8443/realms/agents", "http://localhost:8080/realms/agents", "urn:x"] {
        let told = Reserved::new([url]);
        let heard = Reserved::new(told.iter());
        assert!(heard.iter().eq(told.iter()), "{url}");
        let spec = TargetSpec { resource: url.into(), ..spec() };
        assert_eq!(keys(vec![spec], &heard).first(), Some(&"resource"), "{url}");
    }
}

#[test]
fn every_problem_is_listed_at_once() {
    let broken = TargetSpec {
        kind: TargetKind::Mesh,
        name: "a b".into(),
        resource: "tickets".into(),
        hosts: vec!["".into()],
        workload: "tickets".into(),
        connect: "tickets".into(),
        passes_on: Some("a\"b".into()),
        identity_headers: vec!["email".into()],
        mcp: None,
        routes: vec![RouteSpec { methods: vec!["get".into()], path: "x*".into(), scope: "a b".into() }],
    };
    let found = keys(vec![broken], &Reserved::default());
    for key in ["name", "resource", "hosts", "workload", "connect", "passes_on", "identity_headers", "routes"] {
        assert!(found.contains(&key), "{key} in {found:?}");
    }
}

#[test]
fn two_targets_may_not_share_a_name_resource_or_host() {
    assert_eq!(keys(vec![spec(), spec()], &Reserved::default()), ["name", "resource", "hosts"]);
}

#[test]
fn a_sixty_fifth_scope_is_refused() {
    let with = |count: usize| {
        let tools = (0..count).map(|n| (format!("t{n}"), format!("s{n}"))).collect();
        TargetSpec { mcp: Some(McpSpec { tools, ..McpSpec::default() }), ..spec() }
    };
    assert!(keys(vec![with(SCOPES_MAX)], &Reserved::default()).is_empty());
    assert_eq!(keys(vec![with(SCOPES_MAX + 1)], &Reserved::default()), ["mcp"]);
}

#[test]
fn only_mapped_operations_have_a_scope() {
    let registry = Registry::new(vec![spec()], &Reserved::default()).expect("a registry");
    let target = registry.by_host("TICKETS.tool:80", "/mcp").expect("found by host");
    assert_eq!(
        target.scope_of_operation(McpOperation::Tool("list_tickets")).map(|scope| scope.to_string()),
        Some("tickets:read".into())
    );
    assert_eq!(target.scope_of_operation(McpOperation::Tool("drop_tickets")), None);
    assert_eq!(target.scope_of_operation(McpOperation::Prompt("list_tickets")), None);
    assert_eq!(target.scope_of_route("GET", "/mcp"), None);
}

#[test]
fn a_path_outside_the_resource_or_with_tricks_is_covered_by_nothing() {
    let registry = Registry::new(vec![spec()], &Reserved::default()).expect("a registry");
    assert!(registry.by_authority("tickets.tools.svc", "/mcp/x").is_some());
    for path in [
        "/",
        "/mcpx",
        "/mcp/../admin",
        "/mcp/%2e%2e/admin",
        "/mcp//x",
        "/mcp\\x",
        "/mcp/%2Fx",
        "mcp",
        "/mcp;x/y",
        "/mcp/.",
    ] {
        assert!(registry.by_authority("tickets.tools.svc", path).is_none(), "{path}");
        assert!(registry.by_host("tickets.tool", path).is_none(), "{path}");
    }
    assert!(registry.by_authority("tickets.tools.svc:8443", "/mcp").is_none());
}

#[test]
fn routes_map_exact_paths_and_marked_prefixes_only() {
    let route = |methods: &[&str], path: &str, scope: &str| RouteSpec {
        methods: methods.iter().map(|&method| method.into()).collect(),
        path: path.into(),
        scope: scope.into(),
    };
    let routes = vec![route(&["GET"], "/items", "items:read"), route(&["POST"], "/items/*", "items:write")];
    let spec = TargetSpec { mcp: None, routes, ..spec() };
    let registry = Registry::new(vec![spec], &Reserved::default()).expect("a registry");
    let target = registry.by_name("tickets").expect("found");
    let scope = |method: &str, path: &str| target.scope_of_route(method, path).map(|scope| scope.to_string());
    assert_eq!(scope("GET", "/mcp/items"), Some("items:read".into()));
    assert_eq!(scope("POST", "/mcp/items/7"), Some("items:write".into()));
    for (method, path) in [
        ("POST", "/mcp/items"),
        ("GET", "/mcp/items/7"),
        ("POST", "/mcp/items/"),
        ("GET", "/mcp"),
        ("get", "/mcp/items"),
    ] {
        assert_eq!(scope(method, path), None, "{method} {path}");
    }
}

fn service() -> TargetSpec {
    TargetSpec {
        kind: TargetKind::Workload,
        name: "inventory".into(),
        resource: "https://inventory.tools.svc/v1".into(),
        hosts: vec!["inventory.tool".into()],
        connect: "https://inventory.tools.svc:8443".into(),
        ..TargetSpec::default()
    }
}

#[test]
fn a_workload_target_is_found_among_its_kind_only() {
    let registry = Registry::new(vec![spec(), service()], &Reserved::default()).expect("a registry");
    let target = registry.workload().by_host("INVENTORY.tool:80", "/v1/items").expect("found by host");
    assert_eq!(
        (target.name(), target.perimeter().audience().as_str()),
        ("inventory", "https://inventory.tools.svc/v1")
    );
    assert_eq!(target.connect(), &ServiceAddress::Tls("inventory.tools.svc:8443".into()));
    assert!(registry.workload().by_resource("https://inventory.tools.svc/v1").is_some());
    assert!(registry.by_name("inventory").is_none() && registry.by_resource(&service().resource).is_none());
    assert!(registry.by_host("inventory.tool", "/v1").is_none() && !registry.knows_host("inventory.tool"));
    assert!(registry.by_authority("inventory.tools.svc", "/v1").is_none(), "no mesh door serves it");
    assert!(registry.workload().by_name("tickets").is_none() && !registry.workload().knows_host("tickets.tool"));
}

#[test]
fn what_has_no_meaning_at_a_workload_target_is_refused() {
    let mcp = Some(McpSpec::default());
    let route = |scope: &str| RouteSpec { methods: vec!["GET".into()], path: "/items".into(), scope: scope.into() };
    for (spec, expected) in [
        (service(), &[][..]),
        (TargetSpec { routes: vec![route("")], ..service() }, &[]),
        (TargetSpec { workload: spec().workload, ..service() }, &["workload"]),
        (TargetSpec { passes_on: Some(String::new()), ..service() }, &["passes_on"]),
        (TargetSpec { identity_headers: vec!["subject".into()], ..service() }, &["identity_headers"]),
        (TargetSpec { mcp, ..service() }, &["mcp"]),
        (TargetSpec { routes: vec![route("items:read")], ..service() }, &["routes"]),
        (TargetSpec { connect: "inventory.tools.svc:8443".into(), ..service() }, &["connect"]),
        (TargetSpec { connect: "http://inventory.tools.svc".into(), ..service() }, &["connect"]),
        (TargetSpec { connect: service().connect, ..spec() }, &["connect"]),
        (TargetSpec { workload: String::new(), ..spec() }, &["workload"]),
    ] {
        assert_eq!(keys(vec![spec], &Reserved::default()), expected);
    }
}

#[test]
fn targets_of_two_kinds_share_no_name_resource_or_host_and_none_is_reserved() {
    let same = TargetSpec {
        kind: TargetKind::Workload,
        connect: service().connect,
        workload: String::new(),
        mcp: None,
        ..spec()
    };
    assert_eq!(keys(vec![spec(), same], &Reserved::default()), ["name", "resource", "hosts"]);
    let reserved = Reserved::new(["https://inventory.tools.svc"]);
    let evil = TargetSpec { resource: "https://INVENTORY.tools.svc:443/".into(), ..service() };
    assert_eq!(keys(vec![evil], &reserved), ["resource"]);
}

#[test]
fn the_host_of_a_resource_is_told_without_port_and_brackets() {
    for (resource, host) in [
        ("https://inventory.tools.svc:8443/v1", "inventory.tools.svc"),
        ("https://10.0.0.7/v1", "10.0.0.7"),
        ("https://[2001:db8::7]:8443/v1", "2001:db8::7"),
    ] {
        let spec = TargetSpec { resource: resource.into(), ..service() };
        let registry = Registry::new(vec![spec], &Reserved::default()).expect("a registry");
        assert_eq!(registry.workload().by_name("inventory").expect("found").perimeter().host(), host);
    }
}
