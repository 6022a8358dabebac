//! A token taken apart for the eye, whatever is wrong with it: what verification refuses is shown, so that one sees why.
//! Nothing is believed here; the signature is never decoded.

use base64::{
    Engine as _,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use identity::{JsonFault, RawToken, TokenFault, parse_strict};
use serde_json::{Map, Value};

/// Any spelling of base64url.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Header and claims, unverified.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Parts {
    pub(super) header: Map<String, Value>,
    pub(super) claims: Map<String, Value>,
}

impl Parts {
    /// Takes `token` apart.
    ///
    /// # Errors
    /// The [`TokenFault`] where it is no compact JWS over two JSON objects, or a name stands twice in one.
    pub(super) fn of(token: &RawToken) -> Result<Self, TokenFault> {
        let parts: Vec<_> = token.expose().split('.').collect();
        let [header, claims, _signature] = parts.as_slice() else { return Err(TokenFault::Malformed) };
        Ok(Self { header: object(header)?, claims: object(claims)? })
    }

    /// A text of the header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.header.get(name).and_then(Value::as_str)
    }

    /// A claim that is text.
    pub(super) fn claim(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }

    /// `aud`, which is one text or a list.
    pub(super) fn audiences(&self) -> Vec<&str> {
        match self.claims.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => Vec::new(),
        }
    }
}

fn object(part: &str) -> Result<Map<String, Value>, TokenFault> {
    let bytes = LENIENT.decode(part).map_err(|_no_base64| TokenFault::Malformed)?;
    match parse_strict(&bytes) {
        Ok(Value::Object(members)) => Ok(members),
        Err(JsonFault::RepeatedName) => Err(TokenFault::RepeatedName),
        Ok(_) | Err(JsonFault::TooDeep | JsonFault::Malformed) => Err(TokenFault::Malformed),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A token with this header and these claims, and no good signature.
    pub(crate) fn token(header: &Value, claims: &Value) -> RawToken {
        let encode = |value: &Value| LENIENT.encode(value.to_string()).trim_end_matches('=').to_owned();
        RawToken::parse(format!("{}.{}.c2ln", encode(header), encode(claims))).expect("short")
    }

    #[test]
    fn what_is_never_accepted_is_shown_all_the_same() {
        let parts =
            Parts::of(&token(&json!({ "alg": "none" }), &json!({ "sub": "x", "aud": ["a", "b"] }))).expect("parts");
        assert_eq!((parts.header("alg"), parts.claim("sub")), (Some("none"), Some("x")));
        assert_eq!(parts.audiences(), ["a", "b"]);
    }

    #[test]
    fn what_is_no_token_is_told_without_it() {
        for text in ["a", "a.b", "a.b.c.d", "!.!.!", "e30.W10.x", "e30..x"] {
            let raw = RawToken::parse(text.to_owned()).expect("short");
            assert_eq!(Parts::of(&raw), Err(TokenFault::Malformed), "{text}");
        }
        let twice = format!("e30.{}.x", LENIENT.encode(r#"{"a":1,"a":2}"#));
        assert_eq!(Parts::of(&RawToken::parse(twice).expect("short")), Err(TokenFault::RepeatedName));
    }
}
