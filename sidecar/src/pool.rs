//! Connections to the app, to other sidecars and to the broker, kept between requests (HTTP/1.1). A connection belongs
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
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

pub(crate) use self::leased::Leased;
use crate::body::Body;
use identity::{Refusal, SpiffeId};
use runtime::{
    clock,
    mtls::{ConnectFault, Connector},
    serve::{CLIENT_IDLE_MAX, HEADERS_MAX},
    shutdown::Shutdown,
    workload::{Identity, Workload},
};

/// Most requests in progress toward one upstream; each holds a connection. A busy pod has tens.
const IN_PROGRESS_MAX: usize = 512;
/// Most resting connections of one upstream: what a burst leaves behind and the next one uses.
const RESTING_MAX: usize = 64;
/// Longest wait for a TCP connection to the app, which is on the same host.
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
    /// What the caller is told.
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            Self::Connect(ConnectFault::NoIdentity(_)) => Refusal::FaultIdentity,
            Self::Connect(ConnectFault::WrongIdentity { .. }) => Refusal::PeerWrongIdentity,
            Self::Connect(ConnectFault::Unreachable { .. } | ConnectFault::Handshake { .. }) => {
                Refusal::PeerUnreachable
            }
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
    /// A pool that calls as `workload`; a task of `shutdown` lets resting connections go.
    pub(crate) fn new(workload: Workload, shutdown: &Shutdown) -> Self {
        let shared = Arc::new(Shared {
            connector: Connector::new(workload.clone()),
            workload,
            shutdown: shutdown.clone(),
            lanes: Mutex::default(),
        });
        let pool = Self(shared);
        shutdown.spawn("connection pool", pool.clone().sweep());
        pool
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
            Upstream::App(_) => None,
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
                Ok(response) => return Ok(response.map(|body| Leased::new(body, self, upstream, link, slot))),
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
            Upstream::App(address) => {
                let connected = timeout(CONNECT_MAX, TcpStream::connect(address)).await;
                let slow = |_elapsed| SendFault::App(std::io::ErrorKind::TimedOut.into());
                let tcp = connected.map_err(slow)?.map_err(SendFault::App)?;
                tcp.set_nodelay(true).map_err(SendFault::App)?;
                self.speak(tcp).await?
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
                    Upstream::App(_) => None,
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
