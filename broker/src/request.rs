//! What a requester wishes: a form becomes a [`Wish`] whose parts have types, or a refusal (`tokens.md` N4–N37).
//! It decides nothing: no token is verified and no policy is asked here.

use std::sync::Arc;

use identity::{AnyTarget, RawToken, Refusal, Registry, Scopes, Shelf, Target, TokenFault, TrustDomain, parse_strict};

use crate::{
    http::Form,
    names::{ACCESS_TOKEN, JWT, TOKEN_EXCHANGE, TXN_TOKEN},
};

/// Longest `request_context` and `request_details` in bytes: as long as a token.
const CONTEXT_LENGTH_MAX: usize = 8 * 1024;

/// A token exchange as it is asked for (RFC 8693 §2.1).
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) wish: Wish,
    /// Proof of the requester beside its client certificate; it must prove the same identity (N61).
    pub(crate) actor_token: Option<RawToken>,
}

/// The three exchanges of `protocol.md` §2 and §5.
#[derive(Debug)]
pub(crate) enum Wish {
    /// A user's token becomes a transaction.
    Begin { user: RawToken, scopes: Scopes },
    /// A transaction token becomes an access token for a target.
    Call { transaction: RawToken, target: Arc<Target>, scopes: Scopes },
    /// A transaction token is renewed; without scopes only one that holds none.
    Renew { transaction: RawToken, scopes: Option<Scopes> },
}

/// What a request may name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) trust_domain: &'a TrustDomain,
}

impl Request {
    /// Reads the form that a client sent.
    ///
    /// # Errors
    /// The refusal of the first parameter that is wrong.
    pub(crate) fn read(form: &Form, known: Known<'_>) -> Result<Self, Refusal> {
        match form.value("grant_type") {
            Some(TOKEN_EXCHANGE) => {}
            Some(_other) => return Err(Refusal::RequestGrantType),
            None => return Err(Refusal::RequestMissingParameter),
        }
        check_context(form)?;
        let actor_token = actor_token(form)?;
        let subject_token = form.value("subject_token").ok_or(Refusal::RequestMissingParameter)?;
        let subject_type = form.value("subject_token_type").ok_or(Refusal::RequestMissingParameter)?;
        let requested_type = form.value("requested_token_type");
        let token = || RawToken::parse(subject_token.to_owned()).map_err(Refusal::Subject);
        let wish = match (subject_type, requested_type) {
            (ACCESS_TOKEN, None | Some(TXN_TOKEN)) => {
                check_domain(form, known.trust_domain)?;
                let scopes = scopes(form)?.ok_or(Refusal::RequestMissingParameter)?;
                Wish::Begin { user: token()?, scopes }
            }
            (TXN_TOKEN, Some(TXN_TOKEN)) => {
                check_domain(form, known.trust_domain)?;
                Wish::Renew { transaction: token()?, scopes: scopes(form)? }
            }
            (TXN_TOKEN, None | Some(ACCESS_TOKEN)) => {
                let target = target(form, known.registry.mesh(), known.registry.workload())?;
                Wish::Call { transaction: token()?, target, scopes: scopes(form)?.unwrap_or(Scopes::none()) }
            }
            (_subject, _requested) => return Err(Refusal::RequestTokenType),
        };
        Ok(Self { wish, actor_token })
    }
}

/// draft-ietf-oauth-transaction-tokens-10 §11.1: JSON objects. What they say is not used: `act`, `sub` and `txn` come
/// from authentication (N38, N39, N67).
fn check_context(form: &Form) -> Result<(), Refusal> {
    let given = ["request_context", "request_details"].into_iter().filter_map(|name| form.value(name));
    for text in given {
        if text.len() > CONTEXT_LENGTH_MAX || !parse_strict(text.as_bytes()).is_ok_and(|value| value.is_object()) {
            return Err(Refusal::RequestMalformed);
        }
    }
    Ok(())
}

/// RFC 8693 §2.1: a type with a token and only then (N28); ours: a JWT-SVID.
fn actor_token(form: &Form) -> Result<Option<RawToken>, Refusal> {
    match (form.value("actor_token"), form.value("actor_token_type")) {
        (None, None) => Ok(None),
        (Some(token), Some(JWT)) => RawToken::parse(token.to_owned()).map(Some).map_err(Refusal::Actor),
        (Some(_token), Some(_other)) => Err(Refusal::Actor(TokenFault::Type)),
        (Some(_), None) | (None, Some(_)) => Err(Refusal::RequestTokenType),
    }
}

fn scopes(form: &Form) -> Result<Option<Scopes>, Refusal> {
    form.value("scope").map(str::parse).transpose().map_err(|_fault| Refusal::ScopeMalformed)
}

/// A transaction token is for our own trust domain and for nothing else (N34, N35).
fn check_domain(form: &Form, trust_domain: &TrustDomain) -> Result<(), Refusal> {
    let mut audiences = form.values("audience");
    match (audiences.next(), audiences.next(), form.value("resource")) {
        (None, _, _) => Err(Refusal::RequestMissingParameter),
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) => Err(Refusal::TargetSeveral),
        (Some(audience), None, None) if audience == trust_domain.as_str() => Ok(()),
        (Some(_foreign), None, None) => Err(Refusal::TargetDomain),
    }
}

/// The one target on the shelf `wanted` that is named by resource, by name, or by both (N30–N32).
///
/// # Errors
/// [`Refusal::TargetMissing`], [`Refusal::TargetSeveral`], [`Refusal::TargetKind`] for one of the `others`,
/// [`Refusal::TargetUnknown`].
pub(crate) fn target<T: AnyTarget, O: AnyTarget>(
    form: &Form,
    wanted: Shelf<'_, T>,
    others: Shelf<'_, O>,
) -> Result<Arc<T>, Refusal> {
    let by_resource = |resource| (wanted.by_resource(resource), others.by_resource(resource).is_some());
    let by_name = |name| (wanted.by_name(name), others.by_name(name).is_some());
    let by_audience = |audience| match by_name(audience) {
        (None, false) => by_resource(audience),
        named => named,
    };
    let mut found: Option<&Arc<T>> = None;
    for named in form.values("resource").map(by_resource).chain(form.values("audience").map(by_audience)) {
        let target = match named {
            (Some(target), _) => target,
            (None, true) => return Err(Refusal::TargetKind),
            (None, false) => return Err(Refusal::TargetUnknown),
        };
        if found.is_some_and(|known| !Arc::ptr_eq(known, target)) {
            return Err(Refusal::TargetSeveral);
        }
        found = Some(target);
    }
    found.map(Arc::clone).ok_or(Refusal::TargetMissing)
}

#[cfg(test)]
mod tests;
