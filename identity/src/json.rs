//! Strict JSON: no repeated name at any depth, bounded depth. Everything that a signature or a decision rests on
//! is read through here, so that no two readers see two documents.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Deepest nesting of arrays and objects (`security.md` §1).
pub const JSON_DEPTH_MAX: usize = 16;

const REPEATED: &str = "repeated name";
const TOO_DEEP: &str = "nested deeper";

/// Why a document was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// A name stands twice in one object.
    #[error("a name stands twice in one object")]
    RepeatedName,
    /// Nested deeper than [`JSON_DEPTH_MAX`].
    #[error("nested deeper than {JSON_DEPTH_MAX}")]
    TooDeep,
    /// Not JSON (RFC 8259), or a number outside of what can be held.
    #[error("not JSON")]
    Malformed,
}

/// Reads one JSON document (RFC 8259) and refuses repeated names, depth over [`JSON_DEPTH_MAX`] and trailing bytes.
///
/// # Errors
/// The [`JsonFault`].
pub fn parse_strict(bytes: &[u8]) -> Result<Value, JsonFault> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0 }.deserialize(&mut reader).map_err(|error| classify(&error))?;
    reader.end().map_err(|error| classify(&error))?;
    Ok(value)
}

fn classify(error: &serde_json::Error) -> JsonFault {
    let text = error.to_string();
    if text.starts_with(REPEATED) {
        JsonFault::RepeatedName
    } else if text.starts_with(TOO_DEEP) || text.starts_with("recursion limit") {
        JsonFault::TooDeep
    } else {
        JsonFault::Malformed
    }
}

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= JSON_DEPTH_MAX {
            return Err(E::custom(TOO_DEEP));
        }
        Ok(Self { depth: self.depth.saturating_add(1) })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let seed = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(seed)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let seed = self.deeper()?;
        let mut members = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            let value = access.next_value_seed(seed)?;
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom(REPEATED));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_name_is_refused_at_any_depth() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"x":[{"a":1,"\u0061":2}]}"#] {
            assert_eq!(parse_strict(text.as_bytes()), Err(JsonFault::RepeatedName), "{text}");
        }
    }

    #[test]
    fn one_level_more_than_the_limit_is_refused() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse_strict(nested(JSON_DEPTH_MAX).as_bytes()).is_ok());
        assert_eq!(parse_strict(nested(JSON_DEPTH_MAX + 1).as_bytes()), Err(JsonFault::TooDeep));
        assert_eq!(parse_strict(nested(5000).as_bytes()), Err(JsonFault::TooDeep));
    }

    #[test]
    fn what_is_not_one_document_is_refused() {
        for text in ["", "{", "{} {}", "{\"a\":1e400}", "nul", "{'a':1}", "\u{feff}{}"] {
            assert_eq!(parse_strict(text.as_bytes()), Err(JsonFault::Malformed), "{text}");
        }
    }
}
