//! Follows the X.509 stream of the Workload API for the life of the process: connect, take messages, connect again.
//! Every wait has a bound, so that an agent which stands still is noticed before our SVID ends.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt as _};
use identity::{SpiffeId, UnixTime};
use spiffe::{WorkloadApiClient, WorkloadApiError, X509Context};
use tokio::{
    sync::watch,
    time::{error::Elapsed, timeout},
};

use super::{ANSWER_MAX, Identity, State, material::MessageFault};
use crate::{
    backoff::{Backoff, spread},
    causes::causes,
    clock,
    telemetry::{Measures, ReadyFlag, Telemetry, UpdateLabels},
};

/// A stream that says nothing for this long is opened anew: cheap on the same host, and it finds a half-open agent.
const QUIET_MAX: Duration = Duration::from_secs(600);
/// Not more often than this, even with an SVID about to end.
const QUIET_MIN: Duration = Duration::from_secs(1);

pub(super) struct Follower {
    endpoint: String,
    hint: Option<String>,
    state: watch::Sender<State>,
    flag: ReadyFlag,
    measures: Measures,
    backoff: Backoff,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum StreamFault {
    #[error("the Workload API did not answer in time")]
    TimedOut(#[from] Elapsed),
    #[error("the Workload API failed")]
    Api(#[from] WorkloadApiError),
    #[error("the Workload API sent what cannot be used")]
    Message(#[from] MessageFault),
    #[error("the Workload API closed the stream")]
    Closed,
}

impl StreamFault {
    /// Whether the Workload API said that we have no identity: that is loss, not an outage.
    fn is_loss(&self) -> bool {
        match self {
            Self::Api(fault) => {
                matches!(fault, WorkloadApiError::NoIdentityIssued | WorkloadApiError::PermissionDenied(_))
            }
            Self::Message(MessageFault::NoSuchHint(_)) => true,
            Self::Message(_) | Self::TimedOut(_) | Self::Closed => false,
        }
    }
}

impl Follower {
    pub(super) fn new(
        endpoint: &str,
        hint: Option<String>,
        state: watch::Sender<State>,
        telemetry: &Telemetry,
    ) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            hint,
            state,
            flag: telemetry.ready_flag("identity"),
            measures: telemetry.measures().clone(),
            backoff: Backoff::default(),
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            match self.stream().await {
                Ok(()) => tracing::debug!("the Workload API was quiet, asking anew"),
                Err(fault) => self.fail(&fault).await,
            }
        }
    }

    /// Takes messages until the stream was quiet for its time (`Ok`) or failed.
    async fn stream(&mut self) -> Result<(), StreamFault> {
        let client = timeout(ANSWER_MAX, WorkloadApiClient::connect_to(&self.endpoint)).await??;
        let stream = timeout(ANSWER_MAX, client.stream_x509_contexts()).await??;
        let mut stream = pin!(stream);
        // The first message must come at once (Workload API §5.2.1); later ones when something changes.
        self.take(timeout(ANSWER_MAX, stream.next()).await?)?;
        self.follow(stream).await
    }

    async fn follow(
        &mut self,
        mut stream: impl Stream<Item = Result<X509Context, WorkloadApiError>> + Unpin,
    ) -> Result<(), StreamFault> {
        loop {
            match timeout(self.quiet(clock::now()), stream.next()).await {
                Ok(message) => self.take(message)?,
                Err(_quiet) => {
                    self.report(clock::now(), "a new one has not come");
                    return Ok(());
                }
            }
        }
    }

    fn take(&mut self, message: Option<Result<X509Context, WorkloadApiError>>) -> Result<(), StreamFault> {
        let context = message.ok_or(StreamFault::Closed)??;
        let current = self.held();
        let current_id: Option<&SpiffeId> = current.as_deref().map(Identity::id);
        let identity = Identity::of(&context, self.hint.as_deref(), current_id)?;
        self.backoff.reset();
        if current.is_some_and(|current| current.is_same_as(&identity)) {
            self.count("unchanged");
        } else {
            self.count("taken");
            tracing::info!(id = %identity.id(), not_after = identity.not_after().secs(), "identity taken");
            self.measures.identity_not_after.set(i64::try_from(identity.not_after().secs()).unwrap_or(i64::MAX));
            self.state.send_replace(State::Held(Arc::new(identity)));
        }
        self.report(clock::now(), "the Workload API gave it so");
        Ok(())
    }

    async fn fail(&mut self, fault: &StreamFault) {
        if fault.is_loss() {
            self.count("lost");
            self.state.send_replace(State::Lost);
            self.measures.identity_not_after.set(0);
        } else {
            self.count("failed");
        }
        let cause = causes(fault);
        self.report(clock::now(), &cause);
        let wait = self.backoff.next(spread());
        tracing::warn!(
            endpoint = self.endpoint,
            cause,
            retry_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            "no stream from the Workload API"
        );
        tokio::time::sleep(wait).await;
    }

    /// Sets the readiness flag to what is true at `now`; `cause` says why it is not better.
    fn report(&self, now: UnixTime, cause: &str) {
        match &*self.state.borrow() {
            State::Waiting => self.flag.not_ready(format!("no identity yet: {cause}")),
            State::Lost => self.flag.not_ready(format!("no identity: {cause}")),
            State::Held(identity) if identity.not_after() <= now => {
                self.flag.not_ready(format!("the X509-SVID has expired: {cause}"));
            }
            State::Held(identity) if identity.is_nearly_over(now) => {
                self.flag.not_ready(format!("the X509-SVID is about to expire: {cause}"));
            }
            State::Held(_) => self.flag.ready(),
        }
    }

    fn held(&self) -> Option<Arc<Identity>> {
        match &*self.state.borrow() {
            State::Held(identity) => Some(Arc::clone(identity)),
            State::Waiting | State::Lost => None,
        }
    }

    /// How long the stream may say nothing: half of what the SVID has left, for rotation comes at half-life.
    fn quiet(&self, now: UnixTime) -> Duration {
        let left = self.held().map(|identity| now.until(identity.not_after())).unwrap_or_default();
        left.checked_div(2).unwrap_or_default().clamp(QUIET_MIN, QUIET_MAX)
    }

    fn count(&self, outcome: &'static str) {
        self.measures.identity_updates.get_or_create(&UpdateLabels { outcome }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_is_loss() {
        assert!(StreamFault::Api(WorkloadApiError::NoIdentityIssued).is_loss());
        assert!(StreamFault::Api(WorkloadApiError::PermissionDenied("no".to_owned())).is_loss());
        assert!(StreamFault::Message(MessageFault::NoSuchHint("internal".to_owned())).is_loss());
        assert!(!StreamFault::Api(WorkloadApiError::EmptyResponse).is_loss());
        assert!(!StreamFault::Message(MessageFault::NoBundle).is_loss());
        assert!(!StreamFault::Closed.is_loss());
    }
}
