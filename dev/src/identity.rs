//! DEVELOPMENT ONLY. A SPIFFE Workload API server with its own authority, for machines without SPIRE.
//! It answers with SPIRE's codes (`peers.md` §2) and attests by process: a supervisor registers the pid of each child
//! that it starts, over a socketpair that nobody else holds. It never writes a private key to disk and never gives an
//! identity to a process that was not registered.
//!
//! `serve → socket (accept, pin the caller) → workload (the five calls) → book (who holds what) → authority (keys)`,
//! and beside it `control ← registrar`: the supervisor's commands.

mod authority;
mod book;
mod control;
mod lives;
mod process;
mod proto;
mod registrar;
mod socket;
mod streams;
pub(crate) mod wire;
mod workload;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, io, os::fd::OwnedFd, path::PathBuf, sync::Arc};

use identity::TrustDomain;
use runtime::{clock, process::Process, shutdown::Shutdown};
use tonic::transport::Server as Grpc;

pub use authority::{AuthorityFault, OddX509, Old};
pub use lives::{Lives, LivesFault};
pub use registrar::{Registrar, RegistrarFault};
pub use socket::SocketFault;

use book::Book;
use process::Pinning;
use proto::spiffe_workload_api_server::SpiffeWorkloadApiServer;
use socket::Socket;
use workload::WorkloadApi;

/// Most calls that one connection has open: a client holds two or three streams.
const CALLS_MAX: u32 = 64;

/// What the server is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the socket is made; at most 107 bytes. Its folder is made with mode 0700 if it is absent.
    pub socket: PathBuf,
    /// The trust domain whose identities are given.
    pub trust_domain: TrustDomain,
    /// How long SVIDs live.
    pub lives: Lives,
}

/// Runs the server as a process of its own (`countersign dev identity`): binds, writes the ready file
/// (`{"socket":"unix:///…"}`), serves until shutdown or until the supervisor closes `control`, the inherited stdin.
///
/// # Errors
/// The [`Fault`].
pub async fn serve(options: Options, control: OwnedFd, process: &Process) -> Result<(), Fault> {
    let server = Server::bind(&options)?;
    process.ready_file.write(&BTreeMap::from([("socket", server.endpoint())])).map_err(Fault::Start)?;
    server.serve(control, process.shutdown.clone()).await
}

/// Why the server could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The socket could not be made.
    #[error(transparent)]
    Socket(#[from] SocketFault),
    /// The authority could not be made.
    #[error(transparent)]
    Authority(#[from] AuthorityFault),
    /// The control channel is no socket.
    #[error(
        "registrations come over stdin, which must be the socket that a supervisor made; start it with `countersign demo`"
    )]
    Control(#[source] io::Error),
    /// The gRPC server ended.
    #[error("the development Workload API server failed")]
    Serve(#[from] tonic::transport::Error),
    /// The kernel could not be asked how callers are pinned, or the ready file could not be written.
    #[error("the development Workload API server could not start")]
    Start(#[source] io::Error),
}

/// A Workload API server whose socket exists and does not answer yet.
#[derive(Debug)]
pub struct Server {
    socket: Socket,
    book: Arc<Book>,
}

impl Server {
    /// Makes the authority and the socket.
    ///
    /// # Errors
    /// The [`Fault`].
    pub fn bind(options: &Options) -> Result<Self, Fault> {
        let book = Book::new(options.trust_domain.clone(), options.lives, clock::now())?;
        let socket = Socket::bind(&options.socket, Pinning::probe().map_err(Fault::Start)?)?;
        Ok(Self { socket, book: Arc::new(book) })
    }

    /// The address as clients want it: `unix:///…`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.socket.endpoint()
    }

    /// Serves until `shutdown`, or until the other end of `control` closes: then it triggers `shutdown` itself, so that
    /// a supervisor that was killed leaves no orphan. Dropping it half-way removes the socket; open calls are cut.
    ///
    /// # Errors
    /// [`Fault::Control`] when `control` is no socket, [`Fault::Serve`].
    pub async fn serve(self, control: OwnedFd, shutdown: Shutdown) -> Result<(), Fault> {
        let Self { socket, book } = self;
        let channel = control::channel(control).map_err(Fault::Control)?;
        tracing::warn!(endpoint = socket.endpoint(), "development only: this Workload API holds its keys in memory");
        shutdown.spawn("identity-control", control::serve(channel, Arc::clone(&book), shutdown.clone()));
        shutdown.spawn("identity-renewal", book::renew(Arc::clone(&book), shutdown.clone()));
        let service = SpiffeWorkloadApiServer::new(WorkloadApi::new(book, shutdown.clone()));
        Grpc::builder()
            .max_concurrent_streams(CALLS_MAX)
            .add_service(service)
            .serve_with_incoming_shutdown(socket.incoming(), shutdown.cancelled())
            .await?;
        Ok(())
    }
}
