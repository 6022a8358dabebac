//! What a token allows. Scopes can be parsed and intersected; nothing here can add one.

use std::{collections::BTreeSet, fmt};

/// Most scopes that one set may hold: a target has at most as many (`protocol.md` §4), an edge lists fewer.
pub const SCOPES_MAX: usize = 64;
/// Longest scope token in bytes; longer ones are a mistake.
const SCOPE_LENGTH_MAX: usize = 128;

/// A set of scope tokens (RFC 6749 §3.3). Compared literally: no hierarchy, no wildcard.
///
/// ```
/// # use identity::Scopes;
/// let asked: Scopes = "tickets:read tickets:write".parse()?;
/// let held: Scopes = "tickets:read".parse()?;
/// assert_eq!(asked.intersect(&held), held);
/// # Ok::<(), identity::ScopeFault>(())
/// ```
/// Two sets cannot be joined:
/// ```compile_fail,E0599
/// # use identity::Scopes;
/// let asked: Scopes = "tickets:read tickets:write".parse()?;
/// let held: Scopes = "tickets:read".parse()?;
/// assert_eq!(asked.union(&held), held);
/// # Ok::<(), identity::ScopeFault>(())
/// ```
/// and no scope can be put in:
/// ```compile_fail,E0599
/// # use identity::Scopes;
/// let mut held: Scopes = "tickets:read".parse()?;
/// held.insert("tickets:write");
/// # Ok::<(), identity::ScopeFault>(())
/// ```
/// nor collected, nor had from nowhere:
/// ```compile_fail,E0277
/// # use identity::Scopes;
/// let held: Scopes = ["tickets:write"].into_iter().collect();
/// ```
/// ```compile_fail,E0277
/// # use identity::Scopes;
/// fn made<T: Default>() -> T { T::default() }
/// let held: Scopes = made();
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scopes(BTreeSet<String>);

/// Why a scope string was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeFault {
    /// A character outside `%x21 / %x23-5B / %x5D-7E`, or an empty token between two spaces.
    #[error("a scope holds a character that RFC 6749 section 3.3 forbids")]
    Character,
    /// More than [`SCOPES_MAX`] scopes.
    #[error("more than {SCOPES_MAX} scopes")]
    TooMany,
    /// A token longer than 128 bytes.
    #[error("a scope is longer than {SCOPE_LENGTH_MAX} bytes")]
    TooLong,
}

impl Scopes {
    /// The empty set: allows nothing that needs a scope.
    #[must_use]
    pub const fn none() -> Self {
        Self(BTreeSet::new())
    }

    /// What both sets hold.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    /// This set without the scopes that speak to an OpenID provider only (OpenID Connect Core §5.4, §11).
    #[must_use]
    pub fn without_openid(&self) -> Self {
        const OPENID: [&str; 6] = ["openid", "profile", "email", "address", "phone", "offline_access"];
        Self(self.0.iter().filter(|scope| !OPENID.contains(&scope.as_str())).cloned().collect())
    }

    /// One set for each scope held, in order.
    pub fn singles(&self) -> impl Iterator<Item = Self> + '_ {
        self.0.iter().map(|scope| Self(BTreeSet::from([scope.clone()])))
    }

    /// The scopes of this set for which `decide` says yes; it is asked with one scope at a time.
    #[must_use]
    pub fn keep(&self, mut decide: impl FnMut(&Self) -> bool) -> Self {
        Self(self.singles().filter(|single| decide(single)).flat_map(|single| single.0).collect())
    }

    /// Whether every scope of this set is in `other`.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    /// Whether `scope` is held.
    #[must_use]
    pub fn holds(&self, scope: &str) -> bool {
        self.0.contains(scope)
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The scopes, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl std::str::FromStr for Scopes {
    type Err = ScopeFault;

    /// Space separated tokens; the empty string is the empty set; a token twice counts once.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self::none());
        }
        let mut held = BTreeSet::new();
        for token in text.split(' ') {
            if token.len() > SCOPE_LENGTH_MAX {
                return Err(ScopeFault::TooLong);
            }
            let allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
            if token.is_empty() || !token.bytes().all(allowed) {
                return Err(ScopeFault::Character);
            }
            held.insert(token.to_owned());
            if held.len() > SCOPES_MAX {
                return Err(ScopeFault::TooMany);
            }
        }
        Ok(Self(held))
    }
}

impl fmt::Display for Scopes {
    /// Sorted, separated by single spaces: the form that tokens carry.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_outside_the_grammar_are_refused() {
        for text in ["a\"b", "a\\b", "a  b", " a", "a ", "ä", "a\tb", "a\nb"] {
            assert_eq!(text.parse::<Scopes>(), Err(ScopeFault::Character), "{text:?}");
        }
    }

    #[test]
    fn one_scope_more_than_the_limit_is_refused() {
        let text = |count: usize| (0..count).map(|n| format!("s{n}")).collect::<Vec<_>>().join(" ");
        assert_eq!(text(SCOPES_MAX).parse::<Scopes>().map(|scopes| scopes.len()), Ok(SCOPES_MAX));
        assert_eq!(text(SCOPES_MAX + 1).parse::<Scopes>(), Err(ScopeFault::TooMany));
    }

    #[test]
    fn scopes_for_the_openid_provider_are_left_out() {
        let scopes: Scopes = "openid profile tickets:read".parse().expect("scopes");
        assert_eq!(scopes.without_openid().to_string(), "tickets:read");
    }
}
