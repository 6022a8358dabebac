//! Rules change while the broker runs: their folder is looked at every two seconds, and a set that loads whole and
//! without a problem takes the place of the one before. A folder with a problem changes nothing: the last good set goes
//! on deciding, and metric, log and record say so until the folder is right. Never half of a folder, never no rules.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::Arc,
    time::Duration,
};

use policies::{Policies, PolicyProblem};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};
use runtime::{clock, shutdown::Shutdown, telemetry::Telemetry};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use crate::record::Recorder;

/// Between two looks. A change takes effect at the second look that finds it, so that a folder which is just being
/// written is left alone: after 4 s at the latest.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The rules in force.
#[derive(Debug)]
pub(crate) struct Rules(watch::Sender<Arc<Policies>>);

impl Rules {
    pub(crate) fn new(policies: Policies) -> Self {
        Self(watch::Sender::new(Arc::new(policies)))
    }

    /// The set in force now. Whoever decides in several steps keeps this one for all of them.
    pub(crate) fn current(&self) -> Arc<Policies> {
        Arc::clone(&self.0.borrow())
    }

    /// Tells of each set that comes after the one in force now.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<Policies>> {
        self.0.subscribe()
    }

    fn replace(&self, policies: Policies) {
        self.0.send_replace(Arc::new(policies));
    }
}

/// What a look found, by file name. Equal marks mean that nobody wrote in between.
#[derive(Debug, PartialEq, Eq)]
enum Mark {
    Files(BTreeMap<std::ffi::OsString, Option<FileMark>>),
    Unreadable(io::ErrorKind),
}

/// Inode, size, and when content and inode changed last, in seconds and nanoseconds.
type FileMark = (u64, u64, (i64, i64), (i64, i64));

#[derive(Clone, Debug, Default)]
struct Measures {
    reloads: Family<ReloadLabels, Counter>,
    refused: Gauge,
    on_trial: Family<TrialLabels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TrialLabels {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    outcome: &'static str,
}

/// Looks at the folder of the rules in force until the shutdown.
#[derive(Debug)]
pub(crate) struct Reload {
    recorder: Recorder,
    measures: Measures,
    /// What the folder was when it was last loaded; unknown at first, so that it is loaded once more then.
    loaded: Option<Mark>,
    /// What the last look found.
    seen: Option<Mark>,
    failing: bool,
    /// Rules whose trial is over, which the log has told.
    over: BTreeSet<String>,
}

impl Reload {
    /// For `rules` that were loaded just now. What was written since then is found at the first looks.
    pub(crate) fn new(rules: &Rules, recorder: Recorder, telemetry: &Telemetry) -> Self {
        let measures = Measures::default();
        telemetry.register(
            "policy_reloads",
            "Changed folders of policies by outcome: loaded, or refused",
            measures.reloads.clone(),
        );
        telemetry.register(
            "policies_refused",
            "1 while the folder of policies cannot be loaded and the last good set decides",
            measures.refused.clone(),
        );
        telemetry.register(
            "policies_on_trial",
            "Rules with `@observe` by state: running, or over, which do nothing until somebody decides about them",
            measures.on_trial.clone(),
        );
        tracing::debug!(digest = rules.current().digest(), "the folder of policies is watched");
        let mut reload = Self { recorder, measures, loaded: None, seen: None, failing: false, over: BTreeSet::new() };
        reload.tell_trials(rules);
        reload
    }

    pub(crate) async fn run(mut self, rules: Arc<impl AsRef<Rules>>, shutdown: Shutdown) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _now = looks.tick() => {
                    self.look((*rules).as_ref()).await;
                    self.tell_trials((*rules).as_ref());
                }
            }
        }
    }

    /// Loads the folder if it changed and then stayed as it is for one look.
    async fn look(&mut self, rules: &Rules) {
        let folder = rules.current().folder().to_owned();
        let work = tokio::task::spawn_blocking(move || {
            let mark = Mark::of(&folder);
            (mark, folder)
        });
        let Ok((mark, folder)) = work.await else { return };
        let settled = self.seen.as_ref() == Some(&mark);
        if settled && self.loaded.as_ref() != Some(&mark) {
            // The mark is older than what is loaded: a write in between is found at the next look.
            self.loaded = Some(mark);
            match tokio::task::spawn_blocking(move || Policies::load(&folder, clock::now())).await {
                Ok(Ok(policies)) => self.take(rules, policies),
                Ok(Err(problems)) => self.refuse(&problems),
                Err(fault) => {
                    tracing::error!(%fault, "the check of changed policies ended by itself");
                    self.refuse(&[]);
                }
            }
        } else {
            self.seen = Some(mark);
        }
    }

    /// Says how many rules are on trial, and of each once that its trial is over: a permit that grants nothing looks as if
    /// it did.
    fn tell_trials(&mut self, rules: &Rules) {
        let (policies, now) = (rules.current(), clock::now());
        let (over, running): (Vec<_>, Vec<_>) = policies.on_trial().partition(|(_rule, trial)| trial.is_over(now));
        for (state, trials) in [("running", &running), ("over", &over)] {
            let count = i64::try_from(trials.len()).unwrap_or(i64::MAX);
            self.measures.on_trial.get_or_create(&TrialLabels { state }).set(count);
        }
        for (rule, trial) in &over {
            if !self.over.contains(*rule) {
                tracing::warn!(rule, through = trial.through(), "the trial of a rule is over; it permits nothing");
            }
        }
        self.over = over.into_iter().map(|(rule, _trial)| rule.to_owned()).collect();
    }

    fn take(&mut self, rules: &Rules, policies: Policies) {
        let before = rules.current();
        if policies.digest() == before.digest() && !self.failing {
            return;
        }
        self.failing = false;
        let (old, new) = (before.digest(), policies.digest().to_owned());
        rules.replace(policies);
        // Only now: whoever reads that all is well may rely on the new rules.
        self.measures.refused.set(0);
        self.measures.reloads.get_or_create(&ReloadLabels { outcome: "loaded" }).inc();
        tracing::info!(before = old, now = new, "other policies are in force");
        self.recorder.policies_loaded(&new, clock::now());
    }

    fn refuse(&mut self, problems: &[PolicyProblem]) {
        self.failing = true;
        self.measures.refused.set(1);
        self.measures.reloads.get_or_create(&ReloadLabels { outcome: "refused" }).inc();
        for problem in problems {
            tracing::error!(%problem, "the changed policies cannot be loaded; the last good ones stay in force");
        }
        self.recorder.policies_refused(problems.len(), clock::now());
    }
}

impl Mark {
    fn of(folder: &Path) -> Self {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(fault) => return Self::Unreadable(fault.kind()),
        };
        let mut files = BTreeMap::new();
        for entry in entries.take(policies::RULES_MAX.saturating_mul(2)) {
            let Ok(entry) = entry else { return Self::Unreadable(io::ErrorKind::Other) };
            // Through links: a mounted ConfigMap's files are links into a folder that is replaced whole.
            let mark = fs::metadata(entry.path()).ok().map(|file| {
                (file.ino(), file.size(), (file.mtime(), file.mtime_nsec()), (file.ctime(), file.ctime_nsec()))
            });
            files.insert(entry.file_name(), mark);
        }
        Self::Files(files)
    }
}
