//! A request's body on its way out of our hands. It breaks off when its time is over, whoever still sends it and whether
//! or not its answer has come.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::flow::CutOff;

/// `body` until `ended`.
pub(crate) struct Until<B, F> {
    body: B,
    /// `None` once it has ended.
    ended: Option<F>,
}

impl<B, F> Until<B, F> {
    pub(crate) const fn new(body: B, ended: F) -> Self {
        Self { body, ended: Some(ended) }
    }
}

impl<B, F> HttpBody for Until<B, F>
where
    B: HttpBody<Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
    F: Future<Output = ()> + Unpin,
{
    type Data = B::Data;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, Self::Error>>> {
        // First, so that nothing passes of what has ended.
        if self.ended.as_mut().is_none_or(|ended| Pin::new(ended).poll(cx).is_ready()) {
            self.ended = None;
            return Poll::Ready(Some(Err(CutOff.into())));
        }
        Pin::new(&mut self.body).poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
