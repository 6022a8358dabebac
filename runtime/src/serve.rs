//! Accept loops and HTTP/1.1 and HTTP/2 servers with the limits of `security.md` §1, drained on shutdown.
//! It answers nothing itself: what a request means is the service's business. Nothing a peer does ends a process.

mod connection;
mod first_read;
mod head;
mod idle_body;
mod listener;
mod moving_write;
mod streams;
mod unix;

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    service::Service,
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

pub(crate) use self::{connection::connection, listener::Door};
pub use self::{
    idle_body::{BODY_IDLE_MAX, IdleBody, IdleFault},
    listener::Listener,
    streams::Streams,
    unix::{UnixDoor, unix},
};
use crate::{
    clock,
    mtls::{Acceptor, HANDSHAKE_MAX, Peer},
    shutdown::Shutdown,
    tls::DoorTls,
};

/// Longest header section in bytes, HTTP/1 (with the request line) and HTTP/2 alike: room for a token of 8 KiB twice
/// and all else a browser sends.
pub const HEADER_SECTION_MAX: u32 = 32 * 1024;
/// Longest request line in bytes, method and version included: what other servers take, too. Over HTTP/2 the same parts
/// count. More is answered 414.
pub const REQUEST_LINE_MAX: usize = 8 * 1024;
/// Most headers in one request: ten times what a client sends, far from what makes parsing slow.
pub const HEADERS_MAX: usize = 100;
/// How long a peer may take for its first byte and for each header section. It is also how long an idle HTTP/1
/// connection is kept: clients must let go of theirs sooner ([`CLIENT_IDLE_MAX`]).
pub const HEADER_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a client of such a server may keep an idle HTTP/1 connection: less than [`HEADER_TIME_MAX`], so that no
/// request meets a closing connection.
pub const CLIENT_IDLE_MAX: Duration = Duration::from_secs(4);
/// Most concurrent HTTP/2 streams on one connection: a busy sidecar opens tens.
pub const STREAMS_MAX: u32 = 256;
/// Requests that a peer takes back within 10 s before they are answered, and streams that our own errors reset, after
/// which the connection is closed (rapid reset, CVE-2023-44487).
pub const RESETS_MAX: usize = 100;
/// Streams that a peer reset before we looked at them; more close the connection (rapid reset).
pub const PENDING_RESETS_MAX: usize = 20;
/// A silent HTTP/2 connection is pinged after this time …
pub const PING_AFTER: Duration = Duration::from_secs(20);
/// … and closed when no answer came within this: a half-open peer must not hold a slot.
pub const PING_ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long a write may make no progress before its connection is closed: a peer that stops reading must not hold a
/// slot. As long as the sidecar lets a body lie unread, and longer than a lossy line pauses. Progress is what the kernel
/// takes (with TLS, its buffer of 64 KiB first), and that takes more only once about a third of its buffer is free.
pub const WRITE_STALL_MAX: Duration = Duration::from_secs(60);

/// Serves mTLS: `make` gets the verified peer of each connection. A connection takes no request beyond the certificate
/// that opened it, so that nobody outlives an identity that is not renewed. Ends when shutdown is triggered; connections then
/// finish what they have begun, as tasks that drain waits for. Dropped half-way, it accepts no more.
pub async fn mtls<S, B>(
    listener: Listener,
    acceptor: Acceptor,
    shutdown: Shutdown,
    make: impl Fn(Arc<Peer>) -> S + Clone + Send + 'static,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let door = listener.door();
    let each = shutdown.clone();
    listener
        .run(&shutdown, move |tcp, from| {
            let (acceptor, shutdown, make, door) = (acceptor.clone(), each.clone(), make.clone(), door.clone());
            async move {
                match acceptor.accept(tcp).await {
                    Ok((tls, peer)) => {
                        let (stopped, over) = (shutdown.cancelled(), peer.ended(clock::now()));
                        let stop = async {
                            tokio::select! {
                                () = stopped => {}
                                () = over => {}
                            }
                        };
                        connection(tls, make(Arc::new(peer)), stop, &door).await;
                    }
                    Err(fault) => {
                        door.count("handshake_failed");
                        let fault: &(dyn std::error::Error + 'static) = &fault;
                        tracing::debug!(%from, fault, "mTLS handshake failed");
                    }
                }
            }
        })
        .await;
}

/// Serves clear text: for loopback only, which the configuration has checked. Ends as [`mtls`] does.
pub async fn plain<S, B>(
    listener: Listener,
    shutdown: Shutdown,
    make: impl Fn(SocketAddr) -> S + Clone + Send + 'static,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let door = listener.door();
    let each = shutdown.clone();
    listener
        .run(&shutdown, move |tcp, from| {
            let (shutdown, make, door) = (each.clone(), make.clone(), door.clone());
            async move { connection(tcp, make(from), shutdown.cancelled(), &door).await }
        })
        .await;
}

/// Serves TLS 1.3 with a certificate from files, no client certificate. Ends as [`mtls`] does.
pub async fn tls<S, B>(
    listener: Listener,
    tls: DoorTls,
    shutdown: Shutdown,
    make: impl Fn(SocketAddr) -> S + Clone + Send + 'static,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let door = listener.door();
    let each = shutdown.clone();
    let acceptor = tls.acceptor();
    listener
        .run(&shutdown, move |tcp, from| {
            let (acceptor, shutdown, make, door) = (acceptor.clone(), each.clone(), make.clone(), door.clone());
            async move {
                match handshake(&acceptor, tcp).await {
                    Ok(tls) => connection(tls, make(from), shutdown.cancelled(), &door).await,
                    Err(fault) => {
                        door.count("handshake_failed");
                        tracing::debug!(%from, %fault, "TLS handshake failed");
                    }
                }
            }
        })
        .await;
}

async fn handshake(
    acceptor: &tokio_rustls::TlsAcceptor,
    tcp: TcpStream,
) -> std::io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
    let accepted = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(tcp).into_fallible()).await;
    match accepted.map_err(|_elapsed| std::io::Error::from(std::io::ErrorKind::TimedOut))? {
        Ok(tls) => Ok(tls),
        Err((fault, mut tcp)) => {
            tcp.shutdown().await?;
            Err(fault)
        }
    }
}

#[cfg(test)]
mod floods;
#[cfg(test)]
mod peer_end;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod unread;
