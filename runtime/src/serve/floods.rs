//! HTTP/2 connections whose peers ask and take back, or fill what is not read.

use http_body_util::Full;
use tokio::sync::Notify;

use super::*;
use crate::shutdown::tests::task;

/// Client's preface and empty SETTINGS (RFC 9113 §3.4).
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A server that never answers `/wait`, and tells when it was asked.
async fn server(shutdown: &Shutdown, begun: &Arc<Notify>, streams: Streams) -> SocketAddr {
    let listener = Listener::bind("127.0.0.1:0").await.unwrap().with(streams);
    let (address, begun) = (listener.address(), Arc::clone(begun));
    let make = move |_from| {
        let begun = Arc::clone(&begun);
        hyper::service::service_fn(move |request: Request<Incoming>| {
            let begun = Arc::clone(&begun);
            async move {
                if request.uri().path() == "/wait" {
                    begun.notify_one();
                    std::future::pending::<()>().await;
                }
                Ok::<_, Infallible>(Response::new(Full::new(bytes::Bytes::from_static(b"hello"))))
            }
        })
    };
    shutdown.spawn("door", plain(listener, shutdown.clone(), make));
    address
}

#[tokio::test]
async fn who_takes_back_a_hundred_requests_at_once_is_cut_off_and_one_less_is_served() {
    let (shutdown, begun) = (Shutdown::new(), Arc::new(Notify::new()));
    let address = server(&shutdown, &begun, Streams::PROXY).await;
    let io = hyper_util::rt::TokioIo::new(TcpStream::connect(address).await.unwrap());
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut client, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    let open = task(connection);
    let request = |path: &str| Request::get(format!("http://door{path}")).body(String::new()).unwrap();
    let one_less = RESETS_MAX.checked_sub(1).unwrap();
    for number in 1..=RESETS_MAX {
        let asked = client.send_request(request("/wait"));
        tokio::select! {
            answer = asked => panic!("number {number}: {answer:?}"),
            () = begun.notified() => {}
        }
        if number == one_less {
            let answer = client.send_request(request("/")).await.unwrap();
            assert_eq!(answer.status(), http::StatusCode::OK, "one less");
        }
    }
    let closed = tokio::time::timeout(Duration::from_secs(10), open).await;
    drop(closed.expect("the server ends the connection"));
    assert!(client.send_request(request("/")).await.is_err());
}

#[tokio::test]
async fn a_door_for_forms_tells_its_windows() {
    use tokio::io::AsyncReadExt as _;
    let (shutdown, begun) = (Shutdown::new(), Arc::new(Notify::new()));
    let address = server(&shutdown, &begun, Streams::STRANGERS).await;
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(HELLO).await.unwrap();
    let mut head = [0; 9];
    tcp.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], 4, "SETTINGS come first");
    let mut settings = vec![0; usize::from(head[2])];
    tcp.read_exact(&mut settings).await.unwrap();
    let told = |id: u8| {
        let found = settings.chunks(6).find(|setting| setting[1] == id).expect("told");
        u32::from_be_bytes(found[2..6].try_into().unwrap())
    };
    // SETTINGS_MAX_CONCURRENT_STREAMS, SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 §6.5.2).
    assert_eq!((told(3), told(4)), (Streams::STRANGERS.at_once, Streams::STRANGERS.unread_each));
    // An ACK of our SETTINGS; a wider connection would be told with WINDOW_UPDATE.
    tcp.read_exact(&mut head).await.unwrap();
    assert_eq!((head[3], head[4]), (4, 1), "{head:?}");
}
