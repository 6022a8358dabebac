//! The `self` door: calls of the app in the workload's own name, for no user (`protocol.md` §1, §6). Off unless the
//! configuration turns it on. `route → leave → SVID → forward`: the broker says yes and has it on record before a
//! JWT-SVID is fetched, and without one nothing is sent. It knows no transaction, and lends nothing to one: a call of the
//! agent door never comes here (N110).

mod echo;
mod leave;
mod svids;

use std::{future, time::Duration};

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

use self::{
    echo::Withheld,
    leave::{Era, Leaves},
};
pub use self::{
    leave::Leave,
    svids::{Presented, Svids},
};
use crate::{
    answer::{About, Door},
    body::{Body, Flow},
    causes::causes,
    inbound::Inbound,
    metrics::Metrics,
    outbound::route,
    outgoing,
    perimeter::{self, Payload},
    pool::{Leased, Pool, Upstream},
    snapshot::Snapshots,
    strip,
};
use identity::{Refusal, WorkloadTarget};
use runtime::{
    clock,
    shutdown::Shutdown,
    workload::{JwtSvids, Workload},
};

/// Longest wait for the head of an answer: as long as work for a user may take by default. An app that waits less ends
/// the call by closing its connection.
const ANSWER_MAX: Duration = Duration::from_mins(30);
/// A coded answer cannot be looked into, so none is asked for.
const UNCODED: HeaderValue = HeaderValue::from_static("identity");

/// What the `self` door works with.
pub(crate) struct Own {
    workload: Workload,
    snapshots: Snapshots,
    leaves: Leaves,
    svids: Svids,
    pool: Pool,
    metrics: Metrics,
    shutdown: Shutdown,
}

impl Own {
    /// The door of the pod whose other doors `inbound` are. Nobody else gets `svids`.
    pub(crate) fn beside(inbound: &Inbound, svids: JwtSvids) -> Self {
        Self {
            workload: inbound.workload.clone(),
            snapshots: inbound.snapshots.clone(),
            leaves: Leaves::new(inbound.broker.clone()),
            svids: Svids::new(svids),
            pool: inbound.pool.clone(),
            metrics: inbound.metrics.clone(),
            shutdown: inbound.shutdown.clone(),
        }
    }

    /// Answers a call of the app. Dropped half-way, the service may have got the request.
    pub(crate) async fn call(&self, request: Request<Incoming>) -> Response<Body> {
        let mut about = About::new(Door::Own);
        let outcome = self.serve(request, &mut about).await;
        about.answer(outcome, &self.metrics)
    }

    async fn serve(&self, request: Request<Incoming>, about: &mut About) -> Result<Response<Body>, Refusal> {
        let (mut parts, body) = request.into_parts();
        // Whatever the app shows, a handle included, says nothing here and goes no further.
        strip::request(&mut parts)?;
        strip::proxy_claims(&mut parts.headers);
        strip::tell_tales(&mut parts.headers);
        strip::wishes(&mut parts.headers);
        let host = route::host(&parts)?;
        let snapshot = self.snapshots.current()?;
        let target = route::workload_target(&snapshot.reaches, &host, parts.uri.path())?;
        about.target = Some(target.name().to_owned());
        perimeter::check(target.perimeter(), &parts, about)?;
        let upstream = Upstream::Service(target.connect().clone(), target.perimeter().host().to_owned());
        self.pool.check(&upstream)?;
        let identity = self.workload.identity(clock::now()).map_err(|_fault| Refusal::FaultIdentity)?;
        let revoked = snapshot.revocations.through(identity.id());
        let leave = self.leaves.of(target, Era { generation: snapshot.generation, revoked }).await?;
        let presented = self.svids.fetch(leave, clock::now()).await?;
        parts.headers.insert(header::AUTHORIZATION, presented.authorization()?);
        parts.headers.insert(header::ACCEPT_ENCODING, UNCODED);
        let authority = target.perimeter().authority();
        let request = outgoing::request(parts, Payload::Stream(body).into_body(future::pending()), authority)?;
        let response = self.send(target, &upstream, request).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            self.svids.refused(&presented, clock::now());
        }
        if is_coded(response.headers()) && !response.body().is_end_stream() {
            tracing::warn!(called = target.name(), "the service gave a coded answer, for which nobody asked");
            return Err(Refusal::PeerAnswer);
        }
        Ok(self.finish(response, &presented))
    }

    async fn send(
        &self,
        target: &WorkloadTarget,
        upstream: &Upstream,
        request: Request<Body>,
    ) -> Result<Response<Leased>, Refusal> {
        // Too late, it may have arrived: nobody is told to try again.
        let sent = timeout(ANSWER_MAX, self.pool.send(upstream, request)).await;
        sent.map_err(|_elapsed| Refusal::PeerAnswer)?.map_err(|fault| {
            tracing::warn!(called = target.name(), error = causes(&fault), "the service gave no answer");
            fault.refusal()
        })
    }

    /// The answer as the app gets it: whatever the service said, a 401 included, but our SVID.
    fn finish(&self, mut response: Response<Leased>, presented: &Presented) -> Response<Body> {
        strip::response(response.headers_mut());
        echo::headers(response.headers_mut(), presented);
        response.map(|body| {
            let body = Withheld::new(body, presented);
            Body::of(Flow::new(body, future::pending(), (), &self.shutdown))
        })
    }
}

/// Whether a body is coded, in itself or on its way: then it cannot be looked into.
fn is_coded(answer: &HeaderMap) -> bool {
    let other_than = |name, plain: &str| {
        let said = answer.get_all(name).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        said.map(<[u8]>::trim_ascii).any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(plain.as_bytes()))
    };
    other_than(header::CONTENT_ENCODING, "identity") || other_than(header::TRANSFER_ENCODING, "chunked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_answer_is_looked_into() {
        let coded = |name: &'static str, values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(name, value.parse().expect("a value"));
            }
            is_coded(&headers)
        };
        for (name, values) in [
            ("content-encoding", &["identity"][..]),
            ("content-encoding", &["Identity", ""]),
            ("transfer-encoding", &["chunked"]),
            ("x-other", &["gzip"]),
        ] {
            assert!(!coded(name, values), "{name}: {values:?}");
        }
        for (name, values) in [
            ("content-encoding", &["gzip"][..]),
            ("content-encoding", &["identity", "br"]),
            ("content-encoding", &["identity,zstd"]),
            ("transfer-encoding", &["gzip, chunked"]),
            ("transfer-encoding", &["gzip", "chunked"]),
        ] {
            assert!(coded(name, values), "{name}: {values:?}");
        }
    }
}
