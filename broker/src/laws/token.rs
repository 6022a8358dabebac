//! A token as anybody reads it: its payload, without any check. It must use nothing of what issued it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::setting::{Mask, SCOPES, WORKLOADS, workload};

#[derive(Clone)]
pub(super) struct Token {
    pub(super) raw: String,
    pub(super) claims: Value,
    /// Of the header.
    pub(super) typ: String,
    pub(super) scope: Mask,
    /// The oldest first.
    pub(super) actors: Vec<usize>,
    /// `req_wl`, or `client_id` of an access token.
    pub(super) requester: usize,
    pub(super) callee: Option<usize>,
    pub(super) ends: u64,
}

impl Token {
    /// # Panics
    /// A word in it stands for nothing in any setting: nobody can have asked for it.
    pub(super) fn read(raw: &str) -> Self {
        let part = |n: usize| -> Value {
            let part = URL_SAFE_NO_PAD.decode(raw.split('.').nth(n).expect("compact")).expect("base64url");
            serde_json::from_slice(&part).expect("json")
        };
        let (header, claims) = (part(0), part(1));
        let mut actors = Vec::new();
        let mut act = claims.get("act");
        while let Some(actor) = act {
            actors.insert(0, number(&actor["sub"]));
            act = actor.get("act");
        }
        let requester = number(claims.get("req_wl").unwrap_or(&claims["client_id"]));
        Self {
            raw: raw.to_owned(),
            typ: header["typ"].as_str().expect("a type").to_owned(),
            scope: mask(claims.get("scope")),
            actors,
            requester,
            callee: claims.get("callee").map(number),
            ends: claims["exp"].as_u64().expect("an end"),
            claims,
        }
    }

    /// Who may use it as subject.
    pub(super) fn holder(&self) -> usize {
        self.callee.unwrap_or(self.requester)
    }

    pub(super) fn text(&self, claim: &str) -> &str {
        self.claims[claim].as_str().unwrap_or_default()
    }
}

impl std::fmt::Debug for Token {
    /// Its claims say what it is.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.claims)
    }
}

/// The scopes in a claim.
pub(super) fn mask(claim: Option<&Value>) -> Mask {
    let text = claim.and_then(Value::as_str).unwrap_or_default();
    let bit = |word: &str| SCOPES.iter().position(|scope| *scope == word).expect("a scope of the setting");
    text.split_whitespace().fold(0, |mask, word| mask | (1 << bit(word)))
}

fn number(id: &Value) -> usize {
    (0..WORKLOADS).find(|n| id.as_str() == Some(&workload(*n))).expect("a workload of the setting")
}
