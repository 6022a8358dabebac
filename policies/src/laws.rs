//! Laws of the decision, over generated sets of rules and questions: a sliced decision is the one over all rules, rules
//! on trial change none and are told of truly, and an explanation agrees with it.
//!
//! `written` generates rules and questions as texts, and `oracle` puts them to Cedar by its own way, over the whole set.
//! It must never call what it judges. `COUNTERSIGN_CASES` says on how many questions each law is tried,
//! `COUNTERSIGN_SEED` where the seeds begin; a failure names the one that repeats it.

#![expect(clippy::arithmetic_side_effects, reason = "numbers of a test are small, and an overflow fails it")]

mod oracle;
mod written;

use std::{
    collections::BTreeMap,
    env,
    fmt::Debug,
    io::Write as _,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use cedar_policy::{Schema, Validator};
use proptest::{
    collection::vec,
    sample::subsequence,
    strategy::{Strategy, ValueTree as _},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use self::{
    oracle::Oracle,
    written::{Asked, Written},
};
use crate::{Decision, Denial, Policies, load, request::Vocabulary, rule::Rule};

/// Questions in `cargo xtask test`; `cargo xtask prove` says more.
const CASES: u64 = 10_000;
/// Rules are read once for so many sets of them, and each set is asked so many questions: reading takes longest.
const RULES: usize = 48;
const SETS: usize = 20;
const QUESTIONS: usize = 25;
/// Every so many questions are explained, which takes as long as fifty decisions.
const EXPLAINED_EVERY: usize = 12;
/// What must be met, and how often at the least; else the laws hold because hardly anything was asked.
const MUST_SEE: [&str; 7] =
    ["permitted", "no rule", "forbidden", "failed", "would allow", "would allow too", "would fail"];
const SEEN_MIN: u64 = 20;
/// How often is told how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

#[test]
fn slices_trials_and_explanations_decide_as_cedar_does_on_the_whole_set() {
    let cases = number("COUNTERSIGN_CASES").unwrap_or(CASES);
    let first = number("COUNTERSIGN_SEED").unwrap_or_default();
    let lanes = thread::available_parallelism().map_or(1, |lanes| u64::try_from(lanes.get()).expect("few"));
    let start = Instant::now();
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    thread::scope(|scope| {
        let walk = |lane| move || walk_lane(cases.div_ceil(lanes), first + lane, lanes);
        let walks: Vec<_> = (0..lanes).map(|lane| scope.spawn(walk(lane))).collect();
        for walk in walks {
            for (what, times) in walk.join().expect("the laws hold on this thread") {
                *seen.entry(what).or_default() += times;
            }
        }
    });
    tell(format_args!("laws: policies from seed {first} on in {:?}; {seen:?}", start.elapsed()));
    let missed = MUST_SEE.iter().find(|what| seen.get(*what).is_none_or(|times| *times < SEEN_MIN));
    assert!(cases < CASES || missed.is_none(), "{missed:?} was hardly met: {seen:?}");
}

/// Every `stride`th walk from `first` on, until there were `cases` questions.
fn walk_lane(cases: u64, first: u64, stride: u64) -> BTreeMap<&'static str, u64> {
    let (mut seen, mut asked, mut seed, mut told) = (BTreeMap::new(), 0, first, Instant::now());
    while asked < cases {
        asked += walk(seed, &mut seen);
        if told.elapsed() >= PROGRESS_EVERY {
            told = Instant::now();
            tell(format_args!("laws: policies: {asked} of {cases} questions on this thread, at seed {seed}"));
        }
        seed += stride;
    }
    seen
}

/// Many sets of some rules, each asked many questions.
fn walk(seed: u64, seen: &mut BTreeMap<&'static str, u64>) -> u64 {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let schema = load::schema().expect("the schema");
    let rules: Vec<Written> = drawn(&vec(written::rule(), RULES), &mut runner);
    let (read, all) = (read(&rules, &schema), Oracle::of(&rules));
    let mut asked = 0;
    for _set in 0..SETS {
        let numbers = drawn(&subsequence((0..RULES).collect::<Vec<_>>(), 1..14), &mut runner);
        let policies = set(numbers.iter().map(|number| read[*number].clone()), &schema);
        let oracle = all.only(&numbers);
        for (number, question) in drawn(&vec(written::question(), QUESTIONS), &mut runner).into_iter().enumerate() {
            let explained = number % EXPLAINED_EVERY == 0;
            for what in hold(&policies, &oracle, &question, explained).unwrap_or_else(|how| {
                panic!("COUNTERSIGN_SEED={seed}: {how}\nasked {question:#?}\nof {:#?}", oracle.texts())
            }) {
                *seen.entry(what).or_default() += 1;
            }
            asked += 1;
        }
    }
    asked
}

/// All laws on one question: what was met, or how one is broken.
fn hold(policies: &Policies, oracle: &Oracle, asked: &Asked, explained: bool) -> Result<Vec<&'static str>, String> {
    let now = oracle::now();
    let expected = oracle.decide(asked);
    let decision = asked.decide(policies);
    same("the decision", &oracle::said(&decision), &expected.decision)?;
    let would = asked.observe(policies, &decision, now);
    same("what rules on trial would say", &would, &expected.would)?;
    same("whether it is asked at all", &asked.reaches(policies), &oracle.reaches(asked))?;
    if explained {
        let explanation = asked.explain(policies, now);
        same("the explained decision", &oracle::said(&explanation.decision), &expected.decision)?;
        same("the explained trial", &explanation.would, &expected.would)?;
        let applying: Vec<String> =
            explanation.rules.iter().filter(|rule| rule.applies()).map(|rule| rule.id.clone()).collect();
        same("the rules that apply", &applying, &oracle.applying(asked))?;
        same("what may be asked instead", &asked.may_ask(policies), &oracle.may_ask(asked))?;
    }
    let mut met = vec![match &decision {
        Decision::Permitted(_) => "permitted",
        Decision::Denied(Denial::NoRule) => "no rule",
        Decision::Denied(Denial::Forbidden(_)) => "forbidden",
        Decision::Denied(Denial::Error(_)) => "failed",
    }];
    met.extend(would.map(|would| match (would.allow, &decision) {
        (true, Decision::Permitted(_)) => "would allow too",
        (true, Decision::Denied(_)) => "would allow",
        (false, _) => "would fail",
    }));
    Ok(met)
}

fn same<T: Debug + PartialEq>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} is {found:?}, and should be {expected:?}")) }
}

fn read(rules: &[Written], schema: &Schema) -> Vec<Rule> {
    let (validator, words) = (Validator::new(schema.clone()), Vocabulary::new().expect("the vocabulary"));
    let read = |(number, rule): (usize, &Written)| {
        Rule::read(Path::new("generated.cedar"), &rule.text(number), &validator, &words, oracle::now())
            .unwrap_or_else(|problems| panic!("{}: {problems:#?}", rule.text(number)))
    };
    rules.iter().enumerate().map(read).collect()
}

fn set(rules: impl Iterator<Item = Rule>, schema: &Schema) -> Policies {
    let words = Vocabulary::new().expect("the vocabulary");
    Policies::of_rules(words, schema.clone(), rules.map(|rule| (rule.id.clone(), rule)).collect())
}

fn drawn<S: Strategy>(strategy: &S, runner: &mut TestRunner) -> S::Value {
    strategy.new_tree(runner).expect("a value").current()
}

fn tell(line: std::fmt::Arguments<'_>) {
    // Nobody need read it.
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// A whole number out of the environment.
#[expect(clippy::disallowed_methods, reason = "how long to try is nothing that the engine may know")]
fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().expect("a whole number"))
}
