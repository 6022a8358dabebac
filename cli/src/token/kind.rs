//! What kind of token it claims to be. The kind chooses the rule by which it is verified, as its receiver would.

use identity::{Refusal, TokenFault};

use super::parts::Parts;

/// The kinds that meet in this system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A user's access token, from the provider: what an edge takes.
    User,
    /// A transaction token of the broker.
    Transaction,
    /// An access token of the broker, for one target.
    Access,
    /// A JWT-SVID of a workload.
    Svid,
    /// The provider's word that a session ended.
    Logout,
    /// The provider's ID token.
    Id,
    /// The provider's refresh token.
    Refresh,
    /// None of these.
    Unknown,
}

impl Kind {
    pub(super) fn of(parts: &Parts) -> Self {
        let is_workload = |claim: &str| parts.claim(claim).is_some_and(|id| id.starts_with("spiffe://"));
        match parts.header("typ") {
            Some("txntoken+jwt") => return Self::Transaction,
            Some("logout+jwt") => return Self::Logout,
            Some("at+jwt") if is_workload("client_id") => return Self::Access,
            Some(_) | None => {}
        }
        match parts.claim("typ") {
            Some("Bearer") => Self::User,
            Some("ID") => Self::Id,
            Some("Refresh" | "Offline") => Self::Refresh,
            Some("Logout") => Self::Logout,
            Some(_) | None if is_workload("sub") => Self::Svid,
            Some(_) | None => Self::Unknown,
        }
    }

    /// Its name for programs.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Transaction => "transaction",
            Self::Access => "access",
            Self::Svid => "jwt_svid",
            Self::Logout => "logout",
            Self::Id => "id",
            Self::Refresh => "refresh",
            Self::Unknown => "unknown",
        }
    }

    /// What it is, for people.
    pub(super) const fn told(self) -> &'static str {
        match self {
            Self::User => "user token: a user's access token from the provider, which an edge takes in",
            Self::Transaction => {
                "transaction token of the broker: it stays with sidecars, and only the broker takes it"
            }
            Self::Access => "access token of the broker: for one target, from one workload",
            Self::Svid => "JWT-SVID: a workload's own identity, for one audience",
            Self::Logout => "logout token: the provider's word to the broker that a session ended",
            Self::Id => "ID token of the provider: for the client that signed the user in, never for an API",
            Self::Refresh => "refresh token of the provider: it never leaves the client that signed the user in",
            Self::Unknown => "none of the kinds that broker and sidecars take",
        }
    }

    /// The code with which its receiver refuses it for `fault`.
    pub(super) fn refusal(self, fault: TokenFault) -> Option<Refusal> {
        match self {
            Self::User => Some(Refusal::Subject(fault)),
            Self::Transaction => Some(Refusal::TxnToken(fault)),
            Self::Access => Some(Refusal::AccessToken(fault)),
            Self::Svid => Some(Refusal::Actor(fault)),
            Self::Logout | Self::Id | Self::Refresh | Self::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::parts::tests::token, *};

    #[test]
    fn kinds_are_told_apart() {
        let kind = |header: Value, claims: Value| Kind::of(&Parts::of(&token(&header, &claims)).expect("parts"));
        let workload = "spiffe://corp.example/a";
        assert_eq!(kind(json!({ "typ": "JWT" }), json!({ "typ": "Bearer", "sub": "alice" })), Kind::User);
        assert_eq!(kind(json!({ "typ": "at+jwt" }), json!({ "typ": "Bearer", "client_id": "console" })), Kind::User);
        assert_eq!(kind(json!({ "typ": "at+jwt" }), json!({ "client_id": workload })), Kind::Access);
        assert_eq!(kind(json!({ "typ": "txntoken+jwt" }), json!({})), Kind::Transaction);
        assert_eq!(kind(json!({ "typ": "JWT" }), json!({ "sub": workload })), Kind::Svid);
        assert_eq!(kind(json!({}), json!({ "typ": "ID" })), Kind::Id);
        assert_eq!(kind(json!({}), json!({ "typ": "Refresh" })), Kind::Refresh);
        assert_eq!(kind(json!({}), json!({ "sub": "alice" })), Kind::Unknown);
    }
}
