//! The broker's answers, read strictly (RFC 8693 §2.2). What is no clear answer is a fault, never a permit.

use std::{fmt, time::Duration};

use serde_json::Value;

use identity::{RawToken, Refusal, parse_strict};

/// Tokens that the broker issued.
pub(crate) struct Issued {
    /// What was asked for.
    pub(crate) token: RawToken,
    /// The callee's transaction token, where the target passes on.
    pub(crate) txn_token: Option<RawToken>,
    /// Life of `token` from now.
    pub(crate) expires_in: Duration,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

/// Reads a success, which must hold a token of the type that was asked for.
///
/// # Errors
/// [`Refusal::FaultBroker`].
pub(super) fn granted(answer: &[u8], issued_type: &str) -> Result<Issued, Refusal> {
    read(answer, issued_type).ok_or_else(|| {
        tracing::error!("the broker's answer cannot be understood");
        Refusal::FaultBroker
    })
}

fn read(answer: &[u8], issued_type: &str) -> Option<Issued> {
    let answer = parse_strict(answer).ok()?;
    if answer.get("issued_token_type").and_then(Value::as_str) != Some(issued_type) {
        return None;
    }
    let token = |value: &Value| RawToken::parse(value.as_str()?.to_owned()).ok();
    let txn_token = match answer.get("txn_token") {
        None => None,
        Some(value) => Some(token(value)?),
    };
    Some(Issued {
        token: answer.get("access_token").and_then(token)?,
        txn_token,
        expires_in: Duration::from_secs(answer.get("expires_in")?.as_u64()?),
    })
}

/// Longest time for which a yes to a call in the own name may hold (`protocol.md` §6), in seconds.
const ALLOWED_MAX: u64 = 60;

/// Reads a yes to a call in the own name, and how long it holds.
///
/// # Errors
/// [`Refusal::FaultBroker`].
pub(super) fn allowed(answer: &[u8]) -> Result<Duration, Refusal> {
    let read = || {
        let answer = parse_strict(answer).ok()?;
        let yes = answer.get("decision").and_then(Value::as_str) == Some("allowed");
        let expires_in = answer.get("expires_in")?.as_u64().filter(|secs| yes && *secs <= ALLOWED_MAX)?;
        Some(Duration::from_secs(expires_in))
    };
    read().ok_or_else(|| {
        tracing::error!("the broker's answer cannot be understood");
        Refusal::FaultBroker
    })
}

/// Reads an error. A code that is not known, or none, is a fault of the broker.
pub(super) fn refused(answer: &[u8]) -> Refusal {
    let answer = parse_strict(answer).ok();
    let code = answer.as_ref().and_then(|answer| answer.get("refusal")).and_then(Value::as_str);
    code.and_then(Refusal::from_code).unwrap_or(Refusal::FaultBroker)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";

    #[test]
    fn a_grant_is_read_with_both_tokens() {
        let answer = format!(
            r#"{{"access_token":"a","issued_token_type":"{TYPE}","token_type":"Bearer","expires_in":60,"txn_token":"t"}}"#
        );
        let issued = granted(answer.as_bytes(), TYPE).expect("a grant");
        assert_eq!(issued.expires_in, Duration::from_secs(60));
        assert!(issued.txn_token.is_some());
    }

    #[test]
    fn an_unclear_answer_is_a_fault() {
        let other = TYPE.replace("access", "txn");
        for answer in [
            String::new(),
            "{}".to_owned(),
            "<html>".to_owned(),
            format!(r#"{{"access_token":"a","issued_token_type":"{other}","expires_in":60}}"#),
            format!(r#"{{"access_token":"","issued_token_type":"{TYPE}","expires_in":60}}"#),
            format!(r#"{{"access_token":"a","issued_token_type":"{TYPE}","expires_in":"60"}}"#),
            format!(r#"{{"access_token":"a","issued_token_type":"{TYPE}","expires_in":60,"txn_token":null}}"#),
            format!(r#"{{"access_token":"a","access_token":"b","issued_token_type":"{TYPE}","expires_in":60}}"#),
        ] {
            assert_eq!(granted(answer.as_bytes(), TYPE).err(), Some(Refusal::FaultBroker), "{answer}");
        }
    }

    #[test]
    fn the_brokers_code_is_kept_and_an_unknown_one_is_a_fault() {
        for (answer, refusal) in [
            (r#"{"error":"invalid_scope","refusal":"scope.not_permitted"}"#, Refusal::ScopeNotPermitted),
            (r#"{"refusal":"policy.deny-no-mfa"}"#, Refusal::PolicyForbidden("deny-no-mfa".into())),
            (r#"{"refusal":"fault.provider"}"#, Refusal::FaultProvider),
            (r#"{"refusal":"nonsense"}"#, Refusal::FaultBroker),
            (r#"{"error":"invalid_request"}"#, Refusal::FaultBroker),
            ("Bad Gateway", Refusal::FaultBroker),
        ] {
            assert_eq!(refused(answer.as_bytes()), refusal, "{answer}");
        }
    }
}
