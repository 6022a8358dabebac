//! Parameters of a form or a query. Reads generously, as the provider that it stands in for; the broker's own reader
//! is the strict one.

use super::answer::Refused;

/// Parameters in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn parse(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// The first value of `name`.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The first value of `name`, if it is not empty.
    pub(super) fn filled(&self, name: &str) -> Option<&str> {
        self.one(name).filter(|value| !value.is_empty())
    }

    /// Every value of `name`.
    pub(super) fn all<'f>(&'f self, name: &str) -> impl Iterator<Item = &'f str> {
        self.0.iter().filter(move |(held, _)| held == name).map(|(_, value)| value.as_str())
    }

    /// Refuses a parameter that stands twice; `audience` may (RFC 8693 §2.1).
    pub(super) fn without_repeats(self) -> Result<Self, Refused> {
        let repeated = self.0.iter().any(|(name, _)| name != "audience" && self.all(name).nth(1).is_some());
        if repeated { Err(Refused::invalid_request("duplicated parameter")) } else { Ok(self) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_audience_may_stand_twice() {
        assert!(Form::parse(b"audience=a&audience=b&scope=c").without_repeats().is_ok());
        let refused = Form::parse(b"scope=a&scope=a").without_repeats().err();
        assert_eq!(refused, Some(Refused::invalid_request("duplicated parameter")));
    }
}
