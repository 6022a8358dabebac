//! One HTTP connection under the limits of [`crate::serve`], from first byte to graceful end.

use std::{convert::Infallible, pin::pin};

use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    service::Service,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    HEADER_SECTION_MAX, HEADER_TIME_MAX, HEADERS_MAX, PENDING_RESETS_MAX, PING_AFTER, PING_ANSWER_MAX, RESETS_MAX,
    WRITE_STALL_MAX,
    first_read::FirstRead,
    head::{Withdrawn, guarded},
    listener::Door,
    moving_write::MovingWrite,
    streams::Streams,
};

/// Serves one connection, whatever the door. Once `stop` comes it finishes the requests in flight (GOAWAY for HTTP/2)
/// and ends. A peer that takes back too many requests is cut off.
pub(crate) async fn connection<I, S, B>(io: I, service: S, stop: impl Future<Output = ()>, door: &Door)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let builder = builder(door.streams);
    let withdrawn = Withdrawn::default();
    let io = TokioIo::new(FirstRead::new(MovingWrite::new(io, WRITE_STALL_MAX), HEADER_TIME_MAX));
    let service = guarded(service, withdrawn.clone());
    let mut serving = pin!(builder.serve_connection_with_upgrades(io, service));
    let to_the_end = async {
        tokio::select! {
            served = serving.as_mut() => served,
            () = stop => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        }
    };
    let served = tokio::select! {
        served = to_the_end => served,
        () = withdrawn.too_many() => {
            door.count("too_many_resets");
            return;
        }
    };
    if let Err(fault) = served {
        tracing::debug!(fault, "connection ended with a fault");
    }
}

fn builder(streams: Streams) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // hyper's buffer holds the whole header section, so its size bounds the section.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME_MAX)
        .max_headers(HEADERS_MAX)
        .max_buf_size(usize::try_from(HEADER_SECTION_MAX).unwrap_or(usize::MAX));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_SECTION_MAX)
        .max_concurrent_streams(streams.at_once)
        .initial_stream_window_size(streams.unread_each)
        .initial_connection_window_size(streams.unread)
        .max_local_error_reset_streams(RESETS_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_ANSWER_MAX);
    builder
}
