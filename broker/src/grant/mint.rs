//! From a grant to signed tokens. Claims come from the grant alone; nothing that a caller wrote gets here.

use identity::{Refusal, Scopes, TrustDomain, UnixTime};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::{
    Grant,
    plan::{AccessPlan, Planned, TxnPlan},
};
use crate::{
    keys::{InUse, KeyFault},
    names::{ACCESS_TOKEN_TYP, TXN_TOKEN_TYP},
};

/// Who signs.
#[derive(Debug)]
pub struct Issuer {
    /// `iss`.
    pub(crate) url: String,
    /// `aud` of transaction tokens.
    pub(crate) trust_domain: TrustDomain,
    pub(crate) keys: InUse,
}

/// Which kind of token was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssuedKind {
    /// `txntoken+jwt`.
    Transaction,
    /// `at+jwt`.
    Access,
}

/// Tokens on their way to the requester. They are wiped from memory when dropped and cannot be printed.
pub struct Issued {
    pub(crate) kind: IssuedKind,
    pub(crate) token: Zeroizing<String>,
    /// The transaction token for the callee, beside an access token.
    pub(crate) txn_token: Option<Zeroizing<String>>,
    pub(crate) scopes: Scopes,
    /// Seconds until `token` ends.
    pub(crate) expires_in: u64,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Signs what was granted and uses the grant up. The grant's record must be durable before (`protocol.md` §9).
///
/// # Errors
/// [`Refusal::FaultStore`] when the key cannot sign; then nothing is issued.
pub fn mint(grant: Grant, issuer: &Issuer, now: UnixTime) -> Result<Issued, Refusal> {
    let keys = issuer.keys.current();
    let sign = |typ: &str, claims: Map<String, Value>| {
        keys.sign(typ, &Value::Object(claims)).map_err(|fault: KeyFault| {
            tracing::error!(%fault, "cannot sign a token");
            Refusal::FaultStore
        })
    };
    let common = common(&grant, issuer, now);
    match grant.planned {
        Planned::Transaction(plan) => Ok(Issued {
            kind: IssuedKind::Transaction,
            token: sign(TXN_TOKEN_TYP, txn_claims(common, &plan, issuer))?,
            txn_token: None,
            expires_in: plan.lifetime.remaining(now).as_secs(),
            scopes: plan.scopes,
        }),
        Planned::Access { access, handed } => Ok(Issued {
            kind: IssuedKind::Access,
            token: sign(ACCESS_TOKEN_TYP, access_claims(common.clone(), &access, handed.as_ref()))?,
            txn_token: handed.map(|plan| sign(TXN_TOKEN_TYP, txn_claims(common, &plan, issuer))).transpose()?,
            expires_in: access.lifetime.remaining(now).as_secs(),
            scopes: access.scopes,
        }),
    }
}

/// Claims of both kinds (`protocol.md` §3).
fn common(grant: &Grant, issuer: &Issuer, now: UnixTime) -> Map<String, Value> {
    let mut claims = Map::new();
    claims.insert("iss".into(), json!(issuer.url));
    claims.insert("iat".into(), json!(now.secs()));
    claims.insert("txn".into(), json!(grant.transaction.as_str()));
    claims.insert("sub".into(), json!(grant.subject.as_str()));
    claims.insert("act".into(), grant.chain.to_act());
    claims
}

/// draft-ietf-oauth-transaction-tokens-10 §9.2, with `callee`.
fn txn_claims(mut claims: Map<String, Value>, plan: &TxnPlan, issuer: &Issuer) -> Map<String, Value> {
    claims.insert("aud".into(), json!(issuer.trust_domain.as_str()));
    claims.insert("exp".into(), json!(plan.lifetime.not_after().secs()));
    claims.insert("jti".into(), json!(plan.id.as_str()));
    claims.insert("scope".into(), json!(plan.scopes.to_string()));
    claims.insert("req_wl".into(), json!(plan.requester.to_string()));
    if let Some(callee) = &plan.callee {
        claims.insert("callee".into(), json!(callee.to_string()));
    }
    claims
}

/// RFC 9068 §2.2, with `tjti` and `may_ask`.
fn access_claims(mut claims: Map<String, Value>, plan: &AccessPlan, handed: Option<&TxnPlan>) -> Map<String, Value> {
    claims.insert("aud".into(), json!(plan.audience.as_str()));
    claims.insert("exp".into(), json!(plan.lifetime.not_after().secs()));
    claims.insert("jti".into(), json!(plan.id.as_str()));
    claims.insert("client_id".into(), json!(plan.client.to_string()));
    if !plan.scopes.is_empty() {
        claims.insert("scope".into(), json!(plan.scopes.to_string()));
    }
    if let Some(txn) = handed {
        claims.insert("tjti".into(), json!(txn.id.as_str()));
    }
    if let Some(may_ask) = &plan.may_ask {
        claims.insert("may_ask".into(), json!(may_ask.to_string()));
    }
    claims
}
