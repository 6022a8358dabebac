//! An app of a test's own, behind a sidecar or in place of one: answers as the test wants and remembers what reached it.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use runtime::{
    mtls::Acceptor,
    serve::{self, Listener},
    shutdown::Shutdown,
    tls::DoorTls,
    workload::Workload,
};
use tokio::{net::TcpListener, task::JoinSet};

use crate::eventually;

/// What reached the app.
#[derive(Clone, Debug)]
pub struct Received {
    /// Method and path.
    pub line: String,
    /// Headers as they came.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

pub(crate) type Answering = dyn Fn(&Received) -> Response<Full<Bytes>> + Send + Sync;
pub(crate) type Released = dyn Fn(&Received) -> bool + Send + Sync;

/// The app. Ends when it is dropped.
#[derive(Debug)]
pub struct Sink {
    address: String,
    received: Arc<Mutex<Vec<Received>>>,
    _tasks: JoinSet<()>,
}

impl Sink {
    /// Answers 200 with `ok`.
    pub async fn open() -> Self {
        Self::answering(|_received| Response::new(Full::new(Bytes::from_static(b"ok")))).await
    }

    /// Answers as `answer` says.
    pub async fn answering(answer: impl Fn(&Received) -> Response<Full<Bytes>> + Send + Sync + 'static) -> Self {
        Self::start(Arc::new(answer), Arc::new(|_received| true)).await
    }

    /// Answers as `answer` says, over mTLS as `workload`: a mesh door that is no sidecar's.
    pub fn over_mtls(
        listener: Listener,
        workload: Workload,
        answer: impl Fn(&Received) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        let received = Arc::new(Mutex::new(Vec::new()));
        let behaviour = Behaviour {
            received: Arc::clone(&received),
            answer: Arc::new(answer),
            released: Arc::new(|_received| true),
        };
        let address = listener.address().to_string();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve::mtls(listener, Acceptor::new(workload), Shutdown::new(), move |_peer| {
            let behaviour = behaviour.clone();
            service_fn(move |request| respond(request, behaviour.clone()))
        }));
        Self { address, received, _tasks: tasks }
    }

    /// Answers 200 with `ok` over TLS with this certificate and key (PEM files), to whoever comes.
    pub async fn over_tls(certificate: &str, key: &str) -> Self {
        let tls = DoorTls::from_pem_files(certificate.as_ref(), key.as_ref()).expect("certificate and key");
        let listener = Listener::bind("127.0.0.1:0").await.expect("a port");
        let received = Arc::new(Mutex::new(Vec::new()));
        let behaviour = Behaviour {
            received: Arc::clone(&received),
            answer: Arc::new(|_received| Response::new(Full::new(Bytes::from_static(b"ok")))),
            released: Arc::new(|_received| true),
        };
        let address = listener.address().to_string();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve::tls(listener, tls, Shutdown::new(), move |_from| {
            let behaviour = behaviour.clone();
            service_fn(move |request| respond(request, behaviour.clone()))
        }));
        Self { address, received, _tasks: tasks }
    }

    pub(crate) async fn start(answer: Arc<Answering>, released: Arc<Released>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let received = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Behaviour { received: Arc::clone(&received), answer, released }));
        Self { address, received, _tasks: tasks }
    }

    /// Answers 200 with `ok`, but each request only once `released` says so.
    pub async fn holding(released: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self::holding_each(move |_received| released()).await
    }

    /// The same, where `released` says it of each request.
    pub async fn holding_each(released: impl Fn(&Received) -> bool + Send + Sync + 'static) -> Self {
        let released = Arc::new(released);
        Self::start(Arc::new(|_received| Response::new(Full::new(Bytes::from_static(b"ok")))), released).await
    }

    /// `http://host:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Everything so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().expect("not poisoned").clone()
    }
}

#[derive(Clone)]
struct Behaviour {
    received: Arc<Mutex<Vec<Received>>>,
    answer: Arc<Answering>,
    released: Arc<Released>,
}

async fn accept(listener: TcpListener, behaviour: Behaviour) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _peer)) = listener.accept().await {
        let behaviour = behaviour.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| respond(request, behaviour.clone()));
            // A broken connection is the other side's business.
            let _ended =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn respond(request: Request<Incoming>, behaviour: Behaviour) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let one = Received { line: format!("{} {}", head.method, head.uri), headers: head.headers, body };
    let response = (behaviour.answer)(&one);
    behaviour.received.lock().expect("not poisoned").push(one.clone());
    eventually("the app is released", || async { (behaviour.released)(&one).then_some(()) }).await;
    Ok(response)
}
