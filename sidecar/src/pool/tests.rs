//! Connections: kept, replaced, bounded.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
};

use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use runtime::{process::Process, ready_file::ReadyFile};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

/// An app that answers `hello` and counts connections; each ends after `requests_max` answers.
async fn app(shutdown: &Shutdown, requests_max: usize) -> (Upstream, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let count = Arc::new(AtomicUsize::new(0));
    let (counted, tasks) = (Arc::clone(&count), shutdown.clone());
    shutdown.spawn("app", async move {
        while let Ok((tcp, _from)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let answered = Arc::new(AtomicUsize::new(0));
            let service = service_fn(move |_request: Request<Incoming>| {
                let last = answered.fetch_add(1, Ordering::SeqCst) >= requests_max.saturating_sub(1);
                let mut response = Response::new(Full::new(bytes::Bytes::from_static(b"hello")));
                if last {
                    response.headers_mut().insert("connection", "close".parse().expect("a value"));
                }
                async move { Ok::<_, Infallible>(response) }
            });
            let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tcp), service);
            tasks.spawn("app connection", async move { drop(serving.await) });
        }
    });
    (Upstream::App(address), count)
}

fn pool() -> (Pool, Shutdown) {
    let process = Process::new(ReadyFile::default());
    let workload = Workload::connect("unix:///nowhere/agent.sock", &process);
    (Pool::new(workload, None, &process.shutdown), process.shutdown)
}

async fn ask(pool: &Pool, upstream: &Upstream) -> bytes::Bytes {
    let request = Request::builder().uri("/").header("host", "app").body(Body::empty()).expect("a request");
    let response = pool.send(upstream, request).await.expect("an answer");
    response.into_body().collect().await.expect("a body").to_bytes()
}

#[tokio::test]
async fn one_connection_serves_one_request_after_another() {
    let (pool, shutdown) = pool();
    let (upstream, connections) = app(&shutdown, usize::MAX).await;
    for _ in 0..5 {
        assert_eq!(ask(&pool, &upstream).await, "hello");
        tokio::task::yield_now().await;
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_that_the_upstream_closes_is_replaced() {
    let (pool, shutdown) = pool();
    let (upstream, connections) = app(&shutdown, 1).await;
    for _ in 0..3 {
        assert_eq!(ask(&pool, &upstream).await, "hello");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn more_in_progress_than_the_limit_is_refused() {
    let (pool, shutdown) = pool();
    let (upstream, _connections) = app(&shutdown, usize::MAX).await;
    let slots: Vec<_> = (0..IN_PROGRESS_MAX).map(|_| pool.slot(&upstream).expect("a slot")).collect();
    let request = Request::builder().uri("/").body(Body::empty()).expect("a request");
    let fault = pool.send(&upstream, request).await.expect_err("overloaded");
    assert_eq!(fault.refusal(), Refusal::FaultOverloaded);
    drop(slots);
    assert_eq!(ask(&pool, &upstream).await, "hello");
}

#[tokio::test]
async fn without_an_identity_nothing_is_sent_to_a_workload() {
    let (pool, _shutdown) = pool();
    let peer = identity::workload_id("spiffe://corp.example/ns/tools/sa/tickets").expect("an id");
    let upstream = Upstream::Workload("127.0.0.1:1".to_owned(), peer);
    let request = Request::builder().uri("/").body(Body::empty()).expect("a request");
    let fault = pool.send(&upstream, request).await.expect_err("no identity");
    assert_eq!(fault.refusal(), Refusal::FaultIdentity);
}

#[tokio::test]
async fn an_answer_that_changes_the_protocol_is_no_answer() {
    let (pool, shutdown) = pool();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let upstream = Upstream::App(listener.local_addr().expect("an address").to_string());
    shutdown.spawn("app", async move {
        let (mut tcp, _from) = listener.accept().await.expect("a connection");
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
        tcp.write_all(answer).await.expect("written");
        tcp.read_to_end(&mut Vec::new()).await.expect("closed");
    });
    let request = Request::builder().uri("/").body(Body::empty()).expect("a request");
    let fault = pool.send(&upstream, request).await.expect_err("no answer");
    assert_eq!(fault.refusal(), Refusal::PeerAnswer);
    assert!(shutdown.drain(Duration::from_secs(5)).await.is_empty(), "its connection is closed");
}

/// hyper would send it on: a service may repeat in it what it was shown.
#[tokio::test]
async fn the_reason_beside_a_status_goes_no_further() {
    let (pool, shutdown) = pool();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let upstream = Upstream::App(listener.local_addr().expect("an address").to_string());
    shutdown.spawn("app", async move {
        let (mut tcp, _from) = listener.accept().await.expect("a connection");
        assert!(tcp.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0), "a request");
        tcp.write_all(b"HTTP/1.1 401 Bad token eyJ.a.b\r\ncontent-length: 0\r\n\r\n").await.expect("written");
    });
    let request = Request::builder().uri("/").header("host", "app").body(Body::empty()).expect("a request");
    let response = pool.send(&upstream, request).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(response.extensions().get::<hyper::ext::ReasonPhrase>().is_none(), "it would reach the app");
}
