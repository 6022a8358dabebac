//! Every mistake in broker.yaml is told at once, with its key.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use runtime::config::load;

use crate::App;

/// A folder with everything that a good configuration names.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("broker-config-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("policies")).expect("a folder");
        let rule = r#"@id("begin") permit (principal == Workload::"spiffe://corp.example/planner", action == Action::"begin", resource == TrustDomain::"corp.example");"#;
        fs::write(folder.join("policies/begin.cedar"), rule).expect("written");
        fs::write(folder.join("wrapping.key"), [7; 32]).expect("written");
        let folder = Self(folder);
        folder.protect(0o600);
        folder
    }

    fn protect(&self, mode: u32) {
        fs::set_permissions(self.0.join("wrapping.key"), fs::Permissions::from_mode(mode)).expect("set");
    }

    fn good(&self) -> String {
        let folder = self.0.display();
        format!(
            "issuer: https://broker.agents.svc
trust_domain: corp.example
workload_api: unix:///run/agent.sock
authorities:
  - keycloak: https://keycloak.corp.example/realms/agents
    client_id: txn-broker
store: sqlite://{folder}/broker.db
wrapping_key: {folder}/wrapping.key
ledger: {folder}/ledger
policies: {folder}/policies
edges:
  - workload: spiffe://corp.example/planner
    login_clients: [console]
    scopes: [tickets:read, tickets:write]
targets:
  - name: tickets
    resource: https://tickets.tools.svc/mcp
    hosts: [tickets.tool]
    workload: spiffe://corp.example/tickets
    connect: tickets.tools.svc:8443
    identity_headers: [subject]
    mcp: {{ tools: {{ list_tickets: tickets:read }} }}
"
        )
    }

    /// What is told about the good configuration with `from` replaced.
    fn complaint(&self, from: &str, to: &str) -> String {
        let text = self.good();
        assert!(text.contains(from), "{from}");
        read(&text.replace(from, to)).expect_err("a problem")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn read(text: &str) -> Result<super::Config, String> {
    let loaded = load::<App>("broker.yaml".as_ref(), text, []).map_err(|report| report.to_string())?;
    Ok(loaded.config)
}

#[test]
fn a_short_file_is_enough() {
    let config = read(&Folder::new("good").good()).expect("no problem");
    assert_eq!(config.doors.listen, "0.0.0.0:8443");
    assert_eq!(config.life.access_token.as_secs(), 60);
    assert_eq!(config.registry.iter().count(), 1);
}

#[test]
fn each_mistake_is_told_with_its_key() {
    let folder = Folder::new("mistakes");
    for (from, to, key, word) in [
        ("issuer: https://broker.agents.svc", "issuer: http://broker.agents.svc", "issuer", "https"),
        ("issuer: https://broker.agents.svc", "issuer: https://broker.agents.svc/", "issuer", "slash"),
        ("trust_domain: corp.example", "trust_domain: Corp.Example", "trust_domain", "lower case"),
        ("unix:///run/agent.sock", "tcp://127.0.0.1:1", "workload_api", "unix"),
        (
            "  - keycloak: https://keycloak.corp.example/realms/agents\n    client_id",
            "  - client_id",
            "authorities[0].keycloak",
            "plain OpenID provider",
        ),
        (
            "https://keycloak.corp.example/realms/agents",
            "http://keycloak.corp.example/realms/agents",
            "authorities[0].keycloak",
            "loopback only",
        ),
        ("sqlite://", "postgres://", "store", "sqlite"),
        (
            "https://keycloak.corp.example/realms",
            "https://:x@keycloak.corp.example/realms",
            "authorities[0]",
            "no user",
        ),
        ("https://tickets.tools.svc/mcp", "https://:x@tickets.tools.svc/mcp", "targets[0].resource", "without user"),
        ("wrapping.key", "nothing.key", "wrapping_key", "countersign keys init"),
        ("/policies", "/nowhere", "policies", "nowhere"),
        ("[console]", "[]", "edges[0].login_clients", "clients"),
        ("[tickets:read, tickets:write]", "[]", "edges[0].scopes", "scope"),
        ("[tickets:read, tickets:write]", "['a\"b']", "edges[0].scopes", "character"),
        ("spiffe://corp.example/planner", "spiffe://other.example/planner", "edges[0].workload", "outside"),
        ("spiffe://corp.example/tickets", "spiffe://other.example/tickets", "targets[0].workload", "outside"),
        (
            "https://tickets.tools.svc/mcp",
            "https://broker.agents.svc/token",
            "targets[0].resource",
            "target.reserved_audience",
        ),
        (
            "https://tickets.tools.svc/mcp",
            "HTTPS://Broker.Agents.Svc.:443/%74oken/",
            "targets[0].resource",
            "target.reserved_audience",
        ),
        (
            "https://tickets.tools.svc/mcp",
            "https://keycloak.corp.example/realms/agents",
            "targets[0].resource",
            "target.reserved_audience",
        ),
        ("connect: tickets.tools.svc:8443", "connect: tickets", "targets[0].connect", "host:port"),
        ("login_clients", "logins", "edges[0].logins", "`login_clients`"),
        ("ledger:", "life: { access_token: 5m }\nledger:", "life.access_token", "1s to 60s"),
        ("trust_domain:", "trust_domian: x\ntrust_domain:", "trust_domian", "trust_domain"),
    ] {
        let told = folder.complaint(from, to);
        assert!(told.contains(key) && told.contains(word), "{from} -> {to}: {told}");
    }
}

const SECOND: &str = "  - oidc: https://login.partner.example
    audience: https://broker.agents.svc/users
    name: partner
store:";

#[test]
fn several_authorities_need_names_and_clients_that_say_whose_they_are() {
    let folder = Folder::new("authorities");
    let named = folder
        .good()
        .replace("client_id: txn-broker\nstore:", &format!("client_id: txn-broker\n    name: corp\n{SECOND}"));
    let good = named.replace("[console]", "['corp:console', 'partner:https://portal']");
    let config = read(&good).expect("no problem");
    assert_eq!(config.edges.login_clients("https://keycloak.corp.example/realms/agents"), ["console"]);
    assert_eq!(config.edges.login_clients("https://login.partner.example"), ["https://portal"]);
    for (from, to, key, word) in [
        ("'corp:console'", "console", "edges[0].login_clients[0]", "corp:console"),
        ("'corp:console'", "'crop:console'", "edges[0].login_clients[0]", "`corp`, `partner`"),
        ("'corp:console'", "'corp:'", "edges[0].login_clients[0]", "corp:console"),
        ("    name: partner\n", "", "authorities[1].name", "is missing"),
        ("name: partner", "name: corp", "authorities[1].name", "twice"),
        ("name: partner", "name: 'a:b'", "authorities[1].name", "letters"),
        (
            "  - oidc: https://login.partner.example",
            "  - oidc: https://keycloak.corp.example/realms/agents",
            "authorities[1].oidc",
            "twice",
        ),
        (
            "  - oidc: https://login",
            "  - keycloak: https://x\n    oidc: https://login",
            "authorities[1].oidc",
            "one kind",
        ),
        ("    audience: https://broker.agents.svc/users\n", "", "authorities[1].audience", "is missing"),
        ("    audience:", "    client_id: x\n    audience:", "authorities[1].client_id", "other kind"),
        ("client_id: txn-broker", "client_id: ''", "authorities[0].client_id", "is missing"),
        (
            "client_id: txn-broker",
            "client_id: txn-broker\n    groups_claim: g",
            "authorities[0].groups_claim",
            "other kind",
        ),
        ("oidc: https://login", "oidc: http://login", "authorities[1].oidc", "loopback only"),
        ("https://broker.agents.svc/users", "https://portal", "authorities[1].audience", "ID tokens"),
        (
            "https://tickets.tools.svc/mcp",
            "https://login.partner.example/oauth2/token",
            "targets[0].resource",
            "target.reserved_audience",
        ),
    ] {
        assert!(good.contains(from), "{from}");
        let told = read(&good.replacen(from, to, 1)).expect_err("a problem");
        assert!(told.contains(key) && told.contains(word), "{from} -> {to}: {told}");
    }
}

#[test]
fn a_client_of_the_only_authority_is_written_alone() {
    let folder = Folder::new("authority");
    let named = folder.good().replace("client_id: txn-broker", "client_id: txn-broker\n    name: corp");
    assert!(read(&named).is_ok());
    let told = read(&named.replace("[console]", "['corp:console']")).expect_err("left from when there were several");
    assert!(told.contains("edges[0].login_clients[0]") && told.contains("alone, `console`"), "{told}");
    let other = read(&named.replace("[console]", "['https://portal']")).expect("the name of a client");
    assert_eq!(other.edges.login_clients("https://keycloak.corp.example/realms/agents"), ["https://portal"]);
}

#[test]
fn a_default_that_cannot_be_is_told_as_one() {
    let folder = Folder::new("socket");
    let deep = format!("sqlite:////{}/broker.db", "a".repeat(120));
    let text: String = folder
        .good()
        .lines()
        .map(|line| if line.starts_with("store:") { format!("store: {deep}\n") } else { format!("{line}\n") })
        .collect();
    let told = read(&text).expect_err("too long for a socket");
    assert!(told.contains("keys.socket") && told.contains("beside `store`"), "{told}");
}

#[test]
fn each_mistake_in_an_address_is_told_with_its_key() {
    let folder = Folder::new("addresses");
    for (from, to, key, word) in [
        ("ledger:", "public: { listen: '0.0.0.0:8080' }\nledger:", "public.listen", "public.tls"),
        ("ledger:", "admin: { listen: '0.0.0.0:1' }\nledger:", "admin.listen", "loopback"),
        (
            "connect: tickets.tools.svc:8443",
            "connect: https://tickets.tools.svc:8443",
            "targets[0].connect",
            "without a scheme",
        ),
        ("ledger:", "listen: 'https://broker:8443'\nledger:", ": listen: ", "without a scheme"),
        ("ledger:", "public: { listen: 'localhost:8080' }\nledger:", "public.listen", "names are not resolved"),
        ("ledger:", "assertions: { listen: '0.0.0.0:8444' }\nledger:", "assertions.listen", "assertions.tls"),
        (
            "ledger:",
            "assertions: { listen: '127.0.0.1:8080' }\nledger:",
            "assertions.listen",
            "`public.listen` listens",
        ),
        (
            "ledger:",
            "assertions: { listen: '127.0.0.1:1', url: 'http://x' }\nledger:",
            "assertions.url",
            "https://host",
        ),
        ("ledger:", "assertions: { url: 'https://x' }\nledger:", "assertions", "listen"),
        ("ledger:", "public: { listen: 'http://[::1]:8080' }\nledger:", "public.listen", "without a scheme"),
        ("ledger:", "listen: 127.0.0.1:8080\nledger:", "public.listen", "`listen` listens"),
        ("unix:///run/agent.sock", "unix:///", "workload_api", "absolute path"),
    ] {
        let told = folder.complaint(from, to);
        assert!(told.contains(key) && told.contains(word), "{from} -> {to}: {told}");
    }
}

/// A second target, of kind `workload`.
const SERVICE: &str = "  - name: inventory
    kind: workload
    resource: https://inventory.tools.svc/v1
    hosts: [inventory.tool]
    connect: http://127.0.0.1:9000
    routes:
      - { methods: [GET], path: /items }
";

#[test]
fn a_workload_target_needs_no_more_than_where_it_is() {
    let folder = Folder::new("service");
    let config = read(&format!("{}{SERVICE}", folder.good())).expect("no problem");
    assert_eq!((config.registry.iter().count(), config.registry.workload().iter().count()), (1, 1));
    let bare =
        SERVICE.split("    routes:").next().expect("a part").replace("http://127.0.0.1:9000", "https://inventory");
    assert!(read(&format!("{}{bare}", folder.good())).is_ok(), "every path is mapped");
}

#[test]
fn a_workload_target_that_no_rule_lets_anybody_use_is_warned_of() {
    let folder = Folder::new("unused");
    let text = format!("{}{SERVICE}", folder.good());
    let warnings = || load::<App>("broker.yaml".as_ref(), &text, []).expect("no problem").warnings;
    let [warning] = warnings().try_into().expect("one");
    assert!(warning.contains("targets[1].name: no rule permits anybody to `use` this target"), "{warning}");
    let rule =
        r#"@id("use") permit (principal is Workload, action == Action::"use", resource == Target::"inventory");"#;
    fs::write(folder.0.join("policies/use.cedar"), rule).expect("written");
    assert!(warnings().is_empty());
}

#[test]
fn each_contradiction_of_a_workload_target_is_told_with_its_key() {
    let folder = Folder::new("contradictions");
    let with = |line: &str| format!("connect: http://127.0.0.1:9000\n    {line}");
    for (from, to, key, word) in [
        ("kind: workload", "kind: wrokload", "targets[1].kind", "did you mean `workload`"),
        ("kind: workload", "kind: vault", "targets[1].kind", "expected one of `mesh`, `workload`"),
        ("    kind: workload\n", "", "targets[1].workload", "missing"),
        ("    kind: workload\n", "", "targets[1].connect", "without a scheme"),
        (
            "connect: http://127.0.0.1:9000",
            &with("workload: spiffe://corp.example/i"),
            "targets[1].workload",
            "no SVID",
        ),
        ("connect: http://127.0.0.1:9000", &with("passes_on: []"), "targets[1].passes_on", "without a user"),
        ("connect: http://127.0.0.1:9000", &with("identity_headers: [subject]"), "identity_headers", "without a user"),
        ("connect: http://127.0.0.1:9000", &with("mcp: { tools: { a: b } }"), "targets[1].mcp", "`routes`"),
        ("path: /items", "path: /items, scope: items:read", "targets[1].routes", "has a scope"),
        ("http://127.0.0.1:9000", "http://inventory.tools.svc", "targets[1].connect", "a name could be resolved"),
        ("http://127.0.0.1:9000", "http://10.0.0.7:80", "targets[1].connect", "clear text"),
        ("http://127.0.0.1:9000", "inventory:8443", "targets[1].connect", "https://<host>"),
        (
            "https://inventory.tools.svc/v1",
            "https://Keycloak.corp.example/realms/agents/",
            "targets[1].resource",
            "reserved",
        ),
        (
            "https://inventory.tools.svc/v1",
            "https://broker.agents.svc",
            "targets[1].resource",
            "target.reserved_audience",
        ),
        ("inventory.tool]", "tickets.tool]", "targets[1].hosts", "stands twice"),
    ] {
        assert!(SERVICE.contains(from), "{from}");
        let told = read(&format!("{}{}", folder.good(), SERVICE.replace(from, to))).expect_err("a problem");
        assert!(told.contains(key) && told.contains(word), "{from} -> {to}: {told}");
    }
}

#[test]
fn what_can_never_be_used_is_warned_of_and_no_problem() {
    let folder = Folder::new("dead");
    let text = folder.good().replace("hosts: [tickets.tool]", "passes_on: [tickets:read, tickets:raed]");
    let loaded = load::<App>("broker.yaml".as_ref(), &text, []).expect("no problem");
    assert_eq!(
        loaded.warnings,
        [
            "broker.yaml:16: targets[0].hosts: empty, so no app can call this target",
            "broker.yaml:18: targets[0].passes_on: no edge, `mcp` or `routes` has the scope `tickets:raed`",
        ]
    );
    assert!(load::<App>("broker.yaml".as_ref(), &folder.good(), []).expect("no problem").warnings.is_empty());
}

#[test]
fn no_password_is_told() {
    let folder = Folder::new("password");
    for (from, to) in [
        ("https://broker.agents.svc", "https://me:hunter2@broker.agents.svc"),
        ("https://keycloak.corp", "https://me:hunter2@keycloak.corp"),
        ("https://tickets", "https://me:hunter2@tickets"),
        (
            "workload: spiffe://corp.example/tickets\n    connect: tickets.tools.svc:8443",
            "kind: workload\n    connect: https://me:hunter2@tickets.tools.svc",
        ),
        ("sqlite://", "postgres://me:hunter2@db"),
    ] {
        let told = folder.complaint(from, to);
        assert!(!told.contains("hunter2") && told.contains("me:(hidden)@"), "{told}");
    }
}

#[test]
fn an_empty_path_or_one_with_a_variable_is_refused() {
    let folder = Folder::new("paths");
    for key in ["wrapping_key", "ledger", "policies"] {
        let good = folder.good();
        let line = good.lines().find(|line| line.starts_with(key)).expect("a line");
        for (value, word) in [("''", "is empty"), ("", "is empty"), ("${HERE}", "COUNTERSIGN_BROKER__")] {
            let told = read(&good.replace(line, &format!("{key}: {value}"))).expect_err("a problem");
            assert!(told.contains(&format!(": {key}: ")) && told.contains(word), "{told}");
            assert!(told.contains("1 problem\n"), "{told}");
        }
    }
    assert!(folder.complaint(&format!("sqlite://{}/broker.db", folder.0.display()), "sqlite:///").contains("store"));
}

#[test]
fn both_files_of_the_public_door_are_told_with_their_causes() {
    let folder = Folder::new("tls");
    let key = folder.0.join("wrapping.key");
    let tls = format!("public: {{ tls: {{ certificate: /nowhere/a, key: {} }} }}\nledger:", key.display());
    let told = folder.complaint("ledger:", &tls);
    assert!(told.contains("public.tls.certificate: cannot read `/nowhere/a`: No such file"), "{told}");
    assert!(told.contains("public.tls.key: ") && told.contains("is not PEM"), "{told}");
}

#[test]
fn mistakes_of_every_kind_are_told_at_once() {
    let folder = Folder::new("kinds");
    let text = folder.good().replace("https://broker.agents.svc", "nonsense").replace("[console]", "console");
    let told = read(&format!("{text}life: {{ transaction: 2h, transactoin_token: 1s }}\n")).expect_err("problems");
    for expected in [
        ":1: issuer: ",
        "edges[0].login_clients: expected a list",
        "life.transaction: `2h`",
        "did you mean `transaction_token`",
        "4 problems",
    ] {
        assert!(told.contains(expected), "{expected} in {told}");
    }
}

#[test]
fn several_mistakes_are_told_at_once() {
    let folder = Folder::new("several");
    let text = folder.good().replace("https://broker.agents.svc", "nonsense").replace("[console]", "[]");
    let told = read(&text).expect_err("problems");
    assert!(told.contains("issuer") && told.contains("login_clients"), "{told}");
}

#[test]
fn a_wrapping_key_that_others_can_read_or_of_another_length_is_refused() {
    let folder = Folder::new("key");
    folder.protect(0o640);
    assert!(read(&folder.good()).expect_err("a problem").contains("chmod 600"));
    folder.protect(0o600);
    for length in [0, 31, 33, 64] {
        fs::write(folder.0.join("wrapping.key"), vec![7; length]).expect("written");
        let told = read(&folder.good()).expect_err("a problem");
        assert!(told.contains("exactly 32 bytes") && told.contains("countersign keys init"), "{told}");
    }
}
