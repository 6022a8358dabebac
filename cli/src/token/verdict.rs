//! Whether a token verifies, by the very rules of broker and sidecars. Whom it is for is taken from the token itself:
//! that it is for *you* is not said here.

use identity::{
    AccessRule, KeySet, RawToken, Registry, Reserved, SvidRule, TargetSpec, TokenFault, TrustDomain, TxnRule, UnixTime,
    UserRule, verify, workload_id,
};

use super::{keys::Source, kind::Kind, parts::Parts};

/// The broker's client at the provider, as a rule among a user token's audiences.
const BROKER_CLIENT: &str = "txn-broker";

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Form, signature, times and claims hold, with the keys of this source.
    Verified(String),
    /// Its receiver would refuse it.
    Refused {
        /// Why.
        fault: TokenFault,
        /// The code with which it is refused, where this kind of token has one.
        code: Option<String>,
    },
    /// It may be good; nothing is known to verify it with, or nobody verifies this kind. Why.
    Unknown(String),
}

/// Verifies.
pub(super) fn of(token: &RawToken, parts: &Parts, source: &Source, now: UnixTime) -> Verdict {
    let kind = Kind::of(parts);
    let nothing = KeySet::default();
    let keys = match source {
        Source::Keys { keys, .. } => keys,
        // What is wrong with its form is found without keys.
        Source::None(_) => &nothing,
    };
    let proved = match kind {
        Kind::User => user(token, parts, keys, now),
        Kind::Transaction => transaction(token, parts, keys, now),
        Kind::Access => access(token, parts, keys, now),
        Kind::Svid => svid(token, parts, keys, now),
        Kind::Logout | Kind::Id | Kind::Refresh | Kind::Unknown => {
            return Verdict::Unknown("broker and sidecars take no token of this kind from a caller".to_owned());
        }
    };
    match (proved, source) {
        (Ok(()), Source::Keys { of, .. }) => Verdict::Verified(of.clone()),
        (Ok(()) | Err(TokenFault::KeyUnknown), Source::None(why)) => Verdict::Unknown(why.clone()),
        (Err(fault), _) => {
            let code = kind.refusal(fault).map(|refusal| refusal.code().into_owned());
            Verdict::Refused { fault, code }
        }
    }
}

fn user(token: &RawToken, parts: &Parts, keys: &KeySet, now: UnixTime) -> Result<(), TokenFault> {
    let audiences = parts.audiences();
    let audience = audiences.iter().find(|audience| **audience == BROKER_CLIENT).or(audiences.first());
    let issuer = parts.claim("iss").unwrap_or_default();
    verify(token, keys, &UserRule { issuer, audience: audience.copied().unwrap_or_default() }, now).map(drop)
}

fn transaction(token: &RawToken, parts: &Parts, keys: &KeySet, now: UnixTime) -> Result<(), TokenFault> {
    let trust_domain: TrustDomain = the_audience(parts).parse().map_err(|_malformed| TokenFault::Audience)?;
    let issuer = parts.claim("iss").unwrap_or_default();
    verify(token, keys, &TxnRule { issuer, trust_domain: &trust_domain }, now).map(drop)
}

fn access(token: &RawToken, parts: &Parts, keys: &KeySet, now: UnixTime) -> Result<(), TokenFault> {
    let client = parts.claim("client_id").unwrap_or_default();
    let peer = workload_id(client).map_err(|_malformed| TokenFault::Claim("client_id"))?;
    // Only a registry makes an audience, so here is one with the one target that the token names.
    let target = TargetSpec {
        name: "inspected".to_owned(),
        resource: the_audience(parts).to_owned(),
        workload: client.to_owned(),
        connect: "127.0.0.1:1".to_owned(),
        ..TargetSpec::default()
    };
    let registry = Registry::new(vec![target], &Reserved::default()).map_err(|_no_target| TokenFault::Audience)?;
    let target = registry.by_name("inspected").ok_or(TokenFault::Audience)?;
    let issuer = parts.claim("iss").unwrap_or_default();
    verify(token, keys, &AccessRule { issuer, audience: target.audience(), peer: &peer }, now).map(drop)
}

fn svid(token: &RawToken, parts: &Parts, keys: &KeySet, now: UnixTime) -> Result<(), TokenFault> {
    let id = workload_id(parts.claim("sub").unwrap_or_default()).map_err(|_malformed| TokenFault::Claim("sub"))?;
    verify(token, keys, &SvidRule { audience: the_audience(parts), trust_domain: id.trust_domain() }, now).map(drop)
}

fn the_audience(parts: &Parts) -> &str {
    let audiences = parts.audiences();
    audiences.first().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::parts::tests::token, *};

    fn judged(header: &Value, claims: &Value) -> Verdict {
        let token = token(header, claims);
        let parts = Parts::of(&token).expect("parts");
        let now = UnixTime::from_secs(1_000_000).expect("a time");
        of(&token, &parts, &Source::None("no keys".to_owned()), now)
    }

    #[test]
    fn a_bad_form_is_told_without_any_key() {
        let claims = json!({ "typ": "Bearer", "iss": "https://idp" });
        let refused = |fault, code: &str| Verdict::Refused { fault, code: Some(code.to_owned()) };
        assert_eq!(judged(&json!({ "alg": "none" }), &claims), refused(TokenFault::Algorithm, "subject.algorithm"));
        assert_eq!(
            judged(&json!({ "alg": "ES256", "kid": "1", "jwk": {} }), &claims),
            refused(TokenFault::ForbiddenHeader, "subject.forbidden_header")
        );
        let access = json!({ "client_id": "spiffe://corp.example/a", "aud": "nowhere" });
        assert_eq!(
            judged(&json!({ "alg": "ES256", "kid": "1", "typ": "at+jwt" }), &access),
            refused(TokenFault::Audience, "access_token.audience")
        );
    }

    #[test]
    fn without_keys_nothing_is_verified() {
        let good = json!({ "alg": "ES256", "kid": "1", "typ": "JWT" });
        let unknown = Verdict::Unknown("no keys".to_owned());
        assert_eq!(judged(&good, &json!({ "typ": "Bearer" })), unknown);
        assert_eq!(judged(&good, &json!({ "sub": "spiffe://corp.example/a" })), unknown);
        for claims in [json!({ "typ": "ID" }), json!({ "sub": "x" })] {
            assert!(matches!(judged(&good, &claims), Verdict::Unknown(why) if why.contains("no token of this kind")));
        }
    }
}
