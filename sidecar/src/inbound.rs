//! The doors into the pod: `edge` for users, `mesh` for other sidecars (`protocol.md` §1, §3). They consume every token
//! and forward to the app only with a [`Permit`]. No token, of whomever, reaches the app.

mod authenticate;
mod authorize;
mod callers;
mod edge;
mod events;
mod forward;
mod identity_headers;
mod listing;
mod mesh;
mod metadata;
mod session;

use http::{Request, Response, request::Parts};
use hyper::body::Incoming;

pub use self::authorize::Permit;
pub(crate) use self::callers::Callers;
pub(crate) use self::session::Owner;
use crate::{
    answer::{About, Door},
    body::Body,
    broker::Broker,
    metrics::Metrics,
    perimeter::Room,
    pool::{Pool, Upstream},
    sessions::Sessions,
    snapshot::Snapshots,
    transactions::Transactions,
};
use identity::Refusal;
use runtime::{mtls::Peer, shutdown::Shutdown, workload::Workload};

/// What both doors work with.
pub(crate) struct Inbound {
    /// Who we are.
    pub(crate) workload: Workload,
    /// What we serve.
    pub(crate) snapshots: Snapshots,
    /// What is in progress.
    pub(crate) transactions: Transactions,
    /// Where transactions begin and are renewed.
    pub(crate) broker: Broker,
    /// Connections.
    pub(crate) pool: Pool,
    /// Bodies that are held for a peek.
    pub(crate) room: Room,
    /// The app's `host:port`.
    pub(crate) app: String,
    /// Who has how much in progress.
    pub(crate) callers: Callers,
    /// MCP sessions and whose they are.
    pub(crate) sessions: Sessions<Owner>,
    /// Counters.
    pub(crate) metrics: Metrics,
    /// For renewals and watches over answers.
    pub(crate) shutdown: Shutdown,
}

impl Inbound {
    /// Answers a request of another sidecar. Dropped half-way, the app may have got the request.
    pub(crate) async fn mesh(&self, peer: &Peer, request: Request<Incoming>) -> Response<Body> {
        let mut about = About::new(Door::Mesh);
        about.peer = Some(peer.id().clone());
        let outcome = mesh::serve(self, peer, request, &mut about).await;
        about.answer(outcome, &self.metrics)
    }

    /// Answers a user's request; `tls` says whether it came over TLS. Dropped half-way, the app may have got it.
    pub(crate) async fn edge(&self, request: Request<Incoming>, tls: bool) -> Response<Body> {
        let mut about = About::new(Door::Edge);
        let outcome = edge::serve(self, request, tls, &mut about).await;
        about.answer(outcome, &self.metrics)
    }

    fn upstream(&self) -> Upstream {
        Upstream::App(self.app.clone())
    }
}

/// The authority that a request names. With an absolute URI or HTTP/2, a `Host` beside it must agree (RFC 9112 §3.2).
fn authority(parts: &Parts) -> Result<String, Refusal> {
    let mut hosts = parts.headers.get_all(http::header::HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Refusal::CallMalformed);
    }
    let host = host.map(|host| host.to_str().map_err(|_not_text| Refusal::CallMalformed)).transpose()?;
    let named = parts.uri.authority().map(http::uri::Authority::as_str);
    match (named, host) {
        (Some(named), Some(host)) if !named.eq_ignore_ascii_case(host) => Err(Refusal::CallMalformed),
        (Some(named), _) => checked(named),
        (None, Some(host)) => checked(host),
        (None, None) => Err(Refusal::CallMalformed),
    }
}

fn checked(authority: &str) -> Result<String, Refusal> {
    let plain = authority.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:[]".contains(&byte));
    if plain && !authority.is_empty() { Ok(authority.to_owned()) } else { Err(Refusal::CallMalformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(uri: &str, hosts: &[&str]) -> Result<String, Refusal> {
        let builder = hosts.iter().fold(Request::builder().uri(uri), |builder, host| builder.header("host", *host));
        authority(&builder.body(()).expect("a request").into_parts().0)
    }

    #[test]
    fn one_authority_and_no_other_is_accepted() {
        assert_eq!(named("/mcp", &["tickets.tools.svc"]).as_deref(), Ok("tickets.tools.svc"));
        assert_eq!(named("https://tickets.tools.svc/mcp", &[]).as_deref(), Ok("tickets.tools.svc"));
        assert_eq!(named("http://tickets.tools.svc/", &["TICKETS.tools.svc"]).as_deref(), Ok("tickets.tools.svc"));
        for (uri, hosts) in [
            ("/", &[][..]),
            ("/", &["a", "b"]),
            ("/", &[""]),
            ("/", &["a b"]),
            ("/", &["a\"b"]),
            ("/", &["user@a"]),
            ("http://a/", &["b"]),
            ("http://user@a/", &[]),
        ] {
            assert_eq!(named(uri, hosts), Err(Refusal::CallMalformed), "{uri} {hosts:?}");
        }
    }
}
