//! A plain listener that no target names: where data would leak to if a call reached it. It counts, and takes nothing.

use axum::Router;

/// Answers everything alike.
pub(super) fn program() -> Router {
    Router::new().fallback(|| std::future::ready("thank you\n"))
}
