//! The proof that our broker issued an access token, for the broker itself.

use crate::{ActorChain, Lifetime, Scopes, SpiffeId, Subject, TokenId, TransactionId, UnixTime};

/// An access token (`at+jwt`) of our broker, whoever it is for: to tell about it, or to end it.
///
/// ```
/// fn audience(token: &identity::IssuedAccess) -> &str { token.audience() }
/// ```
/// It admits no call, for it was not verified for an audience:
/// ```compile_fail,E0308
/// fn admitted(token: &identity::IssuedAccess) -> &identity::AccessToken { token }
/// ```
#[derive(Debug)]
pub struct IssuedAccess {
    pub(crate) audience: String,
    pub(crate) transaction: TransactionId,
    pub(crate) id: TokenId,
    pub(crate) subject: Subject,
    pub(crate) scopes: Scopes,
    pub(crate) chain: ActorChain,
    pub(crate) client: SpiffeId,
    pub(crate) minted_with: Option<TokenId>,
    pub(crate) issued_at: UnixTime,
    pub(crate) lifetime: Lifetime,
}

impl IssuedAccess {
    /// `aud`.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// `txn`.
    #[must_use]
    pub const fn transaction(&self) -> &TransactionId {
        &self.transaction
    }

    /// `jti`.
    #[must_use]
    pub const fn id(&self) -> &TokenId {
        &self.id
    }

    /// `sub`.
    #[must_use]
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// `scope`; empty where it has none.
    #[must_use]
    pub const fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// `act`.
    #[must_use]
    pub const fn chain(&self) -> &ActorChain {
        &self.chain
    }

    /// `client_id`: the workload that it was issued to.
    #[must_use]
    pub const fn client(&self) -> &SpiffeId {
        &self.client
    }

    /// `tjti`: the `jti` of the transaction token minted together with it.
    #[must_use]
    pub const fn minted_with(&self) -> Option<&TokenId> {
        self.minted_with.as_ref()
    }

    /// `iat`, by the broker's clock.
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
