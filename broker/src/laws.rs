//! The laws of narrowing, over generated registries, rules and call graphs: whoever asks for whatever, what is issued is
//! no more than every input in scope, audience, grant, chain, binding and life, and what is refused leaves nothing.
//!
//! `setting` generates what the broker knows, `step` what is asked of it, `stage` asks it through its own form, exchange,
//! store, record and signing keys, and `oracle` says with plain sets what may come out. The oracle must never call what it
//! judges. A begin takes its user and keeper as verified; the provider's part stands in the end-to-end tests.
//!
//! `COUNTERSIGN_CASES` says on how many requests every law is tried, `COUNTERSIGN_SEED` where the seeds begin: a failure names the one that repeats it.

#![expect(clippy::arithmetic_side_effects, reason = "numbers of a test are small, and an overflow fails it")]

mod oracle;
mod setting;
mod spelling;
mod stage;
mod step;
mod token;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    env,
    io::Write as _,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use proptest::{
    strategy::Strategy as _,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner},
};

use self::{
    oracle::Law,
    setting::Setting,
    stage::Stage,
    step::{Deed, Step},
};

/// Requests that each law is tried on in `cargo xtask test`; `cargo xtask prove` says more.
const CASES: u64 = 10_000;
/// What must be met, and how often at the least; else the laws hold because hardly anything was asked.
const MUST_SEE: [&str; 13] = [
    "begin issued",
    "begin refused",
    "call issued",
    "call refused",
    "renewal issued",
    "renewal refused",
    "handed on",
    "a chain of three",
    "a chain of eight",
    "a ninth or a loop",
    "a twisted request",
    "a stranger",
    "a callee's renewal",
];
const SEEN_MIN: u64 = 20;
/// How often is told how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// Times that a failing walk is tried again with less.
const SHRINKS_MAX: u32 = 300;

#[test]
fn scope_is_no_more_than_subject_target_and_passing_on_allow() {
    hold(Law::Scope);
}

#[test]
fn audience_is_the_one_target_or_the_trust_domain() {
    hold(Law::Audience);
}

#[test]
fn nothing_is_granted_but_what_a_permit_covers_whole_and_no_forbid_matches() {
    hold(Law::Grant);
}

#[test]
fn the_chain_is_what_it_was_or_that_and_exactly_the_requester() {
    hold(Law::Chain);
}

#[test]
fn transaction_subject_holder_and_caller_stay_bound() {
    hold(Law::Binding);
}

#[test]
fn nothing_lives_longer_than_its_kind_its_rule_and_its_transaction() {
    hold(Law::Life);
}

#[test]
fn what_is_issued_is_on_disk_before_and_what_is_refused_leaves_nothing() {
    hold(Law::Record);
}

/// What happened how often. A law that was never put to the test is not proved.
#[derive(Debug, Default)]
struct Seen {
    requests: u64,
    times: BTreeMap<&'static str, u64>,
}

impl Seen {
    fn and(mut self, other: Self) -> Self {
        self.requests += other.requests;
        for (what, times) in other.times {
            *self.times.entry(what).or_default() += times;
        }
        self
    }

    fn note(&mut self, what: &'static str) {
        let count = self.times.entry(what).or_default();
        *count += 1;
    }
}

/// A law that did not hold, or a test that says nothing.
#[derive(Clone, Debug)]
struct Broken {
    law: Option<Law>,
    how: String,
}

/// Every law is tried on every request of the same walks, which are made once for all tests of a process.
fn hold(law: Law) {
    static TRIED: OnceLock<Result<(), Broken>> = OnceLock::new();
    match TRIED.get_or_init(walk_all) {
        Ok(()) => {}
        Err(Broken { law: Some(broken), how }) if *broken == law => panic!("{how}"),
        Err(Broken { law: Some(broken), .. }) => panic!("{law:?} was not tried to the end: {broken:?} does not hold"),
        Err(Broken { law: None, how }) => panic!("{how}"),
    }
}

/// Walks, on as many threads as there are processors.
fn walk_all() -> Result<(), Broken> {
    let cases = number("COUNTERSIGN_CASES").unwrap_or(CASES);
    let first = number("COUNTERSIGN_SEED").unwrap_or_default();
    let lanes = thread::available_parallelism().map_or(1, |lanes| u64::try_from(lanes.get()).expect("few")).min(cases);
    let start = Instant::now();
    let seen = thread::scope(|scope| {
        let spawned: Vec<_> =
            (0..lanes).map(|lane| scope.spawn(move || walk_lane(cases.div_ceil(lanes), first + lane, lanes))).collect();
        let lanes = spawned.into_iter().map(|lane| lane.join().expect("a lane ends"));
        lanes.reduce(|one, other| Ok(one?.and(other?))).expect("a lane")
    })?;
    tell(format_args!("laws: {} requests from seed {first} on in {:?}; {seen:?}", seen.requests, start.elapsed()));
    // Fewer requests need not meet everything; one seed that is looked at again surely does not.
    let missed = MUST_SEE.iter().find(|what| seen.times.get(*what).is_none_or(|times| *times < SEEN_MIN));
    match missed.filter(|_what| cases >= CASES) {
        Some(what) => Err(Broken { law: None, how: format!("{what} was hardly met: {seen:?}") }),
        None => Ok(()),
    }
}

/// Every `stride`th walk from `first` on, until there were `cases` requests.
fn walk_lane(cases: u64, first: u64, stride: u64) -> Result<Seen, Broken> {
    let (stage, seen, broken) = (RefCell::new(Stage::new()), RefCell::new(Seen::default()), Cell::new(None));
    let walks = (setting::generated(), proptest::collection::vec(step::generated(), 150..250));
    let (mut seed, mut told) = (first, Instant::now());
    while seen.borrow().requests < cases {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let config = Config { max_shrink_iters: SHRINKS_MAX, failure_persistence: None, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, rng);
        let tree = walks.new_tree(&mut runner).expect("a walk");
        let test = |(setting, steps): (Setting, Vec<Step>)| {
            walk(&mut stage.borrow_mut(), &mut seen.borrow_mut(), &setting, &steps).map_err(|(law, reason)| {
                broken.set(Some(law));
                TestCaseError::fail(reason)
            })
        };
        runner.run_one(tree, test).map_err(|error| {
            let said = match error {
                TestError::Abort(reason) => reason.to_string(),
                TestError::Fail(reason, (setting, steps)) => format!("{reason}\n{setting:#?}\n{steps:#?}"),
            };
            let law = broken.get();
            Broken { law, how: format!("{law:?} fails at COUNTERSIGN_SEED={seed}: {said}") }
        })?;
        if told.elapsed() >= PROGRESS_EVERY {
            told = Instant::now();
            tell(format_args!("laws: {} of {cases} requests on this thread, at seed {seed}", seen.borrow().requests));
        }
        seed += stride;
    }
    Ok(seen.into_inner())
}

fn tell(line: std::fmt::Arguments<'_>) {
    // Nobody need read it.
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// A whole number out of the environment.
#[expect(clippy::disallowed_methods, reason = "how long to try is nothing that the broker may know")]
fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().expect("a whole number"))
}

/// One walk: each request stands on what the ones before gave.
fn walk(stage: &mut Stage, seen: &mut Seen, setting: &Setting, steps: &[Step]) -> Result<(), (Law, String)> {
    stage.enter(setting);
    for step in steps {
        let Some(given) = stage.given(setting, step) else { continue };
        let outcome = stage.ask(&given);
        for law in Law::ALL {
            oracle::check(law, setting, &given, &outcome)
                .map_err(|reason| (law, format!("{reason}\ngiven {given:?}\ngot {outcome:?}")))?;
        }
        let issued = outcome.issued.as_ref().ok();
        seen.requests += 1;
        seen.note(match (&given.step.deed, issued.is_some()) {
            (Deed::Begin { .. }, true) => "begin issued",
            (Deed::Begin { .. }, false) => "begin refused",
            (Deed::Call { .. }, true) => "call issued",
            (Deed::Call { .. }, false) => "call refused",
            (Deed::Renew { .. }, true) => "renewal issued",
            (Deed::Renew { .. }, false) => "renewal refused",
        });
        for (is_met, what) in [
            (issued.is_some_and(|issued| issued.handed.is_some()), "handed on"),
            (issued.is_some_and(|issued| issued.token.actors.len() >= 3), "a chain of three"),
            (issued.is_some_and(|issued| issued.token.actors.len() == 8), "a chain of eight"),
            (given.would_repeat(), "a ninth or a loop"),
            (given.is_hostile, "a twisted request"),
            (given.held.as_ref().is_some_and(|held| held.holder() != given.by), "a stranger"),
            (
                issued.is_some_and(|issued| issued.token.callee.is_some())
                    && matches!(given.step.deed, Deed::Renew { .. }),
                "a callee's renewal",
            ),
        ] {
            if is_met {
                seen.note(what);
            }
        }
        stage.keep(setting, &given, outcome);
    }
    Ok(())
}
