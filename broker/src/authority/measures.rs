//! What is counted of the calls to providers. Labels are issuers of the configuration and words of our own.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};
use runtime::telemetry::Telemetry;

/// Counters of all authorities; clones count together.
#[derive(Clone, Debug, Default)]
pub(super) struct Measures {
    exchanges: Family<Outcome, Counter>,
    key_fetches: Family<Outcome, Counter>,
    circuit: Family<Of, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    issuer: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    issuer: String,
}

impl Measures {
    pub(super) fn new(telemetry: &Telemetry) -> Self {
        let measures = Self::default();
        let Self { exchanges, key_fetches, circuit } = measures.clone();
        telemetry.register("authority_exchanges", "Exchanges asked of authorities by outcome", exchanges);
        telemetry.register("authority_key_fetches", "Fetches of authorities' keys by outcome", key_fetches);
        telemetry.register("authority_circuit_open", "1 while an authority is left alone because it fails", circuit);
        measures
    }

    pub(super) fn exchange(&self, issuer: &str, outcome: &'static str) {
        self.exchanges.get_or_create(&Outcome { issuer: issuer.to_owned(), outcome }).inc();
    }

    pub(super) fn key_fetch(&self, issuer: &str, outcome: &'static str) {
        self.key_fetches.get_or_create(&Outcome { issuer: issuer.to_owned(), outcome }).inc();
    }

    pub(super) fn circuit(&self, issuer: &str, is_open: bool) {
        self.circuit.get_or_create(&Of { issuer: issuer.to_owned() }).set(i64::from(is_open));
    }
}
