//! Typed reading of a verified payload. A claim of the wrong type is refused, never taken as absent (CVE-2026-25537).

use std::time::Duration;

use serde_json::{Map, Value};

use crate::{ActorChain, Lifetime, Scopes, SpiffeId, TokenFault, UnixTime, workload_id};

/// How far the issuer's clock may be ahead of ours (`tokens.md` §7.10). It never lengthens a life.
const SKEW: Duration = Duration::from_secs(30);
/// Most audiences of a user's token (`security.md` §1).
const AUDIENCES_MAX: usize = 16;

/// The payload of a token whose signature holds, and `kid` of the key by which it does.
#[derive(Debug)]
pub struct Claims(Map<String, Value>, String);

impl Claims {
    pub(super) const fn new(payload: Map<String, Value>, key: String) -> Self {
        Self(payload, key)
    }

    /// `kid` of the key that verified it.
    pub(super) fn key(&self) -> String {
        self.1.clone()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub(super) fn text(&self, name: &'static str) -> Result<&str, TokenFault> {
        self.0.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).ok_or(TokenFault::Claim(name))
    }

    pub(super) fn parsed<T: std::str::FromStr>(&self, name: &'static str) -> Result<T, TokenFault> {
        self.text(name)?.parse().map_err(|_malformed| TokenFault::Claim(name))
    }

    pub(super) fn optional<T: std::str::FromStr>(&self, name: &'static str) -> Result<Option<T>, TokenFault> {
        if self.has(name) { self.parsed(name).map(Some) } else { Ok(None) }
    }

    pub(super) fn spiffe_id(&self, name: &'static str) -> Result<SpiffeId, TokenFault> {
        workload_id(self.text(name)?).map_err(|_malformed| TokenFault::Claim(name))
    }

    pub(super) fn optional_spiffe_id(&self, name: &'static str) -> Result<Option<SpiffeId>, TokenFault> {
        if self.has(name) { self.spiffe_id(name).map(Some) } else { Ok(None) }
    }

    /// `scope`, which may be the empty string; `None` where the claim is absent.
    pub(super) fn scopes(&self, name: &'static str) -> Result<Option<Scopes>, TokenFault> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => text.parse().map(Some).map_err(|_malformed| TokenFault::Claim(name)),
            Some(_other) => Err(TokenFault::Claim(name)),
        }
    }

    pub(super) fn chain(&self) -> Result<ActorChain, TokenFault> {
        ActorChain::from_act(self.0.get("act").ok_or(TokenFault::Actors)?)
    }

    pub(super) fn issued_by(&self, issuer: &str) -> Result<(), TokenFault> {
        if self.text("iss") == Ok(issuer) { Ok(()) } else { Err(TokenFault::Issuer) }
    }

    /// `aud` is exactly this one string.
    pub(super) fn only_for(&self, audience: &str) -> Result<(), TokenFault> {
        if self.text("aud") == Ok(audience) { Ok(()) } else { Err(TokenFault::Audience) }
    }

    /// `aud` is this string or a list with nothing else in it.
    pub(super) fn solely_for(&self, audience: &str) -> Result<(), TokenFault> {
        match self.0.get("aud") {
            Some(Value::Array(list)) if matches!(list.as_slice(), [Value::String(one)] if one == audience) => Ok(()),
            Some(Value::String(one)) if one == audience => Ok(()),
            _other => Err(TokenFault::Audience),
        }
    }

    /// `aud` is this string or a list of at most 16 strings that holds it.
    pub(super) fn also_for(&self, audience: &str) -> Result<(), TokenFault> {
        match self.0.get("aud") {
            Some(Value::String(one)) if one == audience => Ok(()),
            Some(Value::Array(list))
                if list.len() <= AUDIENCES_MAX
                    && list.iter().all(Value::is_string)
                    && list.iter().any(|one| one == audience) =>
            {
                Ok(())
            }
            _other => Err(TokenFault::Audience),
        }
    }

    /// `exp` must be ahead; `nbf` and `iat`, where they stand, not. `iat` is required if `issued` says so.
    pub(super) fn alive(&self, issued: Issued, now: UnixTime) -> Result<Lifetime, TokenFault> {
        let lifetime = Lifetime::until(self.date("exp")?.ok_or(TokenFault::Claim("exp"))?);
        if lifetime.expired(now) {
            return Err(TokenFault::Expired);
        }
        let latest = now.plus(SKEW);
        if self.date("nbf")?.is_some_and(|nbf| nbf > latest) {
            return Err(TokenFault::NotYetValid);
        }
        match (self.date("iat")?, issued) {
            (None, Issued::Required) => Err(TokenFault::Claim("iat")),
            (Some(iat), _) if iat > latest => Err(TokenFault::NotYetValid),
            (Some(_) | None, _) => Ok(lifetime),
        }
    }

    /// `iat`, which must stand.
    pub(super) fn issued_at(&self) -> Result<UnixTime, TokenFault> {
        self.date("iat")?.ok_or(TokenFault::Claim("iat"))
    }

    pub(super) fn names(&self, list: Option<&Value>, claim: &'static str) -> Result<Vec<String>, TokenFault> {
        let Some(list) = list else { return Ok(Vec::new()) };
        let items = list.as_array().ok_or(TokenFault::Claim(claim))?;
        items.iter().map(|item| item.as_str().map(str::to_owned).ok_or(TokenFault::Claim(claim))).collect()
    }

    /// A NumericDate: a whole, non-negative number up to the year 9999; never a string or a fraction.
    fn date(&self, name: &'static str) -> Result<Option<UnixTime>, TokenFault> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        value.as_u64().and_then(UnixTime::from_secs).map(Some).ok_or(TokenFault::Claim(name))
    }
}

/// Whether `iat` must stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Issued {
    Required,
    Optional,
}
