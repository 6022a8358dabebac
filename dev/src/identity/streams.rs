//! Streams of whole states: a message at once, then one for each change, until the caller holds nothing any more.

use std::{pin::Pin, sync::Arc};

use futures_util::{Stream, stream};
use runtime::shutdown::Shutdown;
use tokio::sync::watch;
use tonic::Status;

use super::{book::Book, process::Process};

/// What a streaming call answers with.
pub(super) type States<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// How the state that a stream tells of is read.
pub(super) type Read<T> = fn(&Book, &Process) -> Result<T, Status>;

/// One open stream.
pub(super) struct Follower<T> {
    pub(super) book: Arc<Book>,
    pub(super) caller: Arc<Process>,
    pub(super) shutdown: Shutdown,
    pub(super) read: Read<T>,
}

impl<T: Clone + PartialEq + Send + Sync + 'static> Follower<T> {
    /// The stream. It ends after the first error: a removed registration is `PermissionDenied`, as at SPIRE.
    pub(super) fn states(self) -> States<T> {
        let position = Some((self.book.revision(), None));
        let states = stream::unfold((self, position), |(follower, position)| async move {
            let (mut revision, last) = position?;
            let next = follower.next(&mut revision, last.as_ref()).await;
            let position = next.as_ref().ok().map(|state| (revision, Some(state.clone())));
            Some((next, (follower, position)))
        });
        Box::pin(states)
    }

    /// The next state that differs from `last`.
    async fn next(&self, revision: &mut watch::Receiver<u64>, last: Option<&T>) -> Result<T, Status> {
        loop {
            revision.mark_unchanged();
            let state = (self.read)(&self.book, &self.caller)?;
            if last != Some(&state) {
                return Ok(state);
            }
            tokio::select! {
                Ok(()) = revision.changed() => {}
                () = self.shutdown.cancelled() => return Err(Status::unavailable("the server is stopping")),
            }
        }
    }
}
