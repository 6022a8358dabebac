//! A door on a Unix socket for the process's own user, and for root. Its mode keeps others off, and whoever is let in is
//! asked for by the kernel once more: it names who connected, and nobody can say it for himself.

use std::{
    convert::Infallible,
    fs,
    io::{self, ErrorKind},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    service::Service,
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{connection, listener::Door};
use crate::shutdown::Shutdown;

/// Most connections at a time: an operator and a scraper.
const CONNECTIONS_MAX: usize = 32;
/// Read and write for the owner, nothing for others.
const MODE: u32 = 0o600;
const ROOT: u32 = 0;
/// Before the next try, where none could be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// A bound door. Its file stays when the process ends, and the next one replaces it.
#[derive(Debug)]
pub struct UnixDoor {
    listener: UnixListener,
    owner: u32,
    slots: Arc<Semaphore>,
}

impl UnixDoor {
    /// Binds `path`. A socket that a killed process left behind is replaced; any other file there is a mistake and stays.
    ///
    /// # Errors
    /// The path cannot be written, or is taken.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => fs::remove_file(path)?,
            Ok(_other) => return Err(io::Error::new(ErrorKind::AlreadyExists, "a file that is no socket lies there")),
            Err(_absent) => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
        // Whose the new file is, is who this process is.
        let owner = fs::metadata(path)?.uid();
        Ok(Self { listener, owner, slots: Arc::new(Semaphore::new(CONNECTIONS_MAX)) })
    }

    /// The next connection of somebody who may come, and its slot; `None` where there will be none.
    pub(crate) async fn accept(&self) -> Option<(UnixStream, OwnedSemaphorePermit)> {
        loop {
            // INVARIANT: a slot is free before a connection is accepted; the semaphore is never closed.
            let slot = Arc::clone(&self.slots).acquire_owned().await.ok()?;
            match self.listener.accept().await {
                Ok((stream, _from)) if self.admits(&stream) => return Some((stream, slot)),
                Ok((_of_others, _from)) => tracing::warn!("another user came to a Unix socket and was turned away"),
                Err(fault) => {
                    tracing::warn!(%fault, "cannot accept on a Unix socket, pausing");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn admits(&self, stream: &UnixStream) -> bool {
        stream.peer_cred().is_ok_and(|who| may_come(who.uid(), self.owner))
    }
}

const fn may_come(user: u32, owner: u32) -> bool {
    user == owner || user == ROOT
}

/// Serves a Unix socket until shutdown is triggered; connections then finish what they have begun. Dropped half-way, it
/// accepts no more.
pub async fn unix<S, B>(door: UnixDoor, shutdown: Shutdown, make: impl Fn() -> S + Send + 'static)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = door.accept() => accepted,
        };
        let Some((stream, slot)) = accepted else { return };
        let (service, stop) = (make(), shutdown.cancelled());
        shutdown.spawn("unix connection", async move {
            connection(stream, service, stop, &Door::default()).await;
            drop(slot);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_and_root_may_come() {
        assert!(may_come(1000, 1000) && may_come(0, 1000));
        assert!(!may_come(1001, 1000) && !may_come(1000, 0));
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_not_replaced() {
        let path = std::env::temp_dir().join(format!("runtime-unix-{}", std::process::id()));
        fs::write(&path, "mine").unwrap();
        let refused = UnixDoor::bind(&path).map(drop).unwrap_err();
        assert!(refused.to_string().contains("no socket"), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        fs::remove_file(&path).unwrap();
        drop(UnixDoor::bind(&path).unwrap());
        assert!(UnixDoor::bind(&path).is_ok(), "what a process left is replaced");
        fs::remove_file(&path).unwrap();
    }
}
