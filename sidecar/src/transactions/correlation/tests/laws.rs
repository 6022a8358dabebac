//! The law, over random histories of two users: whatever begins, ends, is given up, waits or is left over, and however
//! clients share sessions and mix up contexts, a call that is admitted is one of the request that made it.
//!
//! Two things are beyond the rule, because nothing on the wire tells of them (docs/threat-model.md): work that runs on
//! after its app has **answered**, in an MCP session that a later request opened, so finished requests go on in their own
//! context only; and an app that is talked into sending the inner trace of another request, so apps send what they were
//! given. Callers, though, may know inner traces, and send them.

use proptest::{collection::vec, option, prelude::*};
use tokio::time::{Instant, advance};

use super::*;

/// How a call of a request shows to whom it belongs.
#[derive(Clone, Copy, Debug)]
enum Style {
    /// In its own context.
    Own,
    /// The same, with `_meta`.
    OwnMeta,
    /// With its handle, in its own context.
    Handle,
    /// In a session that some request opened, and in the context of that request (Python SDK 1).
    Shared,
    /// The same, with its own handle.
    SharedHandle,
    /// In such a session, in its own context and with `_meta` (Python SDK 2).
    SharedMeta,
    /// In such a session, in the context that opened it, with its own `_meta`.
    SharedMixed,
    /// In a trace from outside that all callers send.
    Outside,
}

#[derive(Clone, Debug)]
enum Step {
    /// A user's request, whose caller may send the inner trace of some request, or one that all send.
    Begin { user: usize, learned: Option<usize> },
    /// A request's app answers to the end.
    Finish(usize),
    /// A request's caller leaves.
    GiveUp(usize),
    /// Seconds pass.
    Wait(u64),
    /// A request opens a session: the one that all share from now on.
    OpenSession(usize, bool),
    /// The head of a call arrives.
    Call(usize, Style),
    /// The rest of the oldest call has arrived.
    Settle,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let style = prop_oneof![
        Just(Style::Own),
        Just(Style::OwnMeta),
        Just(Style::Handle),
        Just(Style::Shared),
        Just(Style::SharedHandle),
        Just(Style::SharedMeta),
        Just(Style::SharedMixed),
        Just(Style::Outside),
    ];
    let step = prop_oneof![
        2 => (0..2_usize, option::of(any::<usize>())).prop_map(|(user, learned)| Step::Begin { user, learned }),
        1 => any::<usize>().prop_map(Step::Finish),
        1 => any::<usize>().prop_map(Step::GiveUp),
        1 => (1..150_u64).prop_map(Step::Wait),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(who, handle)| Step::OpenSession(who, handle)),
        6 => (any::<usize>(), style).prop_map(|(who, style)| Step::Call(who, style)),
        4 => Just(Step::Settle),
    ];
    vec(step, 1..60)
}

/// A request of the model.
struct Mine {
    handle: HeaderValue,
    trace: TraceId,
    authority: Arc<Authority>,
    exchange: Option<Exchange>,
    /// Until when its app works, if its caller left.
    given_up: Option<Instant>,
}

impl Mine {
    fn is_at_work(&self) -> bool {
        self.exchange.is_some() || self.given_up.is_some_and(|until| Instant::now() < until)
    }
}

/// A call whose head has arrived.
struct Arrived {
    who: usize,
    claim: Claim,
    meta: Option<TraceId>,
    session: Option<Arc<Authority>>,
}

struct World {
    pod: Pod,
    requests: Vec<Mine>,
    /// The session that all share, and who opened it.
    shared: Option<(Arc<Authority>, usize)>,
    arrived: std::collections::VecDeque<Arrived>,
    everybodys: TraceContext,
}

impl World {
    fn begin(&mut self, user: usize, learned: Option<usize>) {
        let inner = learned.and_then(|who| self.requests.get(who)).and_then(|request| request.exchange.as_ref());
        let inner = inner.map(|exchange| exchange.transaction().traces().inward());
        let caller = inner.and_then(|text| TraceContext::parse(&text)).unwrap_or(self.everybodys);
        let name = ["alice", "bob"][user];
        let request = self.pod.begin(name, &format!("x{}", self.requests.len()), Some(caller));
        let authority = Arc::clone(request.exchange.transaction().authority().expect("an authority"));
        let Request { exchange, handle, trace } = request;
        self.requests.push(Mine { handle, trace, authority, exchange: Some(exchange), given_up: None });
    }

    fn end(&mut self, who: usize, given_up: bool) {
        let Some(request) = self.requests.get_mut(who) else { return };
        let Some(exchange) = request.exchange.take() else { return };
        exchange.set_at_work(given_up);
        if given_up {
            request.given_up = Instant::now().checked_add(crate::transactions::book::AT_WORK_MAX);
        }
    }

    /// How many others the app works for than `who`.
    fn others(&self, who: usize) -> usize {
        self.requests.iter().enumerate().filter(|(index, request)| *index != who && request.is_at_work()).count()
    }

    fn call(&mut self, who: usize, style: Style) {
        let Some(own) = self.requests.get(who) else { return };
        let shares = matches!(style, Style::Shared | Style::SharedHandle | Style::SharedMeta | Style::SharedMixed);
        let session = if shares { self.shared.clone() } else { None };
        if shares && (session.is_none() || !own.is_at_work()) {
            return;
        }
        let context = session.as_ref().map_or(own.trace, |(_, opener)| self.requests[*opener].trace);
        let (handle, trace, meta) = match style {
            Style::Own => (None, own.trace, None),
            Style::OwnMeta | Style::SharedMeta => (None, own.trace, Some(own.trace)),
            Style::Handle => (Some(&own.handle), own.trace, None),
            Style::Shared => (None, context, None),
            Style::SharedHandle => (Some(&own.handle), context, None),
            Style::SharedMixed => (None, context, Some(own.trace)),
            Style::Outside => (None, self.everybodys.trace(), None),
        };
        let signs = Signs { handle, trace: Some(trace) };
        if matches!(style, Style::Own) && own.exchange.is_some() && self.others(who) == 0 {
            assert_eq!(self.pod.by(signs, &plain()), Ok(Way::Trace), "the only request is found by its trace");
        }
        let claimed = self.pod.transactions.claim(signs);
        if let Ok(claim) = claimed {
            self.arrived.push_back(Arrived { who, claim, meta, session: session.map(|(opener, _)| opener) });
        }
    }

    fn settle(&mut self) {
        let Some(Arrived { who, claim, meta, session }) = self.arrived.pop_front() else { return };
        let own = &self.requests[who].authority;
        let opener = session.clone();
        let session = session.map_or(Session::None, Session::Of);
        if let Ok(way) = self.pod.transactions.settle(&claim, &Shows { meta, session, of_session: false }) {
            assert_eq!(claim.transaction().authority(), Some(own), "a call of one request is taken for another's");
            assert!(way == Way::Handle || opener.is_none_or(|opener| opener == *own), "in another's session");
        }
    }

    fn open_session(&mut self, who: usize, by_handle: bool) {
        let Some(own) = self.requests.get(who) else { return };
        let handle = by_handle.then_some(&own.handle);
        let Ok(claim) = self.pod.transactions.claim(Signs { handle, trace: Some(own.trace) }) else { return };
        if self.pod.transactions.settle(&claim, &plain()).is_ok() {
            let authority = claim.transaction().authority().expect("an authority");
            assert_eq!(authority, &own.authority);
            self.shared = Some((Arc::clone(authority), who));
        }
    }

    async fn take(&mut self, step: Step) {
        let one = |any: usize| any.checked_rem(self.requests.len()).unwrap_or_default();
        match step {
            Step::Begin { user, learned } => self.begin(user, learned.map(one)),
            Step::Finish(any) => self.end(one(any), false),
            Step::GiveUp(any) => self.end(one(any), true),
            Step::Wait(secs) => advance(Duration::from_secs(secs)).await,
            Step::OpenSession(any, by_handle) => self.open_session(one(any), by_handle),
            Step::Call(any, style) => self.call(one(any), style),
            Step::Settle => self.settle(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn no_call_is_ever_taken_for_one_of_another_request(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let everybodys = TraceContext::random(true).expect("random bits");
            let mut world = World {
                pod: Pod::new(), requests: Vec::new(), shared: None, arrived: Default::default(), everybodys,
            };
            for step in steps {
                world.take(step).await;
            }
            while !world.arrived.is_empty() {
                world.settle();
            }
        });
    }
}
