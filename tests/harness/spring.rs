//! An app whose answers do not end by themselves: events, one after another, until somebody closes the connection.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::http1::handshake,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Interval, interval, timeout},
};

use crate::{Received, eventually};

/// Between two events.
const PAUSE: Duration = Duration::from_millis(20);
/// Far less than for ever.
const DEADLINE: Duration = Duration::from_secs(20);

/// The app. Ends when it is dropped.
#[derive(Debug)]
pub struct Spring {
    address: String,
    received: Arc<Mutex<Vec<Received>>>,
    flowing: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

/// An answer that flows, counted until dropped.
struct Flowing(Arc<AtomicUsize>);

impl Spring {
    /// Answers every request with an event stream.
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (received, flowing) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&received), Arc::clone(&flowing)));
        Self { address, received, flowing, _tasks: tasks }
    }

    /// `http://host:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().expect("not poisoned").clone()
    }

    /// Waits until exactly so many answers flow.
    pub async fn flows(&self, count: usize) {
        let all = || async { (self.flowing.load(Ordering::SeqCst) == count).then_some(()) };
        eventually(&format!("{count} answers of the app flow"), all).await;
    }
}

impl Drop for Flowing {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn accept(listener: TcpListener, received: Arc<Mutex<Vec<Received>>>, flowing: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _peer)) = listener.accept().await {
        let (received, flowing) = (Arc::clone(&received), Arc::clone(&flowing));
        connections.spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let (received, flowing) = (Arc::clone(&received), Arc::clone(&flowing));
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                    let line = format!("{} {}", head.method, head.uri);
                    received.lock().expect("not poisoned").push(Received { line, headers: head.headers, body });
                    flowing.fetch_add(1, Ordering::SeqCst);
                    let body = StreamBody::new(events(Flowing(flowing)));
                    let answer = Response::builder().header(header::CONTENT_TYPE, "text/event-stream").body(body);
                    Ok::<_, Infallible>(answer.expect("an answer"))
                }
            });
            // A broken connection is what the test wants to see.
            let _ended =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn events(flowing: Flowing) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
    let next = async |(mut every, flowing): (Interval, Flowing)| {
        every.tick().await;
        Some((Ok(Frame::data(Bytes::from_static(b"data: {}\n\n"))), (every, flowing)))
    };
    Box::pin(stream::unfold((interval(PAUSE), flowing), next))
}

/// A client that reads an answer as it comes. Dropped, it hangs up.
#[derive(Debug)]
pub struct Reader {
    body: Incoming,
    _connection: JoinSet<()>,
}

impl Reader {
    /// Sends `body` as JSON with `headers` to `url`, over a connection to `address`, and waits for the head of a good
    /// answer. To a proxy the whole URL is named, to anybody else its path.
    ///
    /// # Panics
    /// Where the answer is not good.
    pub async fn open(address: &str, url: &str, headers: &[(&str, &str)], body: &serde_json::Value) -> Self {
        let stream = TcpStream::connect(address).await.expect("connected");
        Self::over(stream, address, url, headers, body).await
    }

    /// The same over a connection that is open, with `host` where `url` is a path.
    ///
    /// # Panics
    /// Where the answer is not good.
    pub async fn over<S>(stream: S, host: &str, url: &str, headers: &[(&str, &str)], body: &serde_json::Value) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.expect("a connection");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(connection.await) });
        let host = url.split('/').nth(2).unwrap_or(host);
        let request = Request::builder().method(Method::POST).uri(url).header("host", host);
        let request = request.header("content-type", "application/json").header("accept", "text/event-stream");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(Full::new(Bytes::from(body.to_string()))).expect("a request");
        let answer = timeout(DEADLINE, sender.send_request(request)).await.expect("in time").expect("answered");
        assert!(answer.status().is_success(), "{url}: {}", answer.status());
        Self { body: answer.into_body(), _connection: tasks }
    }

    /// Whether something more comes.
    pub async fn reads_on(&mut self) -> bool {
        let frame = timeout(DEADLINE, self.body.frame()).await.expect("something happens");
        matches!(frame, Some(Ok(_)))
    }

    /// Reads until nothing more comes.
    pub async fn end(mut self) {
        let ended = async { while self.reads_on().await {} };
        timeout(DEADLINE, ended).await.expect("the answer ends");
    }
}
