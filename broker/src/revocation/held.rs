//! What is remembered of one kind: an expiring set, never a cache. When it is full, the next is a fault, and none is
//! forgotten while a token of it could still be shown.

use std::{collections::HashMap, hash::Hash};

use identity::{Refusal, UnixTime};

use super::{Name, Revoked};
use crate::quota::Share;

/// Names of one kind, each until it may be forgotten.
#[derive(Debug)]
pub(super) struct Held<K> {
    max: usize,
    notes: HashMap<K, Note>,
}

/// What is known of a name.
#[derive(Debug)]
pub(super) struct Note {
    /// What was issued up to this second is revoked.
    pub(super) through: UnixTime,
    pub(super) until: UnixTime,
    /// Whether the store knows it.
    pub(super) stored: bool,
    /// Of the workload that revoked its own.
    share: Option<Share>,
}

impl Note {
    /// One that the store does not know, revoked by the workload whose `share` it takes.
    pub(super) const fn new(revoked: &Revoked, share: Option<Share>) -> Self {
        Self { through: revoked.through, until: revoked.until, stored: false, share }
    }

    pub(super) fn of(&self, name: Name) -> Revoked {
        Revoked { name, through: self.through, until: self.until }
    }
}

impl<K: Clone + Eq + Hash> Held<K> {
    pub(super) fn new(max: usize) -> Self {
        Self { max, notes: HashMap::new() }
    }

    /// One that the store remembered.
    pub(super) fn restore(&mut self, name: K, through: UnixTime, until: UnixTime) {
        self.notes.insert(name, Note { through, until, stored: true, share: None });
    }

    /// Remembers `name`, and tells whether that is new. A workload's own wishes fill no more than half, so that there is
    /// room in an incident. Since the first time nothing was issued for a name that is known for as much, so it is
    /// remembered no longer for being told again: nobody keeps it full by repeating.
    ///
    /// # Errors
    /// `fault.overloaded`.
    pub(super) fn add(&mut self, name: &K, note: Note, now: UnixTime) -> Result<bool, Refusal> {
        if let Some(known) = self.notes.get_mut(name).filter(|known| now < known.until) {
            if note.through <= known.through {
                return Ok(false);
            }
            *known = Note { share: known.share.take(), ..note };
            return Ok(true);
        }
        let max = if note.share.is_some() { self.max / 2 } else { self.max };
        if self.notes.len() >= max {
            self.forget(now);
        }
        if self.notes.len() >= max {
            return Err(Refusal::FaultOverloaded);
        }
        self.notes.insert(name.clone(), note);
        Ok(true)
    }

    /// Through which second what bears this name is revoked.
    pub(super) fn through(&self, name: &K) -> Option<UnixTime> {
        self.notes.get(name).map(|note| note.through)
    }

    /// Notes that the store knows `name` as it was told then.
    pub(super) fn stored(&mut self, name: &K, through: UnixTime) {
        if let Some(note) = self.notes.get_mut(name).filter(|note| note.through <= through) {
            note.stored = true;
        }
    }

    /// Whether the store knows `name`.
    pub(super) fn is_stored(&self, name: &K) -> bool {
        self.notes.get(name).is_some_and(|note| note.stored)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &Note)> {
        self.notes.iter()
    }

    pub(super) fn unstored(&self) -> impl Iterator<Item = (&K, &Note)> {
        self.notes.iter().filter(|(_name, note)| !note.stored)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    pub(super) fn forget(&mut self, now: UnixTime) {
        self.notes.retain(|_name, note| now < note.until);
    }
}
