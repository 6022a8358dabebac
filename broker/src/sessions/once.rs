//! Logout tokens that were taken in: each counts once (OpenID Connect Back-Channel Logout 1.0 §2.6). An expiring set,
//! never a cache: when it is full, the next token is a fault, and none is forgotten while it could be shown again.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use identity::{Refusal, UnixTime};

use super::Mark;

/// Most at once, each in about 60 bytes: over 200 logouts a second, as logout tokens live five minutes at most.
const TOKENS_MAX: usize = 65_536;

/// Ids of tokens, each until its token's end.
#[derive(Debug, Default)]
pub(super) struct Once(Mutex<HashMap<Mark, UnixTime>>);

/// A token that was let in. Unless it is kept, dropping this lets it in again: its logout was not done.
#[derive(Debug)]
pub(crate) struct Admitted<'a> {
    once: &'a Once,
    mark: Mark,
    kept: bool,
}

impl Once {
    pub(super) fn admit(&self, mark: Mark, until: UnixTime, now: UnixTime) -> Result<Admitted<'_>, Refusal> {
        let mut tokens = self.lock();
        if tokens.contains_key(&mark) {
            return Err(Refusal::LogoutTokenReplayed);
        }
        if tokens.len() >= TOKENS_MAX {
            tokens.retain(|_mark, until| now < *until);
            if tokens.len() >= TOKENS_MAX {
                tracing::error!(tokens = TOKENS_MAX, "no more logout tokens can be told apart");
                return Err(Refusal::FaultOverloaded);
            }
        }
        tokens.insert(mark, until);
        Ok(Admitted { once: self, mark, kept: false })
    }

    pub(super) fn forget(&self, now: UnixTime) {
        self.lock().retain(|_mark, until| now < *until);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Mark, UnixTime>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admitted<'_> {
    /// Its logout is done.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.once.lock().remove(&self.mark);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(number: usize) -> Mark {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Mark::read(&bytes).expect("a mark")
    }

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs).expect("a time")
    }

    #[test]
    fn a_token_counts_once_unless_its_logout_was_not_done() {
        let once = Once::default();
        drop(once.admit(mark(1), at(120), at(1)).expect("new"));
        once.admit(mark(1), at(120), at(1)).expect("not done before").keep();
        assert_eq!(once.admit(mark(1), at(120), at(1)).err(), Some(Refusal::LogoutTokenReplayed));
        assert_eq!(once.admit(mark(1), at(120), at(1)).err(), Some(Refusal::LogoutTokenReplayed), "and stays known");
        assert!(once.admit(mark(2), at(120), at(1)).is_ok());
    }

    #[test]
    fn when_it_is_full_the_next_is_a_fault_and_none_is_forgotten_before_its_end() {
        let once = Once::default();
        for number in 0..TOKENS_MAX {
            once.admit(mark(number), at(120), at(1)).expect("room").keep();
        }
        assert_eq!(once.admit(mark(TOKENS_MAX), at(130), at(119)).err(), Some(Refusal::FaultOverloaded));
        assert_eq!(once.admit(mark(0), at(120), at(119)).err(), Some(Refusal::LogoutTokenReplayed));
        assert!(once.admit(mark(TOKENS_MAX), at(130), at(120)).is_ok(), "all others have ended");
    }
}
