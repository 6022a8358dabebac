//! Keycloak's admin API, as the administrator of a Keycloak that this machine started: sets what changes from run to
//! run, and does to users and sessions what an administrator does.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::apps::{Answer, AnswerFault, Call};

/// Longest wait for Keycloak. Making a realm takes 2 s on an idle machine, and more than 20 s on a busy one.
const ANSWER_MAX: Duration = Duration::from_secs(120);

/// The administrator of one realm. Tokens of the admin client live 60 s, so each call gets its own.
#[derive(Clone, Debug)]
pub struct Admin {
    base: String,
    realm: String,
}

/// Why Keycloak did not do what its administrator said.
#[derive(Debug, thiserror::Error)]
pub enum AdminFault {
    /// No answer.
    #[error("Keycloak does not answer")]
    Call(#[from] AnswerFault),
    /// It said no.
    #[error("Keycloak answered {status} to {what}: {told}")]
    Refused {
        /// Method and path.
        what: String,
        /// Its status.
        status: StatusCode,
        /// What it said.
        told: String,
    },
    /// There is no such thing.
    #[error("Keycloak has no {0}")]
    Missing(String),
}

impl Admin {
    /// The administrator of `realm` at the Keycloak at `base` (`http://host:port`).
    #[must_use]
    pub fn of(base: &str, realm: &str) -> Self {
        Self { base: base.to_owned(), realm: realm.to_owned() }
    }

    /// Base URL of its Keycloak.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The realm's issuer URL.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("{}/realms/{}", self.base, self.realm)
    }

    /// Name of the role that holds the realm's default roles.
    pub(crate) fn default_roles(&self) -> String {
        format!("default-roles-{}", self.realm)
    }

    /// Makes the realm from a realm file.
    ///
    /// # Errors
    /// [`AdminFault`]; refused where there is one of this name.
    pub async fn create_realm(&self, file: &Value) -> Result<(), AdminFault> {
        let mut file = file.clone();
        if let Some(realm) = file.as_object_mut() {
            realm.insert("realm".to_owned(), json!(self.realm));
        }
        self.send(Method::POST, &format!("{}/admin/realms", self.base), Some(&file)).await.map(drop)
    }

    /// Has the realm take the keys of JWT-SVIDs from `url`.
    ///
    /// # Errors
    /// [`AdminFault`].
    pub async fn set_bundle_url(&self, url: &str) -> Result<(), AdminFault> {
        let path = "identity-provider/instances/spire";
        let mut provider = self.read(path).await?;
        set(&mut provider, "/config", "bundleEndpoint", url);
        self.call(Method::PUT, path, Some(&provider)).await.map(drop)
    }

    /// Has the realm tell `url` when a session of one of `clients` ends.
    ///
    /// # Errors
    /// [`AdminFault`].
    pub async fn set_logout_url(&self, clients: &[&str], url: &str) -> Result<(), AdminFault> {
        for client in clients {
            let mut found = self.client(client).await?;
            set(&mut found, "/attributes", "backchannel.logout.url", url);
            let id = text(&found, "id");
            self.call(Method::PUT, &format!("clients/{id}"), Some(&found)).await?;
        }
        Ok(())
    }

    /// Ends all sessions of `user`: Keycloak tells the login clients' logout URLs.
    ///
    /// # Errors
    /// [`AdminFault`].
    pub async fn log_out(&self, user: &str) -> Result<(), AdminFault> {
        let id = self.user_id(user).await?;
        self.call(Method::POST, &format!("users/{id}/logout"), None).await.map(drop)
    }

    /// Whether `user` may sign in and hold sessions.
    ///
    /// # Errors
    /// [`AdminFault`].
    pub async fn set_enabled(&self, user: &str, enabled: bool) -> Result<(), AdminFault> {
        let mut found = self.user(user).await?;
        set(&mut found, "", "enabled", enabled);
        let id = text(&found, "id");
        self.call(Method::PUT, &format!("users/{id}"), Some(&found)).await.map(drop)
    }

    /// Takes a realm role from `user`.
    ///
    /// # Errors
    /// [`AdminFault`].
    pub async fn remove_role(&self, user: &str, role: &str) -> Result<(), AdminFault> {
        let id = self.user_id(user).await?;
        let role = self.read(&format!("roles/{role}")).await?;
        self.call(Method::DELETE, &format!("users/{id}/role-mappings/realm"), Some(&json!([role]))).await.map(drop)
    }

    /// The realm's own id of `user`, which its tokens have as `sub`.
    ///
    /// # Errors
    /// [`AdminFault`].
    pub async fn user_id(&self, user: &str) -> Result<String, AdminFault> {
        Ok(text(&self.user(user).await?, "id"))
    }

    /// Token exchanges that the realm has answered so far, at most 1,000: its events, which the realm file turns on.
    ///
    /// # Errors
    /// [`AdminFault`].
    pub async fn exchanges(&self) -> Result<usize, AdminFault> {
        let events = self.read("events?type=TOKEN_EXCHANGE&max=1000").await?;
        Ok(events.as_array().map_or(0, Vec::len))
    }

    /// Sends a call to the realm's part of the admin API.
    ///
    /// # Errors
    /// [`AdminFault`]; refused where the status is no success.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, AdminFault> {
        self.send(method, &format!("{}/admin/realms/{}/{path}", self.base, self.realm), body).await
    }

    async fn read(&self, path: &str) -> Result<Value, AdminFault> {
        Ok(self.call(Method::GET, path, None).await?.json())
    }

    async fn user(&self, name: &str) -> Result<Value, AdminFault> {
        let found = self.read(&format!("users?exact=true&username={name}")).await?;
        found.get(0).cloned().ok_or_else(|| AdminFault::Missing(format!("user `{name}`")))
    }

    async fn client(&self, name: &str) -> Result<Value, AdminFault> {
        let found = self.read(&format!("clients?clientId={name}")).await?;
        found.get(0).cloned().ok_or_else(|| AdminFault::Missing(format!("client `{name}`")))
    }

    async fn send(&self, method: Method, url: &str, body: Option<&Value>) -> Result<Answer, AdminFault> {
        let what = format!("{method} {url}");
        let mut call = Call::new(method, url)
            .within(ANSWER_MAX)
            .header("authorization", &format!("Bearer {}", self.token().await?));
        if let Some(body) = body {
            call = call.json(body);
        }
        accepted(what, call.send().await?)
    }

    async fn token(&self) -> Result<String, AdminFault> {
        let url = format!("{}/realms/master/protocol/openid-connect/token", self.base);
        let (user, password) = peers::development::ADMIN;
        let form = [("grant_type", "password"), ("client_id", "admin-cli"), ("username", user), ("password", password)];
        let answer = accepted(
            format!("POST {url}"),
            Call::new(Method::POST, &url).within(ANSWER_MAX).form(&form).send().await?,
        )?;
        answer.text("/access_token").ok_or_else(|| AdminFault::Missing("access token for its administrator".to_owned()))
    }
}

fn accepted(what: String, answer: Answer) -> Result<Answer, AdminFault> {
    if answer.status.is_success() {
        return Ok(answer);
    }
    let told = String::from_utf8_lossy(&answer.body).into_owned();
    Err(AdminFault::Refused { what, status: answer.status, told })
}

fn set(whole: &mut Value, pointer: &str, name: &str, value: impl Into<Value>) {
    if let Some(members) = whole.pointer_mut(pointer).and_then(Value::as_object_mut) {
        members.insert(name.to_owned(), value.into());
    }
}

fn text(whole: &Value, name: &str) -> String {
    whole.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}
