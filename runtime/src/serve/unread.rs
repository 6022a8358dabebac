//! Connections whose client stops reading end, whatever they speak; those of slow readers do not.

use std::future;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, duplex},
    task::JoinHandle,
    time::{Instant, interval},
};
use tokio_rustls::{client, server};

use super::*;
use crate::shutdown::tests::task;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: door\r\nconnection: close\r\n\r\n";
/// The same for HTTP/2 (RFC 9113 §3.4, §6.2; RFC 7541): preface, empty SETTINGS, and HEADERS that end stream 1.
const REQUEST_2: &[u8] =
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x09\x01\x05\0\0\0\x01\x82\x86\x84\x41\x04door";
/// What the transport holds: any more waits for a reader.
const ROOM: usize = 1024;

/// Serves one connection with an answer of `length` bytes; gives the time at which it ended.
fn serve(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, length: usize) -> JoinHandle<Instant> {
    let service = service_fn(move |_request: Request<Incoming>| async move {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(vec![b'x'; length]))))
    });
    task(async move {
        connection(io, service, future::pending(), &Door::default()).await;
        Instant::now()
    })
}

/// The connection ends, no earlier than it must and soon after. Until then the client is there.
async fn ends(serving: JoinHandle<Instant>, begun: Instant) {
    let ended = tokio::time::timeout(WRITE_STALL_MAX.saturating_mul(10), serving).await;
    let lasted = ended.expect("the server ends the connection").unwrap().duration_since(begun);
    assert_eq!(lasted.as_secs(), WRITE_STALL_MAX.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_reading_http_1_is_let_go() {
    let (mut client, io) = duplex(ROOM);
    let (serving, begun) = (serve(io, 1 << 20), Instant::now());
    client.write_all(REQUEST).await.unwrap();
    client.read_u8().await.unwrap();
    ends(serving, begun).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_reading_http_2_is_let_go() {
    let (mut client, io) = duplex(ROOM);
    let (serving, begun) = (serve(io, 1 << 20), Instant::now());
    client.write_all(REQUEST_2).await.unwrap();
    client.read_u8().await.unwrap();
    ends(serving, begun).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_reading_tls_is_let_go() {
    // More than TLS holds back for the transport, and less: then it is the flush that waits.
    for length in [1 << 20, 4 * ROOM] {
        let (mut client, tls) = over_tls().await;
        let (serving, begun) = (serve(tls, length), Instant::now());
        client.write_all(REQUEST).await.unwrap();
        client.flush().await.unwrap();
        ends(serving, begun).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_but_steadily_gets_its_answer() {
    let (mut client, io) = duplex(ROOM);
    let (serving, begun) = (serve(io, 8 * ROOM), Instant::now());
    client.write_all(REQUEST).await.unwrap();
    let (mut answer, mut pauses) = (Vec::new(), interval(WRITE_STALL_MAX - Duration::from_secs(1)));
    let mut some = [0; 100];
    loop {
        pauses.tick().await;
        match client.read(&mut some).await.unwrap() {
            0 => break,
            read => answer.extend_from_slice(&some[..read]),
        }
    }
    assert!(answer.ends_with(&[b'x'; 8 * ROOM]));
    assert!(begun.elapsed() > WRITE_STALL_MAX * 10);
    serving.await.unwrap();
}

async fn over_tls() -> (client::TlsStream<DuplexStream>, server::TlsStream<DuplexStream>) {
    let (door, connector) = tests::door_and_client("unread");
    let (client, server) = duplex(ROOM);
    let (client, server) =
        tokio::join!(connector.connect("localhost".try_into().unwrap(), client), door.acceptor().accept(server));
    (client.unwrap(), server.unwrap())
}
