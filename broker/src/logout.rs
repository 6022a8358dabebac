//! Back-channel logout: an authority says that a session ended, and from then on nothing more is given for it. Whoever
//! says it is unknown; what is said is believed for the authority's signature alone (OpenID Connect Back-Channel
//! Logout 1.0 §2.6).

use identity::{LoggedOut, LogoutToken, RawToken, Refusal, TokenFault, UnixTime};

use crate::{
    authority::Authority,
    parties::Parties,
    revocation::{By, Ending, end},
    sessions::Whose,
};

/// Ends what the logout token says. Dropped half-way, or refused by the store, see [`end`]; and whoever sent the token may
/// send it again.
///
/// # Errors
/// `logout_token.*`; `fault.*` where it was right and could not be done.
pub(crate) async fn log_out(parties: &Parties, raw: &RawToken, request_id: &str, now: UnixTime) -> Result<(), Refusal> {
    let issuer = raw.claimed_issuer().map_err(Refusal::LogoutToken)?;
    let authority = parties.authorities.by_issuer(&issuer);
    let authority = authority.ok_or(Refusal::LogoutToken(TokenFault::Issuer))?;
    let token = authority.verify_logout(raw, &parties.edges.login_clients(&issuer), now).await?;
    let admitted = parties.sessions.admit(&token, now)?;
    let mut transactions = 0_u64;
    for whose in [Some(Whose::from(&token)), whose_also(authority, &token)].into_iter().flatten() {
        let ended = end(parties, Ending::AtAuthority(token.issuer(), whose), By::Other, now).await?;
        transactions = transactions.saturating_add(ended);
    }
    admitted.keep();
    parties.recorder.logged_out(&token, authority, transactions, (now, request_id));
    Ok(())
}

/// Tokens of a plain issuer may name no session, and then no `sid` finds them. So whoever signs out of one there ends all
/// that the issuer gave him until then (ADR 11).
fn whose_also<'a>(authority: &Authority, token: &'a LogoutToken) -> Option<Whose<'a>> {
    match token.logged_out() {
        LoggedOut::Session { subject: Some(subject), .. } if !authority.is_asked() => {
            Some(Whose::User { subject: subject.as_str(), through: token.issued_at() })
        }
        LoggedOut::Session { .. } | LoggedOut::User(_) => None,
    }
}
