//! The look at the event logs, every second. What it finds is acted on before it counts as read: a look that fails
//! anywhere is repeated whole, and confirms nothing.

use std::{error::Error, sync::Arc, time::Duration};

use identity::UnixTime;
use runtime::{causes::causes, clock, shutdown::Shutdown};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::{
    Doubt, Reading,
    log::{EventLog, LogFault, SignedIn},
    measures::Measures,
    told::Meaning,
    window::Window,
};
use crate::{
    parties::Parties,
    record::EndedBy,
    revocation::{By, Ending, end},
    sessions::Whose,
};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest look, whatever its parts may take: some requests of 3 s each.
const LOOK_MAX: Duration = Duration::from_secs(20);
/// How often it is stored how far was read, where nothing else is: a restart reads as much again.
const STORE_EVERY: Duration = Duration::from_secs(10);
/// How often a fault that stays is said again.
const SAY_EVERY: Duration = Duration::from_secs(60);
/// What happened longer ago concerns nothing that still runs: no transaction lives for more than an hour.
const GAP_MAX: Duration = Duration::from_hours(2);
/// How long a doubt is remembered where something rests on it; and where nothing does, for what is being begun.
const DOUBTED: Duration = Duration::from_hours(2);
const DOUBTED_BRIEFLY: Duration = Duration::from_secs(120);

/// How far back an authority is read for which nothing runs yet: as long as it could go unread since the start.
const FIRST_BACK_MS: u64 = 60_000;

/// Where a log is read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// From here, by the authority's clock.
    At(u64),
    /// Something runs, and nothing is known.
    Unknown,
    /// Nothing runs yet.
    New,
}

/// Who looks at one authority's logs.
#[derive(Debug)]
pub(super) struct Poll {
    issuer: String,
    log: EventLog,
    signed_in: Option<SignedIn>,
    /// The realm's own id. It is learned from the first log that shows our own sign-in.
    realm: Option<String>,
    window: Window,
    start: Start,
    stored: Option<Instant>,
    measures: Measures,
    said: Option<(&'static str, Instant)>,
}

impl Poll {
    pub(super) fn new(issuer: String, log: EventLog, start: Start, measures: Measures) -> Self {
        let window = Window::through(match start {
            Start::At(through_ms) => through_ms,
            Start::Unknown | Start::New => 0,
        });
        Self { issuer, log, signed_in: None, realm: None, window, start, stored: None, measures, said: None }
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Looks every second until `shutdown`.
    pub(super) async fn run(mut self, parties: Arc<Parties>, shutdown: Shutdown) {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _tick = ticks.tick() => {}
            }
            let began = Instant::now();
            let look = tokio::select! {
                () = shutdown.cancelled() => return,
                look = timeout(LOOK_MAX, self.look(&parties)) => look.unwrap_or(Err(LogFault::TooSlow)),
            };
            if look.is_ok() {
                parties.liveness.confirm(&self.issuer, began);
            }
            let silence = parties.liveness.silence(&self.issuer).map_or(f64::INFINITY, |silence| silence.as_secs_f64());
            self.measures.looked(&self.issuer, look.as_ref().copied(), silence);
            self.say(look.err());
        }
    }

    /// One look. Dropped half-way, the next one begins where this one did.
    async fn look(&mut self, parties: &Parties) -> Result<(), LogFault> {
        let now = clock::now();
        // A sign-in that failed at something is not used again.
        let held = self.signed_in.take().filter(|held| held.is_fresh(Instant::now()));
        let signed_in = match held {
            Some(held) => held,
            None => self.log.sign_in(&parties.svids, now).await?,
        };
        if *self.realm.get_or_insert_with(|| signed_in.realm.clone()) != signed_in.realm {
            return Err(LogFault::OtherRealm);
        }
        let reached_ms = signed_in.clock.at_least_ms(Instant::now());
        let is_anew = self.begin_anew(parties, &signed_in, reached_ms);
        let seen = self.log.look(&signed_in, self.window.begins_ms()).await?;
        // The authority's answers from here on are younger than what was seen.
        let through = signed_in.clock.at_most(Instant::now());
        let fresh = self.window.fresh(seen.events);
        if seen.overfull {
            tracing::warn!(
                issuer = self.issuer,
                "more events than are read at once: everybody's session is asked about"
            );
            parties.liveness.doubt_everybody(&self.issuer, through);
        } else {
            for event in &fresh {
                self.act(parties, &event.means, through, now).await?;
            }
        }
        self.window.advance(&fresh, reached_ms);
        self.store(parties, is_anew || seen.overfull || !fresh.is_empty(), now).await;
        self.signed_in = Some(signed_in);
        Ok(())
    }

    /// Where it is not known what happened since the last look, everybody must be confirmed. Tells whether that is so.
    fn begin_anew(&mut self, parties: &Parties, signed_in: &SignedIn, reached_ms: u64) -> bool {
        if self.start == Start::New {
            self.start = Start::At(reached_ms);
            self.window = Window::through(reached_ms.saturating_sub(FIRST_BACK_MS));
            return true;
        }
        let kept = signed_in.keeps.unwrap_or(GAP_MAX).min(GAP_MAX);
        let since = Duration::from_millis(reached_ms.saturating_sub(self.window.begins_ms()));
        let is_anew = since >= kept;
        if is_anew {
            tracing::info!(issuer = self.issuer, "the event log is read from here on; who is signed in is asked");
            parties.liveness.doubt_everybody(&self.issuer, signed_in.clock.at_most(Instant::now()));
            self.window = Window::through(reached_ms);
        }
        is_anew
    }

    /// Memory first, where every decision looks, then the store, which a restart reads.
    async fn act(&self, parties: &Parties, means: &Meaning, through: UnixTime, now: UnixTime) -> Result<(), LogFault> {
        let whose = match means {
            Meaning::Nothing => return Ok(()),
            Meaning::Everybody => {
                parties.liveness.doubt_everybody(&self.issuer, through);
                return Ok(());
            }
            Meaning::SessionEnded(session) | Meaning::Session(session) => Whose::Session(session),
            Meaning::User(subject) => Whose::User { subject, through },
        };
        let mark = parties.sessions.mark(&self.issuer, whose);
        // What is being begun just now is not in the store yet, so even then the doubt stays for a while.
        let brief = Doubt { mark, through, until: now.plus(DOUBTED_BRIEFLY) };
        parties.liveness.doubt(&self.issuer, brief, now);
        if !parties.store.rests_on(&mark, now).await.map_err(LogFault::Store)? {
            return Ok(());
        }
        if let Meaning::SessionEnded(session) = means {
            let ending = Ending::AtAuthority(&self.issuer, whose);
            let ended = end(parties, ending, By::Other, now).await.map_err(LogFault::NotDone)?;
            if ended > 0 {
                parties.recorder.session_ended(EndedBy::Event, (&self.issuer, session), ended, now);
            }
            return Ok(());
        }
        let doubt = Doubt { until: now.plus(DOUBTED), ..brief };
        parties.store.doubt(&doubt).await.map_err(LogFault::Store)?;
        parties.liveness.doubt(&self.issuer, doubt, now);
        Ok(())
    }

    /// Stores how far was read: at once where something was learned, and now and then. A store that cannot makes a restart
    /// read the same again, and nothing is lost.
    async fn store(&mut self, parties: &Parties, is_due: bool, now: UnixTime) {
        if !is_due && self.stored.is_some_and(|stored| stored.elapsed() < STORE_EVERY) {
            return;
        }
        let doubted_through = parties.liveness.doubts.everybody_through(&self.issuer);
        let reading = Reading { through_ms: self.window.through_ms(), confirmed_at: now, doubted_through };
        self.stored = Some(Instant::now());
        if let Err(fault) = parties.store.put_reading(&self.issuer, &reading).await {
            let error: &(dyn Error + 'static) = &fault;
            tracing::warn!(issuer = self.issuer, error, "how far the event log was read cannot be stored");
        }
    }

    /// Says a fault when it comes and then once a minute, and its end.
    fn say(&mut self, fault: Option<LogFault>) {
        let Some(fault) = fault else {
            if self.said.take().is_some() {
                tracing::info!(issuer = self.issuer, "the provider's event log is read again");
            }
            return;
        };
        let is_new = self.said.is_none_or(|(word, at)| word != fault.word() || at.elapsed() >= SAY_EVERY);
        if !is_new {
            return;
        }
        self.said = Some((fault.word(), Instant::now()));
        let (issuer, cause) = (self.issuer.as_str(), causes(&fault));
        match fault.remedy(self.log.client_id()) {
            Some(remedy) => tracing::error!(issuer, cause, remedy, "the provider's event log cannot be read"),
            None => tracing::warn!(issuer, cause, "the provider's event log cannot be read"),
        }
    }
}
