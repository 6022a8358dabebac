//! Counts what looks like a token: compact JWS strings (RFC 7515 §7.1). It never keeps, prints or verifies one.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

/// What every JSON object without leading space looks like in base64url: `{"`.
const OBJECT_START: &str = "eyJ";

/// How many tokens a process received so far. Clones count together.
#[derive(Clone, Debug, Default)]
pub(super) struct TokenCount(Arc<AtomicUsize>);

impl TokenCount {
    /// Counts the tokens in `received`; bytes that are no UTF-8 separate as spaces do.
    pub(super) fn look_at(&self, received: &[u8]) {
        self.0.fetch_add(count_tokens(&String::from_utf8_lossy(received)), Ordering::SeqCst);
    }

    /// Counts the tokens in the process's own arguments and environment.
    pub(super) fn look_at_process(&self) {
        for argument in std::env::args_os() {
            self.look_at(argument.as_encoded_bytes());
        }
        for (name, value) in std::env::vars_os() {
            self.look_at(name.as_encoded_bytes());
            self.look_at(value.as_encoded_bytes());
        }
    }

    /// Tokens so far.
    pub(super) fn total(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// How many compact JWS strings `text` holds: three base64url parts joined by dots, of which the first is a JSON
/// object with the member `alg`. The signature may be empty (`alg` `none`), so that nothing slips through.
#[must_use]
pub fn count_tokens(text: &str) -> usize {
    let in_alphabet = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    text.split(|character| !in_alphabet(character)).map(count_in_run).sum()
}

/// What a token claims, **unverified**: for a demo or a test to look into a token that it holds anyway.
#[must_use]
pub fn claims_of(token: &str) -> Option<serde_json::Value> {
    let payload = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// Counts within a run of characters that tokens are made of. A token's parts belong to no other token.
fn count_in_run(run: &str) -> usize {
    let parts: Vec<&str> = run.split('.').collect();
    let mut rest = parts.as_slice();
    let mut count: usize = 0;
    while let [header, payload, _signature, ..] = rest {
        let taken = if is_header(header) && is_base64url(payload) {
            count = count.saturating_add(1);
            3
        } else {
            1
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    count
}

/// Whether a JOSE header ends the part, also with other characters glued in front of it.
fn is_header(part: &str) -> bool {
    let glued = part.match_indices(OBJECT_START).filter_map(|(start, _found)| part.get(start..));
    std::iter::once(part).chain(glued).any(|candidate| {
        let decoded = BASE64_URL_SAFE_NO_PAD.decode(candidate).ok();
        let object = decoded.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
        object.is_some_and(|object| object.get("alg").is_some())
    })
}

fn is_base64url(part: &str) -> bool {
    !part.is_empty() && BASE64_URL_SAFE_NO_PAD.decode(part).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> String {
        let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", encode(r#"{"alg":"ES256","kid":"1"}"#), encode(r#"{"sub":"alice"}"#), encode("signature"))
    }

    #[test]
    fn a_token_is_found_wherever_it_stands() {
        let token = token();
        for text in [
            token.clone(),
            format!("Bearer {token}"),
            format!(r#"{{"token":"{token}"}}"#),
            format!("/path?access_token={token}&x=1"),
            format!("a.b.{token}"),
            format!("prefix{token}"),
            format!("{token}.trailing"),
        ] {
            assert_eq!(count_tokens(&text), 1, "{text}");
        }
    }

    #[test]
    fn two_tokens_are_two() {
        assert_eq!(count_tokens(&format!("{0} {0}", token())), 2);
        assert_eq!(count_tokens(&format!("{0}.{0}", token())), 2);
    }

    #[test]
    fn an_unsigned_token_counts() {
        let token = token();
        let (unsigned, _signature) = token.rsplit_once('.').expect("three parts");
        assert_eq!(count_tokens(&format!("{unsigned}.")), 1);
    }

    #[test]
    fn what_is_no_token_counts_nothing() {
        for text in [
            "",
            "www.corp.example",
            "1.2.3",
            "127.0.0.1:8080",
            "spiffe://corp.example/ns/agents/sa/planner",
            "eyJhbGciOiJFUzI1NiJ9",
            "eyJhbGciOiJFUzI1NiJ9.eyJ9",
            "bm90LWpzb24.bm90LWpzb24.bm90LWpzb24",
        ] {
            assert_eq!(count_tokens(text), 0, "{text}");
        }
    }

    #[test]
    fn what_a_token_claims_can_be_looked_into() {
        assert_eq!(claims_of(&token()).expect("claims")["sub"], "alice");
        assert_eq!(claims_of("no.token"), None);
    }

    #[test]
    fn bytes_that_are_no_text_hide_nothing() {
        let count = TokenCount::default();
        count.look_at(&[&[0xff, 0x00], token().as_bytes(), &[0xfe]].concat());
        assert_eq!(count.total(), 1);
    }
}
