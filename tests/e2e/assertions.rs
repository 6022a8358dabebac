//! The door for clients without a certificate: shut unless it is asked for, `/token` and nothing else behind it, and
//! whoever does not prove himself there takes nobody's place.

use std::time::{Duration, Instant};

use bytes::Bytes;
use dev::apps::Call;
use futures_util::{Stream, StreamExt as _, stream, stream::FuturesUnordered};
use harness::{
    Desk, Folder, TICKETS, assert_refused, begin, call, claims_of, eventually, open_assertion_door, renew,
    tls_without_certificate, to_tickets, tool,
};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{body::Frame, client::conn::http2::handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::{net::TcpStream, task::JoinSet};

const ISSUER: &str = "https://broker.agents.svc";
const PLANNER: &str = "spiffe://corp.example/ns/agents/sa/planner";
const METADATA: &str = "/.well-known/oauth-authorization-server";

async fn metadata(desk: &Desk) -> serde_json::Value {
    let url = format!("{}{METADATA}", desk.stack.broker_public().expect("a public door"));
    Call::new(Method::GET, &url).send().await.expect("answered").json()
}

/// Over TLS, with a certificate from files and none of the client's, as outside of loopback.
#[tokio::test]
async fn a_client_without_a_certificate_works_through_a_transaction() {
    let (folder, made) =
        (Folder::new(), rcgen::generate_simple_self_signed(["broker.agents.svc".to_owned()]).expect("a pair"));
    let certificate = folder.write("tls.crt", &made.cert.pem());
    let key = folder.write("tls.key", &made.signing_key.serialize_pem());
    let mut options = Desk::options();
    options.broker["assertions"] = json!({
        "listen": "127.0.0.1:0",
        "tls": {"certificate": certificate, "key": key},
        "url": "https://broker.corp.example:8444",
    });
    let desk = Desk::open_with(options).await;
    let svid = desk.jwt_svid("planner", ISSUER).await;
    let ask = async |form: harness::Form| {
        let stream = tls_without_certificate(&desk.assertion_address()).await;
        let answer = Call::from(form.by(&svid)).send_over(stream).await.expect("answered");
        answer.text("/access_token").unwrap_or_else(|| panic!("{} {}", answer.status, answer.json()))
    };
    let txn = ask(begin(&desk.alice().await, "tickets:read")).await;
    assert_eq!(claims_of(&txn)["req_wl"], PLANNER);
    let txn = ask(renew(&txn, "tickets:read")).await;
    let access = ask(call(&txn, TICKETS, "tickets:read")).await;
    let claims = claims_of(&access);
    assert_eq!((&claims["client_id"], &claims["act"]), (&PLANNER.into(), &json!({"sub": PLANNER})));
    // A receiver binds it to its peer: nobody else may show it, and planner only with its certificate.
    let message = || to_tickets(&access, &tool("list_tickets"));
    let own = desk.to_mesh("planner", "tickets", message()).await;
    assert_eq!(own.refusal(), None, "the door lets it through to the tool");
    let stolen = desk.to_mesh("researcher", "tickets", message()).await;
    assert_eq!(stolen.refusal().as_deref(), Some("access_token.not_bound"));
    let stranger = Call::from(begin(&desk.alice().await, "tickets:read"));
    let answer = stranger.send_over(tls_without_certificate(&desk.assertion_address()).await).await.expect("answered");
    assert_refused("no assertion", &answer, 401, "invalid_client", "client_assertion.missing");
    let told = metadata(&desk).await;
    assert_eq!(told["token_endpoint"], "https://broker.corp.example:8444/token");
    assert_eq!(told["mtls_endpoint_aliases"], json!({"token_endpoint": "https://broker.agents.svc/token"}));
    assert_eq!(told["token_endpoint_auth_methods_supported"], json!(["spiffe_x509", "spiffe_jwt"]));
    desk.close().await;
}

#[tokio::test]
async fn the_door_is_shut_unless_it_is_asked_for_and_leads_to_the_token_endpoint_alone() {
    let desk = Desk::open().await;
    assert_eq!(desk.stack.address("broker", "assertions"), None);
    assert_eq!(metadata(&desk).await["token_endpoint_auth_methods_supported"], json!(["spiffe_x509"]));
    desk.close().await;
    let mut options = Desk::options();
    options.members.clear();
    open_assertion_door(&mut options);
    let desk = Desk::open_with(options).await;
    let svid = desk.jwt_svid("planner", ISSUER).await;
    for path in ["/use", "/jwks", METADATA, "/backchannel-logout", "/countersign.watch.v1.WatchService/Watch"] {
        let form = harness::Form::default().add("resource", TICKETS).by(&svid);
        let call = Call::new(Method::POST, &format!("{ISSUER}{path}")).form(&form.pairs());
        assert_eq!(desk.to_assertion_door(call).await.status, 404, "{path}");
    }
    let told = metadata(&desk).await;
    assert_eq!(told["token_endpoint"], "https://broker.agents.svc/token", "without an address of its own");
    assert_eq!(told["mtls_endpoint_aliases"], serde_json::Value::Null);
    let wrong = desk.to_assertion_door(Call::new(Method::GET, &format!("{ISSUER}/token"))).await;
    assert_refused("GET", &wrong, 405, "invalid_request", "request.method");
    let metrics = desk.stack.metrics("broker").await.expect("metrics");
    assert!(metrics.contains(r#"countersign_client_refusals_total{code="request.method"} 1"#), "{metrics}");
    desk.close().await;
}

/// The start of a form that never ends: the broker waits five seconds for it.
fn unfinished() -> Request<StreamBody<impl Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Unpin>> {
    let start = Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"grant_type=")));
    let body = StreamBody::new(stream::iter([start]).chain(stream::pending()));
    let request = Request::post("https://broker.agents.svc/token");
    request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(body).expect("a request")
}

#[tokio::test]
async fn a_crowd_of_strangers_takes_nobody_s_place() {
    let mut options = Desk::options();
    options.members.clear();
    open_assertion_door(&mut options);
    let desk = Desk::open_with(options).await;
    let good = begin(&desk.alice().await, "tickets:read");
    let mut driver = JoinSet::new();
    let open = FuturesUnordered::new();
    for _connection in 0..80 {
        let stream = TokioIo::new(TcpStream::connect(desk.assertion_address()).await.expect("connected"));
        let (mut sender, connection) = handshake(TokioExecutor::new(), stream).await.expect("a connection");
        driver.spawn(async move { drop(connection.await) });
        for _stream in 0..16 {
            let mut sender = sender.clone();
            open.push(async move { sender.send_request(unfinished()).await.map(|answer| answer.status()) });
        }
        sender.ready().await.expect("open");
    }
    let strangers = open.collect::<Vec<_>>();
    let users = async {
        let started = Instant::now();
        for _round in 0..20 {
            assert_eq!(desk.ask("planner", &good).await.status, 200, "who came with a certificate is served");
        }
        assert!(started.elapsed() < Duration::from_secs(4), "without a wait: {:?}", started.elapsed());
    };
    let (answers, ()) = tokio::join!(strangers, users);
    for status in answers.into_iter().flatten() {
        assert!(matches!(status, StatusCode::BAD_REQUEST | StatusCode::SERVICE_UNAVAILABLE), "{status}");
    }
    let svid = desk.jwt_svid("planner", ISSUER).await;
    let heard = || async { (desk.present(&good.clone().by(&svid)).await.status == 200).then_some(()) };
    eventually("there is room again", heard).await;
    desk.close().await;
}

/// What one client has in progress counts together, by whichever door it came.
#[tokio::test]
async fn a_client_has_one_share_at_both_doors() {
    let mut options = Desk::options();
    options.members.clear();
    open_assertion_door(&mut options);
    let desk = Desk::open_with(options).await;
    let good = begin(&desk.alice().await, "tickets:read");
    let svid = desk.jwt_svid("planner", ISSUER).await;
    let stream = TokioIo::new(desk.connect_to_broker_by_h2("planner").await);
    let (sender, connection) = handshake(TokioExecutor::new(), stream).await.expect("a connection");
    let mut driver = JoinSet::new();
    driver.spawn(async move { drop(connection.await) });
    let mut open = FuturesUnordered::new();
    for _stream in 0..129 {
        let mut sender = sender.clone();
        open.push(async move {
            let (head, body) = sender.send_request(unfinished()).await.expect("answered").into_parts();
            (head.status, body.collect().await.expect("a body").to_bytes())
        });
    }
    let (status, _body) = open.next().await.expect("one too many");
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let answer = desk.present(&good.clone().by(&svid)).await;
    assert_refused("its share is taken", &answer, 503, "temporarily_unavailable", "fault.overloaded");
    let other = good.by(&desk.jwt_svid("researcher", ISSUER).await);
    assert_refused("another is heard", &desk.present(&other).await, 400, "invalid_request", "edge.not_registered");
    drop((open, sender, driver));
    desk.close().await;
}
