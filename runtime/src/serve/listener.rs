//! Bound sockets and the loop that accepts on them. It never spins on a fault and never holds more connections than
//! the process has file descriptors for.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustix::process::{Resource, getrlimit};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream, lookup_host},
    sync::Semaphore,
};

use super::streams::Streams;
use crate::{
    shutdown::Shutdown,
    telemetry::{ConnectionLabels, Measures, Telemetry},
};

/// Connections that the kernel may hold for us before we accept them: a burst of reconnects after a restart.
const BACKLOG: u32 = 1024;
/// Most open connections of one door: ten times a busy sidecar's, and at about 30 KiB each within 128 MiB.
const CONNECTIONS_MAX: u64 = 4096;
/// A door takes at most this part of the file descriptors: there are up to five doors, and a proxied connection
/// needs two, so that store, ledger and admin door are never starved.
const DESCRIPTORS_SHARE: u64 = 8;
/// Pause after a failed accept (EMFILE, ENOBUFS): time for others to close something, short enough not to be felt.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound, listening TCP socket.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    address: SocketAddr,
    connections_max: usize,
    door: Door,
}

/// What a listener's connections share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Door {
    /// What it counts under. Without a name nothing is counted.
    counted: Option<(&'static str, Measures)>,
    pub(crate) streams: Streams,
}

impl Door {
    pub(crate) fn count(&self, outcome: &'static str) {
        if let Some((door, measures)) = &self.counted {
            measures.connections.get_or_create(&ConnectionLabels { door, outcome }).inc();
        }
    }
}

impl Listener {
    /// Binds `address` (`host:port`; port 0 lets the kernel choose) with `SO_REUSEADDR`, so that a port which a
    /// supervisor reserved can be taken over, and listens.
    ///
    /// # Errors
    /// The name has no address, or the address is taken or not ours.
    pub async fn bind(address: &str) -> io::Result<Self> {
        let resolved = lookup_host(address).await?.next();
        let wanted = resolved.ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
        let socket = if wanted.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(wanted)?;
        let tcp = socket.listen(BACKLOG)?;
        let address = tcp.local_addr()?;
        Ok(Self { tcp, address, connections_max: connections_max(), door: Door::default() })
    }

    /// Counts this listener's connections as `door` (metric `countersign_connections_total`).
    #[must_use]
    pub fn counted(mut self, telemetry: &Telemetry, door: &'static str) -> Self {
        self.door.counted = Some((door, telemetry.measures().clone()));
        self
    }

    /// Gives each HTTP/2 connection `streams`; without a word that of a proxy.
    #[must_use]
    pub fn with(mut self, streams: Streams) -> Self {
        self.door.streams = streams;
        self
    }

    /// The address with its real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn door(&self) -> Door {
        self.door.clone()
    }

    /// Accepts until shutdown is triggered; each connection is a task that drain waits for.
    pub(crate) async fn run<F>(self, shutdown: &Shutdown, handle: impl Fn(TcpStream, SocketAddr) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let slots = Arc::new(Semaphore::new(self.connections_max));
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = self.tcp.accept() => accepted,
            };
            let (tcp, from) = match accepted {
                Ok(accepted) => accepted,
                Err(fault) => {
                    self.pause(&fault).await;
                    continue;
                }
            };
            // Full: close at once, so that the peer knows now and can go elsewhere.
            let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                self.door.count("over_limit");
                continue;
            };
            self.door.count("accepted");
            if let Err(fault) = tcp.set_nodelay(true) {
                tracing::debug!(%fault, "no TCP_NODELAY");
            }
            let serving = handle(tcp, from);
            shutdown.spawn("connection", async move {
                serving.await;
                drop(slot);
            });
        }
    }

    async fn pause(&self, fault: &io::Error) {
        self.door.count("accept_failed");
        // A peer that left before we accepted is its own affair.
        if matches!(fault.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
            return;
        }
        tracing::warn!(%fault, address = %self.address, "cannot accept, pausing");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }

    #[cfg(test)]
    pub(crate) fn limited(mut self, connections_max: usize) -> Self {
        self.connections_max = connections_max;
        self
    }
}

fn connections_max() -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let share = descriptors.checked_div(DESCRIPTORS_SHARE).unwrap_or(descriptors);
    usize::try_from(share.clamp(1, CONNECTIONS_MAX)).unwrap_or(1)
}
