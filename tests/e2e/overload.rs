//! Every queue has an end: who takes too much is told so at once, everybody else is served, and so is he when it is over
//! (T17).

use std::time::{Duration, Instant};

use bytes::Bytes;
use dev::stack::StackOptions;
use futures_util::{Stream, StreamExt as _, stream, stream::FuturesUnordered};
use harness::{Desk, assert_refused, begin, eventually};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{body::Frame, client::conn::http2::handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::task::JoinSet;

/// Exchanges that one workload may have in progress at the broker.
const SHARE: usize = 128;
/// What it asks for here.
const ASKED: usize = 200;

/// The start of a form that never ends: the broker waits five seconds for it.
fn unfinished() -> Request<StreamBody<impl Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Unpin>> {
    let start = Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"grant_type=")));
    let body = StreamBody::new(stream::iter([start]).chain(stream::pending()));
    let request = Request::post("https://broker.agents.svc/token");
    request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(body).expect("a request")
}

/// Strangers who keep a connection's places busy keep nobody's headers in memory: what is no form is refused at once,
/// and what waits for a place is only its body.
#[tokio::test]
async fn at_the_public_door_what_is_no_form_waits_for_no_place() {
    let desk = Desk::open().await;
    let url = desk.logout_url();
    let address = url.trim_start_matches("http://").split('/').next().expect("an address").to_owned();
    let stream = TokioIo::new(tokio::net::TcpStream::connect(&address).await.expect("connected"));
    let (mut sender, connection) = handshake(TokioExecutor::new(), stream).await.expect("a connection");
    let mut driver = JoinSet::new();
    driver.spawn(async move { drop(connection.await) });
    let post = |media_type: &str| {
        let start = Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"logout_token=")));
        let body = StreamBody::new(stream::iter([start]).chain(stream::pending()));
        Request::post(&url).header(header::CONTENT_TYPE, media_type).body(body).expect("a request")
    };
    let open = FuturesUnordered::new();
    // One less than a connection of strangers may have open.
    for _stream in 1..16 {
        open.push(sender.send_request(post("application/x-www-form-urlencoded")));
    }
    let started = Instant::now();
    let answer = sender.send_request(post("application/json")).await.expect("answered");
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert!(started.elapsed() < Duration::from_secs(4), "refused without a wait: {:?}", started.elapsed());
    drop((open, sender, driver));
    desk.close().await;
}

#[tokio::test]
async fn one_exchange_too_many_is_refused_at_once_and_others_are_served() {
    let desk = Desk::open().await;
    let good = begin(&desk.alice().await, "tickets:read");
    let stream = TokioIo::new(desk.connect_to_broker_by_h2("planner").await);
    let (sender, connection) = handshake(TokioExecutor::new(), stream).await.expect("a connection");
    let mut driver = JoinSet::new();
    driver.spawn(async move { drop(connection.await) });
    let mut open = FuturesUnordered::new();
    for _stream in 0..ASKED {
        let mut sender = sender.clone();
        open.push(async move {
            let (head, body) = sender.send_request(unfinished()).await.expect("answered").into_parts();
            (head.status, body.collect().await.expect("a body").to_bytes())
        });
    }
    let started = Instant::now();
    for _refused in SHARE..ASKED {
        let (status, body) = open.next().await.expect("an answer");
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(status == StatusCode::SERVICE_UNAVAILABLE && text.contains("fault.overloaded"), "{status} {text}");
    }
    assert!(started.elapsed() < Duration::from_secs(4), "refused without a wait: {:?}", started.elapsed());
    let answer = desk.ask("planner", &good).await;
    assert_refused("its share is taken", &answer, 503, "temporarily_unavailable", "fault.overloaded");
    let other = desk.ask("researcher", &good).await;
    assert_refused("another is heard", &other, 400, "invalid_request", "edge.not_registered");
    drop((open, sender, driver));
    let asked = || async { (desk.ask("planner", &good).await.status == 200).then_some(()) };
    eventually("there is room again", asked).await;
    desk.close().await;
}

#[tokio::test]
async fn who_asks_too_often_is_refused_and_others_are_served() {
    let broker = json!({"limits": {"per_second": 1, "burst": 3}});
    let desk = Desk::open_with(StackOptions { members: Vec::new(), broker, ..Desk::options() }).await;
    let good = begin(&desk.alice().await, "tickets:read");
    let granted = |desk: &Desk| desk.stack.records().iter().filter(|line| line["t"] == "begin").count();
    let refused = eventually("the burst is used up", || async {
        Some(desk.ask("planner", &good).await).filter(|answer| answer.status != 200)
    })
    .await;
    assert_refused("too often", &refused, 503, "temporarily_unavailable", "fault.rate_limited");
    assert_eq!(refused.header("retry-after"), "1");
    assert!(granted(&desk) >= 3, "the burst was served");
    let other = desk.ask("researcher", &good).await;
    assert_refused("another is heard", &other, 400, "invalid_request", "edge.not_registered");
    eventually("a second later it is heard again", || async {
        (desk.ask("planner", &good).await.status == 200).then_some(())
    })
    .await;
    desk.close().await;
}
