//! What was given, and what was refused: one line each in `record.jsonl`. A grant's line is on disk before its tokens
//! exist; no line, no token (`protocol.md` §9). Metric, log line and record line are three views of one entry.
//! No line holds a token, or a subject other than as a keyed hash.

mod ended;
mod file;
mod keys;
mod line;
mod logout;
mod merge;
mod writer;

use std::{sync::Arc, time::Duration};

use identity::{DecisionRecord, Entry, Kind, Outcome, Refusal, SpiffeId, UnixTime, Would};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use runtime::process::Process;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

pub(crate) use self::ended::EndedBy;
pub(crate) use self::file::RecordFile;
use self::{
    line::{Event, Liner},
    merge::Key,
    writer::Writer,
};
use crate::seal::Sealer;

/// Lines that may wait for the disk; more requests are refused as a fault (`security.md` §4).
const QUEUE_MAX: usize = 4096;
/// Longest wait until a grant's line is on disk.
const DURABLE_MAX: Duration = Duration::from_secs(2);

/// Writes the record. Clones write to the same file.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    jobs: mpsc::Sender<Job>,
    liner: Arc<Liner>,
    measures: Measures,
}

/// What the writer is given.
#[derive(Debug)]
enum Job {
    /// To be on disk before anybody goes on.
    Durable { line: String, written: oneshot::Sender<bool> },
    /// To be written soon.
    Soon { line: String },
    /// To be written soon, or counted where there are too many like it.
    Refused { key: Key, line: String },
}

#[derive(Clone, Debug, Default)]
struct Measures {
    decisions: Family<DecisionLabels, Counter>,
    tried: Family<TrialLabels, Counter>,
    lost: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    kind: &'static str,
    outcome: &'static str,
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TrialLabels {
    rule: String,
    would: &'static str,
}

impl Recorder {
    /// Starts the writer of an opened record.
    pub(crate) fn start(file: RecordFile, sealer: Sealer, policy_digest: &str, process: &Process) -> Self {
        let measures = Measures::default();
        let telemetry = &process.telemetry;
        telemetry.register("decisions", "Decisions of the broker", measures.decisions.clone());
        telemetry.register(
            "policy_trials",
            "What rules on trial (`@observe`) would have said: allow what was refused, allow too, or fail",
            measures.tried.clone(),
        );
        telemetry.register(
            "record_lost",
            "Refusals, logouts and void lines that were not recorded: the queue was full, or the disk took nothing",
            measures.lost.clone(),
        );
        let (jobs, waiting) = mpsc::channel(QUEUE_MAX);
        let liner = Arc::new(Liner::new(sealer, policy_digest));
        let writer = Writer::new(file, Arc::clone(&liner), telemetry.ready_flag("record"), measures.lost.clone());
        process.shutdown.spawn("record", writer.run(waiting));
        Self { jobs, liner, measures }
    }

    /// Opens the record of one request. Whatever ends it, an entry comes out of it exactly once.
    pub(crate) fn decision(&self, at: UnixTime, requester: SpiffeId, request_id: String) -> DecisionRecord {
        let recorder = self.clone();
        DecisionRecord::open(at, requester, move |entry| recorder.decided(&entry, &request_id))
    }

    /// Writes that what `entry` describes was given, and returns when that is on disk. Dropped half-way, it may be written
    /// though nothing was issued; the entry's end then says so.
    ///
    /// # Errors
    /// [`Refusal::FaultRecord`]: nothing may be issued.
    pub(crate) async fn granted(&self, entry: Option<&Entry>) -> Result<(), Refusal> {
        let line = entry.map(|entry| self.liner.line(entry, Event::Granted)).ok_or(Refusal::FaultRecord)?;
        let (written, done) = oneshot::channel();
        let durable = async {
            self.jobs.send(Job::Durable { line, written }).await.ok()?;
            done.await.ok()
        };
        match timeout(DURABLE_MAX, durable).await {
            Ok(Some(true)) => Ok(()),
            Ok(Some(false) | None) | Err(_) => Err(Refusal::FaultRecord),
        }
    }

    /// Records that other rules are in force.
    pub(crate) fn policies_loaded(&self, digest: &str, at: UnixTime) {
        self.soon(self.liner.policies_loaded(digest, at));
    }

    /// Records that changed rules could not be loaded, so that the ones before stay in force.
    pub(crate) fn policies_refused(&self, problems: usize, at: UnixTime) {
        self.soon(self.liner.policies_refused(problems, at));
    }

    /// Records that a store was taken as it is, whatever it was before, and that so many transactions ended with that.
    pub(crate) fn restore_accepted(&self, transactions: u64, at: UnixTime) {
        self.soon(self.liner.restore_accepted(transactions, at));
    }

    fn soon(&self, line: String) {
        if self.jobs.try_send(Job::Soon { line }).is_err() {
            self.measures.lost.inc();
        }
    }

    /// The three views of an entry that has ended. A grant's line is written already.
    fn decided(&self, entry: &Entry, request_id: &str) {
        let kind = kind(entry.kind);
        let (outcome, code) = match &entry.outcome {
            Outcome::Granted => ("granted", String::new()),
            Outcome::Refused(code) => ("refused", code.clone()),
            Outcome::Aborted => ("aborted", String::new()),
        };
        self.measures.decisions.get_or_create(&DecisionLabels { kind, outcome, code: code.clone() }).inc();
        tracing::info!(
            kind,
            outcome,
            code,
            request_id,
            requester = %entry.requester,
            txn = entry.transaction.as_ref().map(tracing::field::display),
            target_name = entry.target.as_deref(),
            scope = entry.scopes.as_ref().map(tracing::field::display),
            rules = entry.rules.join(" "),
            would = entry.would.as_ref().map(|would| would.rules.join(" ")),
            "decision"
        );
        for rule in entry.would.iter().flat_map(|would| &would.rules) {
            let labels = TrialLabels { rule: rule.clone(), would: self::would(entry) };
            self.measures.tried.get_or_create(&labels).inc();
        }
        let job = match &entry.outcome {
            Outcome::Granted => return,
            // Done, whatever became of the answer.
            Outcome::Refused(_) | Outcome::Aborted if was_ended(entry) => {
                Job::Soon { line: self.liner.line(entry, Event::Granted) }
            }
            // Recorded as given, and then not issued.
            Outcome::Refused(_) | Outcome::Aborted if was_decided(entry) => {
                Job::Soon { line: self.liner.line(entry, Event::Void) }
            }
            Outcome::Refused(code) => {
                Job::Refused { key: Key::of(entry, code), line: self.liner.line(entry, Event::Refused) }
            }
            Outcome::Aborted => {
                Job::Refused { key: Key::of(entry, "aborted"), line: self.liner.line(entry, Event::Refused) }
            }
        };
        if self.jobs.try_send(job).is_err() {
            self.measures.lost.inc();
        }
    }
}

/// Whether a rule allowed that tokens are issued, so that its line may be written already.
fn was_decided(entry: &Entry) -> bool {
    match entry.kind {
        Some(Kind::Begin | Kind::Exchange | Kind::Renew | Kind::Use) | None => !entry.rules.is_empty(),
        Some(Kind::Revoke | Kind::Introspect) => false,
    }
}

/// Whether it was revoked, so that a line may not say otherwise.
fn was_ended(entry: &Entry) -> bool {
    entry.ended.as_ref().is_some_and(|ended| ended.transactions.is_some())
}

/// The word for what rules on trial would have said.
fn would(entry: &Entry) -> &'static str {
    match (&entry.would, entry.rules.is_empty()) {
        (Some(Would { allow: true, .. }), true) => "allow",
        (Some(Would { allow: true, .. }), false) => "allow_too",
        (Some(Would { allow: false, .. }), _) | (None, _) => "fail",
    }
}

/// The word for a kind in metrics, log and record.
fn kind(kind: Option<Kind>) -> &'static str {
    match kind {
        Some(Kind::Begin) => "begin",
        Some(Kind::Exchange) => "exchange",
        Some(Kind::Renew) => "renew",
        Some(Kind::Use) => "use",
        Some(Kind::Revoke) => "revoke",
        Some(Kind::Introspect) => "introspect",
        None => "unread",
    }
}

#[cfg(test)]
mod tests;
