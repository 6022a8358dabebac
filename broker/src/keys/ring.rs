//! The broker's own keys and what each is for now. A key is published first, so that everybody holds it when it begins to
//! sign; once another signs, it verifies until the last token that it signed has ended; a revoked one never comes back.
//! Pure: it is told what time it is, and each change is a new value, to be stored before it counts.

mod sealed;

use std::{sync::Arc, time::Duration};

use identity::UnixTime;

use super::{
    Algorithm, KeyFault, Keys,
    due::{Due, Moment},
    pair::SigningKey,
};

/// Keys at a time, revoked ones aside: one that signs, its successor, and those whose tokens have not ended yet.
pub(crate) const KEYS_MAX: usize = 8;
/// Revoked keys that are remembered by name. All keys are sealed as one, so that not even a forgotten one comes back alone.
const REVOKED_MAX: usize = 256;
/// How long a key verifies after it has stopped to sign: the longest token (120 s), the leeway (30 s), and a margin.
const RETIREMENT: Duration = Duration::from_secs(180);

/// How keys change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// What the next key will be for.
    pub(crate) algorithm: Algorithm,
    /// How long a key is published before it signs.
    pub(crate) publication: Duration,
    /// After how long with one key the next is published.
    pub(crate) rotate_every: Duration,
}

/// All keys. Exactly one of them signs.
#[derive(Clone, Debug)]
pub(crate) struct Ring {
    /// Oldest first.
    keys: Vec<Key>,
    /// Oldest first.
    revoked: Vec<Revoked>,
}

#[derive(Clone, Debug)]
struct Key {
    pair: Arc<SigningKey>,
    /// In this state since then.
    since: UnixTime,
    state: State,
}

/// What a key is for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Everybody may learn it; it signs from then on.
    Published(Due),
    /// It signs.
    Signing,
    /// It signs no more, and verifies until then.
    Retired(Due),
}

#[derive(Clone, Debug)]
struct Revoked {
    kid: String,
    algorithm: Algorithm,
    since: UnixTime,
}

/// That something happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) change: Change,
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It can be learned.
    Published,
    /// It signs.
    Signing,
    /// It signs no more.
    Retired,
    /// It verifies no more: whatever it signed has ended.
    Removed,
    /// It verifies no more, whatever it signed.
    Revoked,
}

/// One key for a person.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    /// The last that happened to it.
    pub(crate) state: Change,
    pub(crate) since: UnixTime,
    /// What will happen to it next, and when.
    pub(crate) next: Option<(Change, UnixTime)>,
}

/// Why keys were not changed. They are as they were.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RingFault {
    /// The next key waits already.
    #[error("the successor `{0}` is published already and will sign soon")]
    SuccessorWaits(String),
    /// Too many keys verify.
    #[error("there are {KEYS_MAX} keys already; the oldest is removed once the tokens that it signed have ended")]
    Full,
    /// No key has this name.
    #[error("there is no key `{0}`; `countersign keys list` names all")]
    Unknown(String),
    /// No key could be made.
    #[error(transparent)]
    Key(#[from] KeyFault),
}

impl Ring {
    /// A first key, which signs at once: nobody knows another.
    pub(crate) fn first(algorithm: Algorithm, at: Moment) -> Result<(Self, Vec<Event>), KeyFault> {
        let mut ring = Self { keys: Vec::new(), revoked: Vec::new() };
        let signing = ring.add(algorithm, State::Signing, at)?;
        Ok((ring, vec![signing]))
    }

    /// A key that signed before there were states.
    pub(crate) fn of_one(pkcs8: &[u8], since: UnixTime) -> Result<Self, KeyFault> {
        let pair = Arc::new(SigningKey::read(Algorithm::Es256, pkcs8)?);
        Ok(Self { keys: vec![Key { pair, since, state: State::Signing }], revoked: Vec::new() })
    }

    /// The keys as everybody uses them.
    pub(crate) fn in_use(&self) -> Result<Keys, KeyFault> {
        let signs = |key: &&Key| key.state == State::Signing;
        let active = self.keys.iter().find(signs).map(|key| Arc::clone(&key.pair)).ok_or(KeyFault::Missing)?;
        let revoked = self.revoked.iter().map(|key| key.kid.clone()).collect();
        Keys::new(active, self.keys.iter().map(|key| key.pair.public()), revoked)
    }

    /// What is due at `at`: a successor signs, a retired key goes, a key that signed for long gets a successor.
    pub(crate) fn advance(&mut self, terms: &Terms, at: Moment) -> Result<Vec<Event>, KeyFault> {
        for key in &mut self.keys {
            key.since = key.since.min(at.wall);
            key.state = match key.state {
                State::Published(due) => State::Published(due.bounded(terms.publication, at)),
                State::Signing => State::Signing,
                State::Retired(due) => State::Retired(due.bounded(RETIREMENT, at)),
            };
        }
        let mut events = self.promote(at, |due| due.passed(at));
        let gone = |key: &Key| matches!(key.state, State::Retired(due) if due.passed(at));
        events.extend(self.keys.iter().filter(|key| gone(key)).map(|key| key.event(Change::Removed)));
        self.keys.retain(|key| !gone(key));
        let signs_long = |key: &Key| key.state == State::Signing && key.since.until(at.wall) >= terms.rotate_every;
        if self.keys.iter().any(signs_long) && self.successor().is_none() && self.keys.len() < KEYS_MAX {
            events.push(self.add(terms.algorithm, State::Published(Due::after(terms.publication, at)), at)?);
        }
        Ok(events)
    }

    /// Publishes a successor.
    pub(crate) fn rotate(&mut self, terms: &Terms, at: Moment) -> Result<Vec<Event>, RingFault> {
        if let Some(successor) = self.successor() {
            return Err(RingFault::SuccessorWaits(successor.pair.kid().to_owned()));
        }
        if self.keys.len() >= KEYS_MAX {
            return Err(RingFault::Full);
        }
        Ok(vec![self.add(terms.algorithm, State::Published(Due::after(terms.publication, at)), at)?])
    }

    /// Takes a key away at once; nothing happens where that is done already. In the place of the one that signed the
    /// successor signs, or a new key that nobody has learned yet.
    pub(crate) fn revoke(&mut self, kid: &str, terms: &Terms, at: Moment) -> Result<Vec<Event>, RingFault> {
        if self.revoked.iter().any(|key| key.kid == kid) {
            return Ok(Vec::new());
        }
        let place = self.keys.iter().position(|key| key.pair.kid() == kid);
        let key = self.keys.remove(place.ok_or_else(|| RingFault::Unknown(kid.to_owned()))?);
        let mut events = vec![key.event(Change::Revoked)];
        let algorithm = key.pair.algorithm();
        self.revoked.push(Revoked { kid: kid.to_owned(), algorithm, since: at.wall });
        self.revoked.drain(..self.revoked.len().saturating_sub(REVOKED_MAX));
        if key.state == State::Signing {
            let promoted = self.promote(at, |_due| true);
            if promoted.is_empty() {
                events.push(self.add(terms.algorithm, State::Signing, at)?);
            }
            events.extend(promoted);
        }
        Ok(events)
    }

    /// For people: oldest first, revoked ones last.
    pub(crate) fn list(&self, terms: &Terms, at: Moment) -> Vec<Listed> {
        let successor = self.successor().and_then(|key| match key.state {
            State::Published(due) => Some(due.expected(at)),
            State::Signing | State::Retired(_) => None,
        });
        let of_key = |key: &Key| {
            let (state, next) = match key.state {
                State::Published(due) => (Change::Published, (Change::Signing, due.expected(at))),
                State::Signing => {
                    let rotation = key.since.plus(terms.rotate_every.saturating_add(terms.publication));
                    (Change::Signing, (Change::Retired, successor.unwrap_or(rotation)))
                }
                State::Retired(due) => (Change::Retired, (Change::Removed, due.expected(at))),
            };
            let (kid, algorithm) = (key.pair.kid().to_owned(), key.pair.algorithm());
            Listed { kid, algorithm, state, since: key.since, next: Some(next) }
        };
        let of_revoked = |key: &Revoked| {
            let Revoked { kid, algorithm, since } = key.clone();
            Listed { kid, algorithm, state: Change::Revoked, since, next: None }
        };
        self.keys.iter().map(of_key).chain(self.revoked.iter().map(of_revoked)).collect()
    }

    fn successor(&self) -> Option<&Key> {
        self.keys.iter().find(|key| matches!(key.state, State::Published(_)))
    }

    /// Lets the successor sign where `ready` says so of its date, in the place of the key that did.
    fn promote(&mut self, at: Moment, ready: impl Fn(Due) -> bool) -> Vec<Event> {
        let is_ready = |key: &Key| matches!(key.state, State::Published(due) if ready(due));
        let mut events = Vec::new();
        if !self.keys.iter().any(is_ready) {
            return events;
        }
        for key in &mut self.keys {
            let (state, change) = match key.state {
                State::Published(due) if ready(due) => (State::Signing, Change::Signing),
                State::Signing => (State::Retired(Due::after(RETIREMENT, at)), Change::Retired),
                State::Published(_) | State::Retired(_) => continue,
            };
            (key.state, key.since) = (state, at.wall);
            events.push(key.event(change));
        }
        events
    }

    fn add(&mut self, algorithm: Algorithm, state: State, at: Moment) -> Result<Event, KeyFault> {
        let key = Key { pair: Arc::new(SigningKey::generate(algorithm)?), since: at.wall, state };
        let event = key.event(if state == State::Signing { Change::Signing } else { Change::Published });
        self.keys.push(key);
        Ok(event)
    }
}

impl Key {
    fn event(&self, change: Change) -> Event {
        Event { change, kid: self.pair.kid().to_owned(), algorithm: self.pair.algorithm() }
    }
}

impl Change {
    /// The word in record, log and list.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Signing => "signing",
            Self::Retired => "retired",
            Self::Removed => "removed",
            Self::Revoked => "revoked",
        }
    }
}

#[cfg(test)]
mod tests;
