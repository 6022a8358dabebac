//! Bounds the wait until a peer has shown which HTTP it speaks. hyper's own timers begin only then, so without this a
//! peer that is silent, or stops within HTTP/2's preface, would hold its slot for ever.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// What an HTTP/2 client begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// An I/O object whose reads fail with `TimedOut` when the version of HTTP was not shown within a time.
pub(crate) struct FirstRead<I> {
    io: I,
    limit: Option<Pin<Box<Sleep>>>,
    /// What is still to come of the preface.
    expected: &'static [u8],
}

impl<I> FirstRead<I> {
    pub(crate) fn new(io: I, limit: Duration) -> Self {
        Self { io, limit: Some(Box::pin(sleep(limit))), expected: PREFACE }
    }

    /// Looks at new bytes; the version is known once they leave the preface or complete it.
    fn saw(&mut self, bytes: &[u8]) {
        match self.expected.strip_prefix(bytes) {
            Some(rest) if !rest.is_empty() => self.expected = rest,
            Some(_) | None => self.limit = None,
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for FirstRead<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        if read.is_ready() {
            if self.limit.is_some() {
                self.saw(buffer.filled().get(before..).unwrap_or_default());
            }
            return read;
        }
        match self.limit.as_mut().map(|limit| limit.as_mut().poll(cx)) {
            Some(Poll::Ready(())) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Some(Poll::Pending) | None => Poll::Pending,
        }
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for FirstRead<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::{serve::HEADER_TIME_MAX, shutdown::tests::task};

    async fn read_all(mut io: impl AsyncRead + Unpin) -> (Vec<u8>, io::ErrorKind) {
        let mut read = Vec::new();
        let fault = io.read_to_end(&mut read).await.unwrap_err();
        (read, fault.kind())
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_let_go() {
        let (_peer, io) = tokio::io::duplex(64);
        assert_eq!(read_all(FirstRead::new(io, HEADER_TIME_MAX)).await, (Vec::new(), io::ErrorKind::TimedOut));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_stops_within_the_preface_is_let_go() {
        let (mut peer, io) = tokio::io::duplex(64);
        peer.write_all(b"PRI ").await.unwrap();
        assert_eq!(read_all(FirstRead::new(io, HEADER_TIME_MAX)).await, (b"PRI ".to_vec(), io::ErrorKind::TimedOut));
    }

    #[tokio::test(start_paused = true)]
    async fn once_the_version_is_known_silence_is_for_others_to_judge() {
        for first in [b"GET /".as_slice(), PREFACE] {
            let (mut peer, io) = tokio::io::duplex(64);
            let mut io = FirstRead::new(io, HEADER_TIME_MAX);
            peer.write_all(first).await.unwrap();
            let later = task(async move {
                sleep(HEADER_TIME_MAX.saturating_mul(10)).await;
                drop(peer);
            });
            let mut read = Vec::new();
            io.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, first);
            later.await.unwrap();
        }
    }
}
