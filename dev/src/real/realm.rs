//! The realm files of `keycloak/`, filled in for a realm made by the admin API, which replaces no variables.

use aws_lc_rs::rand;
use serde_json::Value;

use super::admin::{Admin, AdminFault};

const REALM: &str = include_str!("../../../keycloak/agents-realm.json");
const OVERLAY: &str = include_str!("../../../keycloak/test-overlay.json");

/// The clients that sign users in; each has the broker's logout URL.
pub const LOGIN_CLIENTS: [&str; 2] = ["console", "test-login"];
/// The client with the password grant, for tests.
pub const TEST_LOGIN: &str = "test-login";

/// What a user of the overlay signs in with; `None` for others.
#[must_use]
pub fn password(user: &str) -> Option<&'static str> {
    match user {
        "alice" => Some(peers::development::ALICE_PASSWORD),
        "bob" => Some(peers::development::BOB_PASSWORD),
        _other => None,
    }
}

/// Makes one more realm with the same clients and users at the Keycloak with this base URL.
///
/// # Errors
/// [`AdminFault`].
pub async fn one_more(base: &str, trust_domain: &str) -> Result<Admin, AdminFault> {
    let admin = Admin::of(base, &fresh_name());
    admin.create_realm(&file(&admin, trust_domain)).await.map(|()| admin)
}

/// A name that no other realm has.
pub(crate) fn fresh_name() -> String {
    let mut bytes = [0_u8; 6];
    let _filled = rand::fill(&mut bytes);
    bytes.iter().fold("agents-".to_owned(), |name, byte| format!("{name}{byte:02x}"))
}

/// The realm with users, to be made by `admin`.
pub(crate) fn file(admin: &Admin, trust_domain: &str) -> Value {
    let text =
        |text: &str| fill(text, &variables(trust_domain)).replace("default-roles-agents", &admin.default_roles());
    let parse = |text: String| serde_json::from_str(&text).unwrap_or_default();
    let (mut realm, overlay): (Value, Value) = (parse(text(REALM)), parse(text(OVERLAY)));
    for (name, more) in overlay.as_object().into_iter().flatten() {
        let more = more.as_array().cloned().unwrap_or_default();
        let Some(members) = realm.as_object_mut() else { continue };
        let list = members.entry(name.clone()).or_insert_with(|| Value::Array(Vec::new()));
        list.as_array_mut().into_iter().for_each(|list| list.extend(more.iter().cloned()));
    }
    realm
}

fn variables(trust_domain: &str) -> [(&'static str, &str); 4] {
    [
        ("TRUST_DOMAIN", trust_domain),
        ("ALICE_PASSWORD", peers::development::ALICE_PASSWORD),
        ("BOB_PASSWORD", peers::development::BOB_PASSWORD),
        ("TEST_LOGIN_SECRET", peers::development::TEST_LOGIN_SECRET),
    ]
}

/// Replaces `${NAME}` and `${NAME:default}`. Where neither value nor default is known the text stays, as Keycloak does.
fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((inner, after)) = after.split_once('}') else { break };
        filled.push_str(before);
        let (name, default) = inner.split_once(':').map_or((inner, None), |(name, default)| (name, Some(default)));
        let value = values.iter().find(|(known, _value)| *known == name).map(|(_known, value)| *value).or(default);
        match value {
            Some(value) => filled.push_str(value),
            None => filled.extend(["${", inner, "}"]),
        }
        rest = after;
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_of_the_realm_files_is_filled_in() {
        let realm = file(&Admin::of("http://127.0.0.1:1", "agents-1"), "corp.example").to_string();
        assert!(!realm.contains("${") && !realm.contains("default-roles-agents\""), "{realm}");
        assert!(
            realm.contains("spiffe://corp.example/ns/agents/sa/broker") && realm.contains("default-roles-agents-1")
        );
    }

    #[test]
    fn both_files_are_in_it() {
        let realm = file(&Admin::of("http://127.0.0.1:1", "agents-1"), "corp.example");
        let clients: Vec<_> =
            realm["clients"].as_array().expect("clients").iter().map(|one| &one["clientId"]).collect();
        assert_eq!(clients, ["console", "txn-broker", "tickets", "test-login"]);
        let users: Vec<_> = realm["users"].as_array().expect("users").iter().map(|one| &one["username"]).collect();
        assert_eq!(users, ["service-account-txn-broker", "alice", "bob"]);
    }
}
