//! Bounds how long a write may stand still. hyper has no such bound, so without this a peer that stops reading would
//! hold its slot for ever; HTTP/2's pings do not help, for they wait behind the write. It never judges silence: a
//! connection with nothing to write may rest.

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

/// An I/O object whose writes, flushes and shutdown fail with `TimedOut` when they got nowhere for a time. What the
/// peer sends meanwhile does not count. While writes are taken at once there is no timer.
pub(crate) struct MovingWrite<I> {
    io: I,
    limit: Duration,
    wait: Option<Wait>,
}

/// Began when something could not be written and ends when something was.
struct Wait {
    step: Step,
    timer: Pin<Box<Sleep>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Write,
    /// A flush, or a shutdown, which begins with one.
    Flush,
}

impl<I> MovingWrite<I> {
    pub(crate) fn new(io: I, limit: Duration) -> Self {
        Self { io, limit, wait: None }
    }

    fn judge<T>(&mut self, cx: &mut Context<'_>, step: Step, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            // Without a buffer of its own an I/O object has always flushed: that is no progress for a write.
            if step == Step::Write || self.wait.as_ref().is_some_and(|wait| wait.step == Step::Flush) {
                self.wait = None;
            }
            return polled;
        }
        let limit = self.limit;
        let wait = self.wait.get_or_insert_with(|| Wait { step, timer: Box::pin(sleep(limit)) });
        wait.timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for MovingWrite<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for MovingWrite<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.judge(cx, Step::Write, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.judge(cx, Step::Flush, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.io).poll_shutdown(cx);
        self.judge(cx, Step::Flush, shut)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.judge(cx, Step::Write, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, BufWriter, DuplexStream, duplex},
        time::{Instant, timeout},
    };

    use super::*;
    use crate::shutdown::tests::task;

    const LIMIT: Duration = Duration::from_secs(60);
    /// Less than the limit, but twice is more.
    const PAUSE: Duration = Duration::from_secs(40);

    fn pair() -> (DuplexStream, MovingWrite<DuplexStream>) {
        let (peer, io) = duplex(8);
        (peer, MovingWrite::new(io, LIMIT))
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_nobody_reads_fails_after_the_limit() {
        let (_peer, mut io) = pair();
        let begun = Instant::now();
        assert_eq!(io.write_all(&[0; 9]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= LIMIT && begun.elapsed() < LIMIT * 2);
        assert_eq!(io.write_all(&[0]).await.unwrap_err().kind(), io::ErrorKind::TimedOut, "and goes on failing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flush_and_a_shutdown_that_nobody_reads_fail_too() {
        for shut in [false, true] {
            let (_peer, io) = duplex(8);
            let mut io = MovingWrite::new(BufWriter::new(io), LIMIT);
            io.write_all(&[0; 9]).await.unwrap();
            let ended = if shut { io.shutdown().await } else { io.flush().await };
            assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_is_slow_but_steady_gets_everything() {
        let (mut peer, mut io) = pair();
        let begun = Instant::now();
        let writing = task(async move {
            io.write_all(&[7; 20]).await.unwrap();
            io.shutdown().await.unwrap();
        });
        let (mut read, mut pauses) = (Vec::new(), tokio::time::interval(PAUSE));
        while read.len() < 20 {
            pauses.tick().await;
            read.push(peer.read_u8().await.unwrap());
        }
        writing.await.unwrap();
        assert_eq!(read, [7; 20]);
        assert!(begun.elapsed() > LIMIT * 10);
    }

    #[tokio::test(start_paused = true)]
    async fn neither_asking_again_nor_a_flush_of_nothing_nor_a_word_of_the_peer_is_progress() {
        let (mut peer, mut io) = pair();
        io.write_all(&[0; 8]).await.unwrap();
        assert!(timeout(PAUSE, io.write_all(&[0])).await.is_err(), "it waits");
        io.flush().await.unwrap();
        peer.write_u8(1).await.unwrap();
        io.read_u8().await.unwrap();
        let ended = timeout(PAUSE, io.write_all(&[0])).await;
        assert_eq!(ended.expect("the limit is reached").unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flush_that_went_through_ends_its_wait() {
        let (mut peer, io) = duplex(8);
        let mut io = MovingWrite::new(BufWriter::new(io), LIMIT);
        for _round in 0..3 {
            io.write_all(&[0; 16]).await.unwrap();
            assert!(timeout(PAUSE, io.flush()).await.is_err(), "it waits");
            peer.read_exact(&mut [0; 8]).await.unwrap();
            io.flush().await.unwrap();
            peer.read_exact(&mut [0; 8]).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_something_to_write_a_connection_may_rest() {
        let (mut peer, mut io) = pair();
        io.write_all(&[0; 8]).await.unwrap();
        assert!(timeout(LIMIT * 10, io.read_u8()).await.is_err(), "silence is for others to judge");
        peer.read_exact(&mut [0; 8]).await.unwrap();
        io.write_all(&[0]).await.unwrap();
        assert!(io.wait.is_none());
    }
}
