//! A folder of policy files that goes away with the test, and questions with what most tests share.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicUsize, Ordering},
};

use identity::{ActorChain, Scopes, SpiffeId, Subject, TrustDomain, UnixTime, Would, workload_id};
use policies::{Action, Decision, Denial, Explanation, MayAsk, Policies, PolicyProblem, Question, Terms};

pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn empty() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("policies-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self::empty();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("a file");
        }
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The problems as text, without the folder's own name.
    pub(crate) fn problems(&self) -> Vec<String> {
        let problems: Vec<PolicyProblem> = Policies::load(&self.0, now()).expect_err("problems");
        let prefix = format!("{}/", self.0.display());
        problems.iter().map(|problem| problem.to_string().replace(&prefix, "")).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Rules from their texts, a file each.
pub(crate) fn policies(texts: &[&str]) -> Policies {
    let folder = Folder::empty();
    for (number, text) in texts.iter().enumerate() {
        fs::write(folder.path().join(format!("{number}.cedar")), text).expect("a file");
    }
    Policies::load(folder.path(), now()).expect("rules without a problem")
}

/// The first second of 2026-11-24.
pub(crate) fn now() -> UnixTime {
    UnixTime::from_secs(1_795_478_400).expect("a time")
}

/// A workload of the demo's trust domain: `agents/planner`.
pub(crate) fn workload(name: &str) -> SpiffeId {
    let (namespace, account) = name.split_once('/').expect("namespace/account");
    workload_id(&format!("spiffe://corp.example/ns/{namespace}/sa/{account}")).expect("an id")
}

pub(crate) fn scopes(text: &str) -> Scopes {
    text.parse().expect("scopes")
}

/// A question in plain words: actors current first, the requester among them; `begin` or a target's name.
#[derive(Clone)]
pub(crate) struct Asked<'a> {
    pub(crate) actors: &'a [&'a str],
    pub(crate) to: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) groups: &'a [&'a str],
    pub(crate) roles: &'a [&'a str],
    pub(crate) scopes: &'a str,
    pub(crate) passes_on: &'a str,
}

impl Default for Asked<'_> {
    fn default() -> Self {
        let actors = &["agents/planner"];
        Self { actors, to: "tickets", subject: "alice", groups: &["support"], roles: &[], scopes: "", passes_on: "" }
    }
}

impl Asked<'_> {
    pub(crate) fn decide(&self, policies: &Policies) -> Decision {
        self.put(|question| policies.decide(question))
    }

    pub(crate) fn explain(&self, policies: &Policies) -> Explanation {
        self.put(|question| policies.explain(question, now()))
    }

    /// The decision, and what rules on trial would have said.
    pub(crate) fn observe(&self, policies: &Policies) -> (Decision, Option<Would>) {
        self.put(|question| {
            let decision = policies.decide(question);
            let would = policies.observe(question, &decision, now());
            (decision, would)
        })
    }

    pub(crate) fn may_ask(&self, policies: &Policies, candidates: &str) -> MayAsk {
        self.put(|question| policies.may_ask(question, &scopes(candidates)))
    }

    fn put<T>(&self, ask: impl FnOnce(&Question<'_>) -> T) -> T {
        let mut actors = self.actors.iter().rev().map(|name| workload(name));
        let first = ActorChain::of(actors.next().expect("an actor"));
        let chain = actors.try_fold(first, ActorChain::then).expect("no loop");
        let domain = TrustDomain::new("corp.example").expect("a trust domain");
        let action = match self.to {
            "begin" => Action::Begin { trust_domain: &domain },
            target => Action::Exchange { target },
        };
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        ask(&Question {
            requester: chain.current(),
            action,
            subject: &self.subject.parse::<Subject>().expect("a subject"),
            groups: &owned(self.groups),
            roles: &owned(self.roles),
            actors: &chain,
            scopes: &scopes(self.scopes),
            passes_on: &scopes(self.passes_on),
        })
    }
}

/// The rules that permitted and their terms, or why not.
pub(crate) fn outcome(decision: Decision) -> Result<(Vec<String>, Terms), Denial> {
    match decision {
        Decision::Permitted(permitted) => Ok((permitted.rules().to_vec(), permitted.terms().clone())),
        Decision::Denied(denial) => Err(denial),
    }
}
