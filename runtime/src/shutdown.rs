//! Drain: every task of a process is known here, is told when to stop, and is waited for.
//! The one place that spawns; a loose task would be cut off in the middle of a request.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Spawns tasks and ends them. Clones speak of the same process.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    triggered: CancellationToken,
    tasks: TaskTracker,
    running: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

impl Shutdown {
    /// A shutdown that nobody has triggered.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `task` until it ends; drain waits for it. `task` should end soon after [`Shutdown::cancelled`].
    /// A panic ends that task only and is logged.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let entry = Entry::new(&self.running, name);
        self.tasks.spawn(async move {
            guarded(name, task).await;
            drop(entry);
        });
    }

    /// Runs `task` until the process ends. Drain does not wait for it: for what requests in flight still need
    /// (the admin door, the workload identity).
    #[expect(
        clippy::disallowed_methods,
        reason = "the place that the lint names; the runtime ends it with the process"
    )]
    pub(crate) fn background(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(guarded(name, task));
    }

    /// Ends once shutdown is triggered. May be dropped at any time.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.triggered.clone().cancelled_owned()
    }

    /// Whether shutdown was triggered.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.triggered.is_cancelled()
    }

    /// Tells every task to stop. Calling it again changes nothing.
    pub fn trigger(&self) {
        self.triggered.cancel();
    }

    /// Triggers, then waits for all tasks, at most `deadline`. Returns the names of those that still run: none when the
    /// drain was clean. Dropped half-way, the tasks go on ending.
    pub async fn drain(&self, deadline: Duration) -> Vec<&'static str> {
        self.trigger();
        self.tasks.close();
        match tokio::time::timeout(deadline, self.tasks.wait()).await {
            Ok(()) => Vec::new(),
            Err(_elapsed) => self.running.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect(),
        }
    }
}

async fn guarded(name: &'static str, task: impl Future<Output = ()>) {
    if AssertUnwindSafe(task).catch_unwind().await.is_err() {
        tracing::error!(task = name, "task panicked");
    }
}

/// Counts a running task under its name until dropped.
struct Entry {
    running: Arc<Mutex<BTreeMap<&'static str, usize>>>,
    name: &'static str,
}

impl Entry {
    fn new(running: &Arc<Mutex<BTreeMap<&'static str, usize>>>, name: &'static str) -> Self {
        let mut counts = running.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(name).or_default();
        *count = count.saturating_add(1);
        drop(counts);
        Self { running: Arc::clone(running), name }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut counts = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let left = counts.get(self.name).copied().unwrap_or_default().saturating_sub(1);
        if left == 0 {
            counts.remove(self.name);
        } else {
            counts.insert(self.name, left);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// A task whose result a test awaits.
    #[expect(clippy::disallowed_methods, reason = "a test has no drain")]
    pub(crate) fn task<T: Send + 'static>(
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        tokio::spawn(work)
    }

    #[tokio::test(start_paused = true)]
    async fn drain_waits_for_work_in_flight() {
        let shutdown = Shutdown::new();
        let done = Arc::new(AtomicBool::new(false));
        let (cancelled, finished) = (shutdown.cancelled(), Arc::clone(&done));
        shutdown.spawn("request", async move {
            cancelled.await;
            tokio::time::sleep(Duration::from_secs(3)).await;
            finished.store(true, Ordering::SeqCst);
        });
        assert!(shutdown.drain(Duration::from_secs(25)).await.is_empty());
        assert!(done.load(Ordering::SeqCst));
    }

    #[tokio::test(start_paused = true)]
    async fn drain_names_what_did_not_end_in_time() {
        let shutdown = Shutdown::new();
        shutdown.spawn("stuck", std::future::pending());
        shutdown.spawn("quick", async {});
        assert_eq!(shutdown.drain(Duration::from_secs(5)).await, ["stuck"]);
        assert!(shutdown.is_cancelled());
    }

    #[tokio::test]
    async fn a_panic_ends_one_task_and_not_the_drain() {
        let shutdown = Shutdown::new();
        shutdown.spawn("broken", async { panic!("on purpose") });
        assert!(shutdown.drain(Duration::from_secs(5)).await.is_empty());
    }
}
