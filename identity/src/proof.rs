//! Proofs: values that exist only because a signature, an issuer, an audience and a life were checked.
//! They lend their claims and can be built by `verify` alone.

mod issued;
mod logout;

pub use self::issued::IssuedAccess;
pub use self::logout::{LoggedOut, LogoutToken};
use crate::{ActorChain, Lifetime, Scopes, SpiffeId, Subject, TokenId, TransactionId, UnixTime};

/// A user's access token that was verified: who, which session, which login client, what scope, until when.
///
/// ```
/// fn subject(token: &identity::SubjectToken) -> &identity::Subject { token.subject() }
/// ```
/// Nobody else can build one:
/// ```compile_fail,E0451
/// fn forged(subject: identity::Subject) -> identity::SubjectToken {
///     identity::SubjectToken { subject, ..loop {} }
/// }
/// ```
/// nor read one from JSON:
/// ```compile_fail,E0277
/// let token: identity::SubjectToken = serde_json::from_str("{}").expect("claims");
/// ```
#[derive(Debug)]
pub struct SubjectToken {
    pub(crate) issuer: String,
    pub(crate) subject: Subject,
    pub(crate) session: String,
    pub(crate) client: String,
    pub(crate) scopes: Scopes,
    pub(crate) issued_at: UnixTime,
    pub(crate) lifetime: Lifetime,
    pub(crate) groups: Vec<String>,
    pub(crate) roles: Vec<String>,
}

impl SubjectToken {
    /// `iss`: the authority that signed it.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// `sub`.
    #[must_use]
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// `sid`: the session at the authority.
    #[must_use]
    pub fn session(&self) -> &str {
        &self.session
    }

    /// `azp`: the client that it was issued to.
    #[must_use]
    pub fn client(&self) -> &str {
        &self.client
    }

    /// `scope`.
    #[must_use]
    pub const fn scopes(&self) -> &Scopes {
        &self.scopes
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

    /// `groups`, as the authority gave them.
    #[must_use]
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// `realm_access.roles`.
    #[must_use]
    pub fn roles(&self) -> &[String] {
        &self.roles
    }
}

/// A JWT-SVID that was verified: proof of a workload's identity toward one audience.
///
/// ```
/// fn actor(token: &identity::ActorToken) -> &identity::SpiffeId { token.id() }
/// ```
/// Nobody else can build one:
/// ```compile_fail,E0451
/// fn forged(id: identity::SpiffeId) -> identity::ActorToken {
///     identity::ActorToken { id, ..loop {} }
/// }
/// ```
#[derive(Debug)]
pub struct ActorToken {
    pub(crate) id: SpiffeId,
    pub(crate) lifetime: Lifetime,
}

impl ActorToken {
    /// `sub`.
    #[must_use]
    pub const fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// Until `exp`.
    #[must_use]
    pub const fn lifetime(&self) -> Lifetime {
        self.lifetime
    }
}

/// A transaction token (`txntoken+jwt`) of our broker that was verified.
///
/// ```
/// fn transaction(token: &identity::TxnToken) -> &identity::TransactionId { token.transaction() }
/// ```
/// Nobody else can build one:
/// ```compile_fail,E0451
/// fn forged(transaction: identity::TransactionId) -> identity::TxnToken {
///     identity::TxnToken { transaction, ..loop {} }
/// }
/// ```
/// and it cannot be copied into a second hand:
/// ```compile_fail,E0599
/// fn copied(token: identity::TxnToken) -> (identity::TxnToken, identity::TxnToken) { (token.clone(), token) }
/// ```
#[derive(Debug)]
pub struct TxnToken {
    pub(crate) transaction: TransactionId,
    pub(crate) id: TokenId,
    pub(crate) subject: Subject,
    pub(crate) scopes: Scopes,
    pub(crate) chain: ActorChain,
    pub(crate) requester: SpiffeId,
    pub(crate) callee: Option<SpiffeId>,
    pub(crate) issued_at: UnixTime,
    pub(crate) key: String,
    pub(crate) lifetime: Lifetime,
}

impl TxnToken {
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

    /// `scope`.
    #[must_use]
    pub const fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// `act`.
    #[must_use]
    pub const fn chain(&self) -> &ActorChain {
        &self.chain
    }

    /// `req_wl`: the workload that asked for it.
    #[must_use]
    pub const fn requester(&self) -> &SpiffeId {
        &self.requester
    }

    /// `callee`: the workload that may use it next; absent on an owner's token.
    #[must_use]
    pub const fn callee(&self) -> Option<&SpiffeId> {
        self.callee.as_ref()
    }

    /// Who may use it as subject: `callee` where present, else `req_wl` (`protocol.md` §3).
    #[must_use]
    pub fn usable_by(&self) -> &SpiffeId {
        self.callee.as_ref().unwrap_or(&self.requester)
    }

    /// `iat`, by the broker's clock.
    #[must_use]
    pub const fn issued_at(&self) -> UnixTime {
        self.issued_at
    }

    /// `kid` of the key that signed it.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Until `exp`.
    #[must_use]
    pub const fn lifetime(&self) -> Lifetime {
        self.lifetime
    }
}

/// An access token (`at+jwt`) of our broker that was verified for one audience.
///
/// ```
/// fn client(token: &identity::AccessToken) -> &identity::SpiffeId { token.client() }
/// ```
/// Nobody else can build one:
/// ```compile_fail,E0451
/// fn forged(client: identity::SpiffeId) -> identity::AccessToken {
///     identity::AccessToken { client, ..loop {} }
/// }
/// ```
#[derive(Debug)]
pub struct AccessToken {
    pub(crate) transaction: TransactionId,
    pub(crate) id: TokenId,
    pub(crate) subject: Subject,
    pub(crate) scopes: Scopes,
    pub(crate) chain: ActorChain,
    pub(crate) client: SpiffeId,
    pub(crate) minted_with: Option<TokenId>,
    pub(crate) may_ask: Scopes,
    pub(crate) issued_at: UnixTime,
    pub(crate) key: String,
    pub(crate) lifetime: Lifetime,
}

impl AccessToken {
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

    /// `scope`; empty where the call needs none.
    #[must_use]
    pub const fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// `act`.
    #[must_use]
    pub const fn chain(&self) -> &ActorChain {
        &self.chain
    }

    /// `client_id`: the requester, which must be the mTLS peer that shows it.
    #[must_use]
    pub const fn client(&self) -> &SpiffeId {
        &self.client
    }

    /// `tjti`: the `jti` of the transaction token minted together with it.
    #[must_use]
    pub const fn minted_with(&self) -> Option<&TokenId> {
        self.minted_with.as_ref()
    }

    /// `may_ask`: scopes that Cedar would grant this caller now. It filters listings and never admits a call.
    #[must_use]
    pub const fn may_ask(&self) -> &Scopes {
        &self.may_ask
    }

    /// `iat`, by the broker's clock.
    #[must_use]
    pub const fn issued_at(&self) -> UnixTime {
        self.issued_at
    }

    /// `kid` of the key that signed it.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Until `exp`.
    #[must_use]
    pub const fn lifetime(&self) -> Lifetime {
        self.lifetime
    }
}
