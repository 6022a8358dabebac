//! An answer on its way to its reader. It ends with its transaction and with a reader that stopped reading, also while
//! nobody asks it for more: whoever does not read holds no handle and no connection to the app.

use std::{
    error::Error,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Clean;
use runtime::shutdown::Shutdown;

/// Longest time that a reader may leave what it was handed unread. A slow line is not meant: it goes on as long as the
/// kernel's buffer between us and the reader empties at all within this time.
const UNREAD_MAX: Duration = Duration::from_secs(60);

/// The time of a body is over: its transaction ended, or its reader stopped.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the transaction of this exchange has ended, or its reader stopped reading")]
pub(crate) struct CutOff;

/// What is held for as long as an answer flows.
pub(crate) trait Guard: Send + 'static {
    /// The answer ended by itself. Where it does not, the guard is only dropped.
    fn finish(self);
}

impl Guard for () {
    fn finish(self) {}
}

/// A body that loses credential headers from its trailers, is cut off when its transaction ends or its reader stops,
/// and gives up `guard` at its last byte, at a reset, or when it is cut off: whichever comes first.
pub(crate) struct Flow<B, G> {
    course: Arc<Mutex<Course<B, G>>>,
    /// Ends the watch over a body that is gone.
    _gone: Option<DropGuard>,
}

struct Course<B, G> {
    /// `None` once cut off.
    body: Option<Clean<B>>,
    guard: Option<G>,
    /// Since when the reader has not come back for more.
    unread: Option<Instant>,
    reader: Option<Waker>,
}

impl<B, G> Flow<B, G>
where
    B: HttpBody + Send + 'static,
    G: Guard,
{
    /// `body` until `ended`, holding `guard`; a task of `shutdown` watches over it.
    pub(crate) fn new(
        body: B,
        ended: impl Future<Output = ()> + Send + 'static,
        guard: G,
        shutdown: &Shutdown,
    ) -> Self {
        let nothing_to_read = body.is_end_stream();
        let mut course = Course { body: Some(Clean::new(body)), guard: Some(guard), unread: None, reader: None };
        if nothing_to_read {
            course.finish();
            return Self { course: Arc::new(Mutex::new(course)), _gone: None };
        }
        let course = Arc::new(Mutex::new(course));
        let gone = CancellationToken::new();
        shutdown.spawn("answer", watch(Arc::clone(&course), ended, gone.clone()));
        Self { course, _gone: Some(gone.drop_guard()) }
    }
}

impl<B, G: Guard> Course<B, G> {
    /// The answer has ended by itself.
    fn finish(&mut self) {
        if let Some(guard) = self.guard.take() {
            guard.finish();
        }
    }
}

async fn watch<B, G>(course: Arc<Mutex<Course<B, G>>>, ended: impl Future<Output = ()>, gone: CancellationToken) {
    tokio::select! {
        () = gone.cancelled() => return,
        () = pin!(ended) => {}
        () = unread(&course) => tracing::info!("an answer is cut off, nobody reads it"),
    }
    let mut open = lock(&course);
    let (body, guard, reader) = (open.body.take(), open.guard.take(), open.reader.take());
    drop(open);
    drop((body, guard));
    if let Some(reader) = reader {
        reader.wake();
    }
}

/// Ends once something was left unread for [`UNREAD_MAX`].
async fn unread<B, G>(course: &Mutex<Course<B, G>>) {
    loop {
        let since = lock(course).unread;
        let left = since.map_or(UNREAD_MAX, |since| UNREAD_MAX.saturating_sub(since.elapsed()));
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<B, G> HttpBody for Flow<B, G>
where
    B: HttpBody<Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
    G: Guard,
{
    type Data = B::Data;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, Self::Error>>> {
        let mut course = lock(&self.course);
        let Some(body) = course.body.as_mut() else { return Poll::Ready(Some(Err(CutOff.into()))) };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        let over = body.is_end_stream();
        course.unread = None;
        match polled {
            Poll::Pending => {
                course.reader = Some(cx.waker().clone());
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => {
                course.unread = Some(Instant::now());
                if over {
                    course.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(fault))) => {
                course.guard = None;
                Poll::Ready(Some(Err(fault.into())))
            }
            Poll::Ready(None) => {
                course.finish();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.course).body.as_ref().is_some_and(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.course).body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

impl<B, G> Drop for Flow<B, G> {
    /// A reset ends everything at once, not when the watch gets to know.
    fn drop(&mut self) {
        let mut course = lock(&self.course);
        let (body, guard) = (course.body.take(), course.guard.take());
        drop(course);
        drop((body, guard));
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future};

    use bytes::Bytes;
    use futures_util::{StreamExt as _, stream};
    use http::{Request, Response};
    use http_body_util::{BodyExt as _, Full, StreamBody};
    use hyper::{body::Incoming, server::conn::http1, service::service_fn};
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    impl Guard for Arc<()> {
        fn finish(self) {}
    }

    impl Guard for Option<Arc<()>> {
        fn finish(self) {}
    }

    /// Notes whether the answer ended by itself.
    struct Noting(Arc<Mutex<bool>>);

    impl Guard for Noting {
        fn finish(self) {
            *lock(&self.0) = true;
        }
    }

    #[tokio::test]
    async fn only_an_answer_that_ends_by_itself_is_finished() {
        let finished = |note: &Arc<Mutex<bool>>| *lock(note);
        let note = Arc::new(Mutex::new(false));
        let start = |body: Full<Bytes>| Flow::new(body, future::pending(), Noting(Arc::clone(&note)), &Shutdown::new());
        drop(start(Full::new(Bytes::from_static(b"x"))));
        assert!(!finished(&note), "a reset");
        let cut = Flow::new(endless(), future::ready(()), Noting(Arc::clone(&note)), &Shutdown::new());
        assert!(cut.collect().await.is_err() && !finished(&note), "a transaction that ended");
        start(Full::new(Bytes::from_static(b"x"))).collect().await.expect("a body");
        assert!(finished(&note));
        *lock(&note) = false;
        drop(start(Full::default()));
        assert!(finished(&note), "nothing to read");
    }

    fn endless() -> impl HttpBody<Data = Bytes, Error = std::io::Error> + Unpin {
        StreamBody::new(stream::pending::<Result<Frame<Bytes>, std::io::Error>>())
    }

    /// Has always more to say.
    fn talkative() -> impl HttpBody<Data = Bytes, Error = std::io::Error> + Unpin {
        StreamBody::new(stream::repeat(()).map(|()| Ok(Frame::data(Bytes::from_static(b"x")))))
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_cut_off_when_its_transaction_ends() {
        let guard = Arc::new(());
        let held = Arc::downgrade(&guard);
        let mut flow = Flow::new(endless(), tokio::time::sleep(Duration::from_secs(5)), guard, &Shutdown::new());
        let fault = flow.frame().await.expect("a frame").expect_err("cut off");
        assert!(fault.is::<CutOff>());
        assert!(held.upgrade().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_nobody_reads_ends_with_its_transaction_too() {
        let guard = Arc::new(());
        let held = Arc::downgrade(&guard);
        let mut flow = Flow::new(talkative(), tokio::time::sleep(Duration::from_secs(5)), guard, &Shutdown::new());
        assert!(flow.frame().await.expect("a frame").is_ok());
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert!(held.upgrade().is_none(), "the handle outlives its transaction");
        assert!(flow.frame().await.expect("a frame").expect_err("cut off").is::<CutOff>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stops_gives_its_place_back() {
        let guard = Arc::new(());
        let held = Arc::downgrade(&guard);
        let mut flow = Flow::new(talkative(), future::pending(), guard, &Shutdown::new());
        for _slow_but_reading in 0..5 {
            assert!(flow.frame().await.expect("a frame").is_ok());
            tokio::time::sleep(UNREAD_MAX - Duration::from_secs(1)).await;
        }
        assert!(held.upgrade().is_some());
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(held.upgrade().is_none(), "a reader that stopped holds the handle");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stops_reading_its_connection_does_too() {
        let (shutdown, guard) = (Shutdown::new(), Arc::new(Mutex::new(Some(Arc::new(())))));
        let held = Arc::downgrade(lock(&guard).as_ref().expect("the guard"));
        let (mut client, server) = tokio::io::duplex(1024);
        let tasks = shutdown.clone();
        let service = service_fn(move |_request: Request<Incoming>| {
            let flow = Flow::new(talkative(), future::pending(), lock(&guard).take(), &tasks);
            async move { Ok::<_, Infallible>(Response::new(flow)) }
        });
        let serving = http1::Builder::new().serve_connection(TokioIo::new(server), service);
        shutdown.spawn("connection", async move { drop(serving.await) });
        client.write_all(b"GET / HTTP/1.1\r\nhost: app\r\n\r\n").await.expect("written");
        client.read_u8().await.expect("an answer");
        assert!(held.upgrade().is_some());
        tokio::time::sleep(UNREAD_MAX + Duration::from_secs(1)).await;
        assert!(held.upgrade().is_none(), "a client that stopped holds the handle");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_app_does_not_count_against_its_reader() {
        let guard = Arc::new(());
        let held = Arc::downgrade(&guard);
        let mut flow = Flow::new(endless(), future::pending(), guard, &Shutdown::new());
        assert!(tokio::time::timeout(UNREAD_MAX * 3, flow.frame()).await.is_err());
        assert!(held.upgrade().is_some());
    }

    #[tokio::test]
    async fn the_guard_is_given_up_with_the_last_byte() {
        let guard = Arc::new(());
        let held = Arc::downgrade(&guard);
        let mut flow = Flow::new(Full::new(Bytes::from_static(b"x")), future::pending(), guard, &Shutdown::new());
        assert!(held.upgrade().is_some());
        assert!(flow.frame().await.expect("a frame").is_ok());
        assert!(held.upgrade().is_none());
    }

    #[tokio::test]
    async fn the_guard_is_given_up_at_a_reset() {
        let guard = Arc::new(());
        let held = Arc::downgrade(&guard);
        let shutdown = Shutdown::new();
        drop(Flow::new(endless(), future::pending(), guard, &shutdown));
        assert!(held.upgrade().is_none());
        assert!(shutdown.drain(Duration::from_secs(5)).await.is_empty(), "the watch ends too");
    }
}
