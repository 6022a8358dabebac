//! The load: a few connections that stay open, as a sidecar has, each with one request at a time. An answer that is not
//! 200 ends the measurement: only what was granted counts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use identity::SpiffeId;
use runtime::mtls::Connector;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::{JoinHandle, JoinSet},
};

use crate::progress::Progress;

/// A server to be loaded.
#[derive(Clone, Debug)]
pub(crate) enum Server {
    /// mTLS, where `id` must answer.
    Mtls { connector: Connector, address: String, id: SpiffeId },
    /// Clear text on loopback.
    Plain { address: String },
}

/// What to send where.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) server: Server,
    /// Path of the URL.
    pub(crate) path: String,
    /// Forms, ready to be sent.
    pub(crate) bodies: Arc<Vec<Bytes>>,
    /// Connections.
    pub(crate) lines: usize,
    /// Requests in all.
    pub(crate) requests: usize,
    pub(crate) pick: Pick,
}

/// Which body a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pick {
    /// Each request the next one, from the first again after the last.
    Next,
    /// Each connection its own one, so that none is under way twice at a time.
    OfLine,
}

/// How it went.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) took: Duration,
    /// The bodies of the answers, in no order.
    pub(crate) answers: Vec<Bytes>,
}

/// An open connection. Ends when dropped.
struct Line {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
    host: String,
}

impl Load {
    /// Opens the connections, then sends everything; the time counts from then. Where it takes long it says how far it
    /// is: `what`.
    pub(crate) async fn run(&self, what: &str) -> anyhow::Result<Served> {
        let mut open = Vec::new();
        for _line in 0..self.lines {
            open.push(self.server.open().await?);
        }
        self.run_on(open, what).await
    }

    async fn run_on(&self, open: Vec<Line>, what: &str) -> anyhow::Result<Served> {
        let (next, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let start = Instant::now();
        let mut workers = JoinSet::new();
        for (number, mut line) in open.into_iter().enumerate() {
            let (load, next, done) = (self.clone(), Arc::clone(&next), Arc::clone(&done));
            workers.spawn(async move {
                let mut answers = Vec::new();
                loop {
                    let count = next.fetch_add(1, Ordering::Relaxed);
                    if count >= load.requests {
                        return anyhow::Ok(answers);
                    }
                    let place = if load.pick == Pick::Next { count } else { number };
                    let place = place.checked_rem(load.bodies.len()).context("nothing to send")?;
                    let body = load.bodies.get(place).cloned().unwrap_or_default();
                    if !line.is_open().await {
                        line = load.server.open().await?;
                    }
                    answers.push(line.post(&load.path, body).await?);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut answers = Vec::with_capacity(self.requests);
        let mut progress = Progress::of(what, self.requests);
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                ended = workers.join_next() => match ended {
                    Some(worker) => answers.extend(worker.context("a connection's task failed")??),
                    None => return Ok(Served { took: start.elapsed(), answers }),
                },
                _second = tick.tick() => progress.at(done.load(Ordering::Relaxed)),
            }
        }
    }
}

impl Served {
    /// Answers a second.
    pub(crate) fn rate(&self) -> f64 {
        count(self.answers.len()) / self.took.as_secs_f64()
    }
}

impl Server {
    async fn open(&self) -> anyhow::Result<Line> {
        match self {
            Self::Mtls { connector, address, id } => {
                Line::over(connector.connect(address, id).await.context("not connected")?, address).await
            }
            Self::Plain { address } => {
                let tcp = TcpStream::connect(address).await.with_context(|| format!("`{address}` is not there"))?;
                tcp.set_nodelay(true)?;
                Line::over(tcp, address).await
            }
        }
    }
}

impl Line {
    async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, host: &str) -> anyhow::Result<Self> {
        let (sender, connection) = handshake(TokioIo::new(stream)).await.context("no connection")?;
        // A broken connection shows in the next request.
        #[expect(clippy::disallowed_methods, reason = "it ends with the line")]
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, driver, host: host.to_owned() })
    }

    /// A connection ends with the certificate that opened it.
    async fn is_open(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    async fn post(&mut self, path: &str, body: Bytes) -> anyhow::Result<Bytes> {
        let request = Request::post(path)
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(body))?;
        let (head, body) = self.sender.send_request(request).await.context("no answer")?.into_parts();
        let body = body.collect().await.context("half an answer")?.to_bytes();
        if head.status != StatusCode::OK {
            bail!("{path} answered {}: {}", head.status, String::from_utf8_lossy(&body));
        }
        Ok(body)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A form as a body.
pub(crate) fn form(fields: &[(&str, &str)]) -> Bytes {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish().into()
}

/// A count as a number to calculate with.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
pub(crate) const fn count(number: usize) -> f64 {
    number as f64
}
