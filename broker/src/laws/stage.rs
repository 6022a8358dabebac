//! The broker under test: its own form, exchange, store, record and keys, and what came out of them so far.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use identity::{
    ActorChain, DecisionRecord, Lifetime, Outcome as End, Refusal, Scopes, TrustDomain, UnixTime, workload_id,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use runtime::{
    process::Process,
    ready_file::ReadyFile,
    workload::{JwtSvids, Workload},
};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use super::{
    oracle,
    setting::{Mask, SCOPES, Setting, TRUST_DOMAIN, USERS, WORKLOADS, words, workload},
    spelling::{self, Parameters},
    step::{Deed, Step},
    token::Token,
};
use crate::{
    authority::{self, Authorities},
    client::{Client, Said},
    config::{Edge, Edges, Life},
    continuity::Continuity,
    exchange::{self, Actor},
    grant::{self, Begin, Case, Issued, Issuer, Person, mint},
    http::Form,
    keys::{self, Algorithm, Rotation, Terms},
    liveness::Liveness,
    parties::Parties,
    record::{RecordFile, Recorder},
    reload::Rules,
    request::{Known, Request, Wish},
    revocation::tests::nothing,
    seen::Seen,
    sessions::{Sessions, tests::wrapping},
    store::Store,
};

const ISSUER: &str = "https://broker.agents.svc";
const NOWHERE: &str = "unix:///nowhere";
/// Longer than a test.
const MONTH: Duration = Duration::from_hours(720);
/// Second at which a walk begins.
const START: u64 = 10_000;
/// Tokens of a walk of which one is shown.
const YOUNG: usize = 6;

pub(super) struct Stage {
    runtime: Runtime,
    process: Process,
    parties: Parties,
    pub(super) stranger: keys::Keys,
    folder: PathBuf,
    record: File,
    now: u64,
    sign_ins: u64,
    held: Vec<Token>,
    pub(super) access: Vec<Token>,
    begun: BTreeMap<String, Begun>,
}

/// What the oracle knows of a transaction.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    pub(super) not_after: u64,
    pub(super) long_not_after: u64,
    pub(super) keeper_ends: u64,
}

/// A request, and everything that it stands on.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) step: Step,
    pub(super) by: usize,
    pub(super) held: Option<Token>,
    pub(super) target: Option<usize>,
    pub(super) wished: Mask,
    pub(super) now: u64,
    pub(super) begun: Option<Begun>,
    /// Nothing may come of it, whatever the rules say.
    pub(super) is_hostile: bool,
    pub(super) parameters: Parameters,
}

/// What came out.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Or the refusal's code.
    pub(super) issued: Result<Got, String>,
    /// Rules that the record names.
    pub(super) rules: BTreeSet<String>,
    /// Tokens that the record names.
    pub(super) ids: Vec<String>,
    /// Lines that came to the disk.
    pub(super) lines: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Got {
    pub(super) token: Token,
    pub(super) handed: Option<Token>,
}

impl Given {
    /// Whether a callee calls whose chain is full, or holds it already.
    pub(super) fn would_repeat(&self) -> bool {
        let held = self.held.as_ref().filter(|held| self.target.is_some() && held.callee == Some(self.by));
        held.is_some_and(|held| held.actors.contains(&self.by) || held.actors.len() == identity::DEPTH_MAX)
    }
}

impl Stage {
    pub(super) fn new() -> Self {
        // Memory, where there is such a disk: each grant waits until its line is on it.
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = base.join(format!("broker-laws-{}", uuid::Uuid::now_v7()));
        fs::create_dir_all(&folder).expect("a folder");
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let process = Process::new(ReadyFile::default());
        let parties = runtime.block_on(parties(&folder, &process));
        let record = File::open(folder.join("record.jsonl")).expect("a record");
        let (held, access, begun) = (Vec::new(), Vec::new(), BTreeMap::new());
        let stranger = keys::tests::fresh();
        Self { runtime, process, parties, stranger, folder, record, now: START, sign_ins: 0, held, access, begun }
    }

    /// Forgets the walk before, and knows this setting.
    pub(super) fn enter(&mut self, setting: &Setting) {
        self.parties.registry = setting.registry();
        self.parties.policies = Rules::new(setting.policies(&self.folder.join("policies")));
        self.now = START;
        self.held.clear();
        self.access.clear();
        self.begun.clear();
    }

    /// The step as a request; `None` where nothing was issued yet that it could stand on.
    pub(super) fn given(&mut self, setting: &Setting, step: &Step) -> Option<Given> {
        self.now += step.wait;
        // The youngest every other time, or hardly a chain gets long.
        let place = |pick: usize| if pick.is_multiple_of(2) { 0 } else { pick / 2 % self.held.len().clamp(1, YOUNG) };
        let young = |pick: usize| self.held.iter().rev().nth(place(pick)).cloned();
        let (held, aim, could) = match step.deed {
            Deed::Begin { shown, known, .. } => (None, None, shown & known),
            Deed::Call { pick, target } => {
                let held = young(pick)?;
                let aim = aim(setting, step, &held, target);
                let could = held.scope & setting.targets[aim].scopes();
                (Some(held), Some(aim), could)
            }
            Deed::Renew { pick } => {
                let held = young(pick)?;
                let could = held.scope;
                (Some(held), None, could)
            }
        };
        let own = match (&held, &step.deed) {
            (Some(held), _) => held.holder(),
            (None, Deed::Begin { edge, .. }) => *edge,
            (None, Deed::Call { .. } | Deed::Renew { .. }) => return None,
        };
        let mut given = Given {
            by: step.by.unwrap_or(own),
            target: aim,
            wished: if step.fits { step.wish & could } else { step.wish },
            now: self.now,
            begun: held.as_ref().and_then(|held| self.begun.get(held.text("txn")).cloned()),
            is_hostile: false,
            parameters: Vec::new(),
            step: step.clone(),
            held,
        };
        (given.parameters, given.is_hostile) = spelling::spelled(self, setting, &given);
        Some(given)
    }

    /// Asks the broker.
    pub(super) fn ask(&mut self, given: &Given) -> Outcome {
        let requester = workload_id(&workload(given.by)).expect("an id");
        let mut record = DecisionRecord::open(at(given.now), requester, drop);
        self.sign_ins += 1;
        let issued = self.runtime.block_on(issue(&self.parties, given, self.sign_ins, &mut record));
        let entry = record.entry().expect("an open record").clone();
        let mut text = String::new();
        self.record.read_to_string(&mut text).expect("reads");
        let outcome = Outcome {
            issued: issued.map_err(|refusal| refusal.code().into_owned()).map(|issued| Got {
                token: Token::read(&issued.token),
                handed: issued.txn_token.as_ref().map(|token| Token::read(token)),
            }),
            rules: entry.rules.into_iter().collect(),
            ids: entry.tokens.iter().map(|id| id.as_str().to_owned()).collect(),
            // The keys' own lines come when they come.
            lines: text.lines().filter(|line| !line.contains(r#""t":"key""#)).map(str::to_owned).collect(),
        };
        record.finish(if outcome.issued.is_ok() { End::Granted } else { End::Aborted });
        outcome
    }

    /// Keeps what was issued, for the steps after it.
    pub(super) fn keep(&mut self, setting: &Setting, given: &Given, outcome: Outcome) {
        let Ok(got) = outcome.issued else { return };
        if let Deed::Begin { keeper, .. } = given.step.deed
            && let Ok(yes) = oracle::allowed(setting, given)
        {
            let (not_after, long_not_after) = oracle::transaction_ends(&yes, given);
            let begun = Begun { not_after, long_not_after, keeper_ends: given.now + keeper };
            self.begun.insert(got.token.text("txn").to_owned(), begun);
        }
        match given.target {
            Some(_) => self.access.push(got.token),
            None => self.held.push(got.token),
        }
        self.held.extend(got.handed);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.process.shutdown.trigger();
        self.runtime.block_on(self.process.shutdown.drain(Duration::from_millis(10)));
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// The target of a call: a fitting one is not in the chain yet, where there is such a target.
fn aim(setting: &Setting, step: &Step, held: &Token, target: usize) -> usize {
    let is_new = |workload: usize| workload != held.holder() && !held.actors.contains(&workload);
    let new: Vec<usize> = (0..setting.targets.len()).filter(|n| is_new(setting.targets[*n].workload)).collect();
    if step.fits && !new.is_empty() { new[target % new.len()] } else { target % setting.targets.len() }
}

/// Everybody, with every scope: what renews as an edge is one.
fn edges() -> Edges {
    let scopes: Scopes = SCOPES.join(" ").parse().expect("scopes");
    let edge = |index| {
        let workload = workload_id(&workload(index)).expect("an id");
        Edge { workload, login_clients: Vec::new(), scopes: scopes.clone() }
    };
    (0..WORKLOADS).map(edge).collect::<Vec<_>>().into()
}

async fn parties(folder: &Path, process: &Process) -> Parties {
    let continuity = Continuity::open(folder).expect("a state");
    let store = Store::open(&folder.join("broker.db"), wrapping(), continuity).await.expect("a store");
    let recorder = Recorder::start(RecordFile::open(folder).expect("a record"), store.sealer(), "digest", process);
    let terms = Terms { algorithm: Algorithm::Es256, publication: MONTH, rotate_every: MONTH };
    let rotation = Rotation::start(&store, &recorder, terms, process).await.expect("keys");
    let workload = Workload::connect(NOWHERE, process);
    let second = Duration::from_secs;
    Parties {
        issuer: Issuer {
            url: ISSUER.to_owned(),
            trust_domain: TrustDomain::new(TRUST_DOMAIN).expect("a domain"),
            keys: rotation.in_use(),
        },
        authorities: Authorities::new(Vec::new(), process).expect("none"),
        edges: edges(),
        registry: identity::Registry::default(),
        reserved: identity::Reserved::default(),
        policies: Rules::new(Setting::closed().policies(&folder.join("policies"))),
        recorder,
        rotation,
        sessions: Sessions::new(store.sealer(), Vec::new()),
        liveness: Liveness::nobody(),
        revocations: nothing(),
        seen: Seen::default(),
        svids: JwtSvids::new(NOWHERE, workload.clone()),
        life: Life { transaction: second(1800), transaction_token: second(120), access_token: second(60) },
        workload,
        store,
    }
}

/// What the token endpoint does with a form. A begin's user is taken as verified, and so is the provider's answer.
async fn issue(parties: &Parties, given: &Given, sign_in: u64, record: &mut DecisionRecord) -> Result<Issued, Refusal> {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let body: Vec<String> = given.parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    let (requester, now) = (workload_id(&workload(given.by)).expect("an id"), at(given.now));
    let known = Known { registry: &parties.registry, trust_domain: &parties.issuer.trust_domain };
    let form = Form::parse(body.join("&").as_bytes())?;
    Client::of(requester.clone()).confirm(parties, Said { authorization: false, form: &form }, now).await?;
    let request = Request::read(&form, known)?;
    let (Wish::Begin { scopes, .. }, None, &Deed::Begin { user, shown, known, signed_in, keeper, .. }) =
        (&request.wish, &request.actor_token, &given.step.deed)
    else {
        return exchange::exchange(parties, &requester, request, record, now).await;
    };
    let (name, groups, roles) = USERS[user];
    let (keeper, _text) = authority::tests::keeper_of(&json!({
        "sub": name, "sid": format!("s{sign_in}"), "scope": words(shown), "exp": given.now + keeper,
        "groups": groups, "realm_access": { "roles": roles },
    }));
    let begin = Begin {
        person: Person {
            subject: keeper.proof().subject(),
            groups: keeper.proof().groups(),
            roles: keeper.proof().roles(),
        },
        actor: Actor::of(ActorChain::of(requester.clone())),
        keeper: keeper.proof(),
        signed_in: Lifetime::until(at(given.now + signed_in)),
        edge_scopes: &words(known).parse().expect("scopes"),
        trust_domain: &parties.issuer.trust_domain,
        scopes,
    };
    let grant = grant::decide(&parties.policies.current(), Case::Begin(begin), &parties.life, now, &mut None)?;
    parties.store.begin(&grant, &requester, &keeper, now).await?;
    record.note(|entry| grant.describe(entry));
    parties.recorder.granted(record.entry()).await?;
    mint(grant, &parties.issuer, now)
}

fn at(secs: u64) -> UnixTime {
    UnixTime::from_secs(secs).expect("a time")
}
