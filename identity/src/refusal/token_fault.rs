//! What is wrong with a token. One list of faults for subject, actor, access, transaction and logout token and for the
//! client assertion; the family in front of the code tells which of them it was, and has only the faults that its rules
//! (`verify::rules`) can find.

use std::borrow::Cow;

/// What can be wrong with a token of any kind: its form, its key, its life, whom it is for, a claim.
const OF_ANY: &[TokenFault] = &[
    TokenFault::TooLong,
    TokenFault::Malformed,
    TokenFault::RepeatedName,
    TokenFault::ForbiddenHeader,
    TokenFault::Algorithm,
    TokenFault::Type,
    TokenFault::KeyUnknown,
    TokenFault::Signature,
    TokenFault::Audience,
    TokenFault::Expired,
    TokenFault::NotYetValid,
    TokenFault::Claim(""),
];
/// A subject token is a user's token or, at `/token`, a transaction token.
pub(super) const OF_SUBJECT: &[TokenFault] =
    &[TokenFault::Issuer, TokenFault::Actors, TokenFault::Delegated, TokenFault::NoSession];
/// An actor token is a JWT-SVID: it names no issuer, its key stands for the trust domain.
pub(super) const OF_ACTOR: &[TokenFault] = &[];
/// A client assertion is a JWT-SVID, too.
pub(super) const OF_CLIENT_ASSERTION: &[TokenFault] = &[];
/// An access token is bound to who shows it.
pub(super) const OF_ACCESS_TOKEN: &[TokenFault] = &[TokenFault::Issuer, TokenFault::Actors, TokenFault::NotBound];
/// What a transaction token is bound to is told as `txn_token.mismatch`.
pub(super) const OF_TXN_TOKEN: &[TokenFault] = &[TokenFault::Issuer, TokenFault::Actors];
/// A logout token names a session or a user.
pub(super) const OF_LOGOUT_TOKEN: &[TokenFault] = &[TokenFault::Issuer, TokenFault::NoSession];

/// Why a token was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// Over 8 KiB, or a header over 1 KiB.
    #[error("the token is too long")]
    TooLong,
    /// Not a compact JWS in canonical base64url over JSON objects (RFC 7515 §7.1).
    #[error("the token is not a compact JWS")]
    Malformed,
    /// A name stands twice in one object of it.
    #[error("a name stands twice in the token")]
    RepeatedName,
    /// A header that brings a key or changes the reading: `crit`, `jku`, `x5u`, `jwk`, `x5c` and their kin.
    #[error("the token's header holds a parameter that is not accepted")]
    ForbiddenHeader,
    /// An algorithm that is symmetric, `none`, unknown, or not the key's.
    #[error("the token's algorithm is not accepted")]
    Algorithm,
    /// A `typ` of another kind of token.
    #[error("the token is of another kind")]
    Type,
    /// No `kid`, a malformed one, or one that the issuer's keys do not hold.
    #[error("the token's key is not known")]
    KeyUnknown,
    /// The signature does not hold.
    #[error("the token's signature does not hold")]
    Signature,
    /// An issuer that is not accepted.
    #[error("the token's issuer is not accepted")]
    Issuer,
    /// Meant for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// `exp` is past.
    #[error("the token is expired")]
    Expired,
    /// `nbf` or `iat` lies in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// The named claim is absent or malformed.
    #[error("the token's claim `{0}` is absent or malformed")]
    Claim(&'static str),
    /// `act` is absent, malformed, looped, too deep, or names another current actor.
    #[error("the token's actor chain is not acceptable")]
    Actors,
    /// A user's token with `act` or `may_act`, which the provider's exchange would drop.
    #[error("the token was delegated already")]
    Delegated,
    /// A user's token without a session (`sid`), a logout token without session and user.
    #[error("the token belongs to no session")]
    NoSession,
    /// Shown by another workload than the one that it was issued to.
    #[error("the token belongs to another workload")]
    NotBound,
}

impl TokenFault {
    /// `family.reason`.
    pub(super) fn code(self, family: &str) -> Cow<'static, str> {
        let reason = match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::RepeatedName => "repeated_name",
            Self::ForbiddenHeader => "forbidden_header",
            Self::Algorithm => "algorithm",
            Self::Type => "type",
            Self::KeyUnknown => "key_unknown",
            Self::Signature => "signature",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Claim(_) => "claim",
            Self::Actors => "actors",
            Self::Delegated => "delegated",
            Self::NoSession => "no_session",
            Self::NotBound => "not_bound",
        };
        Cow::Owned(format!("{family}.{reason}"))
    }

    /// The faults that a family of tokens can have: those of any token, and `own`. The claim's name is left open.
    pub(super) fn of(own: &[Self]) -> impl Iterator<Item = Self> {
        OF_ANY.iter().chain(own).copied()
    }
}
