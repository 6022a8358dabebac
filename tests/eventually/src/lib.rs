//! The one place where a test waits: an interval and a deadline, never a guess at how long something takes.

use std::{
    future::Future,
    time::{Duration, Instant},
};

const INTERVAL: Duration = Duration::from_millis(5);
const DEADLINE: Duration = Duration::from_secs(20);
/// For a real Keycloak on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// Asks again and again until there is something, for at most 20 seconds; then fails with `what`.
///
/// # Panics
/// At the deadline: that is how a test fails.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, ask: impl FnMut() -> F) -> T {
    within(DEADLINE, what, ask).await
}

/// The same, for at most three minutes: for what a real Keycloak must start for.
///
/// # Panics
/// At the deadline.
pub async fn patiently<T, F: Future<Output = Option<T>>>(what: &str, ask: impl FnMut() -> F) -> T {
    within(PATIENCE, what, ask).await
}

async fn within<T, F: Future<Output = Option<T>>>(deadline: Duration, what: &str, mut ask: impl FnMut() -> F) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(started.elapsed() < deadline, "waited {} s in vain: {what}", deadline.as_secs());
        tokio::time::sleep(INTERVAL).await;
    }
}
