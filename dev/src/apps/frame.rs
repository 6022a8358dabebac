//! The frame around each program: listens, counts what reaches the process, tells the count on a port of its own.
//! It never changes what the program receives, and its own port is not counted as the program's.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use http::{HeaderMap, StatusCode};
use runtime::ready_file::ReadyFile;
use serde_json::json;
use spiffe::{WorkloadApiClient, WorkloadApiError};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use super::{
    Answer, BODY_BYTES_MAX, Options, Role, attacker, evil, planner, process, researcher, tickets, tokens::TokenCount,
};

/// Longest that a program asked for its identity waits: the Workload API answers an unknown process within 1 s.
const IDENTITY_WAIT: Duration = Duration::from_secs(5);

/// Longest that a program waits to be told to go on.
const GATE_WAIT: Duration = Duration::from_secs(15);

/// What reached the process so far. Clones count together.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    tokens: TokenCount,
    requests: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

/// Where a program waits until it is told to go on, by its control door.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate(Arc<Notify>);

impl Gate {
    /// Waits, but not for ever.
    pub(super) async fn passed(&self) {
        // Not told: the program goes on, and what it then does shows it.
        let _told = tokio::time::timeout(GATE_WAIT, self.0.notified()).await;
    }
}

/// Binds both ports, writes the ready file and serves until the process is told to stop.
pub(super) async fn serve(options: Options) -> anyhow::Result<()> {
    let counted = Counted::default();
    counted.tokens.look_at_process();
    let gate = Gate::default();
    let program =
        program(&options, &counted, &gate)?.layer(middleware::from_fn_with_state(counted.clone(), look_at_request));
    let listener = TcpListener::bind(options.listen).await?;
    let control_listener = TcpListener::bind(options.control).await?;
    let addresses = BTreeMap::from([
        ("app", listener.local_addr()?.to_string()),
        ("control", control_listener.local_addr()?.to_string()),
    ]);
    let listener = CountedListener { listener, connections: Arc::clone(&counted.connections) };
    let control = control(&options, counted, gate);
    ReadyFile::new(options.ready_file).write(&addresses)?;
    tokio::select! {
        served = async { axum::serve(listener, program).await } => served?,
        served = async { axum::serve(control_listener, control).await } => served?,
        stopped = process::stopped(options.exit_on_stdin_close) => stopped?,
    }
    Ok(())
}

impl Counted {
    /// Counts the tokens in an answer: status line aside, all of it.
    pub(super) fn look_at_answer(&self, answer: &Answer) {
        self.look_at_headers(&answer.headers);
        self.tokens.look_at(&answer.body);
        self.look_at_headers(&answer.trailers);
    }

    fn look_at_headers(&self, headers: &HeaderMap) {
        for (name, value) in headers {
            self.tokens.look_at(name.as_str().as_bytes());
            self.tokens.look_at(value.as_bytes());
        }
    }
}

fn program(options: &Options, counted: &Counted, gate: &Gate) -> anyhow::Result<Router> {
    Ok(match options.role {
        Role::Planner => planner::program(options.http_proxy.clone(), counted.clone(), gate.clone()),
        Role::Researcher => researcher::program(options.http_proxy.clone(), counted.clone()),
        Role::Tickets => tickets::program(&options.alice, &options.bob),
        Role::Attacker => attacker::program(options.workload_api.as_deref())?,
        Role::Evil => evil::program(),
    })
}

/// Counts the tokens in a request, whole, before the program sees it.
async fn look_at_request(State(counted): State<Counted>, request: Request, next: Next) -> Response {
    counted.requests.fetch_add(1, Ordering::SeqCst);
    let (head, body) = request.into_parts();
    counted.tokens.look_at(head.uri.to_string().as_bytes());
    counted.look_at_headers(&head.headers);
    // Trailers are not kept by `to_bytes`, nor can the program see them.
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    counted.tokens.look_at(&body);
    next.run(Request::from_parts(head, Body::from(body))).await
}

/// `GET /seen`: the counts. `GET /identity`: what the Workload API says when this process asks for an SVID.
/// `POST /proceed`: who waits goes on.
fn control(options: &Options, counted: Counted, gate: Gate) -> Router {
    let workload_api = options.workload_api.clone();
    let seen = move || {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        let seen = json!({
            "tokens": counted.tokens.total(),
            "requests": count(&counted.requests),
            "connections": count(&counted.connections),
        });
        std::future::ready(Json(seen))
    };
    let identity =
        move || async move { Json(json!({ "identity": identity_of_this_process(workload_api.as_deref()).await })) };
    let proceed = move || {
        gate.0.notify_one();
        std::future::ready(StatusCode::NO_CONTENT)
    };
    Router::new().route("/seen", get(seen)).route("/identity", get(identity)).route("/proceed", post(proceed))
}

/// `issued`, or why there is none.
async fn identity_of_this_process(workload_api: Option<&str>) -> String {
    let Some(endpoint) = workload_api else {
        return "no Workload API was named".to_owned();
    };
    let asked = async { WorkloadApiClient::connect_to(endpoint).await?.fetch_x509_svid().await };
    match tokio::time::timeout(IDENTITY_WAIT, asked).await {
        Ok(Ok(_svid)) => "issued".to_owned(),
        Ok(Err(WorkloadApiError::NoIdentityIssued | WorkloadApiError::PermissionDenied(_))) => {
            "PermissionDenied".to_owned()
        }
        Ok(Err(fault)) => fault.to_string(),
        Err(_elapsed) => "no answer".to_owned(),
    }
}

/// Counts connections, also those on which no request follows.
struct CountedListener {
    listener: TcpListener,
    connections: Arc<AtomicUsize>,
}

impl axum::serve::Listener for CountedListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let accepted = axum::serve::Listener::accept(&mut self.listener).await;
        self.connections.fetch_add(1, Ordering::SeqCst);
        accepted
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
