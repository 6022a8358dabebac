//! What the sidecar counts. Labels are doors, codes and outcomes; never a name of a person, token or handle.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use runtime::telemetry::Telemetry;

/// The sidecar's counters. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    requests: Family<RequestLabels, Counter>,
    cache: Family<CacheLabels, Counter>,
    broker: Family<BrokerLabels, Counter>,
    correlations: Family<CorrelationLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    door: &'static str,
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BrokerLabels {
    operation: &'static str,
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CorrelationLabels {
    outcome: String,
}

impl Metrics {
    /// Counters that `telemetry` shows.
    pub(crate) fn new(telemetry: &Telemetry) -> Self {
        let metrics = Self::default();
        telemetry.register("requests", "Requests by door and outcome", metrics.requests.clone());
        telemetry.register("token_cache", "Look-ups in the token cache by outcome", metrics.cache.clone());
        telemetry.register("broker_calls", "Calls to the broker by operation and outcome", metrics.broker.clone());
        telemetry.register(
            "correlations",
            "Calls of the app by what showed their transaction",
            metrics.correlations.clone(),
        );
        metrics
    }

    /// A request was answered: `forwarded` or the code of the refusal.
    pub(crate) fn request(&self, door: &'static str, outcome: &str) {
        self.requests.get_or_create(&RequestLabels { door, outcome: outcome.to_owned() }).inc();
    }

    /// The token cache was asked: `hit`, `miss` or `refresh`.
    pub(crate) fn cache(&self, outcome: &'static str) {
        self.cache.get_or_create(&CacheLabels { outcome }).inc();
    }

    /// The broker was asked: `granted` or the code of the refusal.
    pub(crate) fn broker(&self, operation: &'static str, outcome: &str) {
        self.broker.get_or_create(&BrokerLabels { operation, outcome: outcome.to_owned() }).inc();
    }

    /// The transaction of a call was looked for: `handle`, `trace`, `meta`, `session` or the code of the refusal.
    pub(crate) fn correlation(&self, outcome: &str) {
        self.correlations.get_or_create(&CorrelationLabels { outcome: outcome.to_owned() }).inc();
    }
}
