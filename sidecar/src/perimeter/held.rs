//! Bodies that are held to find the MCP operation. Each is bounded in bytes and time, and so are all of them together;
//! many small frames take no more memory than their bytes.

use std::{error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Body as HttpBody;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use identity::Refusal;

/// Longest body that is held (`security.md` §1).
const PEEK_LENGTH_MAX: usize = 1024 * 1024;
/// Longest time that such a body may take to arrive: a megabyte over a slow line.
const PEEK_TIME_MAX: Duration = Duration::from_secs(30);
/// Most bytes that are held at a time: thousands of ordinary messages, and what a pod can spare.
const ROOM: usize = 64 * 1024 * 1024;

/// What all held bodies of this process may take. Clones share it.
#[derive(Clone)]
pub(crate) struct Room(Arc<Semaphore>);

/// Room that is taken until dropped.
#[derive(Debug)]
pub(super) struct Place(#[expect(dead_code, reason = "gives the room back when dropped")] OwnedSemaphorePermit);

impl Room {
    /// All of it free.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(ROOM)))
    }

    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let bytes = u32::try_from(bytes).map_err(|_too_many| Refusal::CallTooLarge)?;
        Arc::clone(&self.0).try_acquire_many_owned(bytes).map_err(|_full| Refusal::FaultOverloaded)
    }
}

/// Reads `body` whole. Dropped half-way, the body is lost.
///
/// # Errors
/// [`Refusal::CallTooLarge`], [`Refusal::FaultOverloaded`] where all room is taken, or [`Refusal::CallMalformed`] for a
/// body that breaks off or does not come in time.
pub(super) async fn held<B>(body: B, room: &Room) -> Result<(Bytes, Place), Refusal>
where
    B: HttpBody<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
{
    timeout(PEEK_TIME_MAX, collected(body, room)).await.unwrap_or(Err(Refusal::CallMalformed))
}

async fn collected<B>(mut body: B, room: &Room) -> Result<(Bytes, Place), Refusal>
where
    B: HttpBody<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
{
    let mut place = room.take(0)?;
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_broken| Refusal::CallMalformed)?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len().saturating_add(data.len()) > PEEK_LENGTH_MAX {
            return Err(Refusal::CallTooLarge);
        }
        place.merge(room.take(data.len())?);
        whole.extend_from_slice(&data);
    }
    Ok((whole.into(), Place(place)))
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures_util::stream;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    fn blank(length: usize) -> Full<Bytes> {
        Full::new(Bytes::from(vec![b' '; length]))
    }

    #[tokio::test]
    async fn a_body_one_byte_over_the_limit_is_refused() {
        let room = Room::new();
        let length = |outcome: Result<(Bytes, Place), Refusal>| outcome.map(|(bytes, _place)| bytes.len());
        assert_eq!(length(held(blank(PEEK_LENGTH_MAX), &room).await), Ok(PEEK_LENGTH_MAX));
        assert_eq!(length(held(blank(PEEK_LENGTH_MAX + 1), &room).await), Err(Refusal::CallTooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_refused() {
        let silent = StreamBody::new(stream::pending::<Result<Frame<Bytes>, io::Error>>());
        assert_eq!(held(silent, &Room::new()).await.err(), Some(Refusal::CallMalformed));
    }

    #[tokio::test]
    async fn many_bodies_together_are_bounded_and_give_their_room_back() {
        let room = Room::new();
        let mut places = Vec::new();
        while places.len() < ROOM / PEEK_LENGTH_MAX {
            places.push(held(blank(PEEK_LENGTH_MAX), &room).await.expect("room"));
        }
        assert_eq!(held(blank(1), &room).await.err(), Some(Refusal::FaultOverloaded));
        places.pop();
        assert!(held(blank(PEEK_LENGTH_MAX), &room).await.is_ok());
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_one() {
        let pieces = ["{", "", "}"].map(|text| Ok::<_, io::Error>(Frame::data(Bytes::from(text))));
        let (bytes, _place) = held(StreamBody::new(stream::iter(pieces)), &Room::new()).await.expect("a body");
        assert_eq!(bytes, "{}");
    }
}
