//! How far an event log has been read. Keycloak gives an event the time at which its doing began and shows it when that is
//! done, so each look reaches back over the last one, and what was seen there is remembered: none is missed, none counts
//! twice. All times are Keycloak's own, in milliseconds since 1970.

use std::collections::{HashMap, HashSet};

use super::told::Event;

/// How far a look reaches back: longer than a sign-out takes that waits for every login client's answer.
pub(super) const OVERLAP_MS: u64 = 30_000;

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Window {
    through_ms: u64,
    seen: HashMap<String, u64>,
}

impl Window {
    /// A log that has been read up to here.
    pub(super) fn through(through_ms: u64) -> Self {
        Self { through_ms, seen: HashMap::new() }
    }

    /// Where the next look begins.
    pub(super) const fn begins_ms(&self) -> u64 {
        self.through_ms.saturating_sub(OVERLAP_MS)
    }

    /// Up to where everything was read.
    pub(super) const fn through_ms(&self) -> u64 {
        self.through_ms
    }

    /// Those of `events` that were not seen before.
    pub(super) fn fresh(&self, events: Vec<Event>) -> Vec<Event> {
        let mut ids = HashSet::new();
        let is_new = |event: &Event| !self.seen.contains_key(&event.id) && ids.insert(event.id.clone());
        events.into_iter().filter(is_new).collect()
    }

    /// Notes that all up to `now_ms` was read and `done` was acted on. Never goes back.
    pub(super) fn advance(&mut self, done: &[Event], now_ms: u64) {
        self.through_ms = self.through_ms.max(now_ms);
        self.seen.extend(done.iter().map(|event| (event.id.clone(), event.at_ms)));
        let from = self.begins_ms();
        self.seen.retain(|_id, at_ms| *at_ms >= from);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::told::Meaning, *};

    fn event(id: &str, at_ms: u64) -> Event {
        Event { id: id.to_owned(), at_ms, realm: "r".to_owned(), means: Meaning::Nothing }
    }

    fn ids(events: &[Event]) -> Vec<&str> {
        events.iter().map(|event| event.id.as_str()).collect()
    }

    #[test]
    fn an_event_that_is_shown_late_is_seen_once_and_none_twice() {
        let mut window = Window::through(100_000);
        assert_eq!(window.begins_ms(), 70_000);
        let first = window.fresh(vec![event("a", 99_000), event("a", 99_000), event("b", 100_500)]);
        assert_eq!(ids(&first), ["a", "b"]);
        window.advance(&first, 101_000);
        let late = window.fresh(vec![event("late", 98_000), event("a", 99_000), event("b", 100_500)]);
        assert_eq!(ids(&late), ["late"]);
        window.advance(&late, 102_000);
        assert!(window.fresh(vec![event("late", 98_000)]).is_empty());
    }

    #[test]
    fn what_lies_behind_the_window_is_forgotten_and_time_never_goes_back() {
        let mut window = Window::through(100_000);
        window.advance(&[event("a", 100_000)], 110_000);
        window.advance(&[], 105_000);
        assert_eq!((window.through_ms(), window.seen.len()), (110_000, 1));
        window.advance(&[], 130_001);
        assert_eq!((window.begins_ms(), window.seen.len()), (100_001, 0));
    }

    #[test]
    fn a_look_that_failed_moves_nothing() {
        let window = Window::through(100_000);
        let fresh = window.fresh(vec![event("a", 100_000)]);
        assert_eq!(ids(&window.fresh(fresh)), ["a"], "it was not acted on");
    }
}
