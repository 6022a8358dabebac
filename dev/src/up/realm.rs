//! What an instance needs of a real Keycloak besides: scopes of one's own registry, and who is who.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::{Value, json};

use crate::real::admin::{Admin, AdminFault};

/// Who asks for scopes: those who sign users in, and the broker when it begins.
const CLIENTS: [&str; 3] = ["console", "test-login", "txn-broker"];

/// Who can sign in.
const USERS: [&str; 2] = ["alice", "bob"];

/// Makes the scopes that the realm does not know yet. Every user may have them; what a user may do with one is for
/// policies to say.
pub(super) async fn learn_scopes(admin: &Admin, scopes: &BTreeSet<String>) -> Result<(), AdminFault> {
    let known = names(&client_scopes(admin).await?);
    let unknown: Vec<_> = scopes.iter().filter(|scope| !known.contains(*scope)).collect();
    for scope in &unknown {
        let attributes = json!({ "include.in.token.scope": "true" });
        let made = json!({ "name": scope, "protocol": "openid-connect", "attributes": attributes });
        admin.call(Method::POST, "client-scopes", Some(&made)).await?;
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let made = client_scopes(admin).await?;
    for client in CLIENTS {
        let client = id_of(admin, client).await?;
        for scope in &unknown {
            let id = made.iter().find(|made| text(made, "name") == **scope).map(|made| text(made, "id"));
            let id = id.ok_or_else(|| AdminFault::Missing(format!("scope `{scope}`")))?;
            admin.call(Method::PUT, &format!("clients/{client}/optional-client-scopes/{id}"), None).await?;
        }
    }
    Ok(())
}

/// Names of the development users by their subjects, which are ids in a Keycloak.
pub(super) async fn users(admin: &Admin) -> Result<BTreeMap<String, String>, AdminFault> {
    let mut users = BTreeMap::new();
    for name in USERS {
        users.insert(admin.user_id(name).await?, name.to_owned());
    }
    Ok(users)
}

async fn client_scopes(admin: &Admin) -> Result<Vec<Value>, AdminFault> {
    let answer = admin.call(Method::GET, "client-scopes", None).await?;
    Ok(answer.json().as_array().cloned().unwrap_or_default())
}

async fn id_of(admin: &Admin, client: &str) -> Result<String, AdminFault> {
    let found = admin.call(Method::GET, &format!("clients?clientId={client}"), None).await?.json();
    let found = found.get(0).ok_or_else(|| AdminFault::Missing(format!("client `{client}`")))?;
    Ok(text(found, "id").to_owned())
}

fn names(scopes: &[Value]) -> BTreeSet<String> {
    scopes.iter().map(|scope| text(scope, "name").to_owned()).collect()
}

fn text<'a>(whole: &'a Value, name: &str) -> &'a str {
    whole.get(name).and_then(Value::as_str).unwrap_or_default()
}
