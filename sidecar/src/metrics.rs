//! What the sidecar counts. Labels are doors, codes and outcomes; never a name of a person, token or handle.

use std::fmt;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder},
    metrics::{MetricType, counter::Counter, family::Family, gauge::Gauge},
};

use crate::snapshot::Snapshots;
use runtime::telemetry::Telemetry;

/// The sidecar's counters. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    requests: Family<RequestLabels, Counter>,
    cache: Family<CacheLabels, Counter>,
    broker: Family<BrokerLabels, Counter>,
    correlations: Family<CorrelationLabels, Counter>,
    revocations: Gauge,
    ended: Family<EndedLabels, Counter>,
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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndedLabels {
    reason: &'static str,
}

/// How old the broker's last good word is, told when it is asked for; nothing before the first one.
#[derive(Debug)]
struct Age(Snapshots);

impl EncodeMetric for Age {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.age().map_or(Ok(()), |age| encoder.encode_gauge(&age.as_secs_f64()))
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

impl Metrics {
    /// Counters that `telemetry` shows, and the age of what `snapshots` hold.
    pub(crate) fn new(telemetry: &Telemetry, snapshots: Snapshots) -> Self {
        let metrics = Self::default();
        telemetry.register("snapshot_age_seconds", "Time since the broker's last good snapshot", Age(snapshots));
        telemetry.register("revocations", "Revocations in the snapshot in force", metrics.revocations.clone());
        telemetry.register(
            "exchanges_ended",
            "Exchanges that were ended before their answer was, by reason",
            metrics.ended.clone(),
        );
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

    /// So many revocations are in force.
    pub(crate) fn revocations(&self, count: usize) {
        self.revocations.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Exchanges were ended: `revoked` or `silence`.
    pub(crate) fn ended(&self, reason: &'static str, count: usize) {
        self.ended.get_or_create(&EndedLabels { reason }).inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }
}
