//! The files of `keycloak/`, brought in as its README says: a real Keycloak imports them without a word about them, and a
//! variable that is not set is caught before.

use std::{fs, path::Path, process::Command};

use dev::apps::{Answer, Call};
use harness::{BROKER, Desk, Folder};
use http::Method;
use serde_json::{Value, json};

/// What every import needs here; the other variables have defaults.
const VARIABLES: [(&str, &str); 4] = [
    ("ALICE_PASSWORD", "a"),
    ("BOB_PASSWORD", "b"),
    ("TEST_LOGIN_SECRET", "s"),
    ("SPIRE_BUNDLE_URL", "http://127.0.0.1:9/keys"),
];
/// Not about our files: what this Keycloak says at each start.
const ALWAYS: &str = "Deprecated features";

fn keycloak(name: &str) -> String {
    format!("{}/../keycloak/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn files() -> [String; 2] {
    ["agents-realm.json", "test-overlay.json"].map(keycloak)
}

fn text(path: &str) -> String {
    fs::read_to_string(path).expect("text")
}

#[test]
fn keycloak_imports_the_files_without_a_warning_about_them() {
    let folder = Folder::new();
    let cache = ::peers::Cache::of_user().and_then(|cache| cache.keycloak());
    let home = folder.path("keycloak");
    ::peers::second_home(&cache.unwrap_or_else(|missing| panic!("{missing}")), Path::new(&home)).expect("a home");
    let joined = Command::new("python3").arg(keycloak("join")).args(files()).output().expect("joined");
    assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
    let file = folder.write("agents.json", &String::from_utf8(joined.stdout).expect("text"));
    let import = Command::new(format!("{home}/bin/kc.sh"))
        .args(["import", "--optimized", "--file", &file])
        .envs(VARIABLES)
        .output()
        .expect("imported");
    let said = format!("{}{}", String::from_utf8_lossy(&import.stdout), String::from_utf8_lossy(&import.stderr));
    assert!(import.status.success(), "{said}");
    assert!(said.contains("Realm 'agents' imported"), "{said}");
    let warnings = said.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR "));
    assert_eq!(warnings.filter(|line| !line.contains(ALWAYS)).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn an_unset_variable_is_caught_before_the_import() {
    let check = |variables: &[(&str, &str)]| {
        let mut command = Command::new("python3");
        for (name, _value) in VARIABLES {
            command.env_remove(name);
        }
        let ran = command.arg(keycloak("check-variables")).args(files()).envs(variables.iter().copied()).output();
        let ran = ran.expect("checked");
        (ran.status.code(), String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned())
    };
    assert_eq!(check(&VARIABLES), (Some(0), String::new()));
    for (without, (name, _value)) in VARIABLES.iter().enumerate().take(3) {
        let others: Vec<_> =
            VARIABLES.iter().enumerate().filter(|(index, _)| *index != without).map(|(_, pair)| *pair).collect();
        let (code, told) = check(&others);
        assert_eq!(code, Some(2), "{told}");
        assert!(told.contains("test-overlay.json:") && told.contains(&format!("${{{name}}} is not set")), "{told}");
    }
}

#[test]
fn users_stand_in_the_overlay_alone_and_nobody_manages_clients() {
    let [realm, overlay] = files().map(|file| text(&file));
    for left_out in ["alice", "bob", "test-login", "broker-grants", "manage-", "view-users", "realm-admin", "password"]
    {
        assert!(!realm.contains(left_out), "`{left_out}` is in the realm file");
    }
    let overlay: Value = serde_json::from_str(&overlay).expect("JSON");
    let bob = overlay["users"].as_array().and_then(|users| users.iter().find(|user| user["username"] == "bob"));
    let bob = bob.expect("bob");
    assert!(bob["realmRoles"].as_array().is_some_and(|roles| roles.contains(&Value::from("tickets-reader"))));
    assert!(bob["groups"].is_null(), "Cedar refuses him, not a missing role");
}

/// The token of the broker's own service account, as the broker gets it.
async fn service_account(desk: &mut Desk) -> String {
    desk.add_caller("broker", BROKER).await;
    let issuer = desk.stack.issuer().to_owned();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "txn-broker"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"),
        ("client_assertion", &desk.jwt_svid("broker", &issuer).await),
    ];
    let url = format!("{issuer}/protocol/openid-connect/token");
    let answer = Call::new(Method::POST, &url).form(&form).send().await.expect("answered");
    answer.text("/access_token").unwrap_or_else(|| panic!("{}", answer.json()))
}

#[tokio::test]
async fn the_broker_s_service_account_reads_events_and_can_do_nothing_else() {
    let mut desk = Desk::open_real().await;
    let bearer = format!("Bearer {}", service_account(&mut desk).await);
    let root = desk.stack.issuer().replace("/realms/", "/admin/realms/");
    let send = async |method: Method, path: &str, body: Option<&Value>| -> Answer {
        let call = Call::new(method, &format!("{root}{path}")).header("authorization", &bearer);
        let call = if let Some(body) = body { call.json(body) } else { call };
        call.send().await.expect("answered")
    };
    for path in ["/events", "/admin-events", "/events/config"] {
        assert_eq!(send(Method::GET, path, None).await.status, 200, "{path}");
    }
    let config = send(Method::GET, "/events/config", None).await.json();
    assert_eq!((&config["eventsEnabled"], &config["adminEventsEnabled"]), (&json!(true), &json!(true)));
    let alice = desk.stack.admin().expect("Keycloak").user_id("alice").await.expect("alice");
    let mut refused = Vec::new();
    for path in ["users", "clients", "roles", "groups", "client-scopes", "identity-provider/instances", "keys"] {
        refused.push((Method::GET, format!("/{path}"), None));
    }
    for path in ["", "/sessions", "/role-mappings"] {
        refused.push((Method::GET, format!("/users/{alice}{path}"), None));
    }
    refused.push((Method::PUT, format!("/users/{alice}"), Some(json!({"enabled": false}))));
    refused.push((Method::POST, format!("/users/{alice}/logout"), None));
    refused.push((Method::POST, "/clients".to_owned(), Some(json!({"clientId": "mine"}))));
    refused.push((Method::PUT, "/events/config".to_owned(), Some(json!({"eventsEnabled": false}))));
    refused.push((Method::DELETE, "/events".to_owned(), None));
    refused.push((Method::DELETE, "/admin-events".to_owned(), None));
    refused.push((Method::POST, "/logout-all".to_owned(), None));
    for (method, path, body) in refused {
        let answer = send(method.clone(), &path, body.as_ref()).await;
        assert_eq!(answer.status, 403, "{method} {path}: {}", String::from_utf8_lossy(&answer.body));
    }
    desk.close().await;
}
