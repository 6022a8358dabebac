//! A body that may not stand still: a peer that stops sending gives its slot back.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

/// Longest pause between two frames of a request body (`security.md` §1).
pub const BODY_IDLE_MAX: Duration = Duration::from_secs(30);

/// Wraps a body; reading fails when no frame came for a time. Event streams, which rest by nature, must not be wrapped.
#[derive(Debug)]
pub struct IdleBody<B> {
    body: B,
    limit: Duration,
    timer: Pin<Box<Sleep>>,
}

/// Why reading an [`IdleBody`] failed.
#[derive(Debug, thiserror::Error)]
pub enum IdleFault {
    /// No frame for the whole limit.
    #[error("body stood still for too long")]
    Idle,
    /// The body itself failed.
    #[error("body failed")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl<B> IdleBody<B> {
    /// `body` with at most `limit` between two frames, as [`BODY_IDLE_MAX`]. Needs a tokio runtime.
    #[must_use]
    pub fn new(body: B, limit: Duration) -> Self {
        Self { body, limit, timer: Box::pin(sleep(limit)) }
    }
}

impl<B> Body for IdleBody<B>
where
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin,
{
    type Data = B::Data;
    type Error = IdleFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            let now = Instant::now();
            let next = now.checked_add(self.limit).unwrap_or(now);
            self.timer.as_mut().reset(next);
            return Poll::Ready(frame.map(|frame| frame.map_err(|fault| IdleFault::Body(fault.into()))));
        }
        self.timer.as_mut().poll(cx).map(|()| Some(Err(IdleFault::Idle)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{BodyExt as _, Full, StreamBody};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stands_still_is_cut_off() {
        let silent = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, std::io::Error>>());
        let read = IdleBody::new(silent, BODY_IDLE_MAX).collect().await;
        assert!(matches!(read, Err(IdleFault::Idle)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_flows_is_left_alone() {
        let read = IdleBody::new(Full::new(Bytes::from_static(b"x")), BODY_IDLE_MAX).collect().await.unwrap();
        assert_eq!(read.to_bytes(), "x");
    }
}
