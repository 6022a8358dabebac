//! Connections to the app, to other sidecars, to services and to the broker, kept between requests (HTTP/1.1). A connection belongs
//! to one upstream, one identity of the peer and one SVID of ours: it is dropped when the SVID rotates, after a short
//! rest, and on any doubt. No request ever waits behind a connection that is not up.

mod leased;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{Request, Response, StatusCode};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, ToSocketAddrs},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

pub(crate) use self::leased::Leased;
use crate::body::Body;
use identity::{Refusal, ServiceAddress, SpiffeId};
use runtime::{
    clock,
    mtls::{ConnectFault, Connector},
    outside::{Outside, OutsideFault},
    serve::{CLIENT_IDLE_MAX, HEADERS_MAX},
    shutdown::Shutdown,
    workload::{Identity, Workload},
};

/// Most requests in progress toward one upstream; each holds a connection. A busy pod has tens.
const IN_PROGRESS_MAX: usize = 512;
/// Most resting connections of one upstream: what a burst leaves behind and the next one uses.
const RESTING_MAX: usize = 64;
/// Longest wait for a TCP connection on the same host.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Largest header section of an answer.
const ANSWER_HEADER_MAX: usize = 64 * 1024;
/// How often connections that rested too long are let go.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Upstream {
    /// The app behind this sidecar, in clear text over loopback.
    App(String),
    /// `host:port` over mTLS, where this workload must answer.
    Workload(String, SpiffeId),
    /// A service that is no part of the mesh, and the host name that it must prove over TLS.
    Service(ServiceAddress, String),
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendFault {
    /// No connection: nothing was sent.
    #[error("no connection")]
    Connect(#[source] ConnectFault),
    /// The app cannot be reached: nothing was sent.
    #[error("the app cannot be reached")]
    App(#[source] std::io::Error),
    /// The service cannot be reached: nothing was sent.
    #[error("the service cannot be reached")]
    Service(#[source] std::io::Error),
    /// No connection to the service over TLS: nothing was sent.
    #[error("no connection to the service")]
    Outside(#[source] OutsideFault),
    /// No authority is configured by which a service could prove its name: nothing was sent.
    #[error("no certificate authority for services is configured (`outside.ca`)")]
    NoRoots,
    /// [`IN_PROGRESS_MAX`] is reached: nothing was sent.
    #[error("too many requests in progress")]
    Overloaded,
    /// The answer leaves HTTP, for which nobody asked; the request has arrived.
    #[error("the answer changes the protocol")]
    Upgrade,
    /// The connection broke; the request may have arrived.
    #[error("the connection broke")]
    Broken(#[source] hyper::Error),
}

impl SendFault {
    /// Whether nothing of the request was sent.
    pub(crate) const fn is_unsent(&self) -> bool {
        match self {
            Self::Connect(_)
            | Self::App(_)
            | Self::Service(_)
            | Self::Outside(_)
            | Self::NoRoots
            | Self::Overloaded => true,
            Self::Upgrade | Self::Broken(_) => false,
        }
    }

    /// What the caller is told.
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            Self::Connect(ConnectFault::NoIdentity(_)) => Refusal::FaultIdentity,
            Self::Connect(ConnectFault::WrongIdentity { .. }) | Self::Outside(OutsideFault::Unproved { .. }) => {
                Refusal::PeerWrongIdentity
            }
            Self::Connect(ConnectFault::Unreachable { .. } | ConnectFault::Handshake { .. })
            | Self::Outside(OutsideFault::Unreachable { .. } | OutsideFault::Handshake { .. })
            | Self::Service(_) => Refusal::PeerUnreachable,
            Self::NoRoots => Refusal::PeerNoRoots,
            Self::Overloaded => Refusal::FaultOverloaded,
            Self::App(_) => Refusal::FaultApp,
            // It may have arrived, so nobody is told to try again.
            Self::Broken(_) | Self::Upgrade => Refusal::PeerAnswer,
        }
    }
}

/// The connections of this process. Clones share them.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Shared>);

struct Shared {
    connector: Connector,
    outside: Option<Outside>,
    workload: Workload,
    shutdown: Shutdown,
    lanes: Mutex<HashMap<Upstream, Lane>>,
}

/// What belongs to one upstream.
struct Lane {
    slots: Arc<Semaphore>,
    resting: Vec<Resting>,
}

struct Resting {
    link: Link,
    since: Instant,
}

/// An open connection and the SVID of ours that opened it.
struct Link {
    sender: SendRequest<Body>,
    identity: Option<Arc<Identity>>,
}

impl Pool {
    /// A pool that calls as `workload`, and services that prove themselves to `outside`; a task of `shutdown` lets
    /// resting connections go.
    pub(crate) fn new(workload: Workload, outside: Option<Outside>, shutdown: &Shutdown) -> Self {
        let shared = Arc::new(Shared {
            connector: Connector::new(workload.clone()),
            outside,
            workload,
            shutdown: shutdown.clone(),
            lanes: Mutex::default(),
        });
        let pool = Self(shared);
        shutdown.spawn("connection pool", pool.clone().sweep());
        pool
    }

    /// Whether `upstream` could prove who it is, before anything is asked for it.
    ///
    /// # Errors
    /// [`Refusal::PeerNoRoots`].
    pub(crate) fn check(&self, upstream: &Upstream) -> Result<(), Refusal> {
        match upstream {
            Upstream::Service(ServiceAddress::Tls(_), _) if self.0.outside.is_none() => Err(Refusal::PeerNoRoots),
            Upstream::Service(..) | Upstream::App(_) | Upstream::Workload(..) => Ok(()),
        }
    }

    /// Sends `request` and returns the head of the answer; its body gives the connection back at its end. A resting
    /// connection that turns out to be closed is replaced, as long as the request was not sent. The caller bounds the
    /// wait. Dropped half-way, the connection is closed and the request may have arrived.
    ///
    /// # Errors
    /// The [`SendFault`].
    pub(crate) async fn send(
        &self,
        upstream: &Upstream,
        mut request: Request<Body>,
    ) -> Result<Response<Leased>, SendFault> {
        let slot = self.slot(upstream)?;
        let identity = match upstream {
            Upstream::App(_) | Upstream::Service(..) => None,
            Upstream::Workload(..) => {
                let identity = self.0.workload.identity(clock::now());
                Some(identity.map_err(|fault| SendFault::Connect(ConnectFault::NoIdentity(fault)))?)
            }
        };
        loop {
            let (mut link, rested) = match self.rested(upstream, identity.as_ref()) {
                Some(link) => (link, true),
                None => (self.dial(upstream, identity.clone()).await?, false),
            };
            match link.sender.try_send_request(request).await {
                Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => return Err(SendFault::Upgrade),
                Ok(mut response) => {
                    // hyper keeps the reason beside the status there and would send it on (RFC 9112 §4: nobody needs it).
                    response.extensions_mut().clear();
                    return Ok(response.map(|body| Leased::new(body, self, upstream, link, slot)));
                }
                Err(mut fault) => match fault.take_message() {
                    Some(unsent) if rested => request = unsent,
                    Some(_) | None => return Err(SendFault::Broken(fault.into_error())),
                },
            }
        }
    }

    fn slot(&self, upstream: &Upstream) -> Result<OwnedSemaphorePermit, SendFault> {
        let mut lanes = self.lanes();
        let lane = lanes
            .entry(upstream.clone())
            .or_insert_with(|| Lane { slots: Arc::new(Semaphore::new(IN_PROGRESS_MAX)), resting: Vec::new() });
        Arc::clone(&lane.slots).try_acquire_owned().map_err(|_none_left| SendFault::Overloaded)
    }

    /// The connection that rested last and is good for this identity. One whose last answer is not yet behind it goes
    /// on resting: it is never waited for.
    fn rested(&self, upstream: &Upstream, identity: Option<&Arc<Identity>>) -> Option<Link> {
        let mut lanes = self.lanes();
        let resting = &mut lanes.get_mut(upstream)?.resting;
        resting.retain(|candidate| candidate.alive(identity));
        let last = resting.iter().rposition(|candidate| candidate.link.sender.is_ready())?;
        Some(resting.remove(last).link)
    }

    async fn dial(&self, upstream: &Upstream, identity: Option<Arc<Identity>>) -> Result<Link, SendFault> {
        let sender = match upstream {
            Upstream::App(address) => self.speak(on_this_host(address).await.map_err(SendFault::App)?).await?,
            Upstream::Service(ServiceAddress::Plain(address), _) => {
                self.speak(on_this_host(address).await.map_err(SendFault::Service)?).await?
            }
            Upstream::Service(ServiceAddress::Tls(address), name) => {
                let outside = self.0.outside.as_ref().ok_or(SendFault::NoRoots)?;
                self.speak(outside.connect(address, name).await.map_err(SendFault::Outside)?).await?
            }
            Upstream::Workload(address, expect) => {
                self.speak(self.0.connector.connect(address, expect).await.map_err(SendFault::Connect)?).await?
            }
        };
        Ok(Link { sender, identity })
    }

    async fn speak<I>(&self, io: I) -> Result<SendRequest<Body>, SendFault>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = Builder::new();
        builder.max_headers(HEADERS_MAX).max_buf_size(ANSWER_HEADER_MAX);
        let (sender, connection) = builder.handshake(TokioIo::new(io)).await.map_err(SendFault::Broken)?;
        self.0.shutdown.spawn("upstream connection", async move {
            if let Err(fault) = connection.await {
                tracing::debug!(%fault, "upstream connection ended with a fault");
            }
        });
        Ok(sender)
    }

    fn give_back(&self, upstream: &Upstream, link: Link) {
        let closing = self.0.shutdown.is_cancelled() || link.sender.is_closed();
        if let Some(lane) = self.lanes().get_mut(upstream)
            && !closing
            && lane.resting.len() < RESTING_MAX
        {
            lane.resting.push(Resting { link, since: Instant::now() });
        }
    }

    /// Lets resting connections go, and at drain all of them.
    async fn sweep(self) {
        loop {
            tokio::select! {
                () = self.0.shutdown.cancelled() => {
                    self.lanes().clear();
                    return;
                }
                () = tokio::time::sleep(SWEEP_EVERY) => {}
            }
            let own = self.0.workload.identity(clock::now()).ok();
            self.lanes().retain(|upstream, lane| {
                let needed = match upstream {
                    Upstream::App(_) | Upstream::Service(..) => None,
                    Upstream::Workload(..) => own.as_ref(),
                };
                lane.resting.retain(|resting| resting.alive(needed));
                !lane.resting.is_empty() || lane.slots.available_permits() < IN_PROGRESS_MAX
            });
        }
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<Upstream, Lane>> {
        self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection in clear text, which does not leave the host.
async fn on_this_host(address: impl ToSocketAddrs) -> std::io::Result<TcpStream> {
    let slow = |_elapsed| std::io::Error::from(std::io::ErrorKind::TimedOut);
    let tcp = timeout(CONNECT_MAX, TcpStream::connect(address)).await.map_err(slow)??;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

impl Resting {
    fn alive(&self, identity: Option<&Arc<Identity>>) -> bool {
        let same_identity = match (&self.link.identity, identity) {
            (None, None) => true,
            (Some(opened), Some(current)) => Arc::ptr_eq(opened, current),
            (Some(_), None) | (None, Some(_)) => false,
        };
        same_identity && self.since.elapsed() < CLIENT_IDLE_MAX && !self.link.sender.is_closed()
    }
}

#[cfg(test)]
mod tests;
