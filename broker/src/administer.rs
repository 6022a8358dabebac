//! What ends the work of others: each is one decision of policy (`administer`), done at once and then recorded, before it
//! is answered. A workload may end what was given to itself without one.

use std::{error::Error, time::Duration};

use identity::{
    DecisionRecord, Ended, Entry, Kind, RawToken, Refusal, SpiffeId, Subject, TransactionId, UnixTime, workload_id,
};
use policies::{Administer, Decision, Denial, Operation, Permitted, What};

use crate::{
    grant::not_evaluated,
    http::Form,
    issued::Shown,
    keys::{RingFault, RotationFault},
    parties::Parties,
    revocation::{By, Ending, end},
    sessions::Whose,
};

/// How far an authority's clock may be ahead of ours (`identity::verify`): what it gave by such a clock until now is meant
/// as well where a user is revoked.
const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(30);

/// Longest name of a key in bytes: ours have 43.
const KID_LENGTH_MAX: usize = 128;

/// What an operator wants to end.
#[derive(Debug)]
pub(crate) enum Wish {
    Token(RawToken),
    Transaction(TransactionId),
    /// `sid`, at the authority with this issuer.
    Session(String, String),
    /// `sub`, likewise.
    User(String, Subject),
    Workload(SpiffeId),
    /// `kid`.
    Key(String),
}

/// What was ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) what: What,
    /// How many running transactions ended with it; `None` where there was nothing to end.
    pub(crate) transactions: Option<u64>,
}

/// Whether `requester` may do this to what others were given. Rules speak of the workloads of our own trust domain.
///
/// # Errors
/// `client.not_permitted`, `policy.error`.
pub(crate) fn decide(
    parties: &Parties,
    requester: &SpiffeId,
    (operation, what): (Operation, What),
    record: &mut DecisionRecord,
    now: UnixTime,
) -> Result<Permitted, Refusal> {
    let trust_domain = &parties.issuer.trust_domain;
    if requester.trust_domain() != trust_domain {
        return Err(Refusal::ClientNotPermitted);
    }
    let asked = Administer { requester, trust_domain, operation, what };
    let policies = parties.policies.current();
    let decision = policies.decide_administer(&asked);
    record.note(|entry| entry.would = policies.observe_administer(&asked, &decision, now));
    match decision {
        Decision::Permitted(permitted) => Ok(permitted),
        Decision::Denied(Denial::NoRule | Denial::Forbidden(_)) => Err(Refusal::ClientNotPermitted),
        Decision::Denied(Denial::Error(cause)) => Err(not_evaluated(&cause)),
    }
}

/// Ends a token that `requester` shows, whether it is its own or policy allows it. A token that is none, or none any more,
/// is ended already (RFC 7009 §2.2).
///
/// # Errors
/// `request.foreign_token`, `client.not_permitted`, `policy.error`, `fault.*`.
pub(crate) async fn revoke_token(
    parties: &Parties,
    requester: &SpiffeId,
    raw: &RawToken,
    record: &mut DecisionRecord,
    now: UnixTime,
) -> Result<Done, Refusal> {
    record.note(|entry| is_about(entry, What::Token));
    let Some(token) = Shown::read(parties, raw, now)? else {
        return Ok(Done { what: What::Token, transactions: None });
    };
    record.note(|entry| token.describe(entry));
    let by = if token.owner() == Some(requester) {
        By::Owner(requester)
    } else {
        let permitted = decide(parties, requester, (Operation::Revoke, What::Token), record, now)?;
        record.note(|entry| allowed(entry, &permitted));
        By::Other
    };
    let transactions = end(parties, token.ending(), by, now).await?;
    written(parties, What::Token, transactions, record).await
}

/// Ends what an operator names.
///
/// # Errors
/// `client.not_permitted`, `policy.error`; then the refusal of the first parameter that is wrong; `fault.*`.
pub(crate) async fn revoke(
    parties: &Parties,
    requester: &SpiffeId,
    form: &Form,
    record: &mut DecisionRecord,
    now: UnixTime,
) -> Result<Done, Refusal> {
    let what = form.value("revoke").ok_or(Refusal::RequestMissingParameter)?;
    let what = What::named(what).ok_or(Refusal::RequestMalformed)?;
    record.note(|entry| is_about(entry, what));
    let permitted = decide(parties, requester, (Operation::Revoke, what), record, now)?;
    record.note(|entry| allowed(entry, &permitted));
    let wish = Wish::read(parties, form, what)?;
    record.note(|entry| wish.describe(parties, entry));
    let ending = match &wish {
        Wish::Token(raw) => {
            let Some(token) = Shown::read(parties, raw, now)? else {
                return Ok(Done { what, transactions: None });
            };
            record.note(|entry| token.describe(entry));
            token.ending()
        }
        Wish::Transaction(id) => Ending::Transaction(id.clone()),
        Wish::Session(issuer, id) => Ending::AtAuthority(issuer, Whose::Session(id)),
        Wish::User(issuer, subject) => {
            let through = now.plus(CLOCK_AHEAD_MAX);
            Ending::AtAuthority(issuer, Whose::User { subject: subject.as_str(), through })
        }
        Wish::Workload(id) => Ending::Workload(id.clone()),
        Wish::Key(kid) => return revoke_key(parties, kid, record).await,
    };
    let transactions = end(parties, ending, By::Other, now).await?;
    written(parties, what, transactions, record).await
}

/// Takes a signing key away. Its transactions end with their tokens; how many those are nobody counts.
async fn revoke_key(parties: &Parties, kid: &str, record: &mut DecisionRecord) -> Result<Done, Refusal> {
    match parties.rotation.revoke(kid).await {
        Ok(_keys) => {}
        Err(RotationFault::Ring(RingFault::Unknown(_))) => return Ok(Done { what: What::Key, transactions: None }),
        Err(fault) => {
            let error: &(dyn Error + 'static) = &fault;
            tracing::error!(error, kid, "a signing key was not revoked");
            return Err(Refusal::FaultStore);
        }
    }
    written(parties, What::Key, 0, record).await
}

/// Records that it has ended, before anybody is told.
async fn written(
    parties: &Parties,
    what: What,
    transactions: u64,
    record: &mut DecisionRecord,
) -> Result<Done, Refusal> {
    record.note(|entry| note(entry, |ended| ended.transactions = Some(transactions)));
    parties.recorder.granted(record.entry()).await?;
    Ok(Done { what, transactions: Some(transactions) })
}

impl Wish {
    fn read(parties: &Parties, form: &Form, what: What) -> Result<Self, Refusal> {
        let text = |name: &str| form.value(name).ok_or(Refusal::RequestMissingParameter);
        match what {
            What::Token => RawToken::parse(text("token")?.to_owned()).map(Self::Token).map_err(|_long| malformed()),
            What::Transaction => text("txn")?.parse().map(Self::Transaction).map_err(|_fault| malformed()),
            What::Session => Ok(Self::Session(authority(parties, form)?, text("sid")?.to_owned())),
            What::User => {
                let subject = text("sub")?.parse().map_err(|_fault| malformed())?;
                Ok(Self::User(authority(parties, form)?, subject))
            }
            What::Workload => workload_id(text("workload")?).map(Self::Workload).map_err(|_fault| malformed()),
            What::Key => kid(text("kid")?).map(Self::Key),
        }
    }

    fn describe(&self, parties: &Parties, entry: &mut Entry) {
        match self {
            Self::Token(_) => {}
            Self::Transaction(id) => entry.transaction = Some(id.clone()),
            Self::Session(issuer, id) => {
                note(entry, |ended| (ended.issuer, ended.session) = (Some(issuer.clone()), Some(id.clone())));
            }
            Self::User(issuer, subject) => {
                note(entry, |ended| ended.issuer = Some(issuer.clone()));
                // As the lines of the user's transactions say it.
                let authority = parties.authorities.by_issuer(issuer);
                entry.subject = authority.and_then(|authority| authority.qualified(subject).ok());
            }
            Self::Workload(id) => note(entry, |ended| ended.name = Some(id.to_string())),
            Self::Key(kid) => note(entry, |ended| ended.name = Some(kid.clone())),
        }
    }
}

/// The authority that the form names; the only one need not be named.
fn authority(parties: &Parties, form: &Form) -> Result<String, Refusal> {
    if let Some(issuer) = form.value("iss") {
        return parties.authorities.by_issuer(issuer).map(|_known| issuer.to_owned()).ok_or(Refusal::RequestAuthority);
    }
    let mut all = parties.authorities.iter();
    match (all.next(), all.next()) {
        (Some(only), None) => Ok(only.issuer().to_owned()),
        (None, _) | (Some(_), Some(_)) => Err(Refusal::RequestAuthority),
    }
}

/// Names of keys are base64url; nothing else can be one, or gets into the record.
fn kid(text: &str) -> Result<String, Refusal> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if text.len() <= KID_LENGTH_MAX && text.bytes().all(fits) { Ok(text.to_owned()) } else { Err(malformed()) }
}

const fn malformed() -> Refusal {
    Refusal::RequestMalformed
}

fn is_about(entry: &mut Entry, what: What) {
    entry.kind = Some(Kind::Revoke);
    entry.target = Some(what.name().to_owned());
    entry.ended = Some(Ended { what: what.name(), issuer: None, session: None, name: None, transactions: None });
}

fn note(entry: &mut Entry, note: impl FnOnce(&mut Ended)) {
    if let Some(ended) = &mut entry.ended {
        note(ended);
    }
}

/// Notes in the record which rules allowed it.
pub(crate) fn allowed(entry: &mut Entry, permitted: &Permitted) {
    entry.rules = permitted.rules().to_vec();
    entry.rule_set = Some(permitted.set().to_owned());
}
