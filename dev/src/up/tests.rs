//! What the tests of this module share, and its promises between processes' ends.

use std::path::PathBuf;

use runtime::shutdown::Shutdown;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    sync::mpsc,
};

use super::{
    door::{self, Request},
    line::{Line, LineFault},
    place::{Place, Taken},
    wire::{Answer, Ask, Wish},
};

/// A folder of a test's own, removed with it.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        let mut name = [0_u8; 8];
        aws_lc_rs::rand::fill(&mut name).expect("random bytes");
        let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = std::env::temp_dir().join(format!("up-{name}"));
        std::fs::create_dir(&path).expect("a new folder");
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind is only clutter in the temporary folder.
        let _left = std::fs::remove_dir_all(&self.0);
    }
}

/// A door in a place of its own, and what was asked there, answered by `host`.
fn open_door(scratch: &Scratch, host: impl Fn(&Ask) -> Answer + Send + 'static) -> (Place, Shutdown, Taken) {
    let place = Place::within(scratch.path("run"), "default").expect("a place");
    let (taken, _cleared) = place.take().expect("taken");
    let listener = taken.listen().expect("listens");
    let shutdown = Shutdown::new();
    let (sender, mut requests) = mpsc::channel(8);
    shutdown.spawn("door", door::serve(listener, sender, shutdown.clone()));
    shutdown.spawn("host", async move {
        while let Some(request) = requests.recv().await {
            if let Request::Asked { ask, answer, pid, .. } = request {
                assert_eq!(pid, std::process::id(), "the kernel says who asks");
                answer.send(host(&ask)).expect("waited for");
            }
        }
    });
    (place, shutdown, taken)
}

#[tokio::test]
async fn a_refusal_is_told_in_the_hosts_words() {
    let scratch = Scratch::new();
    let (place, _shutdown, _taken) = open_door(&scratch, |_ask| Answer::Refused { why: "it runs already".to_owned() });
    let mut line = Line::open(&place, || {}).await.expect("connected");
    let wish = Wish { workload: "planner".to_owned(), edge: false, own: false, outside: None, port: None };
    let told = line.join(wish).await.expect_err("refused");
    assert_eq!(told.to_string(), "it runs already");
    assert!(matches!(line.status().await, Err(LineFault::Refused(_))), "and the line stands");
}

#[tokio::test]
async fn another_version_and_what_is_no_question_are_turned_away() {
    let scratch = Scratch::new();
    let (place, _shutdown, _taken) = open_door(&scratch, |_ask| Answer::Admitted {});
    let socket = place.trusted_socket().expect("trusted").expect("there");
    let ask = async |words: &str| {
        let mut stream = UnixStream::connect(&socket).await.expect("connected");
        let mut answer = String::new();
        // Who is turned away in the middle of a line may find the connection reset.
        let _reset = async {
            stream.write_all(words.as_bytes()).await?;
            stream.shutdown().await?;
            stream.read_to_string(&mut answer).await
        }
        .await;
        answer
    };
    let old = ask("{\"version\":\"0.0.1\",\"ask\":{\"status\":{}}}\n").await;
    assert!(old.contains("refused") && old.contains("this is 0.0.1"), "{old}");
    assert_eq!(ask("{\"version\":\"0.0.1\"}\n").await, "");
    assert_eq!(ask(&"x".repeat(200_000)).await, "");
}

#[tokio::test]
async fn who_is_connected_learns_that_the_instance_ends() {
    let scratch = Scratch::new();
    let (place, shutdown, taken) = open_door(&scratch, |_ask| Answer::Admitted {});
    let mut line = Line::open(&place, || {}).await.expect("connected");
    line.started(1).await.expect("answered");
    shutdown.trigger();
    line.closed().await;
    drop(line);
    assert!(shutdown.drain(std::time::Duration::from_secs(10)).await.is_empty());
    drop(taken);
    assert!(matches!(Line::open(&place, || {}).await, Err(LineFault::NotUp)));
}
