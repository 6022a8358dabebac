use super::*;
use crate::{McpOperation, McpSpec, RouteSpec};

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
    let reserved = Reserved::new(["https://keycloak.corp.example/realms/agents"]);
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
    ] {
        let spec = TargetSpec { resource: resource.into(), ..spec() };
        let problems = Registry::new(vec![spec], &reserved).err().unwrap_or_default();
        let refused = problems.iter().any(|problem| problem.message.contains("target.reserved_audience"));
        assert!(refused || resource.starts_with("http://"), "{resource}");
    }
    assert!(Registry::new(vec![spec()], &reserved).is_ok());
}

#[test]
fn every_problem_is_listed_at_once() {
    let broken = TargetSpec {
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
