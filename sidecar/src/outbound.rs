//! The door out of the pod: `transaction → route → credential → forward` (`architecture.md`). An explicit forward proxy
//! for the app's calls inside a transaction. It adds what the broker gives, and nothing leaves without that: no
//! transaction, no target, no mapping, no token each mean refused, with no look-up of a name and no connection.

mod credential;
mod forward;
pub(crate) mod route;
mod session;
mod transaction;

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;

pub(crate) use self::credential::Credentials;
use self::{session::Use, transaction::Transaction};
use crate::{
    answer::{About, Door},
    body::Body,
    metrics::Metrics,
    perimeter,
    pool::Pool,
    sessions::Sessions,
    snapshot::Snapshots,
    strip::{self, Shown},
    trace::TraceContext,
    transactions::{Authority, Claim, Shows, Signs, Transactions, Way},
};
use identity::Refusal;
use runtime::{clock, shutdown::Shutdown, workload::Workload};

/// What the agent door works with.
pub(crate) struct Outbound {
    /// Who we are.
    pub(crate) workload: Workload,
    /// What we may reach.
    pub(crate) snapshots: Snapshots,
    /// What is in progress.
    pub(crate) transactions: Transactions,
    /// MCP sessions that the app opened, and by which authority.
    pub(crate) sessions: Sessions<Arc<Authority>>,
    /// Tokens, held or asked for.
    pub(crate) credentials: Credentials,
    /// Connections.
    pub(crate) pool: Pool,
    /// Bodies that are held for a peek.
    pub(crate) room: perimeter::Room,
    /// Counters.
    pub(crate) metrics: Metrics,
    /// For watches over answers.
    pub(crate) shutdown: Shutdown,
}

impl Outbound {
    /// Answers a call of the app. Dropped half-way, the target may have got the request.
    pub(crate) async fn agent(&self, request: Request<Incoming>) -> Response<Body> {
        let mut about = About::new(Door::Agent);
        let outcome = self.serve(request, &mut about).await;
        about.answer(outcome, &self.metrics)
    }

    async fn serve(&self, request: Request<Incoming>, about: &mut About) -> Result<Response<Body>, Refusal> {
        let (mut parts, body) = request.into_parts();
        let shown = strip::request(&mut parts)?;
        let snapshot = self.snapshots.current()?;
        let host = route::host(&parts)?;
        let now = clock::now();
        let identity = self.workload.identity(now).map_err(|_fault| Refusal::FaultIdentity)?;
        // Nothing is waited for before this: a transaction that begins later cannot have made this call.
        let claim = self.claim(&shown)?;
        let transaction = Transaction::claimed(&claim, identity.id(), now, about)?;
        let target = route::target(&snapshot.reaches, &host, parts.uri.path())?;
        about.target = Some(target.name().to_owned());
        about.peer = Some(target.workload().clone());
        let call = perimeter::read(target, &parts, body, &self.room, about).await?;
        about.scope = Some(call.needs.clone());
        let (used, session) = Use::of(&self.sessions, target.name(), call.kind, &parts.headers).await?;
        let meta = call.traceparent.as_deref().and_then(TraceContext::parse).map(|context| context.trace());
        let shows = Shows { meta, session, of_session: call.kind.is_of_session() };
        about.way = Some(self.settle(&claim, &shows)?);
        let traces = transaction.live.traces();
        traces.leave(&mut parts.headers);
        strip::tell_tales(&mut parts.headers);
        let payload = call.payload.changed(|message| traces.leave_message(message));
        let key = credential::Key::new(&transaction, target, &call.needs, snapshot.generation);
        let forward = forward::Forward { door: self, transaction: &transaction, target, key };
        let response = forward.run(parts, payload).await?;
        let authority = transaction.live.authority().ok_or(Refusal::ChainNotCallee)?;
        used.note(response.status(), response.headers(), authority).await?;
        Ok(response)
    }

    fn claim(&self, shown: &Shown) -> Result<Claim, Refusal> {
        let trace = shown.trace.map(|context| context.trace());
        let claimed = if shown.several_traces {
            Err(Refusal::CallContradiction)
        } else {
            self.transactions.claim(Signs { handle: shown.handle.as_ref(), trace })
        };
        claimed.inspect_err(|refusal| self.metrics.correlation(&refusal.code()))
    }

    fn settle(&self, claim: &Claim, shows: &Shows) -> Result<Way, Refusal> {
        let settled = self.transactions.settle(claim, shows);
        match &settled {
            Ok(way) => self.metrics.correlation(way.name()),
            Err(refusal) => self.metrics.correlation(&refusal.code()),
        }
        settled
    }
}
