//! The body of an answer, which gives its connection back when it was read to its end, and closes it otherwise.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::{Link, Pool, Upstream};

/// An answer's body.
pub(crate) struct Leased {
    body: Incoming,
    lease: Option<Lease>,
}

struct Lease {
    pool: Pool,
    upstream: Upstream,
    link: Link,
    /// Counts the request as in progress until the connection is given back or closed.
    _slot: OwnedSemaphorePermit,
}

impl Leased {
    pub(super) fn new(
        body: Incoming,
        pool: &Pool,
        upstream: &Upstream,
        link: Link,
        slot: OwnedSemaphorePermit,
    ) -> Self {
        let lease = Lease { pool: pool.clone(), upstream: upstream.clone(), link, _slot: slot };
        Self { body, lease: Some(lease) }
    }

    fn release(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.pool.give_back(&lease.upstream, lease.link);
        }
    }
}

impl HttpBody for Leased {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        match &frame {
            Poll::Ready(Some(Err(_broken))) => self.lease = None,
            Poll::Ready(Some(Ok(_))) if self.body.is_end_stream() => self.release(),
            Poll::Ready(None) => self.release(),
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Leased {
    /// An answer without a body is at its end without ever being read.
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            self.release();
        }
    }
}

impl fmt::Debug for Leased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Leased(..)")
    }
}
