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

use super::{
    Presented,
    svids::{Shown, Signature},
};

/// The service sent our credential back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer holds the credential of the call")]
pub(super) struct Told;

/// Takes headers out that hold what was shown.
pub(super) fn headers(headers: &mut HeaderMap, presented: &Presented) {
    take_out(headers, &presented.shown().signatures());
}

fn take_out(headers: &mut HeaderMap, signatures: &[Signature]) {
    let tells = |value: &[u8]| signatures.iter().any(|signature| holds(value, signature));
    let named: Vec<HeaderName> =
        headers.iter().filter(|(_, value)| tells(value.as_bytes())).map(|(name, _)| name.clone()).collect();
    for name in named {
        tracing::warn!(header = name.as_str(), "a service repeats our JWT-SVID in a header");
        headers.remove(name);
    }
}

fn holds(text: &[u8], signature: &[u8]) -> bool {
    text.windows(signature.len().max(1)).any(|window| window == signature)
}

/// A body that ends with a fault where it begins to hold the signature. What could be its beginning is held back until
/// more is there, so that no part of it is ever passed on that the rest could be guessed from.
pub(super) struct Withheld<B> {
    body: B,
    shown: Shown,
    search: Search,
    /// A frame without data that waits behind held bytes.
    next: Option<Frame<Bytes>>,
    over: bool,
}

impl<B> Withheld<B> {
    pub(super) fn new(body: B, presented: &Presented) -> Self {
        Self::of(body, presented.shown().clone())
    }

    fn of(body: B, shown: Shown) -> Self {
        Self { body, shown, search: Search::default(), next: None, over: false }
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
                Some(Ok(data)) => match own.search.push(&data, &own.shown.signatures()) {
                    Ok(safe) => safe,
                    Err(told) => {
                        own.over = true;
                        tracing::warn!("a service repeats our JWT-SVID; its answer is cut off");
                        return Poll::Ready(Some(Err(told.into())));
                    }
                },
                Some(Err(mut frame)) => {
                    if let Some(trailers) = frame.trailers_mut() {
                        take_out(trailers, &own.shown.signatures());
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

/// Looks for signatures in pieces of any size.
#[derive(Default)]
struct Search {
    /// The end of what came, where it could be the beginning of one.
    held: BytesMut,
}

impl Search {
    /// What of it may pass.
    fn push(&mut self, data: &[u8], signatures: &[Signature]) -> Result<Bytes, Told> {
        self.held.extend_from_slice(data);
        if signatures.iter().any(|signature| holds(&self.held, signature)) {
            self.held.clear();
            return Err(Told);
        }
        let kept = signatures.iter().map(|signature| begun(&self.held, signature)).max().unwrap_or_default();
        let safe = self.held.len().saturating_sub(kept);
        Ok(self.held.split_to(safe).freeze())
    }

    /// What is left when nothing more comes.
    fn rest(&mut self) -> Bytes {
        self.held.split().freeze()
    }
}

/// How much of the end of `text` could be the beginning of `signature`.
fn begun(text: &[u8], signature: &[u8]) -> usize {
    let longest = text.len().min(signature.len().saturating_sub(1));
    let could_be = |length: &usize| {
        let end = text.len().checked_sub(*length).and_then(|begin| text.get(begin..));
        end.is_some_and(|end| signature.starts_with(end))
    };
    (1..=longest).rev().find(could_be).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    const SIGNATURE: &[u8] = b"aabaac";

    /// The one of this call, and one of another.
    fn shown() -> Shown {
        let (shown, now) = (Shown::default(), runtime::clock::now());
        for token in ["x.y.aabaac", "x.z.ddddddddd"] {
            shown.note(token, now, now);
        }
        shown
    }

    /// What reaches the reader of `text` in pieces of `size`, and whether it came to its end.
    async fn read(text: &[u8], size: usize) -> (Vec<u8>, bool) {
        let frames: Vec<_> =
            text.chunks(size).map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(piece)))).collect();
        let mut body = Withheld::of(StreamBody::new(stream::iter(frames)), shown());
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
    async fn nothing_of_one_that_was_shown_elsewhere_passes_either() {
        let text = b"kept: x.z.ddddddddd";
        for size in 1..=text.len() {
            let (got, whole) = read(text, size).await;
            assert!(!whole && got.len() <= 10 && text.starts_with(&got), "by {size}: {got:?}");
        }
    }

    #[tokio::test]
    async fn held_bytes_come_before_trailers_and_those_are_looked_at() {
        let mut late = HeaderMap::new();
        late.insert("x-echo", "Bearer x.y.aabaac".parse().expect("a value"));
        late.insert("x-checksum", "1".parse().expect("a value"));
        let frames =
            [Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"ends with aab"))), Ok(Frame::trailers(late))];
        let collected = Withheld::of(StreamBody::new(stream::iter(frames)), shown()).collect().await.expect("a body");
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
        take_out(&mut headers, &shown().signatures());
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
    }
}
