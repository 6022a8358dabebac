//! Back-channel logout: an authority says that a session ended, and from then on nothing more is given for it. Whoever
//! says it is unknown; what is said is believed for the authority's signature alone (OpenID Connect Back-Channel
//! Logout 1.0 §2.6).

use std::error::Error;

use identity::{RawToken, Refusal, TokenFault, UnixTime};

use crate::{parties::Parties, sessions::Sessions, store::Store};

/// Ends what the logout token says: in memory first, where every decision looks, then in the store for the next start,
/// and only then it is done. Dropped half-way, or refused by the store, it has ended until the next start, [`store_rest`]
/// tries again, and so may whoever sent the token.
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
    parties.sessions.stored(&end);
    admitted.keep();
    parties.recorder.logged_out(&token, authority, transactions, (now, request_id));
    Ok(())
}

/// Stores the ends that could not be stored when they were told: Keycloak tells each once, whatever it is answered.
/// Dropped half-way, the rest is tried the next time.
pub(crate) async fn store_rest(sessions: &Sessions, store: &Store, now: UnixTime) {
    for end in sessions.unstored() {
        match store.end(&end, now).await {
            Ok(transactions) => {
                sessions.stored(&end);
                tracing::info!(transactions, "the end of a session was stored late");
            }
            Err(fault) => {
                let error: &(dyn Error + 'static) = &fault;
                tracing::warn!(error, "the end of a session cannot be stored; a restart would forget it");
                return;
            }
        }
    }
}
