//! Bodies on their way through. They stream frame by frame; nothing here holds one back or copies it whole.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full, combinators::UnsyncBoxBody};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::strip;

/// A body of any origin.
pub(crate) struct Body(UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>);

impl Body {
    /// No body.
    pub(crate) fn empty() -> Self {
        Self::of(Empty::new())
    }

    /// A body that is held whole.
    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        Self::of(Full::new(bytes.into()))
    }

    /// A body that streams.
    pub(crate) fn of<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        Self(body.map_err(Into::into).boxed_unsync())
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body(..)")
    }
}

/// The time of a body is over: its transaction ended.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the transaction of this exchange has ended")]
pub(crate) struct CutOff;

/// A body that loses credential headers from its trailers, is cut off when its transaction ends, and gives up
/// `guard` at its last byte, at a reset, or when it is cut off: whichever comes first.
pub(crate) struct Flow<B, G> {
    body: B,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
    guard: Option<G>,
}

impl<B, G> Flow<B, G> {
    /// `body` until `ended`, holding `guard`.
    pub(crate) fn new(body: B, ended: impl Future<Output = ()> + Send + 'static, guard: G) -> Self {
        Self { body, ended: Box::pin(ended), guard: Some(guard) }
    }
}

impl<B, G> HttpBody for Flow<B, G>
where
    B: HttpBody<Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
    G: Unpin,
{
    type Data = B::Data;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, Self::Error>>> {
        if self.ended.as_mut().poll(cx).is_ready() {
            self.guard = None;
            return Poll::Ready(Some(Err(CutOff.into())));
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(trailers) = frame.trailers_mut() {
                    strip::trailers(trailers);
                }
                if self.body.is_end_stream() {
                    self.guard = None;
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(fault))) => {
                self.guard = None;
                Poll::Ready(Some(Err(fault.into())))
            }
            Poll::Ready(None) => {
                self.guard = None;
                Poll::Ready(None)
            }
        }
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
    use std::{future, sync::Arc, time::Duration};

    use http::HeaderMap;
    use http_body_util::StreamBody;

    use super::*;

    fn endless() -> impl HttpBody<Data = Bytes, Error = std::io::Error> + Unpin {
        StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, std::io::Error>>())
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_cut_off_when_its_transaction_ends() {
        let guard = Arc::new(());
        let held = Arc::downgrade(&guard);
        let mut flow = Flow::new(endless(), tokio::time::sleep(Duration::from_secs(5)), guard);
        let fault = flow.frame().await.expect("a frame").expect_err("cut off");
        assert!(fault.is::<CutOff>());
        assert!(held.upgrade().is_none());
    }

    #[tokio::test]
    async fn the_guard_is_given_up_with_the_last_byte() {
        let guard = Arc::new(());
        let held = Arc::downgrade(&guard);
        let mut flow = Flow::new(Full::new(Bytes::from_static(b"x")), future::pending(), guard);
        assert!(held.upgrade().is_some());
        assert!(flow.frame().await.expect("a frame").is_ok());
        assert!(held.upgrade().is_none());
    }

    #[tokio::test]
    async fn the_guard_is_given_up_at_a_reset() {
        let guard = Arc::new(());
        let held = Arc::downgrade(&guard);
        drop(Flow::new(endless(), future::pending(), guard));
        assert!(held.upgrade().is_none());
    }

    #[tokio::test]
    async fn credential_headers_in_trailers_do_not_pass() {
        let mut late = HeaderMap::new();
        late.insert("authorization", "Bearer a".parse().expect("a value"));
        late.insert("x-checksum", "1".parse().expect("a value"));
        let frames = futures_util::stream::iter([Ok::<_, std::io::Error>(Frame::<Bytes>::trailers(late))]);
        let collected = Flow::new(StreamBody::new(frames), future::pending(), ()).collect().await.expect("a body");
        let trailers = collected.trailers().expect("trailers");
        assert!(trailers.contains_key("x-checksum") && !trailers.contains_key("authorization"));
    }
}
