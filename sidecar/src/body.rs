//! Bodies on their way through. They stream frame by frame; nothing here holds one back or copies it whole.

mod flow;
mod until;

use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full, combinators::UnsyncBoxBody};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

pub(crate) use self::{
    flow::{Flow, Guard},
    until::Until,
};
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

/// A body that loses credential headers from its trailers.
pub(crate) struct Clean<B>(B);

impl<B> Clean<B> {
    /// `body` without them.
    pub(crate) const fn new(body: B) -> Self {
        Self(body)
    }
}

impl<B: HttpBody + Unpin> HttpBody for Clean<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut polled = Pin::new(&mut self.0).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &mut polled
            && let Some(trailers) = frame.trailers_mut()
        {
            strip::trailers(trailers);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http_body_util::StreamBody;

    use super::*;

    #[tokio::test]
    async fn credential_headers_in_trailers_do_not_pass() {
        let mut late = HeaderMap::new();
        late.insert("authorization", "Bearer a".parse().expect("a value"));
        late.insert("x-checksum", "1".parse().expect("a value"));
        let frames = futures_util::stream::iter([Ok::<_, std::io::Error>(Frame::<Bytes>::trailers(late))]);
        let collected = Clean::new(StreamBody::new(frames)).collect().await.expect("a body");
        let trailers = collected.trailers().expect("trailers");
        assert!(trailers.contains_key("x-checksum") && !trailers.contains_key("authorization"));
    }
}
