//! Who calls, for whom, with what: the tokens of a request become proofs, or it is refused (`protocol.md` §3).
//! Nothing is believed that the peer's certificate or a signature does not say.

use http::HeaderValue;

use crate::{snapshot::Snapshot, strip::Shown, transactions::Held};
use identity::{AccessRule, AccessToken, RawToken, Refusal, SpiffeId, Target, TokenFault, UnixTime, verify};

/// The verified tokens of a call between sidecars.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) access: AccessToken,
    /// Present exactly where the target passes on.
    pub(super) held: Option<Held>,
}

/// Who stands on both sides of a call, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sides<'a> {
    /// The mTLS peer.
    pub(super) peer: &'a SpiffeId,
    /// This workload.
    pub(super) own: &'a SpiffeId,
    pub(super) now: UnixTime,
}

/// Verifies access token and transaction token for `target`.
///
/// # Errors
/// `access_token.*`, `txn_token.*`, or [`Refusal::CallMalformed`] for an empty bearer. What was revoked is told only of
/// tokens that are good otherwise.
pub(super) fn call(shown: Shown, target: &Target, snapshot: &Snapshot, sides: Sides<'_>) -> Result<Verified, Refusal> {
    let bearer = bearer(shown.authorization.as_ref())?.ok_or(Refusal::AccessTokenMissing)?;
    if bearer.is_empty() {
        return Err(Refusal::CallMalformed);
    }
    let raw = RawToken::parse(bearer).map_err(Refusal::AccessToken)?;
    let rule = AccessRule { issuer: &snapshot.issuer, audience: target.audience(), peer: sides.peer };
    let access = verify(&raw, &snapshot.keys, &rule, sides.now).map_err(Refusal::AccessToken)?;
    let held = match (target.passes_on(), shown.txn_token) {
        (None, None) => None,
        (None, Some(_)) => return Err(Refusal::TxnTokenUnexpected),
        (Some(_), None) => return Err(Refusal::TxnTokenMissing),
        (Some(_), Some(token)) => Some(passed_on(&token, &access, snapshot, sides)?),
    };
    // An access token that was minted with a transaction token is for a target that passes on (N104).
    if held.is_none() && access.minted_with().is_some() {
        return Err(Refusal::TxnTokenMissing);
    }
    snapshot.revocations.admit(&access, held.as_ref().map(Held::proof))?;
    Ok(Verified { access, held })
}

/// The bearer token of an `Authorization` value, which may be empty; `None` for another scheme or no header (RFC 6750
/// §2.1).
///
/// # Errors
/// [`Refusal::CallMalformed`] for a bearer that is no token at all.
pub(super) fn bearer(authorization: Option<&HeaderValue>) -> Result<Option<String>, Refusal> {
    let Some(value) = authorization else { return Ok(None) };
    let text = value.to_str().map_err(|_not_text| Refusal::CallMalformed)?;
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Ok(None);
    }
    let token = rest.trim_start_matches(' ');
    if token.contains([' ', ',']) {
        return Err(Refusal::CallMalformed);
    }
    Ok(Some(token.to_owned()))
}

fn passed_on(
    token: &HeaderValue,
    access: &AccessToken,
    snapshot: &Snapshot,
    sides: Sides<'_>,
) -> Result<Held, Refusal> {
    let text = token.to_str().map_err(|_not_text| Refusal::TxnToken(TokenFault::Malformed))?;
    let raw = RawToken::parse(text.to_owned()).map_err(Refusal::TxnToken)?;
    let held = Held::verify(raw, &snapshot.keys, &snapshot.issuer, &snapshot.trust_domain, sides.now)
        .map_err(Refusal::TxnToken)?;
    let txn = held.proof();
    let belongs = txn.callee() == Some(sides.own)
        && txn.requester() == sides.peer
        && txn.transaction() == access.transaction()
        && txn.subject() == access.subject()
        && txn.chain() == access.chain()
        && access.minted_with() == Some(txn.id());
    if belongs { Ok(held) } else { Err(Refusal::TxnTokenMismatch) }
}

#[cfg(test)]
mod tests;
