//! The one task that writes: what waits becomes a batch, the batch is made durable, then everybody in it is answered.
//! A batch that fails is answered as failed and forgotten; the next one starts from the last good line.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use runtime::{clock, telemetry::ReadyFlag};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval},
};

use super::{Job, file::RecordFile, line::Liner, merge::Merge};

/// Lines in one write; more only make the first of them wait longer.
const BATCH_MAX: usize = 256;
/// How often counts of merged refusals are looked at.
const TICK: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    file: Arc<Mutex<RecordFile>>,
    liner: Arc<Liner>,
    merge: Merge,
    ready: ReadyFlag,
}

/// What is written together.
#[derive(Default)]
struct Batch {
    lines: Vec<u8>,
    waiting: Vec<oneshot::Sender<bool>>,
}

impl Writer {
    pub(super) fn new(file: RecordFile, liner: Arc<Liner>, ready: ReadyFlag) -> Self {
        ready.ready();
        Self { file: Arc::new(Mutex::new(file)), liner, merge: Merge::default(), ready }
    }

    /// Writes until nobody is left who could give it a line, so it outlives the last request of a drain.
    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut waiting = Vec::with_capacity(BATCH_MAX);
        loop {
            let open = tokio::select! {
                count = jobs.recv_many(&mut waiting, BATCH_MAX) => count > 0,
                _now = tick.tick() => true,
            };
            let batch = self.batch(waiting.drain(..), open);
            self.write(batch).await;
            if !open {
                return;
            }
        }
    }

    fn batch(&mut self, jobs: impl Iterator<Item = Job>, open: bool) -> Batch {
        let now = Instant::now();
        let mut batch = Batch::default();
        for job in jobs {
            match job {
                Job::Durable { line, written } => {
                    batch.push(&line);
                    batch.waiting.push(written);
                }
                Job::Soon { line } => batch.push(&line),
                Job::Refused { key, line } => {
                    if self.merge.admits(key, now) {
                        batch.push(&line);
                    }
                }
            }
        }
        for (key, count) in self.merge.close(open.then_some(now)) {
            batch.push(&self.liner.merged(&key, count, clock::now()));
        }
        batch
    }

    async fn write(&self, Batch { lines, waiting }: Batch) {
        if lines.is_empty() {
            return;
        }
        let file = Arc::clone(&self.file);
        let append = move || file.lock().unwrap_or_else(PoisonError::into_inner).append(&lines);
        let written = match tokio::task::spawn_blocking(append).await {
            Ok(Ok(())) => {
                self.ready.ready();
                true
            }
            Ok(Err(fault)) => {
                self.ready.not_ready(format!("the record cannot be written: {fault}"));
                false
            }
            Err(fault) => {
                self.ready.not_ready(format!("the record's writer failed: {fault}"));
                false
            }
        };
        for waits in waiting {
            if waits.send(written).is_err() {
                tracing::debug!("nobody waits for this line any more; a void line follows");
            }
        }
    }
}

impl Batch {
    fn push(&mut self, line: &str) {
        self.lines.extend_from_slice(line.as_bytes());
        self.lines.push(b'\n');
    }
}
