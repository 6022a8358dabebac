//! The one task that writes: what waits becomes a batch, the batch is made durable, then everybody in it is answered.
//! A batch that fails is answered as failed and forgotten; the next one starts from the last good line, and says first
//! how many lines are missing before it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::metrics::counter::Counter;
use runtime::{clock, telemetry::ReadyFlag};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval},
};

use super::{Job, file::RecordFile, line::Liner, merge::Merge};

/// Lines in one write; more only make the first of them wait longer.
const BATCH_MAX: usize = 256;
/// How often counts of merged refusals are looked at, and a disk that took nothing is tried again.
const TICK: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    file: Arc<Mutex<RecordFile>>,
    liner: Arc<Liner>,
    merge: Merge,
    ready: ReadyFlag,
    lost: Counter,
    /// What was lost since the last write that succeeded; `None` where that was the last.
    gap: Option<u64>,
}

/// What is written together.
#[derive(Default)]
struct Batch {
    lines: Vec<u8>,
    waiting: Vec<oneshot::Sender<bool>>,
    /// For how much of it nobody waits: lost, where the write fails.
    unawaited: u64,
}

impl Writer {
    /// Counts in `lost` what a failed write lost.
    pub(super) fn new(file: RecordFile, liner: Arc<Liner>, ready: ReadyFlag, lost: Counter) -> Self {
        ready.ready();
        Self { file: Arc::new(Mutex::new(file)), liner, merge: Merge::default(), ready, lost, gap: None }
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
            // Whoever is about to give a line gives it now: one sync for all of them, and no timer.
            tokio::task::yield_now().await;
            while waiting.len() < BATCH_MAX
                && let Ok(job) = jobs.try_recv()
            {
                waiting.push(job);
            }
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
        // With a line of its own each tick tries the disk again, so that readiness waits for no request.
        if let Some(lost) = self.gap {
            batch.push(&self.liner.gap(lost, clock::now()));
        }
        for job in jobs {
            match job {
                Job::Durable { line, written } => {
                    batch.push(&line);
                    batch.waiting.push(written);
                }
                Job::Soon { line } => batch.push_unawaited(&line, 1),
                Job::Refused { key, line } => {
                    if self.merge.admits(key, now) {
                        batch.push_unawaited(&line, 1);
                    }
                }
            }
        }
        for (key, count) in self.merge.close(open.then_some(now)) {
            batch.push_unawaited(&self.liner.merged(&key, count, clock::now()), count);
        }
        batch
    }

    async fn write(&mut self, Batch { lines, waiting, unawaited }: Batch) {
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
        if written {
            self.gap = None;
        } else {
            self.lost.inc_by(unawaited);
            self.gap = Some(self.gap.unwrap_or_default().saturating_add(unawaited));
        }
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

    /// A line that stands for `count` decisions which have been answered already.
    fn push_unawaited(&mut self, line: &str, count: u64) {
        self.push(line);
        self.unawaited = self.unawaited.saturating_add(count);
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fs};

    use identity::SpiffeId;
    use runtime::{process::Process, ready_file::ReadyFile};
    use serde_json::Value;

    use super::*;
    use crate::{record::merge::Key, sessions::tests::sealer};

    fn refused() -> Job {
        let requester = SpiffeId::new("spiffe://corp.example/planner").expect("an id");
        let key = Key { requester, code: "policy.no_rule".to_owned(), target: "tickets".to_owned() };
        Job::Refused { key, line: r#"{"t":"refuse"}"#.to_owned() }
    }

    /// Waits for what the writer does by itself, on the clock of the test.
    async fn until(what: &str, mut reached: impl FnMut() -> bool) {
        for _attempt in 0..1000 {
            if reached() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("never: {what}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_takes_lines_again_is_noticed_without_a_request_and_the_record_tells_the_gap() {
        let folder = env::temp_dir().join(format!("broker-writer-gap-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        let (process, lost) = (Process::new(ReadyFile::default()), Counter::default());
        let liner = Arc::new(Liner::new(sealer(), "digest"));
        let flag = process.telemetry.ready_flag("record");
        let writer = Writer::new(RecordFile::that_takes_nothing(), liner, flag, lost.clone());
        let (disk, is_ready) = (Arc::clone(&writer.file), || process.telemetry.not_ready().is_empty());
        let (jobs, waiting) = mpsc::channel(64);
        process.shutdown.spawn("record", writer.run(waiting));
        for _ in 0..25 {
            jobs.send(refused()).await.expect("taken");
        }
        jobs.send(Job::Soon { line: r#"{"t":"revoke"}"#.to_owned() }).await.expect("taken");
        until("26 are lost", || lost.get() == 26).await;
        assert!(!is_ready(), "a broker that cannot record is not ready");
        *disk.lock().expect("not poisoned") = RecordFile::open(&folder).expect("opens");
        until("it is ready again", is_ready).await;
        jobs.send(Job::Soon { line: r#"{"t":"void"}"#.to_owned() }).await.expect("taken");
        drop(jobs);
        assert!(process.shutdown.drain(Duration::from_secs(5)).await.is_empty());
        let text = fs::read_to_string(folder.join("record.jsonl")).expect("reads");
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let told: Vec<_> = lines.iter().map(|line| (line["t"].as_str(), line["count"].as_u64())).collect();
        assert_eq!(told, [(Some("gap"), Some(26)), (Some("void"), None)], "one line for the gap, and it is over");
        assert_eq!(lost.get(), 26, "and nothing else is lost");
        fs::remove_dir_all(&folder).expect("removed");
    }
}
