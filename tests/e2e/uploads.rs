//! An upload ends with what it rests on, also where its app has answered already and nobody waits for anything more (N108).

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dev::stack::App;
use harness::{Desk, claims_of, eventually};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::interval,
};

/// Between two pieces of an upload.
const PAUSE: Duration = Duration::from_millis(20);

/// An app that answers each request at its head and then reads on.
struct Hasty {
    address: String,
    /// How many uploads it still reads.
    reading: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Hasty {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let reading = Arc::new(AtomicUsize::new(0));
        let (mut tasks, count) = (JoinSet::new(), Arc::clone(&reading));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((tcp, _peer)) = listener.accept().await {
                connections.spawn(answer_and_read_on(tcp, Arc::clone(&count)));
            }
        });
        Self { address, reading, _tasks: tasks }
    }

    async fn reads(&self, count: usize) {
        let all = || async { (self.reading.load(Ordering::SeqCst) == count).then_some(()) };
        eventually(&format!("the app reads {count} uploads"), all).await;
    }
}

async fn answer_and_read_on(tcp: TcpStream, reading: Arc<AtomicUsize>) {
    let mut stream = BufReader::new(tcp);
    let mut line = String::new();
    while stream.read_line(&mut line).await.is_ok_and(|length| length > 2) {
        line.clear();
    }
    stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nok").await.expect("answered");
    reading.fetch_add(1, Ordering::SeqCst);
    let mut piece = [0; 1024];
    while stream.read(&mut piece).await.is_ok_and(|length| length > 0) {}
    reading.fetch_sub(1, Ordering::SeqCst);
}

/// Alice's client: it has its answer and goes on uploading until it is stopped.
async fn upload(edge: &str, user: &str) -> JoinSet<()> {
    let mut stream = TcpStream::connect(edge).await.expect("connected");
    let head = format!(
        "POST /ask HTTP/1.1\r\nhost: {edge}\r\nauthorization: Bearer {user}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"ok") {
        let read = stream.read_buf(&mut answer).await.expect("an answer");
        assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
    }
    assert!(answer.starts_with(b"HTTP/1.1 202"), "{}", String::from_utf8_lossy(&answer));
    let mut uploading = JoinSet::new();
    uploading.spawn(async move {
        let mut every = interval(PAUSE);
        while stream.write_all(b"1\r\nx\r\n").await.is_ok() {
            every.tick().await;
        }
    });
    uploading
}

#[tokio::test]
async fn an_upload_whose_answer_is_there_ends_with_its_session_and_no_other_does() {
    let planner = Hasty::open().await;
    let mut options = Desk::options();
    options.members.retain(|member| member.name == "planner");
    options.members[0].app = App::At(format!("http://{}", planner.address));
    for target in &mut options.targets {
        target["connect"] = json!("127.0.0.1:1");
    }
    let desk = Desk::open_with(options).await;
    let edge = desk.stack.edge("planner").expect("an edge").trim_start_matches("http://").to_owned();
    let (one, two) = (desk.alice().await, desk.alice().await);
    let (mut ends, mut goes_on) = (upload(&edge, &one).await, upload(&edge, &two).await);
    planner.reads(2).await;
    desk.tell_provider("sign-out", &json!({"sid": claims_of(&one)["sid"]})).await;
    planner.reads(1).await;
    ends.join_next().await.expect("an upload").expect("it breaks off");
    assert!(goes_on.try_join_next().is_none(), "another session's goes on");
    desk.close().await;
}
