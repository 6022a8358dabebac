//! The door out of the pod: `transaction → route → credential → forward` (`architecture.md`). An explicit forward proxy
//! for the app's calls inside a transaction. It adds what the broker gives, and nothing leaves without that: no
//! transaction, no target, no mapping, no token each mean refused, with no look-up of a name and no connection.

mod credential;
mod forward;
mod route;
mod transaction;

use http::{Request, Response};
use hyper::body::Incoming;

pub(crate) use self::credential::Credentials;
use self::transaction::Transaction;
use crate::{
    answer::{About, Door},
    body::Body,
    metrics::Metrics,
    perimeter,
    pool::Pool,
    snapshot::Snapshots,
    strip,
    transactions::Transactions,
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
        match self.serve(request, &mut about).await {
            Ok(response) => {
                self.metrics.request(Door::Agent.name(), "forwarded");
                response
            }
            Err(refusal) => about.refuse(&refusal, &self.metrics),
        }
    }

    async fn serve(&self, request: Request<Incoming>, about: &mut About) -> Result<Response<Body>, Refusal> {
        let (mut parts, body) = request.into_parts();
        let shown = strip::request(&mut parts)?;
        let host = route::host(&parts)?;
        let now = clock::now();
        let identity = self.workload.identity(now).map_err(|_fault| Refusal::FaultIdentity)?;
        let transaction = Transaction::find(&self.transactions, shown.handle.as_ref(), identity.id(), now, about)?;
        let snapshot = self.snapshots.current()?;
        let target = route::target(&snapshot.reaches, &host, parts.uri.path())?;
        about.target = Some(target.name().to_owned());
        let call = perimeter::read(target, &parts, body, &self.room, about).await?;
        about.scope = Some(call.needs.clone());
        let key = credential::Key::new(&transaction, target, &call.needs, snapshot.generation);
        let forward = forward::Forward { door: self, transaction: &transaction, target, key };
        forward.run(parts, call.payload).await
    }
}
