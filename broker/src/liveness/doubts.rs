//! Users and sessions of whom their authority must say again that they may be acted for. A doubt never ends by itself
//! while something rests on it: only an answer that is younger takes it away.

use std::{
    collections::HashMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use identity::UnixTime;

use super::marks;
use crate::sessions::{Mark, SignIn};

/// Most that are remembered one by one. One more puts everybody of that authority in doubt, which costs an answer for
/// each and lets nobody pass.
const DOUBTED_MAX: usize = 131_072;

/// A doubt about a session or a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    pub(crate) mark: Mark,
    /// What the authority gave up to this second says nothing any more.
    pub(crate) through: UnixTime,
    /// When nothing can rest on it any more.
    pub(crate) until: UnixTime,
}

/// All doubts.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    marks: RwLock<HashMap<Mark, Doubt>>,
    everybody: RwLock<HashMap<String, UnixTime>>,
    /// How many came so far. One more is counted before it counts, so that whoever finds it finds the number changed.
    raised: AtomicU64,
}

impl Doubts {
    /// Changes with every doubt.
    pub(super) fn raised(&self) -> u64 {
        self.raised.load(Ordering::SeqCst)
    }

    /// What the store remembered.
    pub(super) fn remember(&self, doubts: Vec<Doubt>) {
        let mut marks = self.marks.write().unwrap_or_else(PoisonError::into_inner);
        marks.extend(doubts.into_iter().map(|doubt| (doubt.mark, doubt)));
    }

    /// Whether what rests on `sign_in` must be confirmed.
    pub(super) fn concern(&self, issuer: &str, sign_in: &SignIn) -> bool {
        let everybody = self.everybody.read().unwrap_or_else(PoisonError::into_inner);
        if everybody.get(issuer).is_some_and(|through| sign_in.confirmed_at <= *through) {
            return true;
        }
        drop(everybody);
        let doubts = self.marks.read().unwrap_or_else(PoisonError::into_inner);
        let is_older = |mark| doubts.get(mark).is_some_and(|doubt| sign_in.confirmed_at <= doubt.through);
        marks(sign_in).into_iter().any(is_older)
    }

    pub(super) fn doubt(&self, issuer: &str, doubt: Doubt, now: UnixTime) {
        self.raised.fetch_add(1, Ordering::SeqCst);
        let mut marks = self.marks.write().unwrap_or_else(PoisonError::into_inner);
        if marks.len() >= DOUBTED_MAX && !marks.contains_key(&doubt.mark) {
            marks.retain(|_mark, known| now < known.until);
            if marks.len() >= DOUBTED_MAX {
                drop(marks);
                tracing::warn!(issuer, "too many users changed to be told apart: everybody's session is asked about");
                self.doubt_everybody(issuer, doubt.through);
                return;
            }
        }
        let known = marks.entry(doubt.mark).or_insert(doubt);
        known.through = known.through.max(doubt.through);
        known.until = known.until.max(doubt.until);
    }

    pub(super) fn doubt_everybody(&self, issuer: &str, through: UnixTime) {
        self.raised.fetch_add(1, Ordering::SeqCst);
        let mut everybody = self.everybody.write().unwrap_or_else(PoisonError::into_inner);
        let known = everybody.entry(issuer.to_owned()).or_insert(through);
        *known = through.max(*known);
    }

    /// Up to which second everybody of this authority is in doubt.
    pub(super) fn everybody_through(&self, issuer: &str) -> Option<UnixTime> {
        self.everybody.read().unwrap_or_else(PoisonError::into_inner).get(issuer).copied()
    }

    pub(super) fn forget(&self, now: UnixTime) {
        self.marks.write().unwrap_or_else(PoisonError::into_inner).retain(|_mark, doubt| now < doubt.until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::tests::sign_in;

    const ISSUER: &str = "https://keycloak.corp.example/realms/agents";

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs).expect("a time")
    }

    fn alice(confirmed_at: u64) -> SignIn {
        sign_in(ISSUER, "s-1", "alice", confirmed_at)
    }

    #[test]
    fn a_doubt_concerns_what_is_older_and_a_younger_answer_takes_it_away() {
        for mark in [alice(1).user, alice(1).session] {
            let doubts = Doubts::default();
            doubts.doubt(ISSUER, Doubt { mark, through: at(100), until: at(200) }, at(100));
            assert!(doubts.concern(ISSUER, &alice(99)) && doubts.concern(ISSUER, &alice(100)));
            assert!(!doubts.concern(ISSUER, &alice(101)), "confirmed since");
            assert!(!doubts.concern(ISSUER, &sign_in(ISSUER, "s-2", "bob", 1)), "somebody else's");
            doubts.doubt(ISSUER, Doubt { mark, through: at(50), until: at(60) }, at(101));
            assert!(doubts.concern(ISSUER, &alice(100)), "an older doubt takes nothing back");
            doubts.forget(at(200));
            assert!(!doubts.concern(ISSUER, &alice(100)), "nothing rests on it any more");
        }
    }

    #[test]
    fn everybody_is_everybody_of_one_authority() {
        let doubts = Doubts::default();
        doubts.doubt_everybody(ISSUER, at(100));
        doubts.doubt_everybody(ISSUER, at(90));
        assert!(doubts.concern(ISSUER, &alice(100)) && !doubts.concern(ISSUER, &alice(101)));
        assert!(!doubts.concern("https://elsewhere", &alice(1)));
    }

    #[test]
    fn more_doubts_than_can_be_told_apart_concern_everybody() {
        let doubts = Doubts::default();
        for number in 0..DOUBTED_MAX {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            let mark = Mark::read(&bytes).expect("a mark");
            doubts.doubt(ISSUER, Doubt { mark, through: at(1), until: at(200) }, at(1));
        }
        assert!(!doubts.concern(ISSUER, &alice(2)));
        doubts.doubt(ISSUER, Doubt { mark: alice(1).user, through: at(2), until: at(200) }, at(2));
        assert!(doubts.concern(ISSUER, &sign_in(ISSUER, "s-9", "bob", 2)));
    }
}
