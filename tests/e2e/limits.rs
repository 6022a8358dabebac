//! The limits of `security.md` §1 at the broker's doors: what is just within is served, what is just beyond is refused,
//! with this status and this end of the connection, and nothing is issued. Bodies (N3), the chain (N63) and contexts (N38)
//! stand in `table`.

use dev::stack::StackOptions;
use harness::{Desk, Frames, assert_refused, begin, claims_of, open_assertion_door, renew};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

const SCOPE: &str = "tickets:read";
const LINE_MAX: usize = 8 * 1024;
const SECTION_MAX: usize = 32 * 1024;
const HEADERS_MAX: usize = 100;
const TOKEN_MAX: usize = 8 * 1024;
const DEPTH_MAX: usize = 16;
const AUDIENCES_MAX: usize = 16;
const PARAMETERS_MAX: usize = 64;
const RESETS_MAX: usize = 100;
/// RFC 9113 §7.
const REFUSED_STREAM: u32 = 7;

/// Sends `requests` one after the other; the statuses that come back, and whether the connection was ended then.
async fn statuses(mut stream: impl AsyncRead + AsyncWrite + Unpin, requests: &[String]) -> (Vec<u16>, bool) {
    let mut told = Vec::new();
    for request in requests {
        let mut answer = Vec::new();
        // The other end may have closed before all was written.
        drop(stream.write_all(request.as_bytes()).await);
        while !is_whole(&answer) {
            match stream.read_buf(&mut answer).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => break,
            }
        }
        let head = String::from_utf8_lossy(&answer).into_owned();
        match head.split(' ').nth(1).and_then(|status| status.parse().ok()) {
            Some(status) => told.push(status),
            None => return (told, true),
        }
    }
    (told, false)
}

/// Whether an answer has all of its body.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

/// A request for the keys with a line of so many bytes.
fn line_of(length: usize) -> String {
    let around = "GET /jwks? HTTP/1.1".len();
    format!("GET /jwks?{} HTTP/1.1\r\nhost: broker.agents.svc\r\n\r\n", "x".repeat(length - around))
}

/// One with so many headers.
fn headers_of(count: usize) -> String {
    let more: String = (1..count).map(|number| format!("h{number}: x\r\n")).collect();
    format!("GET /jwks HTTP/1.1\r\nhost: broker.agents.svc\r\n{more}\r\n")
}

/// One whose head has so many bytes.
fn section_of(length: usize) -> String {
    let head = "GET /jwks HTTP/1.1\r\nhost: broker.agents.svc\r\npad: ";
    format!("{head}{}\r\n\r\n", "x".repeat(length - head.len() - 4))
}

#[tokio::test]
async fn a_head_is_bounded_in_line_section_and_number_at_each_door() {
    let mut options = StackOptions { members: Vec::new(), ..Desk::options() };
    open_assertion_door(&mut options);
    let desk = Desk::open_with(options).await;
    let next = headers_of(1);
    let doors =
        ["token", "public", "assertions"].map(|door| (door, desk.stack.address("broker", door).expect("a door")));
    for (door, address) in doors {
        // Not every door has the keys: what it has not is 404, and was read.
        let read = if door == "assertions" { 404 } else { 200 };
        let cases = [
            ("line", line_of(LINE_MAX), vec![read, read], false),
            ("longer line", line_of(LINE_MAX + 1), vec![414, read], false),
            ("headers", headers_of(HEADERS_MAX), vec![read, read], false),
            ("one header more", headers_of(HEADERS_MAX + 1), vec![431], true),
            ("section", section_of(SECTION_MAX), vec![read, read], false),
        ];
        for (case, request, expected, ends) in cases {
            let requests = [request, next.clone()];
            let told = if door == "token" {
                statuses(desk.connect_to_broker("planner").await, &requests).await
            } else {
                statuses(TcpStream::connect(address).await.expect("connected"), &requests).await
            };
            assert_eq!(told, (expected, ends), "{case} at {door}");
        }
        // Whether its end or the answer comes first depends on how the bytes came; it is never read.
        let longer = [section_of(SECTION_MAX + 1)];
        let (told, _ended) = if door == "token" {
            statuses(desk.connect_to_broker("planner").await, &longer).await
        } else {
            statuses(TcpStream::connect(address).await.expect("connected"), &longer).await
        };
        assert!(told.is_empty() || told == [431], "longer section at {door}: {told:?}");
    }
    desk.close().await;
}

#[tokio::test]
async fn a_token_is_bounded_in_length_depth_and_audiences() {
    let desk = Desk::open().await;
    let claims = claims_of(&desk.alice().await);
    let with = |name: &str, value: Value| {
        let mut changed = claims.clone();
        changed[name] = value;
        changed
    };
    let signed = async |claims: Value| desk.signed(&json!({"typ": "JWT"}), &claims).await;
    let padded = async |bytes: usize| signed(with("pad", json!("x".repeat(bytes)))).await;
    let short = padded(0).await.len();
    let mut pad = (TOKEN_MAX - short) / 4 * 3;
    while padded(pad + 1).await.len() <= TOKEN_MAX {
        pad += 1;
    }
    // The claims themselves are one level.
    let nested = |depth: usize| -> Value { (1..depth).fold(json!(1), |inner, _level| json!([inner])) };
    let own = claims["aud"].as_array().and_then(|all| all.first()).unwrap_or(&claims["aud"]).clone();
    let audiences =
        |count: usize| -> Value { (1..count).map(|number| json!(format!("a{number}"))).chain([own.clone()]).collect() };
    let pairs = [
        ("length", padded(pad).await, padded(pad + 1).await, "subject.too_long"),
        (
            "depth",
            signed(with("deep", nested(DEPTH_MAX))).await,
            signed(with("deep", nested(DEPTH_MAX + 1))).await,
            "subject.malformed",
        ),
        (
            "audiences",
            signed(with("aud", audiences(AUDIENCES_MAX))).await,
            signed(with("aud", audiences(AUDIENCES_MAX + 1))).await,
            "subject.audience",
        ),
    ];
    for (case, within, beyond, code) in pairs {
        let answer = desk.ask("planner", &begin(&within, SCOPE)).await;
        assert_eq!(answer.status, 200, "{case}: {}", answer.json());
        let answer = desk.ask("planner", &begin(&beyond, SCOPE)).await;
        assert_refused(case, &answer, 400, "invalid_request", code);
    }
    let begun = desk.stack.records().iter().filter(|line| line["t"] == "begin").count();
    assert_eq!(begun, 3, "nothing is given beyond a limit");
    desk.close().await;
}

#[tokio::test]
async fn a_form_has_so_many_parameters_and_no_more() {
    let desk = Desk::open().await;
    let good = renew(&desk.begun().await, SCOPE);
    let of =
        |count: usize| (good.0.len()..count).fold(good.clone(), |form, number| form.add(&format!("p{number}"), "x"));
    let answer = desk.ask("planner", &of(PARAMETERS_MAX)).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    let answer = desk.ask("planner", &of(PARAMETERS_MAX + 1)).await;
    assert_refused("one more", &answer, 400, "invalid_request", "request.malformed");
    desk.close().await;
}

/// A workload's own requests are bounded besides (`overload`).
#[tokio::test]
async fn a_connection_has_so_many_streams_and_the_next_is_refused() {
    let desk = Desk::open().await;
    let inside = Frames::open(desk.connect_to_broker_by_h2("planner").await).await;
    assert_eq!((inside.streams, inside.window), (256, 64 * 1024));
    let public = desk.stack.address("broker", "public").expect("a door");
    let mut strangers = Frames::open(TcpStream::connect(public).await.expect("connected")).await;
    assert_eq!((strangers.streams, strangers.window), (16, 4096));
    for _stream in 0..strangers.streams {
        strangers.begin_form("/backchannel-logout").await;
    }
    let beyond = strangers.begin_form("/backchannel-logout").await;
    assert_eq!(strangers.reset().await, (beyond, REFUSED_STREAM));
    desk.close().await;
}

#[tokio::test]
async fn who_takes_back_a_hundred_requests_is_cut_off_and_may_come_again() {
    let desk = Desk::open().await;
    let mut frames = Frames::open(desk.connect_to_broker_by_h2("planner").await).await;
    for number in 1..=RESETS_MAX {
        let form = frames.begin_form("/token").await;
        assert!(frames.is_heard().await, "number {number}");
        frames.take_back(form).await;
    }
    frames.ended().await;
    let metric = r#"countersign_connections_total{door="token",outcome="too_many_resets"} 1"#;
    assert!(desk.stack.metrics("broker").await.expect("metrics").contains(metric), "and counts it");
    let answer = desk.ask("planner", &begin(&desk.alice().await, SCOPE)).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    desk.close().await;
}
