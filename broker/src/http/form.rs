//! `application/x-www-form-urlencoded`, read strictly: one spelling, one value, nothing repaired
//! (RFC 6749 §3.2 and appendix B; `tokens.md` N4, N7, N8, N9).

use identity::Refusal;
use percent_encoding::percent_decode;
use zeroize::Zeroizing;

/// Most parameters in a request: four times what the largest exchange has.
const PARAMETERS_MAX: usize = 64;
/// Parameters that may stand more than once (RFC 8693 §2.1).
const REPEATABLE: [&str; 2] = ["resource", "audience"];

/// The parameters of a request. Values are wiped when dropped: some are tokens.
pub(crate) struct Form(Vec<(String, Zeroizing<String>)>);

impl Form {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Refusal::RequestMalformed`], [`Refusal::RequestRepeatedParameter`].
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let mut parameters: Vec<(String, Zeroizing<String>)> = Vec::new();
        for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let (name, value) = match pair.iter().position(|byte| *byte == b'=').map(|end| pair.split_at(end)) {
                Some((name, value)) => (name, value.strip_prefix(b"=").unwrap_or_default()),
                None => (pair, [].as_slice()),
            };
            let name = decode(name)?.to_string();
            let repeated = parameters.iter().any(|(known, _value)| *known == name);
            if repeated && !REPEATABLE.contains(&name.as_str()) {
                return Err(Refusal::RequestRepeatedParameter);
            }
            parameters.push((name, decode(value)?));
            if parameters.len() > PARAMETERS_MAX {
                return Err(Refusal::RequestMalformed);
            }
        }
        Ok(Self(parameters))
    }

    /// The value of `name`; an empty value counts as omitted (RFC 6749 appendix B).
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    /// All values of `name` that are not empty.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.0.iter().filter(move |(known, value)| known == name && !value.is_empty());
        named.map(|(_name, value)| value.as_str())
    }
}

impl std::fmt::Debug for Form {
    /// Names only.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _value)| name)).finish()
    }
}

fn decode(text: &[u8]) -> Result<Zeroizing<String>, Refusal> {
    if !escapes_are_whole(text) {
        return Err(Refusal::RequestMalformed);
    }
    let spaced: Zeroizing<Vec<u8>> =
        Zeroizing::new(text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect());
    let decoded: Vec<u8> = percent_decode(&spaced).collect();
    String::from_utf8(decoded).map(Zeroizing::new).map_err(|_not_utf8| Refusal::RequestMalformed)
}

/// Every `%` is followed by two hexadecimal digits.
fn escapes_are_whole(text: &[u8]) -> bool {
    let mut parts = text.split(|byte| *byte == b'%');
    parts.next();
    parts.all(|part| part.first_chunk::<2>().is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(body: &str, name: &str) -> Result<Option<String>, Refusal> {
        Form::parse(body.as_bytes()).map(|form| form.value(name).map(str::to_owned))
    }

    #[test]
    fn values_are_decoded_once() {
        for (body, expected) in [
            ("a=b", Some("b")),
            ("a=b+c", Some("b c")),
            ("a=%2525", Some("%25")),
            ("a=b%3Dc&x=y", Some("b=c")),
            ("a=b=c", Some("b=c")),
            ("%61=b", Some("b")),
            ("a=%C3%A4", Some("ä")),
            ("x=1&&a=b&", Some("b")),
        ] {
            assert_eq!(value(body, "a"), Ok(expected.map(str::to_owned)), "{body}");
        }
    }

    #[test]
    fn an_empty_value_counts_as_omitted() {
        for body in ["", "a", "a=", "b=c"] {
            assert_eq!(value(body, "a"), Ok(None), "{body}");
        }
    }

    #[test]
    fn broken_escapes_and_broken_utf8_are_refused() {
        for body in ["a=%", "a=%4", "a=%zz", "a=%+1", "%=b", "a=%ff", "a=%C3"] {
            assert_eq!(value(body, "a"), Err(Refusal::RequestMalformed), "{body}");
        }
        assert_eq!(Form::parse(b"a=\xff").err(), Some(Refusal::RequestMalformed));
    }

    #[test]
    fn a_parameter_twice_is_refused_in_any_spelling_unless_it_names_a_target() {
        for body in ["a=1&a=1", "a=&a=1", "a=1&%61=2", "scope=x&scope=y"] {
            assert_eq!(value(body, "a"), Err(Refusal::RequestRepeatedParameter), "{body}");
        }
        let form = Form::parse(b"resource=a&resource=b&audience=c&audience=d").expect("a form");
        assert_eq!(form.values("resource").collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn one_parameter_more_than_the_limit_is_refused() {
        let body = |count: usize| (0..count).map(|n| format!("p{n}=x")).collect::<Vec<_>>().join("&");
        assert!(Form::parse(body(PARAMETERS_MAX).as_bytes()).is_ok());
        assert_eq!(Form::parse(body(PARAMETERS_MAX + 1).as_bytes()).err(), Some(Refusal::RequestMalformed));
    }
}
