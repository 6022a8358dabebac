//! What the policies answer. A permit cannot be made outside this crate, nor copied, and always names its rules.

use std::sync::Arc;

use identity::Scopes;

use crate::Terms;

/// Yes or no.
#[derive(Debug)]
pub enum Decision {
    /// At least one rule permits, none forbids, and no rule failed.
    Permitted(Permitted),
    /// Anything else.
    Denied(Denial),
}

/// The proof that the policies said yes, once.
///
/// It cannot be built from the outside:
/// ```compile_fail,E0451
/// # use policies::{Permitted, Terms};
/// # fn built(rules: Vec<String>, terms: Terms, set: std::sync::Arc<str>) -> Permitted {
/// Permitted { rules, terms, set }
/// # }
/// ```
/// while what it says can be read:
/// ```
/// # use policies::{Permitted, Terms};
/// # fn read(permitted: &Permitted) -> (&[String], &Terms) {
/// (permitted.rules(), permitted.terms())
/// # }
/// ```
/// nor can one answer serve twice:
/// ```compile_fail,E0599
/// # use policies::Permitted;
/// # fn twice(permitted: Permitted) -> (Permitted, Permitted) {
/// (permitted.clone(), permitted)
/// # }
/// ```
#[derive(Debug)]
pub struct Permitted {
    rules: Vec<String>,
    terms: Terms,
    set: Arc<str>,
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// No rule permits it.
    NoRule,
    /// The forbid rule with this id spoke; of several the first by name.
    Forbidden(String),
    /// A rule could not be evaluated, or the question could not be put; the text is for the log only.
    Error(String),
}

/// What the same requester could ask of the same target for the same subject (`protocol.md` §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MayAsk {
    /// The single scopes that would be permitted.
    pub scopes: Scopes,
    /// Whether anything would be permitted, a call without scope included.
    pub anything: bool,
}

impl Permitted {
    /// INVARIANT: `rules` holds at least one id; only the engine calls this.
    pub(crate) const fn by(rules: Vec<String>, terms: Terms, set: Arc<str>) -> Self {
        Self { rules, terms, set }
    }

    /// The stricter of two permits of one set, by the rules of both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.rules.extend(other.rules);
        self.rules.sort();
        self.rules.dedup();
        Self { terms: self.terms.and(&other.terms), ..self }
    }

    /// The ids of the rules that permitted, by name; at least one.
    #[must_use]
    pub fn rules(&self) -> &[String] {
        &self.rules
    }

    /// The strictest of what those rules demand.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The digest of the set that the rules are from.
    #[must_use]
    pub fn set(&self) -> &str {
        &self.set
    }
}
