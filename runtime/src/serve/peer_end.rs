//! A connection does not outlive the certificate that opened it.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::date_time_ymd;

use super::*;
use crate::{
    mtls::{
        Connector,
        tests::{Authority, PLANNER, TICKETS, holding},
    },
    shutdown::tests::task,
};

/// Longest wait for what must happen.
const DEADLINE: Duration = Duration::from_secs(10);

async fn name(peer: Arc<Peer>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(peer.id().to_string().into())))
}

#[tokio::test]
async fn a_connection_takes_no_request_beyond_the_certificate_that_opened_it() {
    let (authority, shutdown) = (Authority::new(), Shutdown::new());
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.address().to_string();
    let acceptor = Acceptor::new(authority.workload(TICKETS));
    let make = |peer: Arc<Peer>| service_fn(move |_request: Request<Incoming>| name(Arc::clone(&peer)));
    shutdown.spawn("door", mtls(listener, acceptor, shutdown.clone(), make));

    let ends = date_time_ymd(1970, 1, 1) + Duration::from_secs(clock::now().secs() + 3);
    let short = authority.leaf(&[PLANNER], |params| params.not_after = ends);
    let connector = Connector::new(holding(authority.identity(short)));
    let stream = connector.connect_h2(&address, &TICKETS.parse().unwrap()).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let open = task(connection);
    let request = || Request::get("http://tickets/").body(Empty::<Bytes>::new()).unwrap();
    let answer = client.send_request(request()).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(answer.to_bytes(), PLANNER);

    let closed = tokio::time::timeout(DEADLINE, open).await;
    closed.expect("the server ends the connection with the certificate").unwrap().unwrap();
    assert!(client.send_request(request()).await.is_err());
}
