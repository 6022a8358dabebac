//! What a process tells about itself: metrics, readiness, and the log's set-up.
//! Labels and reasons never hold a token, key or header value.

mod escape;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Metric, Registry},
};
use tracing_subscriber::{filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use self::escape::EscapedStderr;

/// Prefix of every metric's name.
const METRICS_PREFIX: &str = "countersign";

/// Metrics and readiness of one process. Clones speak of the same process.
#[derive(Clone)]
pub struct Telemetry(Arc<Shared>);

struct Shared {
    registry: Mutex<Registry>,
    flags: Mutex<Vec<ReadyFlag>>,
    draining: AtomicBool,
    measures: Measures,
}

/// What `runtime` itself measures.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measures {
    pub(crate) connections: Family<ConnectionLabels, Counter>,
    pub(crate) identity_updates: Family<UpdateLabels, Counter>,
    pub(crate) identity_not_after: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ConnectionLabels {
    pub(crate) door: &'static str,
    pub(crate) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct UpdateLabels {
    pub(crate) outcome: &'static str,
}

impl Telemetry {
    /// Metrics and readiness with nothing registered but what `runtime` measures itself.
    #[must_use]
    pub fn new() -> Self {
        let measures = Measures::default();
        let mut registry = Registry::with_prefix(METRICS_PREFIX);
        registry.register("connections", "Connections by door and outcome", measures.connections.clone());
        registry.register(
            "identity_updates",
            "Messages of the Workload API by outcome",
            measures.identity_updates.clone(),
        );
        registry.register(
            "identity_not_after_seconds",
            "End of the held X509-SVID in seconds since 1970",
            measures.identity_not_after.clone(),
        );
        Self(Arc::new(Shared {
            registry: Mutex::new(registry),
            flags: Mutex::default(),
            draining: AtomicBool::new(false),
            measures,
        }))
    }

    /// Registers `metric` as `countersign_<name>`. Keep a clone to count with.
    pub fn register<M: Metric>(&self, name: &str, help: &str, metric: M) {
        lock(&self.0.registry).register(name, help, metric);
    }

    /// A new reason to be not ready, until [`ReadyFlag::ready`] is called on it.
    #[must_use]
    pub fn ready_flag(&self, name: &'static str) -> ReadyFlag {
        let flag = ReadyFlag { name, reason: Arc::new(Mutex::new(Some("starting".to_owned()))) };
        lock(&self.0.flags).push(flag.clone());
        flag
    }

    /// Name and reason of everything that is not ready; empty when the process is ready.
    #[must_use]
    pub fn not_ready(&self) -> Vec<(&'static str, String)> {
        let draining = self.0.draining.load(Ordering::SeqCst).then(|| ("process", "draining".to_owned()));
        let flags = lock(&self.0.flags);
        draining.into_iter().chain(flags.iter().filter_map(ReadyFlag::missing)).collect()
    }

    /// Not ready from now on, whatever the flags say.
    pub(crate) fn drain(&self) {
        self.0.draining.store(true, Ordering::SeqCst);
    }

    /// All metrics in the OpenMetrics text format.
    pub(crate) fn metrics(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &lock(&self.0.registry))?;
        Ok(text)
    }

    pub(crate) fn measures(&self) -> &Measures {
        &self.0.measures
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").field("not_ready", &self.not_ready()).finish_non_exhaustive()
    }
}

/// One thing that must be in order before the process is ready. Clones are the same flag.
#[derive(Clone, Debug)]
pub struct ReadyFlag {
    name: &'static str,
    reason: Arc<Mutex<Option<String>>>,
}

impl ReadyFlag {
    /// In order from now on.
    pub fn ready(&self) {
        if lock(&self.reason).take().is_some() {
            tracing::info!(flag = self.name, "ready");
        }
    }

    /// Not in order, and why: words for an operator, never a secret. Logged when the reason changes.
    pub fn not_ready(&self, reason: impl Into<String>) {
        let reason = reason.into();
        let mut held = lock(&self.reason);
        if held.as_ref() != Some(&reason) {
            tracing::warn!(flag = self.name, reason, "not ready");
            *held = Some(reason);
        }
    }

    fn missing(&self) -> Option<(&'static str, String)> {
        lock(&self.reason).clone().map(|reason| (self.name, reason))
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("`{filter}` is not a log filter")]
pub struct LogFault {
    filter: String,
    #[source]
    source: tracing_subscriber::filter::ParseError,
}

/// Sends JSON log lines to stderr, filtered by `filter` (as in `info,runtime=debug`). A second call changes nothing.
///
/// # Errors
/// `filter` cannot be read.
pub fn log_to_stderr(filter: &str) -> Result<(), LogFault> {
    let parsed = filter.parse::<Targets>().map_err(|source| LogFault { filter: filter.to_owned(), source })?;
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_writer(EscapedStderr::default);
    if tracing_subscriber::registry().with(parsed).with(lines).try_init().is_err() {
        tracing::debug!("logging was set up before");
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_only_when_every_flag_is() {
        let telemetry = Telemetry::new();
        assert!(telemetry.not_ready().is_empty());
        let (identity, policies) = (telemetry.ready_flag("identity"), telemetry.ready_flag("policies"));
        identity.ready();
        assert_eq!(telemetry.not_ready(), [("policies", "starting".to_owned())]);
        policies.ready();
        assert!(telemetry.not_ready().is_empty());
        identity.not_ready("expired");
        assert_eq!(telemetry.not_ready(), [("identity", "expired".to_owned())]);
    }

    #[test]
    fn draining_is_not_ready_whatever_the_flags_say() {
        let telemetry = Telemetry::new();
        telemetry.ready_flag("identity").ready();
        telemetry.drain();
        assert_eq!(telemetry.not_ready(), [("process", "draining".to_owned())]);
    }

    #[test]
    fn a_registered_metric_is_shown_with_the_prefix() {
        let telemetry = Telemetry::new();
        let counter: Counter = Counter::default();
        telemetry.register("exchanges", "Exchanges", counter.clone());
        counter.inc();
        assert!(telemetry.metrics().unwrap().contains("countersign_exchanges_total 1"));
    }

    #[test]
    fn a_broken_filter_is_refused() {
        assert!(log_to_stderr("info,=[").is_err());
    }
}
