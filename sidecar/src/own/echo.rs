//! Services repeat what they were sent: pages for tests, error reports, redirects. What holds our JWT-SVID does not reach
//! the app: a header is taken out, and a body is cut off before the signature is whole. It stops what repeats the token
//! as it was sent, not a service that means to pass it on in another form.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::Presented;

/// The service sent our credential back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer holds the credential of the call")]
pub(super) struct Told;

/// Takes headers out that hold what was shown.
pub(super) fn headers(headers: &mut HeaderMap, presented: &Presented) {
    take_out(headers, presented.signature());
}

fn take_out(headers: &mut HeaderMap, signature: &[u8]) {
    let tells = |value: &[u8]| value.windows(signature.len().max(1)).any(|window| window == signature);
    let named: Vec<HeaderName> =
        headers.iter().filter(|(_, value)| tells(value.as_bytes())).map(|(name, _)| name.clone()).collect();
    for name in named {
        tracing::warn!(header = name.as_str(), "a service repeats our JWT-SVID in a header");
        headers.remove(name);
    }
}

/// A body that ends with a fault where it begins to hold the signature. What could be its beginning is held back until
/// more is there, so that no part of it is ever passed on that the rest could be guessed from.
pub(super) struct Withheld<B> {
    body: B,
    search: Search,
    /// A frame without data that waits behind held bytes.
    next: Option<Frame<Bytes>>,
    over: bool,
}

impl<B> Withheld<B> {
    pub(super) fn new(body: B, presented: &Presented) -> Self {
        Self::of(body, presented.signature())
    }

    fn of(body: B, signature: &[u8]) -> Self {
        Self { body, search: Search::new(signature), next: None, over: false }
    }
}

impl<B> HttpBody for Withheld<B>
where
    B: HttpBody<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let own = &mut *self;
        loop {
            if let Some(frame) = own.next.take() {
                return Poll::Ready(Some(Ok(frame)));
            }
            if own.over {
                return Poll::Ready(None);
            }
            let polled = match Pin::new(&mut own.body).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(polled) => polled.transpose().map_err(Into::into)?,
            };
            let data = match polled.map(Frame::into_data) {
                Some(Ok(data)) => match own.search.push(&data) {
                    Ok(safe) => safe,
                    Err(told) => {
                        own.over = true;
                        tracing::warn!("a service repeats our JWT-SVID; its answer is cut off");
                        return Poll::Ready(Some(Err(told.into())));
                    }
                },
                Some(Err(mut frame)) => {
                    if let Some(trailers) = frame.trailers_mut() {
                        take_out(trailers, &own.search.signature);
                    }
                    own.next = Some(frame);
                    own.search.rest()
                }
                None => {
                    own.over = true;
                    own.search.rest()
                }
            };
            if !data.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.search.held.is_empty() && self.next.is_none() && (self.over || self.body.is_end_stream())
    }

    /// The service's own length with what is held of it; what is cut off ends with a fault.
    fn size_hint(&self) -> SizeHint {
        let (inner, held) = (self.body.size_hint(), u64::try_from(self.search.held.len()).unwrap_or(u64::MAX));
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(held));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }
}

/// Looks for the signature in pieces of any size.
struct Search {
    signature: Vec<u8>,
    /// The end of what came, where it could be the signature's beginning.
    held: BytesMut,
}

impl Search {
    fn new(signature: &[u8]) -> Self {
        Self { signature: signature.to_vec(), held: BytesMut::new() }
    }

    /// What of it may pass.
    fn push(&mut self, data: &[u8]) -> Result<Bytes, Told> {
        self.held.extend_from_slice(data);
        let length = self.signature.len().max(1);
        if self.held.windows(length).any(|window| window == self.signature) {
            self.held.clear();
            return Err(Told);
        }
        let longest = self.held.len().min(length.saturating_sub(1));
        let could_begin = |length: &usize| {
            let end = self.held.len().checked_sub(*length).and_then(|begin| self.held.get(begin..));
            end.is_some_and(|end| self.signature.starts_with(end))
        };
        let kept = (1..=longest).rev().find(could_begin).unwrap_or_default();
        let safe = self.held.len().saturating_sub(kept);
        Ok(self.held.split_to(safe).freeze())
    }

    /// What is left when nothing more comes.
    fn rest(&mut self) -> Bytes {
        self.held.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    const SIGNATURE: &[u8] = b"aabaac";

    /// What reaches the reader of `text` in pieces of `size`, and whether it came to its end.
    async fn read(text: &[u8], size: usize) -> (Vec<u8>, bool) {
        let frames: Vec<_> =
            text.chunks(size).map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(piece)))).collect();
        let mut body = Withheld::of(StreamBody::new(stream::iter(frames)), SIGNATURE);
        let mut got = Vec::new();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => got.extend_from_slice(frame.data_ref().expect("data")),
                Err(_told) => return (got, false),
            }
        }
        (got, true)
    }

    #[tokio::test]
    async fn what_does_not_hold_it_passes_whole_whatever_the_pieces() {
        for text in [b"".as_slice(), b"x", b"aabaab aabaa", b"aabaaaabaa", b"a", b"aabaa"] {
            for size in 1..=text.len().max(1) {
                assert_eq!(read(text, size).await, (text.to_vec(), true), "{text:?} by {size}");
            }
        }
    }

    #[tokio::test]
    async fn nothing_of_it_passes_whatever_the_pieces() {
        for text in [b"aabaac".as_slice(), b"{\"token\":\"x.y.aabaac\"}", b"aaaabaac", b"aabaabaac and more"] {
            let begin = text.windows(SIGNATURE.len()).position(|window| window == SIGNATURE).expect("there");
            for size in 1..=text.len() {
                let (got, whole) = read(text, size).await;
                assert!(!whole && got.len() <= begin && text.starts_with(&got), "{text:?} by {size}: {got:?}");
            }
        }
    }

    #[tokio::test]
    async fn held_bytes_come_before_trailers_and_those_are_looked_at() {
        let mut late = HeaderMap::new();
        late.insert("x-echo", "Bearer x.y.aabaac".parse().expect("a value"));
        late.insert("x-checksum", "1".parse().expect("a value"));
        let frames =
            [Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"ends with aab"))), Ok(Frame::trailers(late))];
        let collected = Withheld::of(StreamBody::new(stream::iter(frames)), SIGNATURE).collect().await.expect("a body");
        let trailers = collected.trailers().cloned().expect("trailers");
        assert!(trailers.contains_key("x-checksum") && !trailers.contains_key("x-echo"));
        assert_eq!(collected.to_bytes(), "ends with aab");
    }

    #[test]
    fn a_header_that_holds_it_is_taken_out() {
        let mut headers = HeaderMap::new();
        headers.insert("x-seen", "Bearer x.y.aabaac".parse().expect("a value"));
        headers.append("x-both", "1".parse().expect("a value"));
        headers.append("x-both", "aabaac".parse().expect("a value"));
        headers.insert("x-kept", "aabaa".parse().expect("a value"));
        take_out(&mut headers, SIGNATURE);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
    }
}
