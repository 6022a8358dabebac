//! mTLS between our parts: TLS 1.3, both sides with an X509-SVID, chains verified per trust domain. The one place where
//! a [`Peer`] comes to be. It never speaks without a valid identity of its own, and trusts no name but the SPIFFE ID.

mod credentials;
mod leaf;
mod stream;
mod verifier;

use std::{error::Error, io, net::IpAddr, time::Duration};

use identity::{SpiffeId, UnixTime};
use rustls::{
    CertificateError, Error as TlsError, OtherError,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use self::verifier::WrongPeer;
pub(crate) use self::{
    credentials::{Bundles, Credentials, MaterialFault, keep_usable},
    leaf::{leaf_id, validity},
};
pub use self::{leaf::LeafFault, stream::TlsStream};
use crate::{
    clock,
    workload::{IdentityFault, Workload},
};

/// Longest TLS handshake on a door: a stalled peer gives its slot back.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// Longest time to connect: name, TCP and TLS together. Callers fail fast and say so (`security.md` §5).
pub const CONNECT_MAX: Duration = Duration::from_secs(3);

const HTTP_1: &[u8] = b"http/1.1";
const HTTP_2: &[u8] = b"h2";

/// The workload at the other end of a connection, as its verified certificate names it.
///
/// It can be asked for its id:
/// ```
/// fn name(peer: &runtime::mtls::Peer) -> String {
///     peer.id().to_string()
/// }
/// ```
/// and is made only after a handshake:
/// ```compile_fail,E0451
/// fn renamed(peer: runtime::mtls::Peer, id: identity::SpiffeId) -> runtime::mtls::Peer {
///     runtime::mtls::Peer { id, ..peer }
/// }
/// ```
#[derive(Debug)]
pub struct Peer {
    id: SpiffeId,
    not_after: UnixTime,
}

impl Peer {
    /// The peer's SPIFFE ID.
    #[must_use]
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// Waits until the certificate that proved it is over: from then on the connection proves nothing. `now` is the
    /// current time. May be dropped at any time.
    pub fn ended(&self, now: UnixTime) -> impl Future<Output = ()> + Send + 'static + use<> {
        tokio::time::sleep(now.until(self.not_after))
    }

    fn of(chain: Option<&[CertificateDer<'_>]>) -> Result<Self, PeerFault> {
        let leaf = chain.and_then(<[_]>::first).ok_or(PeerFault::NoCertificate)?;
        let (_not_before, not_after) = validity(leaf).map_err(PeerFault::Leaf)?;
        Ok(Self { id: leaf_id(leaf).map_err(PeerFault::Leaf)?, not_after })
    }
}

/// Why a finished handshake gave no peer. The verifier has refused these before; this is the second look.
#[derive(Debug, thiserror::Error)]
pub enum PeerFault {
    /// No certificate was shown.
    #[error("the peer showed no certificate")]
    NoCertificate,
    /// The leaf is no X509-SVID.
    #[error("the peer's certificate is no X509-SVID")]
    Leaf(#[source] LeafFault),
}

/// Why an inbound connection was refused.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeFault {
    /// We hold no valid identity.
    #[error("no identity to answer with")]
    NoIdentity(#[source] IdentityFault),
    /// Longer than [`HANDSHAKE_MAX`].
    #[error("handshake took too long")]
    TimedOut,
    /// The peer was refused, refused us, or broke off.
    #[error("handshake failed")]
    Tls(#[source] io::Error),
    /// No usable certificate after all.
    #[error("handshake gave no peer")]
    Peer(#[source] PeerFault),
}

/// Why an outbound connection failed. Nothing of the request was sent.
#[derive(Debug, thiserror::Error)]
pub enum ConnectFault {
    /// We hold no valid identity.
    #[error("no identity to connect with")]
    NoIdentity(#[source] IdentityFault),
    /// No name, no route, nobody listens, or no answer within [`CONNECT_MAX`].
    #[error("`{address}` cannot be reached")]
    Unreachable {
        /// Where we tried.
        address: String,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// Somebody else answered, with a valid certificate.
    #[error("`{found}` answered instead of `{expected}`")]
    WrongIdentity {
        /// Who should have.
        expected: SpiffeId,
        /// Who did.
        found: SpiffeId,
    },
    /// The peer's certificate was refused, it refused ours, or it broke off.
    #[error("handshake with `{address}` failed")]
    Handshake {
        /// With whom we tried.
        address: String,
        /// What happened.
        #[source]
        source: io::Error,
    },
}

/// Accepts mTLS with the identity that is current at each connection.
#[derive(Clone, Debug)]
pub struct Acceptor {
    workload: Workload,
}

impl Acceptor {
    /// An acceptor that answers as `workload`.
    #[must_use]
    pub fn new(workload: Workload) -> Self {
        Self { workload }
    }

    /// Does the handshake, within [`HANDSHAKE_MAX`]. Dropped half-way, the connection is closed.
    ///
    /// # Errors
    /// The [`HandshakeFault`]; an own SVID that is missing, lost or expired refuses everybody.
    pub async fn accept(&self, tcp: TcpStream) -> Result<(TlsStream, Peer), HandshakeFault> {
        let identity = self.workload.identity(clock::now()).map_err(HandshakeFault::NoIdentity)?;
        let acceptor = TlsAcceptor::from(identity.credentials().server());
        let handshake = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(tcp).into_fallible());
        let tls = match handshake.await.map_err(|_elapsed| HandshakeFault::TimedOut)? {
            Ok(tls) => tls,
            Err((fault, mut tcp)) => {
                // The alert is on its way; closing in order lets the peer read it.
                drop(tcp.shutdown().await);
                return Err(HandshakeFault::Tls(fault));
            }
        };
        let peer = Peer::of(tls.get_ref().1.peer_certificates()).map_err(HandshakeFault::Peer)?;
        Ok((TlsStream::new(tls.into()), peer))
    }
}

/// Opens mTLS connections with the identity that is current at each.
#[derive(Clone, Debug)]
pub struct Connector {
    workload: Workload,
}

impl Connector {
    /// A connector that calls as `workload`.
    #[must_use]
    pub fn new(workload: Workload) -> Self {
        Self { workload }
    }

    /// Connects to `address` (`host:port`) for HTTP/1.1, within [`CONNECT_MAX`]. The peer must be `expect`.
    /// In TLS 1.3 the peer judges our certificate after our handshake has ended: its refusal comes as an error of the
    /// first read. Dropped half-way, the connection is closed.
    ///
    /// # Errors
    /// The [`ConnectFault`].
    pub async fn connect(&self, address: &str, expect: &SpiffeId) -> Result<TlsStream, ConnectFault> {
        self.open(address, expect, HTTP_1).await
    }

    /// As [`Connector::connect`], for HTTP/2 (gRPC).
    ///
    /// # Errors
    /// The [`ConnectFault`].
    pub async fn connect_h2(&self, address: &str, expect: &SpiffeId) -> Result<TlsStream, ConnectFault> {
        self.open(address, expect, HTTP_2).await
    }

    async fn open(&self, address: &str, expect: &SpiffeId, protocol: &[u8]) -> Result<TlsStream, ConnectFault> {
        let identity = self.workload.identity(clock::now()).map_err(ConnectFault::NoIdentity)?;
        let unreachable = |source| ConnectFault::Unreachable { address: address.to_owned(), source };
        let name = server_name(address).ok_or_else(|| unreachable(io::ErrorKind::InvalidInput.into()))?;
        let connector = TlsConnector::from(identity.credentials().client(expect, protocol));
        let connect = async {
            let tcp = TcpStream::connect(address).await.map_err(unreachable)?;
            tcp.set_nodelay(true).map_err(unreachable)?;
            connector.connect(name, tcp).await.map_err(|fault| handshake_fault(address, fault))
        };
        let connected = tokio::time::timeout(CONNECT_MAX, connect).await;
        let tls = connected.map_err(|_elapsed| unreachable(io::ErrorKind::TimedOut.into()))??;
        Ok(TlsStream::new(tls.into()))
    }
}

/// The host of `host:port`, for SNI (RFC 6066 §3: never an address). It decides nothing about trust.
fn server_name(address: &str) -> Option<ServerName<'static>> {
    let (host, _port) = address.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(ip) => Some(ServerName::IpAddress(ip.into())),
        Err(_not_an_address) => ServerName::try_from(bare.to_owned()).ok(),
    }
}

fn handshake_fault(address: &str, source: io::Error) -> ConnectFault {
    match wrong_peer(&source) {
        Some(wrong) => ConnectFault::WrongIdentity { expected: wrong.expected.clone(), found: wrong.found.clone() },
        None => ConnectFault::Handshake { address: address.to_owned(), source },
    }
}

/// Our verifier's own refusal, out of what rustls wraps around it.
fn wrong_peer(fault: &io::Error) -> Option<&WrongPeer> {
    let tls = fault.get_ref()?.downcast_ref::<TlsError>()?;
    let TlsError::InvalidCertificate(CertificateError::Other(OtherError(cause))) = tls else { return None };
    let cause: &(dyn Error + 'static) = cause.as_ref();
    cause.downcast_ref()
}

#[cfg(test)]
pub(crate) mod tests;
