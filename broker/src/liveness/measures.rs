//! What an operator sees of the event logs.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};
use runtime::telemetry::Telemetry;

use super::log::LogFault;

/// Counts and gauges. Clones are the same ones.
#[derive(Clone, Debug)]
pub(super) struct Measures {
    looks: Family<LookLabels, Counter>,
    silence: Family<AuthorityLabels, Gauge<f64, AtomicU64>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LookLabels {
    authority: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AuthorityLabels {
    authority: String,
}

impl Measures {
    pub(super) fn new(telemetry: &Telemetry) -> Self {
        let (looks, silence) = (Family::default(), Family::default());
        telemetry.register("event_looks", "Looks at providers' event logs", looks.clone());
        telemetry.register(
            "provider_unconfirmed_seconds",
            "Seconds since a provider's event logs were last read whole",
            silence.clone(),
        );
        Self { looks, silence }
    }

    /// Counts a look at the logs of the authority with this issuer, which is a word of the configuration.
    pub(super) fn looked(&self, issuer: &str, outcome: Result<(), &LogFault>, silence: f64) {
        let (authority, outcome) = (issuer.to_owned(), outcome.map_or_else(LogFault::word, |()| "read"));
        self.looks.get_or_create(&LookLabels { authority: authority.clone(), outcome }).inc();
        self.silence.get_or_create(&AuthorityLabels { authority }).set(silence);
    }
}
