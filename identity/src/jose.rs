//! The strict reader of compact JWS (RFC 7515 §7.1), before any key sees a token.
//! One spelling per token: canonical base64url, no repeated names, no header that brings or names a key.

use base64::{
    Engine as _,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::{Map, Value};

use crate::{JsonFault, TokenFault, json::parse_strict, token::TOKEN_LENGTH_MAX};

/// Longest decoded header in bytes: `alg`, `typ` and a `kid` of 128 bytes need far less.
pub const HEADER_LENGTH_MAX: usize = 1024;
/// Longest `kid` in bytes (`security.md` T8).
const KID_LENGTH_MAX: usize = 128;
/// Header parameters that bring or name a key, or change how the rest is read (RFC 7515 §4.1, RFC 7797, RFC 7516).
const FORBIDDEN: [&str; 10] = ["crit", "jku", "x5u", "jwk", "x5c", "x5t", "x5t#S256", "b64", "enc", "zip"];

/// base64url that refuses padding, foreign characters and stray trailing bits (RFC 7515 §2, RFC 4648 §3.5).
pub(crate) const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(false),
);

/// Signature algorithms (RFC 7518 §3.1, RFC 8037). Asymmetric only: `none` and HMAC have no name here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256: our own default and SPIRE's.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// RSASSA-PKCS1-v1_5 with SHA-256: Keycloak's default.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// Ed25519 (RFC 8037).
    EdDsa,
}

impl Algorithm {
    /// The `alg` value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::EdDsa => "EdDSA",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Es256, Self::Es384, Self::Rs256, Self::Ps256, Self::EdDsa].into_iter().find(|known| known.name() == name)
    }
}

/// A token taken apart, not yet verified.
#[derive(Debug)]
pub(crate) struct Compact<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) typ: Option<String>,
    pub(crate) kid: String,
    pub(crate) payload: Map<String, Value>,
    pub(crate) signing_input: &'a str,
    pub(crate) signature: Vec<u8>,
}

impl<'a> Compact<'a> {
    /// Takes `token` apart, or says what is wrong with its form.
    pub(crate) fn parse(token: &'a str) -> Result<Self, TokenFault> {
        if token.len() > TOKEN_LENGTH_MAX {
            return Err(TokenFault::TooLong);
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(TokenFault::Malformed)?;
        let (header, payload) = signing_input.split_once('.').ok_or(TokenFault::Malformed)?;
        if payload.contains('.') {
            return Err(TokenFault::Malformed);
        }
        let header = object(&decode(header)?, HEADER_LENGTH_MAX)?;
        if header.keys().any(|name| FORBIDDEN.contains(&name.as_str())) {
            return Err(TokenFault::ForbiddenHeader);
        }
        let algorithm = text(&header, "alg").ok().and_then(Algorithm::from_name).ok_or(TokenFault::Algorithm)?;
        let typ = match header.get("typ") {
            None => None,
            Some(Value::String(typ)) => Some(typ.clone()),
            Some(_other) => return Err(TokenFault::Type),
        };
        let kid = text(&header, "kid").map_err(|_absent| TokenFault::KeyUnknown)?;
        let printable = |byte: u8| (0x20..=0x7e).contains(&byte);
        if kid.is_empty() || kid.len() > KID_LENGTH_MAX || !kid.bytes().all(printable) {
            return Err(TokenFault::KeyUnknown);
        }
        Ok(Self {
            algorithm,
            typ,
            kid: kid.to_owned(),
            payload: object(&decode(payload)?, TOKEN_LENGTH_MAX)?,
            signing_input,
            signature: decode(signature)?,
        })
    }
}

fn decode(segment: &str) -> Result<Vec<u8>, TokenFault> {
    if segment.is_empty() {
        return Err(TokenFault::Malformed);
    }
    BASE64URL.decode(segment).map_err(|_not_canonical| TokenFault::Malformed)
}

fn object(bytes: &[u8], length_max: usize) -> Result<Map<String, Value>, TokenFault> {
    if bytes.len() > length_max {
        return Err(TokenFault::TooLong);
    }
    match parse_strict(bytes) {
        Ok(Value::Object(members)) => Ok(members),
        Err(JsonFault::RepeatedName) => Err(TokenFault::RepeatedName),
        Ok(_) | Err(JsonFault::TooDeep | JsonFault::Malformed) => Err(TokenFault::Malformed),
    }
}

fn text<'m>(members: &'m Map<String, Value>, name: &'static str) -> Result<&'m str, TokenFault> {
    members.get(name).and_then(Value::as_str).ok_or(TokenFault::Claim(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, payload: &str) -> String {
        format!("{}.{}.{}", BASE64URL.encode(header), BASE64URL.encode(payload), BASE64URL.encode("signature"))
    }

    fn fault(token: &str) -> Option<TokenFault> {
        Compact::parse(token).err()
    }

    #[test]
    fn a_second_spelling_of_base64url_is_refused() {
        let good = token(r#"{"alg":"ES256","kid":"1"}"#, "{}");
        assert_eq!(fault(&good), None);
        let (rest, signature) = good.rsplit_once('.').expect("three parts");
        for spelled in
            [format!("{signature}="), format!("{signature} "), format!("{signature}\n"), signature.replace('U', "+")]
        {
            if spelled != signature {
                assert_eq!(fault(&format!("{rest}.{spelled}")), Some(TokenFault::Malformed), "{spelled:?}");
            }
        }
        // `AB` has four stray bits; the canonical spelling of its one byte is `AA`.
        assert_eq!(fault(&format!("{rest}.AB")), Some(TokenFault::Malformed));
        assert_eq!(fault(&format!("{rest}.AA")), None);
    }

    #[test]
    fn other_forms_than_three_parts_are_refused() {
        let good = token(r#"{"alg":"ES256","kid":"1"}"#, "{}");
        for text in [
            "",
            "a",
            "a.b",
            "..",
            "a..b",
            &format!("{good}.x"),
            &format!("{good}.x.y"),
            r#"{"payload":"","signatures":[]}"#,
        ] {
            assert_eq!(fault(text), Some(TokenFault::Malformed), "{text}");
        }
    }

    #[test]
    fn headers_that_bring_a_key_are_refused() {
        for name in FORBIDDEN {
            let header = format!(r#"{{"alg":"ES256","kid":"1","{name}":["x"]}}"#);
            assert_eq!(fault(&token(&header, "{}")), Some(TokenFault::ForbiddenHeader), "{name}");
        }
    }

    #[test]
    fn symmetric_and_absent_algorithms_are_refused() {
        for alg in ["none", "None", "HS256", "HS512", "es256", ""] {
            let header = format!(r#"{{"alg":"{alg}","kid":"1"}}"#);
            assert_eq!(fault(&token(&header, "{}")), Some(TokenFault::Algorithm), "{alg}");
        }
        assert_eq!(fault(&token(r#"{"kid":"1"}"#, "{}")), Some(TokenFault::Algorithm));
    }

    #[test]
    fn repeated_names_and_odd_kids_are_refused() {
        assert_eq!(fault(&token(r#"{"alg":"ES256","alg":"ES256","kid":"1"}"#, "{}")), Some(TokenFault::RepeatedName));
        assert_eq!(
            fault(&token(r#"{"alg":"ES256","kid":"1"}"#, r#"{"a":{"b":1,"b":1}}"#)),
            Some(TokenFault::RepeatedName)
        );
        for kid in ["", &"k".repeat(KID_LENGTH_MAX + 1), "a\\u0000b", "\\u00e4"] {
            let header = format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#);
            assert_eq!(fault(&token(&header, "{}")), Some(TokenFault::KeyUnknown), "{kid}");
        }
        let longest = format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(KID_LENGTH_MAX));
        assert_eq!(fault(&token(&longest, "{}")), None);
    }
}
