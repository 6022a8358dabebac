//! Whether what was begun may still go on by the word of its authority (`protocol.md` §7). Keycloak's two event logs are
//! read every second; what they say ends sessions, or puts users and sessions in doubt. What is in doubt gets nothing more
//! until the authority has confirmed it, and an authority that has confirmed nothing for a minute is one for whose users
//! nothing more is issued. No fault, and no answer that is not understood, is ever taken for a yes.
//!
//! `poll` reads (`log`, `window`, `told`), `settle` asks about what is in doubt and keeps keepers fresh; [`Liveness`] is
//! what an exchange looks at.

mod clock;
mod doubts;
mod log;
mod measures;
mod poll;
mod settle;
mod told;
mod window;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use identity::{Refusal, UnixTime};
use runtime::{shutdown::Shutdown, telemetry::Telemetry};
use tokio::{sync::Notify, time::Instant};

pub(crate) use self::doubts::Doubt;
use self::{
    doubts::Doubts,
    log::EventLog,
    measures::Measures,
    poll::{Poll, Start},
};
use crate::{
    config::AuthorityConfig,
    parties::Parties,
    sessions::{Mark, SignIn},
    store::{Store, Transaction},
};

/// What an exchange looks at.
#[derive(Debug)]
pub(crate) struct Liveness {
    watched: HashMap<String, Watched>,
    doubts: Doubts,
}

/// One authority whose event logs are read.
#[derive(Debug)]
struct Watched {
    /// When a look that saw everything began; `None` where that is longer ago than this machine runs.
    confirmed: Mutex<Option<Instant>>,
    within: Duration,
    doubted: Notify,
}

/// Who reads the logs of one authority.
#[derive(Debug)]
pub(crate) struct Watcher(Poll);

/// What the store knows of an authority's logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Up to where they were read, in milliseconds since 1970 by the authority's clock.
    pub(crate) through_ms: u64,
    /// When that was, by our clock.
    pub(crate) confirmed_at: UnixTime,
    /// What the authority gave up to this second is in doubt, whosever it is.
    pub(crate) doubted_through: Option<UnixTime>,
}

impl Liveness {
    /// Knows what the store remembers, and who has to read on. Nothing is asked yet. An authority that was read lately has
    /// what is left of its time to be read again, a new one all of it.
    ///
    /// # Errors
    /// The store does not answer; an issuer is none of Keycloak's; no HTTP client can be built.
    pub(crate) async fn open(
        authorities: &[AuthorityConfig],
        store: &Store,
        telemetry: &Telemetry,
        now: UnixTime,
    ) -> anyhow::Result<(Self, Vec<Watcher>)> {
        let mut liveness = Self::nobody();
        liveness.doubts.remember(store.doubted(now).await.context("cannot read which users are in doubt")?);
        let (measures, mut watchers) = (Measures::new(telemetry), Vec::new());
        for config in authorities {
            let Some(log) = EventLog::of(config)? else { continue };
            let reading = store.reading(&config.issuer).await.context("cannot read how far event logs were read")?;
            let ago = reading.map_or(Duration::ZERO, |reading| reading.confirmed_at.until(now));
            let confirmed = Mutex::new(Instant::now().checked_sub(ago));
            let watched = Watched { confirmed, within: config.confirm_within, doubted: Notify::new() };
            if let Some(through) = reading.and_then(|reading| reading.doubted_through) {
                liveness.doubts.doubt_everybody(&config.issuer, through);
            }
            liveness.watched.insert(config.issuer.clone(), watched);
            let runs_any = store.runs_any(&config.issuer, now).await.context("cannot read what runs")?;
            let start = match reading {
                Some(reading) => Start::At(reading.through_ms),
                None if runs_any => Start::Unknown,
                None => Start::New,
            };
            watchers.push(Watcher(Poll::new(config.issuer.clone(), log, start, measures.clone())));
        }
        Ok((liveness, watchers))
    }

    /// Watches no authority: none has event logs.
    pub(crate) fn nobody() -> Self {
        Self { watched: HashMap::new(), doubts: Doubts::default() }
    }

    /// Whether the authority with this issuer has told lately who is signed in.
    ///
    /// # Errors
    /// `fault.unconfirmed`.
    pub(crate) fn check(&self, issuer: &str) -> Result<(), Refusal> {
        let Some(watched) = self.watched.get(issuer) else { return Ok(()) };
        if watched.is_confirmed(Instant::now()) { Ok(()) } else { Err(Refusal::FaultUnconfirmed) }
    }

    /// Whether the authority must confirm `transaction` before anything is given for it.
    pub(crate) fn is_doubted(&self, transaction: &Transaction) -> bool {
        self.doubts.concern(&transaction.authority, &transaction.sign_in)
    }

    /// Changes with every doubt: an answer to a question of before it may be older than what is in doubt.
    pub(crate) fn doubts_raised(&self) -> u64 {
        self.doubts.raised()
    }

    /// From now on what rests on `mark` must be confirmed, where the authority gave it up to `through`.
    fn doubt(&self, issuer: &str, doubt: Doubt, now: UnixTime) {
        self.doubts.doubt(issuer, doubt, now);
        self.wake(issuer);
    }

    /// The same of everybody at this authority.
    fn doubt_everybody(&self, issuer: &str, through: UnixTime) {
        self.doubts.doubt_everybody(issuer, through);
        self.wake(issuer);
    }

    /// A look that began at `since` saw everything.
    fn confirm(&self, issuer: &str, since: Instant) {
        if let Some(watched) = self.watched.get(issuer) {
            *watched.confirmed.lock().unwrap_or_else(PoisonError::into_inner) = Some(since);
        }
    }

    /// How long ago that was.
    fn silence(&self, issuer: &str) -> Option<Duration> {
        let confirmed = *self.watched.get(issuer)?.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        confirmed.map(|confirmed| confirmed.elapsed())
    }

    fn wake(&self, issuer: &str) {
        if let Some(watched) = self.watched.get(issuer) {
            watched.doubted.notify_one();
        }
    }

    /// Until something is in doubt that was not. May be dropped at any time.
    async fn woken(&self, issuer: &str) {
        match self.watched.get(issuer) {
            Some(watched) => watched.doubted.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Lets go of what need not be remembered any more.
    pub(crate) fn forget(&self, now: UnixTime) {
        self.doubts.forget(now);
    }
}

impl Watched {
    fn is_confirmed(&self, now: Instant) -> bool {
        let confirmed = *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        confirmed.is_some_and(|confirmed| now.saturating_duration_since(confirmed) < self.within)
    }
}

impl Watcher {
    /// Reads the logs, and asks about what they put in doubt, until `shutdown`.
    pub(crate) fn start(self, parties: &Arc<Parties>, shutdown: &Shutdown) {
        let issuer = self.0.issuer().to_owned();
        shutdown.spawn("keepers", settle::run(Arc::clone(parties), issuer, shutdown.clone()));
        shutdown.spawn("events", self.0.run(Arc::clone(parties), shutdown.clone()));
    }
}

/// What a doubt is about, where it rests on `sign_in`.
fn marks(sign_in: &SignIn) -> [&Mark; 2] {
    [&sign_in.session, &sign_in.user]
}

#[cfg(test)]
mod tests;
