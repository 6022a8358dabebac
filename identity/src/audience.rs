//! For whom a token is: exactly one registered target.

use std::{fmt, sync::Arc};

/// One target's `resource` URI. Only a [`crate::Registry`] makes one, so it names a registered target;
/// it is never a list and never a pattern (RFC 8707 §2, RFC 9700 §2.3).
///
/// ```
/// # use identity::Registry;
/// fn look_up(registry: &Registry, resource: &str) -> Option<identity::Audience> {
///     registry.by_resource(resource).map(|target| target.audience().clone())
/// }
/// ```
/// It cannot be made from text:
/// ```compile_fail,E0277
/// # use identity::Registry;
/// fn look_up(_registry: &Registry, resource: &str) -> Option<identity::Audience> {
///     resource.parse::<identity::Audience>().ok()
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Audience(Arc<str>);

impl Audience {
    /// For the registry alone.
    pub(crate) fn registered(resource: &str) -> Self {
        Self(resource.into())
    }

    /// The URI, as `aud` carries it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
