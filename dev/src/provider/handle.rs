//! What a developer or test may do to the provider while it runs: sign out, disable, change roles, count, forge.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Provider;

/// Controls a provider of the same process. `POST /dev/…` does the same from outside.
#[derive(Clone, Debug)]
pub struct ProviderHandle(Arc<Provider>);

/// Why nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandleFault {
    /// No session has this `sid`.
    #[error("no such session")]
    NoSession,
    /// No user has this name.
    #[error("no such user")]
    NoUser,
    /// No login client has this name.
    #[error("no such login client")]
    NoClient,
    /// The URL is not `http` on this host.
    #[error("a login client is told at `http://` on loopback only")]
    ForeignUrl,
    /// The provider was not started with `--danger-sign-anything`.
    #[error("this provider signs only its own tokens")]
    SignsNothing,
    /// The key failed.
    #[error("the token cannot be signed")]
    Key,
}

impl ProviderHandle {
    pub(super) const fn new(provider: Arc<Provider>) -> Self {
        Self(provider)
    }

    /// The issuer URL.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// Ends the session `sid` and tells its login client. Dropped half-way, the session has ended and the client may not
    /// know.
    ///
    /// # Errors
    /// [`HandleFault::NoSession`].
    pub async fn sign_out(&self, sid: &str) -> Result<(), HandleFault> {
        let ended = self.0.end_session(sid, runtime::clock::now()).await;
        ended.then_some(()).ok_or(HandleFault::NoSession)
    }

    /// Says where a login client is told that a session of its own ended; `None`: nowhere.
    ///
    /// # Errors
    /// [`HandleFault::NoClient`], [`HandleFault::ForeignUrl`].
    pub fn set_backchannel_logout(&self, client: &str, url: Option<&str>) -> Result<(), HandleFault> {
        self.0.state.lock().realm.set_backchannel_logout(client, url)
    }

    /// Enables or disables a user. A disabled user's tokens are not exchanged; enabled again, they are (as at Keycloak).
    ///
    /// # Errors
    /// [`HandleFault::NoUser`].
    pub fn set_enabled(&self, user: &str, enabled: bool) -> Result<(), HandleFault> {
        let mut state = self.0.state.lock();
        let known = state.realm.user_mut(user).ok_or(HandleFault::NoUser)?;
        known.enabled = enabled;
        let path = format!("users/{}", known.subject);
        state.events.note_change(("UPDATE", "USER"), &path, runtime::clock::now());
        Ok(())
    }

    /// Gives a user a realm role; nothing changes when she has it.
    ///
    /// # Errors
    /// [`HandleFault::NoUser`].
    pub fn add_role(&self, user: &str, role: &str) -> Result<(), HandleFault> {
        let mut state = self.0.state.lock();
        let user = state.realm.user_mut(user).ok_or(HandleFault::NoUser)?;
        if !user.holds(role) {
            user.roles.push(role.to_owned());
        }
        let path = format!("users/{}/role-mappings/realm", user.subject);
        state.events.note_change(("CREATE", "REALM_ROLE_MAPPING"), &path, runtime::clock::now());
        Ok(())
    }

    /// Takes a realm role from a user; nothing changes when she does not have it.
    ///
    /// # Errors
    /// [`HandleFault::NoUser`].
    pub fn remove_role(&self, user: &str, role: &str) -> Result<(), HandleFault> {
        let mut state = self.0.state.lock();
        let user = state.realm.user_mut(user).ok_or(HandleFault::NoUser)?;
        user.roles.retain(|held| held != role);
        let path = format!("users/{}/role-mappings/realm", user.subject);
        state.events.note_change(("DELETE", "REALM_ROLE_MAPPING"), &path, runtime::clock::now());
        Ok(())
    }

    /// Ends all sessions. No login client is told: Keycloak tells none either.
    pub fn log_out_everybody(&self) {
        let mut state = self.0.state.lock();
        state.end_all_sessions();
        state.events.note_change(("ACTION", "REALM"), "logout-all", runtime::clock::now());
    }

    /// Says whether the exchange client's service account may read the event log (role `view-events`).
    pub fn set_events_readable(&self, readable: bool) {
        self.0.state.lock().events.readable = readable;
    }

    /// Says whether user events are stored. Where they are not, the log is empty and says nothing of it.
    pub fn set_events_stored(&self, stored: bool) {
        self.0.state.lock().events.stored = stored;
    }

    /// How many token exchanges were asked for, refused ones included.
    #[must_use]
    pub fn exchanges(&self) -> u64 {
        self.0.state.lock().exchanges
    }

    /// Signs any header and claims with the realm's key; `alg` and `kid` are added where they are absent.
    ///
    /// # Errors
    /// [`HandleFault::SignsNothing`] unless the provider was started to do so; [`HandleFault::Key`].
    pub fn sign(&self, header: Map<String, Value>, claims: &Value) -> Result<String, HandleFault> {
        if !self.0.danger_sign_anything {
            return Err(HandleFault::SignsNothing);
        }
        self.0.key.sign_anything(header, claims).map_err(|_unspecified| HandleFault::Key)
    }
}
