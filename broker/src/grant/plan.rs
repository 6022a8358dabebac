//! The tokens that a grant will become: decided and recorded before they are signed.

use aws_lc_rs::rand;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use identity::{Audience, Lifetime, Refusal, Scopes, SpiffeId, TokenId, TransactionId, UnixTime};

/// Random bytes in a `jti`: 128 bits, so that none is ever met twice.
const TOKEN_ID_LENGTH: usize = 16;

/// What will be minted.
#[derive(Debug)]
pub(super) enum Planned {
    /// A transaction token alone.
    Transaction(TxnPlan),
    /// An access token and, where the target passes on, the transaction token for it.
    Access { access: AccessPlan, handed: Option<TxnPlan> },
}

/// A transaction token to be.
#[derive(Debug)]
pub(super) struct TxnPlan {
    pub(super) id: TokenId,
    pub(super) scopes: Scopes,
    pub(super) requester: SpiffeId,
    pub(super) callee: Option<SpiffeId>,
    pub(super) lifetime: Lifetime,
}

/// An access token to be.
#[derive(Debug)]
pub(super) struct AccessPlan {
    pub(super) id: TokenId,
    pub(super) audience: Audience,
    pub(super) client: SpiffeId,
    pub(super) scopes: Scopes,
    pub(super) may_ask: Option<Scopes>,
    pub(super) lifetime: Lifetime,
}

impl Planned {
    pub(super) const fn scopes(&self) -> &Scopes {
        match self {
            Self::Transaction(txn) => &txn.scopes,
            Self::Access { access, .. } => &access.scopes,
        }
    }

    /// Scope of the transaction token that is handed on, if one is.
    pub(super) const fn passed_on(&self) -> Option<&Scopes> {
        match self {
            Self::Transaction(_) | Self::Access { handed: None, .. } => None,
            Self::Access { handed: Some(txn), .. } => Some(&txn.scopes),
        }
    }

    /// Whom the transaction token names that may use it next.
    pub(super) const fn callee(&self) -> Option<&SpiffeId> {
        match self {
            Self::Transaction(txn) | Self::Access { handed: Some(txn), .. } => txn.callee.as_ref(),
            Self::Access { handed: None, .. } => None,
        }
    }

    pub(super) const fn may_ask(&self) -> Option<&Scopes> {
        match self {
            Self::Transaction(_) => None,
            Self::Access { access, .. } => access.may_ask.as_ref(),
        }
    }

    pub(super) fn ids(&self) -> Vec<TokenId> {
        match self {
            Self::Transaction(txn) => vec![txn.id.clone()],
            Self::Access { access, handed } => {
                std::iter::once(&access.id).chain(handed.as_ref().map(|txn| &txn.id)).cloned().collect()
            }
        }
    }

    /// When the last of them ends.
    pub(super) fn not_after(&self) -> UnixTime {
        match self {
            Self::Transaction(txn) => txn.lifetime.not_after(),
            Self::Access { access, handed } => {
                let handed = handed.as_ref().map(|txn| txn.lifetime.not_after());
                handed.unwrap_or(access.lifetime.not_after()).max(access.lifetime.not_after())
            }
        }
    }
}

/// A fresh `jti`.
pub(super) fn token_id() -> Result<TokenId, Refusal> {
    let mut bytes = [0; TOKEN_ID_LENGTH];
    rand::fill(&mut bytes).map_err(|_unspecified| Refusal::FaultStore)?;
    URL_SAFE_NO_PAD.encode(bytes).parse().map_err(|_never| Refusal::FaultStore)
}

/// A fresh `txn`: a UUID v7, which sorts by time and holds 74 random bits (RFC 9562 §5.7).
pub(super) fn transaction_id() -> Result<TransactionId, Refusal> {
    uuid::Uuid::now_v7().to_string().parse().map_err(|_never| Refusal::FaultStore)
}
