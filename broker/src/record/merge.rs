//! Refusals that come too fast: the first ten a second of one kind are lines, the rest is a count, so that a workload
//! that is refused in a loop cannot fill the disk (`protocol.md` §9).

use std::{collections::HashMap, time::Duration};

use identity::{Entry, SpiffeId};
use tokio::time::Instant;

/// Lines of one kind in one window.
const LINES_MAX: u64 = 10;
const WINDOW: Duration = Duration::from_secs(1);
/// Kinds counted at once; beyond it new kinds share one, so that memory is bounded.
const KINDS_MAX: usize = 4096;

/// One kind of refusal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) requester: SpiffeId,
    pub(super) code: String,
    pub(super) target: String,
}

/// Counts per kind.
#[derive(Debug, Default)]
pub(super) struct Merge(HashMap<Key, Count>);

#[derive(Debug)]
struct Count {
    since: Instant,
    lines: u64,
    merged: u64,
}

impl Key {
    pub(super) fn of(entry: &Entry, code: &str) -> Self {
        let target = entry.target.clone().unwrap_or_default();
        Self { requester: entry.requester.clone(), code: code.to_owned(), target }
    }
}

impl Merge {
    /// Whether a refusal of this kind gets its own line at `now`; otherwise it is counted.
    pub(super) fn admits(&mut self, mut key: Key, now: Instant) -> bool {
        if self.0.len() >= KINDS_MAX && !self.0.contains_key(&key) {
            key = Key { code: "several".to_owned(), target: String::new(), ..key };
        }
        let count = self.0.entry(key).or_insert(Count { since: now, lines: 0, merged: 0 });
        if count.lines < LINES_MAX {
            count.lines = count.lines.saturating_add(1);
            return true;
        }
        count.merged = count.merged.saturating_add(1);
        false
    }

    /// Closes windows that are over at `now`, or all, and returns what was counted in them.
    pub(super) fn close(&mut self, now: Option<Instant>) -> Vec<(Key, u64)> {
        let over = |count: &Count| now.is_none_or(|now| now.saturating_duration_since(count.since) >= WINDOW);
        let closed = self.0.extract_if(|_key, count| over(count));
        closed.filter(|(_key, count)| count.merged > 0).map(|(key, count)| (key, count.merged)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(code: &str) -> Key {
        let requester = SpiffeId::new("spiffe://corp.example/planner").expect("an id");
        Key { requester, code: code.to_owned(), target: "tickets".to_owned() }
    }

    #[test]
    fn ten_a_second_of_one_kind_are_lines_and_the_rest_is_a_count() {
        let (mut merge, start) = (Merge::default(), Instant::now());
        assert_eq!((0..25).filter(|_| merge.admits(key("a"), start)).count(), 10);
        assert!(merge.admits(key("b"), start));
        assert_eq!(merge.close(Some(start + WINDOW / 2)), []);
        assert_eq!(merge.close(Some(start + WINDOW)), [(key("a"), 15)]);
        assert!(merge.admits(key("a"), start + WINDOW));
    }

    #[test]
    fn at_the_end_every_count_comes_out() {
        let (mut merge, start) = (Merge::default(), Instant::now());
        assert_eq!((0..11).filter(|_| merge.admits(key("a"), start)).count(), 10);
        assert_eq!(merge.close(None), [(key("a"), 1)]);
        assert_eq!(merge.close(None), []);
    }

    #[test]
    fn memory_is_bounded_whatever_the_codes() {
        let (mut merge, start) = (Merge::default(), Instant::now());
        for n in 0..1_000_000 {
            merge.admits(key(&n.to_string()), start);
        }
        assert!(merge.0.len() <= KINDS_MAX + 1);
    }
}
