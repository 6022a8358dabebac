//! The keys in use now. Readers get a set that never changes; whoever must know of the next one waits for it.

use std::sync::Arc;

use tokio::sync::watch;

use super::Keys;

/// The keys in use. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct InUse(Arc<watch::Sender<Arc<Keys>>>);

impl InUse {
    pub(crate) fn new(keys: Keys) -> Self {
        Self(Arc::new(watch::Sender::new(Arc::new(keys))))
    }

    /// The set in use now. Whoever works in several steps keeps this one for all of them.
    pub(crate) fn current(&self) -> Arc<Keys> {
        Arc::clone(&self.0.borrow())
    }

    /// Tells of each set that comes after the one in use now.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<Keys>> {
        self.0.subscribe()
    }

    pub(super) fn replace(&self, keys: Keys) {
        self.0.send_replace(Arc::new(keys));
    }
}
