//! The programs over real loopback HTTP, without sidecars.

use std::{net::SocketAddr, sync::Arc};

use axum::{Json, Router, extract::State};
use clap::Parser as _;
use eventually::eventually;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Mutex,
};

use super::*;
use crate::stack::Port;

/// A program on reserved ports, to be run beside a test's own steps.
struct Program {
    options: Options,
    _ports: (Port, Port),
}

impl Program {
    fn new(words: &[&str]) -> Self {
        let ports = (Port::reserve().expect("a port"), Port::reserve().expect("a port"));
        let mut options = Options::parse_from(std::iter::once("app").chain(words.iter().copied()));
        (options.listen, options.control) = (ports.0.address(), ports.1.address());
        Self { options, _ports: ports }
    }

    /// Runs `steps` while the program serves.
    async fn with<T>(self, steps: impl AsyncFnOnce(SocketAddr, SocketAddr) -> T) -> T {
        let (listen, control) = (self.options.listen, self.options.control);
        tokio::select! {
            ended = run(self.options) => panic!("the program ended: {ended:?}"),
            told = async { listening(listen).await; listening(control).await; steps(listen, control).await } => told,
        }
    }
}

async fn listening(address: SocketAddr) {
    eventually("somebody listens", || async move { TcpStream::connect(address).await.ok() }).await;
}

async fn tokens_seen(control: SocketAddr) -> Value {
    let answer = Call::new(Method::GET, &format!("http://{control}/seen")).send().await.expect("answers");
    answer.json()["tokens"].clone()
}

fn token() -> &'static str {
    // {"alg":"none"}.{}.signature
    "eyJhbGciOiJub25lIn0.e30.c2lnbmF0dXJl"
}

#[tokio::test]
async fn a_token_is_counted_in_the_path_the_headers_and_the_body_of_a_request() {
    Program::new(&["evil"])
        .with(async |listen, control| {
            assert_eq!(tokens_seen(control).await, 0);
            let call = Call::new(Method::POST, &format!("http://{listen}/{}", token()))
                .header("authorization", &format!("Bearer {}", token()))
                .json(&json!({ "token": token() }));
            assert_eq!(call.send().await.expect("answers").status, StatusCode::OK);
            assert_eq!(tokens_seen(control).await, 3);
        })
        .await;
}

#[tokio::test]
async fn a_token_in_the_answer_to_an_agent_is_counted() {
    let leak = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let url = format!("http://{}/", leak.local_addr().expect("bound"));
    let leaking = Router::new().fallback(|| std::future::ready(([("x-leak", token())], token())));
    let steps = Program::new(&["planner"]).with(async |listen, control| {
        let call = Call::new(Method::POST, &format!("http://{listen}/ask")).json(&json!({ "question": url }));
        assert_eq!(call.send().await.expect("answers").status, StatusCode::OK);
        assert_eq!(tokens_seen(control).await, 2);
    });
    tokio::select! {
        _ended = async { axum::serve(leak, leaking).await } => panic!("the server ended"),
        () = steps => {}
    }
}

#[tokio::test]
async fn an_agent_passes_on_its_handle_and_no_other_header() {
    let seen = Arc::new(Mutex::new(HeaderMap::new()));
    let note = |State(seen): State<Arc<Mutex<HeaderMap>>>, headers: HeaderMap| async move {
        *seen.lock().await = headers;
        Json(json!({}))
    };
    let proxy = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let url = format!("http://{}", proxy.local_addr().expect("bound"));
    let serving = Router::new().fallback(note).with_state(Arc::clone(&seen));
    let steps = Program::new(&["planner", "--http-proxy", &url]).with(async |listen, _control| {
        let call = Call::new(Method::POST, &format!("http://{listen}/ask"))
            .header(HANDLE_HEADER, "the-handle")
            .header("cookie", "not-for-others")
            .json(&json!({ "question": "Which of my tickets are open?" }));
        assert_eq!(call.send().await.expect("answers").status, StatusCode::OK);
    });
    tokio::select! {
        _ended = async { axum::serve(proxy, serving).await } => panic!("the proxy ended"),
        () = steps => {}
    }
    let headers = seen.lock().await;
    assert_eq!(headers[HANDLE_HEADER], "the-handle");
    assert_eq!(headers["host"], "researcher.agent");
    let mut names: Vec<_> = headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "content-type", HANDLE_HEADER, "host"]);
}

#[tokio::test]
async fn the_tool_shows_a_session_only_the_named_users_tickets() {
    Program::new(&["tickets"])
        .with(async |listen, _control| {
            let url = format!("http://{listen}/mcp");
            let opened = mcp::post(&url, &mcp::initialize()).send().await.expect("answers");
            let session = opened.header(mcp::SESSION_HEADER).to_owned();
            let list = async |session: &str, subject: Option<&str>| {
                let call =
                    mcp::post(&url, &mcp::tool_call("list_tickets", &json!({}))).header(mcp::SESSION_HEADER, session);
                let call = match subject {
                    Some(subject) => call.header("countersign-subject", subject),
                    None => call,
                };
                call.send().await.expect("answers")
            };
            let tickets =
                |answer: &Answer| answer.json()["result"]["structuredContent"]["tickets"].as_array().map(Vec::len);
            assert_eq!(tickets(&list(&session, Some(tickets::ALICE)).await), Some(2));
            assert_eq!(tickets(&list(&session, None).await), Some(0));
            assert_eq!(list("no-such-session", None).await.status, StatusCode::NOT_FOUND);
        })
        .await;
}

#[tokio::test]
async fn a_program_listens_on_loopback_only() {
    let options = Options::parse_from(["app", "evil", "--listen", "0.0.0.0:0"]);
    assert!(run(options).await.expect_err("refused").to_string().contains("loopback"));
}
