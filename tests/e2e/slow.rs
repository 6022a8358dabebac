//! Thousands who dawdle take nothing from those who do not, and little from the broker.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dev::apps::Call;
use harness::{Desk, patiently, renew, resident};
use http::Method;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

const SLOW: usize = 2000;
/// Good calls at each door meanwhile.
const GOOD: usize = 200;
/// Most memory for one who dawdles: buffers of a request that does not come.
const EACH_KIB_MAX: u64 = 64;

/// The start of a TLS handshake, of a head, and of a body: what follows never comes.
const BEGINNINGS: [(&str, &[u8]); 4] = [
    ("token", b"\x16\x03\x01\x02\x00\x01"),
    ("token", b""),
    ("public", b"GET /jwks HTTP/1.1\r\nhost: broker.agents.svc\r\nx: "),
    ("public", b"POST /backchannel-logout HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 5000\r\n\r\nlogout_token="),
];

/// Comes, says half of it, waits until it is turned away, and comes again.
async fn dawdle(address: String, beginning: &'static [u8], open: Arc<AtomicUsize>) {
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    loop {
        pace.tick().await;
        let Ok(mut stream) = TcpStream::connect(&address).await else { continue };
        if stream.write_all(beginning).await.is_err() {
            continue;
        }
        open.fetch_add(1, Ordering::Relaxed);
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest).await);
        open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn beside_two_thousand_who_dawdle_good_calls_are_served() {
    let desk = Desk::open().await;
    let good = renew(&desk.begun().await, "tickets:read");
    let pid = desk.stack.pid("broker").expect("running");
    let before = resident(pid);
    let (open, mut slow) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    for (door, beginning) in BEGINNINGS.iter().cycle().take(SLOW) {
        let address = desk.stack.address("broker", door).expect("a door").to_owned();
        slow.spawn(dawdle(address, beginning, Arc::clone(&open)));
    }
    let are_there = || async { (open.load(Ordering::Relaxed) >= SLOW * 9 / 10).then_some(()) };
    patiently("they are there", are_there).await;
    let public = desk.stack.broker_public().expect("a door");
    for number in 0..GOOD {
        let answer = desk.ask("planner", &good).await;
        assert_eq!(answer.status, 200, "call {number}: {}", answer.json());
        let keys = Call::new(Method::GET, &format!("{public}/jwks")).send().await.expect("answered");
        assert_eq!(keys.status, 200, "keys {number}");
    }
    let each = resident(pid).saturating_sub(before) / u64::try_from(SLOW).expect("small");
    assert!(each <= EACH_KIB_MAX, "{each} KiB for each");
    drop(slow);
    desk.close().await;
}
