//! Good words, words that cannot be understood, and none: by the clock of the test.

use std::{sync::Arc, time::Duration};

use super::*;
use crate::{
    snapshot::tests::{tickets, told},
    transactions::{Brought, Exchange},
};
use identity::Refusal;
use runtime::{clock, telemetry::Telemetry};

/// A sidecar with an exchange in progress.
struct Ear {
    telemetry: Telemetry,
    hearing: Arc<Hearing>,
    exchange: Exchange,
    minding: tokio::task::JoinSet<()>,
}

impl Ear {
    fn open() -> Self {
        let (telemetry, snapshots, transactions) = (Telemetry::new(), Snapshots::default(), Transactions::default());
        let exchange = transactions.open(Brought::default(), clock::now()).expect("opens");
        let ready = telemetry.ready_flag("targets");
        let metrics = Metrics::new(&telemetry, snapshots.clone());
        let hearing = Arc::new(Hearing::new(snapshots, transactions, metrics, ready));
        let mut minding = tokio::task::JoinSet::new();
        let own = Arc::clone(&hearing);
        minding.spawn(async move { own.mind_silence().await });
        Self { telemetry, hearing, exchange, minding }
    }

    fn missing(&self) -> Option<String> {
        self.telemetry.not_ready().into_iter().next().map(|(_flag, reason)| reason)
    }

    /// Whether the exchange has ended, and why.
    async fn ended(&self) -> Option<Refusal> {
        let ended = Arc::clone(self.exchange.transaction()).ended();
        tokio::time::timeout(Duration::from_millis(1), ended).await.ok()
    }
}

async fn passed(wait: Duration) {
    tokio::time::sleep(wait).await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_goes_on_speaking_is_trusted() {
    let ear = Ear::open();
    assert_eq!(ear.missing().as_deref(), Some("the broker has not told the targets"));
    for _word in 0..20 {
        ear.hearing.hear(told(vec![tickets()]));
        assert_eq!(ear.missing(), None);
        passed(SILENCE_MAX - Duration::from_secs(1)).await;
    }
    assert_eq!((ear.missing(), ear.ended().await), (None, None));
    assert!(ear.hearing.snapshots.current().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_silent_broker_is_not_and_its_next_word_mends_it() {
    let ear = Ear::open();
    ear.hearing.hear(told(vec![tickets()]));
    passed(SILENCE_MAX + Duration::from_millis(1)).await;
    assert_eq!(ear.hearing.snapshots.current().err(), Some(Refusal::FaultNotReady));
    assert!(ear.missing().is_some_and(|reason| reason.contains("60 s")), "{:?}", ear.missing());
    assert_eq!(ear.ended().await, Some(Refusal::FaultNotReady));
    for _twice in 0..2 {
        ear.hearing.hear(told(vec![tickets()]));
        assert!(ear.missing().is_none() && ear.hearing.snapshots.current().is_ok());
        passed(SILENCE_MAX + Duration::from_millis(1)).await;
        assert!(ear.missing().is_some() && ear.hearing.snapshots.current().is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_word_that_cannot_be_understood_is_silence() {
    let ear = Ear::open();
    let unreadable = || {
        let revocations = api::Revocations { tokens: vec![String::new()], ..api::Revocations::default() };
        api::Snapshot { generation: 2, revocations: Some(revocations), ..told(Vec::new()) }
    };
    ear.hearing.hear(unreadable());
    assert!(ear.missing().is_some() && !ear.hearing.snapshots.any());
    ear.hearing.hear(told(vec![tickets()]));
    for _second in 0..SILENCE_MAX.as_secs() {
        assert_eq!(ear.hearing.snapshots.current().expect("the good one").generation, 1);
        passed(Duration::from_secs(1)).await;
        ear.hearing.hear(unreadable());
    }
    passed(Duration::from_millis(1)).await;
    assert!(ear.missing().is_some() && ear.hearing.snapshots.current().is_err());
    assert_eq!(ear.ended().await, Some(Refusal::FaultNotReady));
}

/// As after SIGSTOP or a frozen cgroup: the word is read before the clock is looked at.
#[tokio::test(start_paused = true)]
async fn a_silence_that_nobody_noticed_ends_everything_at_the_next_word() {
    let mut ear = Ear::open();
    ear.hearing.hear(told(vec![tickets()]));
    ear.minding.shutdown().await;
    passed(SILENCE_MAX - Duration::from_millis(1)).await;
    ear.hearing.hear(told(vec![tickets()]));
    assert_eq!(ear.ended().await, None, "in time");
    passed(SILENCE_MAX).await;
    ear.hearing.hear(told(vec![tickets()]));
    assert_eq!(ear.ended().await, Some(Refusal::FaultNotReady), "what was revoked meanwhile may be told no longer");
    assert_eq!(ear.missing(), None);
}
