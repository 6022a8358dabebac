//! The proof that an authority ended a session, or all sessions of a user.

use crate::{Lifetime, Subject, TokenId, UnixTime};

/// A logout token that was verified (OpenID Connect Back-Channel Logout 1.0 §2.4).
///
/// ```
/// fn whose(token: &identity::LogoutToken) -> &identity::LoggedOut { token.logged_out() }
/// ```
/// Nobody else can build one:
/// ```compile_fail,E0451
/// fn forged(logged_out: identity::LoggedOut) -> identity::LogoutToken {
///     identity::LogoutToken { logged_out, ..loop {} }
/// }
/// ```
#[derive(Debug)]
pub struct LogoutToken {
    pub(crate) issuer: String,
    pub(crate) id: TokenId,
    pub(crate) logged_out: LoggedOut,
    pub(crate) issued_at: UnixTime,
    pub(crate) lifetime: Lifetime,
}

/// Whom a logout token is about. A session alone never reaches another user, and a user alone never another session's
/// issuer: both count only together with the token's issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoggedOut {
    /// This one session.
    Session {
        /// `sid`.
        id: String,
        /// `sub`, where the token says it too.
        subject: Option<Subject>,
    },
    /// Every session that this user had when the token was issued: it names no `sid`.
    User(Subject),
}

impl LogoutToken {
    /// `iss`: the authority that signed it.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// `jti`.
    #[must_use]
    pub const fn id(&self) -> &TokenId {
        &self.id
    }

    /// `sid` and `sub`.
    #[must_use]
    pub const fn logged_out(&self) -> &LoggedOut {
        &self.logged_out
    }

    /// `iat`, by the authority's clock.
    #[must_use]
    pub const fn issued_at(&self) -> UnixTime {
        self.issued_at
    }

    /// Until `exp`.
    #[must_use]
    pub const fn lifetime(&self) -> Lifetime {
        self.lifetime
    }
}
