//! What a sidecar does not carry is refused by name, before anything of it is sent: bodies beyond the peek, tunnels,
//! upgrades, other forms of a request (N106, T11, T14, T17).

use dev::apps::{Answer, Call};
use harness::{Inside, Sink, TICKETS, assert_challenged, assert_turned_away, call, to_tickets, tool};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Most bytes of an MCP message that are held (`security.md` §1).
const PEEK_MAX: usize = 1024 * 1024;

/// A call of `list_tickets` of exactly `length` bytes.
fn padded(length: usize) -> Value {
    let mut body = tool("list_tickets");
    body["params"]["arguments"]["pad"] = json!("");
    let bare = body.to_string().len();
    body["params"]["arguments"]["pad"] = json!("x".repeat(length - bare));
    assert_eq!(body.to_string().len(), length);
    body
}

#[tokio::test]
async fn a_message_one_byte_beyond_the_peek_is_refused_at_both_doors() {
    let tickets = Sink::open().await;
    let inside = Inside::open(&tickets.url()).await;
    let out =
        async |length| inside.through(Call::new(Method::POST, "http://tickets.tool/mcp").json(&padded(length))).await;
    assert_eq!(out(PEEK_MAX).await.status, 200, "the longest message passes both doors");
    assert_eq!(tickets.received()[0].body.len(), PEEK_MAX);
    assert_turned_away("agent door", &out(PEEK_MAX + 1).await, 413, "call.too_large");
    let desk = &inside.desk;
    let answer = desk.ask("planner", &call(&desk.begun().await, TICKETS, "tickets:read")).await;
    let access = answer.text("/access_token").expect("a token");
    let answer = desk.to_mesh("planner", "tickets", to_tickets(&access, &padded(PEEK_MAX + 1))).await;
    assert_challenged("mesh door", &answer, 413, "call.too_large");
    assert_eq!(tickets.received().len(), 1, "nothing of it reached the app");
    inside.close().await;
}

/// What is answered to a request that no HTTP library would write.
async fn raw(address: &str, request: &str) -> Answer {
    let mut tcp = TcpStream::connect(address).await.expect("connected");
    tcp.write_all(request.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).await.expect("closed in order");
    let text = String::from_utf8(answer).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status");
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        headers.append(http::HeaderName::try_from(name).expect("a name"), value.parse().expect("a value"));
    }
    let status = StatusCode::from_bytes(status.as_bytes()).expect("a status");
    Answer { status, headers, body: body.to_owned().into(), trailers: HeaderMap::new() }
}

#[tokio::test]
async fn tunnels_upgrades_and_other_forms_are_not_carried() {
    let tickets = Sink::open().await;
    let evil = Sink::open().await;
    let inside = Inside::open(&tickets.url()).await;
    let agent = inside.proxy().trim_start_matches("http://").to_owned();
    let handle = &inside.handle;
    let upgrade = "connection: upgrade, close\r\nupgrade: websocket";
    let rows = [
        ("CONNECT", format!("CONNECT {0} HTTP/1.1\r\nhost: {0}", evil.address()), 403, "call.method"),
        ("CONNECT to a target", "CONNECT tickets.tool:80 HTTP/1.1\r\nhost: tickets.tool:80".into(), 403, "call.method"),
        (
            "upgrade",
            format!("GET http://tickets.tool/mcp HTTP/1.1\r\nhost: tickets.tool\r\n{upgrade}"),
            403,
            "call.method",
        ),
        ("origin form", "GET /mcp HTTP/1.1\r\nhost: tickets.tool".into(), 400, "call.malformed"),
        ("asterisk form", "OPTIONS * HTTP/1.1\r\nhost: tickets.tool".into(), 400, "call.malformed"),
        (
            "a user in the URL",
            "GET http://a@tickets.tool/mcp HTTP/1.1\r\nhost: tickets.tool".into(),
            400,
            "call.malformed",
        ),
        ("https", "GET https://tickets.tool/mcp HTTP/1.1\r\nhost: tickets.tool".into(), 403, "call.unlisted_host"),
    ];
    for (case, head, status, refusal) in rows {
        let close = if head.contains("connection:") { "" } else { "connection: close\r\n" };
        let request = format!("{head}\r\ncountersign-handle: {handle}\r\n{close}\r\n");
        assert_turned_away(case, &raw(&agent, &request).await, status, refusal);
    }
    assert!(tickets.received().is_empty() && evil.received().is_empty());
    inside.close().await;
}

#[tokio::test]
async fn an_edge_carries_no_upgrade_either() {
    let tickets = Sink::open().await;
    let inside = Inside::open(&tickets.url()).await;
    let url = format!("{}/ask", inside.desk.stack.edge("planner").expect("an edge"));
    let call = Call::new(Method::GET, &url)
        .header("authorization", &format!("Bearer {}", inside.desk.alice().await))
        .header("connection", "upgrade")
        .header("upgrade", "websocket");
    assert_turned_away("upgrade", &call.send().await.expect("answered"), 403, "call.method");
    inside.close().await;
}
