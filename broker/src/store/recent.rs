//! Transactions that were read a moment ago, so that not every call reads the file. It holds nothing that the file does not
//! say: whoever changes a transaction says so before and after, and in between nothing is kept. What is found here still has
//! to stand: its life, its session and revocation are looked at on every call.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use identity::TransactionId;
use tokio::time::Instant;

use super::Transaction;

/// Most rows in each of two generations, together about 10 MB.
const GENERATION_MAX: usize = 8192;
/// How long a row counts: no doubt about what is in the file lasts for longer.
const AGE_MAX: Duration = Duration::from_secs(5);
/// How long nothing is kept after a change that was given up half-way: the file may be changed all the same, as long as
/// the database waits for a lock.
const UNSURE_FOR: Duration = Duration::from_secs(30);

/// The rows. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent(Arc<Mutex<Rows>>);

#[derive(Debug, Default)]
struct Rows {
    young: HashMap<TransactionId, Row>,
    old: HashMap<TransactionId, Row>,
    /// How many changes began or ended so far.
    changes: u64,
    under_way: usize,
    unsure_until: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Row {
    read: Instant,
    transaction: Arc<Transaction>,
}

/// The file is being read since then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    changes: u64,
    began: Instant,
}

/// Transactions are being changed.
#[derive(Debug)]
pub(super) struct Change {
    recent: Recent,
    is_done: bool,
}

impl Recent {
    /// The transaction, if it was read lately and none was changed since.
    pub(super) fn find(&self, id: &TransactionId) -> Option<Arc<Transaction>> {
        let row = {
            let rows = self.lock();
            rows.young.get(id).or_else(|| rows.old.get(id)).cloned()
        };
        row.filter(|row| row.read.elapsed() < AGE_MAX).map(|row| row.transaction)
    }

    /// To be called before the file is read.
    pub(super) fn reading(&self) -> Reading {
        Reading { changes: self.lock().changes, began: Instant::now() }
    }

    /// Keeps what was read, unless it may have been changed since. What long work rests on changes with every keeper of its
    /// session, so it is never kept.
    pub(super) fn keep(&self, reading: Reading, transaction: &Transaction) {
        if transaction.ends.not_after != transaction.ends.long_not_after {
            return;
        }
        let mut rows = self.lock();
        let is_sure = rows.unsure_until.is_none_or(|until| until <= reading.began);
        if rows.changes != reading.changes || rows.under_way > 0 || !is_sure {
            return;
        }
        if rows.young.len() >= GENERATION_MAX {
            rows.old = std::mem::take(&mut rows.young);
        }
        let row = Row { read: reading.began, transaction: Arc::new(transaction.clone()) };
        rows.young.insert(transaction.id.clone(), row);
    }

    /// To be called before transactions are changed or deleted, and [`Change::done`] after.
    pub(super) fn change(&self) -> Change {
        let mut rows = self.lock();
        rows.forget();
        rows.under_way = rows.under_way.saturating_add(1);
        Change { recent: self.clone(), is_done: false }
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn forget(&mut self) {
        self.young.clear();
        self.old.clear();
        self.changes = self.changes.wrapping_add(1);
    }
}

impl Change {
    /// The file is changed, or surely as it was.
    pub(super) fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        let mut rows = self.recent.lock();
        rows.forget();
        rows.under_way = rows.under_way.saturating_sub(1);
        if !self.is_done {
            rows.unsure_until = Instant::now().checked_add(UNSURE_FOR);
        }
    }
}

#[cfg(test)]
mod tests;
