//! Servers under their limits, and their end.

use std::{io, path::PathBuf};

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Notify,
};

use super::*;
use crate::{
    mtls::{
        Connector,
        tests::{Authority, PLANNER, TICKETS},
    },
    shutdown::tests::task,
    telemetry::Telemetry,
};

type Answer = Result<Response<Full<Bytes>>, Infallible>;

fn text(words: impl Into<Bytes>) -> Answer {
    Ok(Response::new(Full::new(words.into())))
}

async fn greet(_request: Request<Incoming>) -> Answer {
    text("hello")
}

async fn listener() -> (Listener, SocketAddr) {
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.address();
    (listener, address)
}

/// A plain server that greets.
async fn greeter(shutdown: &Shutdown, connections_max: usize) -> SocketAddr {
    let (listener, address) = listener().await;
    let serving = plain(listener.limited(connections_max), shutdown.clone(), |_from| service_fn(greet));
    shutdown.spawn("greeter", serving);
    address
}

async fn exchange(address: SocketAddr, request: &str) -> io::Result<String> {
    let mut tcp = TcpStream::connect(address).await?;
    tcp.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await?;
    Ok(answer)
}

fn request_with(headers: usize, length: usize) -> String {
    let value = "x".repeat(length);
    let extra: String = (0..headers).map(|number| format!("h{number}: {value}\r\n")).collect();
    format!("GET / HTTP/1.1\r\nconnection: close\r\n{extra}\r\n")
}

#[tokio::test]
async fn http_1_is_served_up_to_the_limits_and_not_beyond() {
    let address = greeter(&Shutdown::new(), 8).await;
    let status = async |request: String| exchange(address, &request).await.unwrap();
    assert!(status(request_with(HEADERS_MAX - 1, 1)).await.starts_with("HTTP/1.1 200"));
    assert!(status(request_with(HEADERS_MAX, 1)).await.starts_with("HTTP/1.1 431"));
    assert!(status(request_with(3, 10_000)).await.starts_with("HTTP/1.1 200"));
    // The server closes with our bytes unread, so its answer may be cut off by a reset: no greeting, in any case.
    let answer = exchange(address, &request_with(4, 10_000)).await.unwrap_or_default();
    assert!(!answer.contains("hello"), "{answer}");
}

#[tokio::test]
async fn http_2_is_served_on_the_same_door() {
    let address = greeter(&Shutdown::new(), 8).await;
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    task(connection);
    let request = Request::get("http://greeter/").body(Empty::<Bytes>::new()).unwrap();
    let answer = client.send_request(request).await.unwrap();
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, http::Version::HTTP_2));
}

#[tokio::test]
async fn a_request_in_flight_is_answered_during_drain_and_no_new_connection_is_taken() {
    let (shutdown, begun, go_on) = (Shutdown::new(), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (listener, address) = listener().await;
    let (signal, gate) = (Arc::clone(&begun), Arc::clone(&go_on));
    let make = move |_from| {
        let (signal, gate) = (Arc::clone(&signal), Arc::clone(&gate));
        service_fn(move |_request: Request<Incoming>| {
            let (signal, gate) = (Arc::clone(&signal), Arc::clone(&gate));
            async move {
                signal.notify_one();
                gate.notified().await;
                text("late")
            }
        })
    };
    shutdown.spawn("door", plain(listener, shutdown.clone(), make));
    let asked = task(exchange_owned(address, "GET / HTTP/1.1\r\n\r\n"));
    begun.notified().await;
    let draining = task({
        let shutdown = shutdown.clone();
        async move { shutdown.drain(Duration::from_secs(10)).await }
    });
    shutdown.cancelled().await;
    until(async || TcpStream::connect(address).await.is_err()).await;
    go_on.notify_one();
    let answer = asked.await.unwrap();
    assert!(answer.ends_with("late") && answer.contains("connection: close"), "{answer}");
    assert!(draining.await.unwrap().is_empty());
}

async fn exchange_owned(address: SocketAddr, request: &'static str) -> String {
    exchange(address, request).await.unwrap()
}

async fn until(condition: impl AsyncFn() -> bool) {
    eventually::eventually("the condition holds", async || condition().await.then_some(())).await;
}

#[tokio::test]
async fn a_panic_in_one_request_ends_only_that_connection() {
    let shutdown = Shutdown::new();
    let (listener, address) = listener().await;
    let make = |_from| {
        service_fn(|request: Request<Incoming>| async move {
            assert_ne!(request.uri().path(), "/panic", "on purpose");
            text("fine")
        })
    };
    shutdown.spawn("door", plain(listener, shutdown.clone(), make));
    let mut other = TcpStream::connect(address).await.unwrap();
    let broken = exchange(address, "GET /panic HTTP/1.1\r\n\r\n").await;
    assert!(broken.unwrap_or_default().is_empty());
    other.write_all(b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("fine"));
}

#[tokio::test]
async fn over_the_cap_a_connection_is_closed_at_once_and_room_comes_back() {
    let address = greeter(&Shutdown::new(), 1).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    first.read_u8().await.unwrap();
    assert!(exchange(address, &request_with(0, 0)).await.unwrap_or_default().is_empty());
    drop(first);
    until(async || exchange(address, &request_with(0, 0)).await.unwrap_or_default().ends_with("hello")).await;
}

#[tokio::test]
async fn a_port_that_was_reserved_can_be_taken_over() {
    let reserved = tokio::net::TcpSocket::new_v4().unwrap();
    reserved.set_reuseaddr(true).unwrap();
    reserved.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = reserved.local_addr().unwrap();
    assert_eq!(Listener::bind(&address.to_string()).await.unwrap().address(), address);
}

#[tokio::test]
async fn the_service_of_an_mtls_door_knows_its_peer_and_failed_handshakes_are_counted() {
    let (authority, shutdown, telemetry) = (Authority::new(), Shutdown::new(), Telemetry::new());
    let (listener, address) = listener().await;
    let acceptor = Acceptor::new(authority.workload(TICKETS));
    let make = |peer: Arc<Peer>| {
        service_fn(move |_request: Request<Incoming>| {
            let peer = Arc::clone(&peer);
            async move { text(peer.id().to_string()) }
        })
    };
    shutdown.spawn("mesh", mtls(listener.counted(&telemetry, "mesh"), acceptor, shutdown.clone(), make));
    let connector = Connector::new(authority.workload(PLANNER));
    let tls = connector.connect_h2(&address.to_string(), &TICKETS.parse().unwrap()).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await.unwrap();
    task(connection);
    let request = Request::get("https://tickets/").body(Empty::<Bytes>::new()).unwrap();
    let answer = client.send_request(request).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(answer.to_bytes(), PLANNER);

    assert!(!exchange(address, "GET / HTTP/1.1\r\n\r\n").await.unwrap_or_default().contains("HTTP"));
    let counted = "countersign_connections_total{door=\"mesh\",outcome=\"handshake_failed\"} 1";
    until(async || telemetry.metrics().unwrap().contains(counted)).await;
}

#[tokio::test]
async fn a_door_with_a_certificate_from_files_serves_tls_1_3() {
    let shutdown = Shutdown::new();
    let (listener, address) = listener().await;
    let (door, connector) = door_and_client("edge");
    shutdown.spawn("edge", tls(listener, door, shutdown.clone(), |_from| service_fn(greet)));
    let tcp = TcpStream::connect(address).await.unwrap();
    let mut client = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
    client.write_all(request_with(0, 0).as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert!(answer.ends_with(b"hello"));
}

/// A door with a certificate of its own, written to files of `test`, and what a client needs to trust it.
pub(super) fn door_and_client(test: &str) -> (DoorTls, tokio_rustls::TlsConnector) {
    let folder = std::env::temp_dir().join(format!("runtime-tls-{test}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (certificate, key): (PathBuf, PathBuf) = (folder.join("tls.crt"), folder.join("tls.key"));
    let signed = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&certificate, signed.cert.pem()).unwrap();
    std::fs::write(&key, signed.signing_key.serialize_pem()).unwrap();
    let door = DoorTls::from_pem_files(&certificate, &key).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();

    let mut roots = rustls::RootCertStore::empty();
    roots.add(signed.cert.der().clone()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(crate::tls::provider().into())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (door, tokio_rustls::TlsConnector::from(Arc::new(config)))
}
