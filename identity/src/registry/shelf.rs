//! The targets of one kind, to be found by name, resource or host. It finds; it permits nothing.

use std::sync::Arc;

use crate::Perimeter;

/// What every kind of target has.
pub trait AnyTarget {
    /// Its name.
    fn name(&self) -> &str;

    /// Where it begins and ends.
    fn perimeter(&self) -> &Perimeter;
}

/// The targets of one kind in a registry.
#[derive(Debug)]
pub struct Shelf<'r, T>(pub(super) &'r [Arc<T>]);

impl<T> Clone for Shelf<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shelf<'_, T> {}

impl<'r, T: AnyTarget> Shelf<'r, T> {
    /// All of them.
    pub fn iter(self) -> impl Iterator<Item = &'r Arc<T>> {
        self.0.iter()
    }

    /// The target with this name.
    #[must_use]
    pub fn by_name(self, name: &str) -> Option<&'r Arc<T>> {
        self.iter().find(|target| target.name() == name)
    }

    /// The target with exactly this resource URI, byte for byte (`security.md` T3).
    #[must_use]
    pub fn by_resource(self, resource: &str) -> Option<&'r Arc<T>> {
        self.iter().find(|target| target.perimeter().audience().as_str() == resource)
    }

    /// The target that apps call by this host (`name[:80]`, any case) and whose resource covers the path.
    #[must_use]
    pub fn by_host(self, host: &str, path: &str) -> Option<&'r Arc<T>> {
        self.iter().find(|target| target.perimeter().is_called(host) && target.perimeter().covers(path))
    }

    /// Whether any target is called by this host, whatever the path.
    #[must_use]
    pub fn knows_host(self, host: &str) -> bool {
        self.iter().any(|target| target.perimeter().is_called(host))
    }
}
