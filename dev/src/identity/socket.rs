//! The server's Unix socket: anybody may connect, attestation decides (as at SPIRE, `peers.md` §2).
//! Each connection is pinned to the process that made it before anything is read from it. What is read is mended on the
//! way, so that gRPC clients of every language are understood.

mod fields;
mod frames;

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _},
        net::UnixStream as StdUnixStream,
    },
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use futures_util::{Stream, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time,
};
use tonic::transport::server::Connected;

use self::frames::Frames;
use super::process::{Pinning, Process};

/// Longest path of a Unix socket in bytes (unix(7): 108 with the final zero).
const PATH_LENGTH_MAX: usize = 107;
/// Most connections at a time: some tens of processes with one or two each.
const CONNECTIONS_MAX: usize = 512;
/// Pause after a failed accept, which means that descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Bytes that are read at a time: the requests of this API are some hundred bytes.
const READ_LENGTH: usize = 4 * 1024;

/// Why the socket could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SocketFault {
    /// Longer than the kernel takes.
    #[error("the socket path `{path}` has {length} bytes, and a Unix socket takes at most {PATH_LENGTH_MAX}")]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// Another server listens there, or the file is no socket.
    #[error("`{0}` is in use by another server, or is no socket")]
    InUse(PathBuf),
    /// The file system said no.
    #[error("the socket `{path}` cannot be made")]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A listening socket; its file is removed when it is dropped.
#[derive(Debug)]
pub(super) struct Socket {
    listener: UnixListener,
    file: SocketFile,
    pinning: Pinning,
}

#[derive(Debug)]
struct SocketFile(PathBuf);

/// A connection with the process that made it.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    frames: Frames,
    /// Mended, and not read by the server yet.
    mended: BytesMut,
    caller: Caller,
    _permit: OwnedSemaphorePermit,
}

/// The process at the other end; `None` when it could not be pinned, and then it holds nothing.
#[derive(Clone, Debug)]
pub(super) struct Caller(pub(super) Option<Arc<Process>>);

impl Socket {
    /// Listens at `path`. A socket that nobody listens on any more is replaced.
    pub(super) fn bind(path: &Path, pinning: Pinning) -> Result<Self, SocketFault> {
        let length = path.as_os_str().as_bytes().len();
        if length > PATH_LENGTH_MAX {
            return Err(SocketFault::PathTooLong { path: path.to_owned(), length });
        }
        let failed = |source| SocketFault::Io { path: path.to_owned(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        }
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() || StdUnixStream::connect(path).is_ok() => {
                return Err(SocketFault::InUse(path.to_owned()));
            }
            Ok(_left_behind) => fs::remove_file(path).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        let file = SocketFile(path.to_owned());
        fs::set_permissions(path, Permissions::from_mode(0o777)).map_err(failed)?;
        Ok(Self { listener, file, pinning })
    }

    pub(super) fn endpoint(&self) -> String {
        let path = std::path::absolute(&self.file.0).unwrap_or_else(|_no_folder| self.file.0.clone());
        format!("unix://{}", path.display())
    }

    /// Connections as they come; it never ends.
    pub(super) fn incoming(self) -> impl Stream<Item = io::Result<Connection>> {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        stream::unfold((self, slots), |(socket, slots)| async move {
            let connection = socket.accept(&slots).await;
            Some((connection, (socket, slots)))
        })
    }

    async fn accept(&self, slots: &Arc<Semaphore>) -> io::Result<Connection> {
        let permit = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
        let stream = loop {
            match self.listener.accept().await {
                Ok((stream, _address)) => break stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    time::sleep(ACCEPT_PAUSE).await;
                }
            }
        };
        let caller = Process::peer(&stream, self.pinning)
            .inspect_err(|error| tracing::warn!(%error, "a caller cannot be pinned"));
        let caller = Caller(caller.ok().map(Arc::new));
        Ok(Connection { stream, frames: Frames::default(), mended: BytesMut::new(), caller, _permit: permit })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::debug!(%error, "the socket could not be removed");
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, frames, mended, .. } = &mut *self;
        while mended.is_empty() {
            let mut bytes = [0; READ_LENGTH];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            frames.push(read.filled(), mended)?;
        }
        let length = mended.len().min(buffer.remaining());
        buffer.put_slice(mended.get(..length).unwrap_or_default());
        mended.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
