//! Back-channel logout: an authority says that a session ended, and from then on nothing more is given for it. Whoever
//! says it is unknown; what is said is believed for the authority's signature alone (OpenID Connect Back-Channel
//! Logout 1.0 §2.6).

use identity::{RawToken, Refusal, TokenFault, UnixTime};

use crate::parties::Parties;

/// Ends what the logout token says: in memory first, where every decision looks, then in the store for the next start,
/// and only then it is done. Dropped half-way, or refused by the store, it may have ended until the next start, and the
/// same token is taken in again.
///
/// # Errors
/// `logout_token.*`; `fault.*` where it was right and could not be done.
pub(crate) async fn log_out(parties: &Parties, raw: &RawToken, request_id: &str, now: UnixTime) -> Result<(), Refusal> {
    let issuer = raw.claimed_issuer().map_err(Refusal::LogoutToken)?;
    let authority = parties.authorities.by_issuer(&issuer);
    let authority = authority.ok_or(Refusal::LogoutToken(TokenFault::Issuer))?;
    let token = authority.verify_logout(raw, &parties.edges.login_clients(), now).await?;
    let admitted = parties.sessions.admit(&token, now)?;
    let end = parties.sessions.end(&token, now)?;
    let transactions = parties.store.end(&end, now).await?;
    admitted.keep();
    parties.recorder.logged_out(&token, authority, transactions, (now, request_id));
    Ok(())
}
