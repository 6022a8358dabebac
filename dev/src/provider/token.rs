//! The tokens that the realm issues, claim by claim as Keycloak 26.7.3 was seen to issue them (`keycloak.md` §2, §4).

use std::time::Duration;

use aws_lc_rs::error::Unspecified;
use identity::UnixTime;
use serde_json::{Map, Value, json};

use super::{
    Provider,
    answer::Refused,
    random,
    realm::{Realm, User},
};

/// Life of a user's access token unless the sign-in asks for another one (`dev_life`).
const USER_TOKEN_LIFE: Duration = Duration::from_secs(300);
/// Life of an exchanged token (`access.token.lifespan` of `txn-broker`).
const EXCHANGED_LIFE: Duration = Duration::from_secs(120);

/// How a user signed in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// Authorization code; the time of the sign-in becomes `auth_time`.
    Code(UnixTime),
    /// Password grant.
    Password,
}

/// A sign-in that is done: everything that its tokens say.
#[derive(Debug)]
pub(super) struct SignedIn<'a> {
    pub(super) user: &'a User,
    pub(super) session: &'a str,
    pub(super) client: &'a str,
    pub(super) audience: &'a str,
    pub(super) scope: &'a str,
    pub(super) way: Way,
    pub(super) life: Option<Duration>,
    pub(super) nonce: Option<&'a str>,
}

/// An exchange that is granted.
#[derive(Debug)]
pub(super) struct Exchanged<'a> {
    pub(super) user: &'a User,
    pub(super) session: Option<&'a str>,
    pub(super) authenticated: Option<&'a Value>,
    pub(super) client: &'a str,
    pub(super) audiences: &'a [String],
    pub(super) scopes: &'a [&'a str],
    pub(super) roles: &'a [&'a str],
}

impl Provider {
    /// The token endpoint's answer to a sign-in.
    pub(super) fn user_tokens(&self, signed_in: &SignedIn<'_>, now: UnixTime) -> Result<Value, Unspecified> {
        let life = signed_in.life.unwrap_or(USER_TOKEN_LIFE);
        let (prefix, authenticated) = match signed_in.way {
            Way::Code(at) => ("onrtac", Some(json!(at.secs()))),
            Way::Password => ("onrtro", None),
        };
        let mut claims = json!({
            "exp": now.plus(life).secs(), "iat": now.secs(), "jti": format!("{prefix}:{}", random::id()?),
            "iss": self.issuer, "aud": signed_in.audience, "sub": signed_in.user.subject, "typ": "Bearer",
            "azp": signed_in.client, "sid": signed_in.session, "scope": signed_in.scope,
            "preferred_username": signed_in.user.name,
        });
        put(&mut claims, "auth_time", authenticated.as_ref());
        let mut answer = json!({
            "access_token": self.key.sign(&claims)?, "expires_in": life.as_secs(), "refresh_expires_in": 0,
            "token_type": "Bearer", "not-before-policy": 0, "session_state": signed_in.session, "scope": signed_in.scope,
        });
        if signed_in.scope.split(' ').any(|scope| scope == "openid") {
            put(&mut claims, "jti", Some(&json!(random::id()?)));
            put(&mut claims, "aud", Some(&json!(signed_in.client)));
            put(&mut claims, "typ", Some(&json!("ID")));
            put(&mut claims, "nonce", signed_in.nonce.map(|nonce| json!(nonce)).as_ref());
            claims.as_object_mut().and_then(|claims| claims.remove("scope"));
            put(&mut answer, "id_token", Some(&json!(self.key.sign(&claims)?)));
        }
        Ok(answer)
    }

    /// The token endpoint's answer to an exchange.
    pub(super) fn exchanged_token(&self, exchanged: &Exchanged<'_>, now: UnixTime) -> Result<Value, Unspecified> {
        let scope = exchanged.scopes.join(" ");
        let audience = match exchanged.audiences {
            [one] => json!(one),
            several => json!(several),
        };
        let prefix = if exchanged.session.is_some() { "ntrtte" } else { "trrtte" };
        let mut claims = json!({
            "exp": now.plus(EXCHANGED_LIFE).secs(), "iat": now.secs(), "jti": format!("{prefix}:{}", random::id()?),
            "iss": self.issuer, "aud": audience, "sub": exchanged.user.subject, "typ": "Bearer",
            "azp": exchanged.client, "scope": scope, "preferred_username": exchanged.user.name,
        });
        let session = exchanged.session.map(|session| json!(session));
        put(&mut claims, "sid", session.as_ref());
        put(&mut claims, "auth_time", exchanged.authenticated);
        // As Keycloak: of neither there is an empty list.
        if !exchanged.user.groups.is_empty() {
            put(&mut claims, "groups", Some(&json!(exchanged.user.groups)));
        }
        if !exchanged.roles.is_empty() {
            put(&mut claims, "realm_access", Some(&json!({ "roles": exchanged.roles })));
        }
        let mut answer = json!({
            "access_token": self.key.sign(&claims)?, "expires_in": EXCHANGED_LIFE.as_secs(), "refresh_expires_in": 0,
            "token_type": "Bearer", "not-before-policy": 0, "scope": scope,
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        });
        put(&mut answer, "session_state", session.as_ref());
        Ok(answer)
    }

    /// The token endpoint's answer to a client that asks for itself, with the token's `jti`: no user, no session.
    pub(super) fn service_account_token(&self, client: &str, now: UnixTime) -> Result<(String, Value), Unspecified> {
        let jti = format!("trrtcc:{}", random::id()?);
        let claims = json!({
            "exp": now.plus(EXCHANGED_LIFE).secs(), "iat": now.secs(), "jti": jti,
            "iss": self.issuer, "sub": format!("service-account-{client}"), "typ": "Bearer", "azp": client, "scope": "",
        });
        let answer = json!({
            "access_token": self.key.sign(&claims)?, "expires_in": EXCHANGED_LIFE.as_secs(), "refresh_expires_in": 0,
            "token_type": "Bearer", "not-before-policy": 0, "scope": "",
        });
        Ok((jti, answer))
    }

    /// The claims of an access token of this realm that lives: own signature, `iss`, `typ`, `exp`.
    pub(super) fn open_access_token(&self, token: &str, now: UnixTime) -> Option<Map<String, Value>> {
        let claims = self.key.open(token)?;
        let says = |name: &str, value: &str| claims.get(name).and_then(Value::as_str) == Some(value);
        let ends = claims.get("exp").and_then(Value::as_u64)?;
        (says("iss", &self.issuer) && says("typ", "Bearer") && now.secs() < ends).then_some(claims)
    }
}

/// The scope that a user gets at sign-in: a scope whose role is missing is left out without a word.
pub(super) fn scope_at_sign_in(realm: &Realm, user: &User, asked: &str) -> Result<String, Refused> {
    let mut granted = Vec::new();
    for scope in asked.split(' ').filter(|scope| !scope.is_empty()) {
        if scope == "openid" {
            granted.push(scope);
            continue;
        }
        let role =
            realm.role_of(scope).ok_or_else(|| Refused::bad("invalid_scope", format!("Invalid scopes: {asked}")))?;
        if user.holds(role) {
            granted.push(scope);
        }
    }
    Ok(granted.join(" "))
}

fn put(object: &mut Value, name: &str, value: Option<&Value>) {
    if let (Some(object), Some(value)) = (object.as_object_mut(), value) {
        object.insert(name.to_owned(), value.clone());
    }
}
