//! The socket of an instance: who connects must be the same user, each connection is one guest at most, and a place is
//! given back when its connection closes, however its holder ended.

use std::{sync::Arc, time::Duration};

use runtime::shutdown::Shutdown;
use rustix::process::geteuid;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc, oneshot},
    time::timeout,
};

use super::wire::{Answer, Ask, Question, VERSION};
use crate::identity::wire;

/// Most connections: a stack has some tens of workloads.
const CONNECTIONS_MAX: usize = 128;
/// Longest wait at the end until those who joined have ended their commands and sidecars.
const LEAVE_MAX: Duration = Duration::from_secs(20);

/// A question to the host, with where its answer goes.
#[derive(Debug)]
pub(super) enum Request {
    Asked {
        /// The connection.
        lease: u64,
        /// Who asks.
        pid: u32,
        ask: Ask,
        answer: oneshot::Sender<Answer>,
    },
    /// The connection closed.
    Left { lease: u64 },
}

/// Accepts until shutdown.
pub(super) async fn serve(listener: UnixListener, requests: mpsc::Sender<Request>, shutdown: Shutdown) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut lease: u64 = 0;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => return,
        };
        let stream = match accepted {
            Ok((stream, _anonymous)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(pid) = own_peer(&stream) else { continue };
        let Ok(room) = Arc::clone(&room).try_acquire_owned() else {
            tracing::warn!("too many connections");
            continue;
        };
        lease = lease.wrapping_add(1);
        let connection = Connection { lease, pid, requests: requests.clone(), shutdown: shutdown.clone() };
        shutdown.spawn("guest", async move {
            connection.serve(BufReader::new(stream)).await;
            drop(room);
        });
    }
}

/// Process id of the other end, if it is the same user (SO_PEERCRED, unix(7)).
fn own_peer(stream: &UnixStream) -> Option<u32> {
    let peer = stream.peer_cred().ok()?;
    if peer.uid() != geteuid().as_raw() {
        tracing::warn!(uid = peer.uid(), "another user knocked and was turned away");
        return None;
    }
    u32::try_from(peer.pid()?).ok()
}

struct Connection {
    lease: u64,
    pid: u32,
    requests: mpsc::Sender<Request>,
    shutdown: Shutdown,
}

impl Connection {
    async fn serve(&self, mut stream: BufReader<UnixStream>) {
        loop {
            let question = tokio::select! {
                question = wire::read::<Question>(&mut stream) => question,
                () = self.shutdown.cancelled() => return leave(stream).await,
            };
            let answer = match question {
                Ok(Some(Question { version, ask })) if version == VERSION => self.ask(ask).await,
                Ok(Some(Question { version, .. })) => refused(format!(
                    "the running `countersign up` is version {VERSION}, this is {version}: end it and start it again"
                )),
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "a guest's line is no question");
                    break;
                }
            };
            if wire::write(&mut stream, &answer).await.is_err() {
                break;
            }
        }
        if self.requests.send(Request::Left { lease: self.lease }).await.is_err() {
            tracing::debug!("a guest left after the host");
        }
    }

    async fn ask(&self, ask: Ask) -> Answer {
        let ends = || refused("`countersign up` is ending".to_owned());
        let (answer, answered) = oneshot::channel();
        let request = Request::Asked { lease: self.lease, pid: self.pid, ask, answer };
        if self.requests.send(request).await.is_err() {
            return ends();
        }
        answered.await.unwrap_or_else(|_dropped| ends())
    }
}

fn refused(why: String) -> Answer {
    Answer::Refused { why }
}

/// Tells the other end that we end, by closing our half, and waits until it has ended too.
async fn leave(mut stream: BufReader<UnixStream>) {
    let left = async {
        stream.shutdown().await?;
        let mut ignored = [0_u8; 256];
        while stream.read(&mut ignored).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    if timeout(LEAVE_MAX, left).await.is_err() {
        tracing::warn!("a guest did not leave in time");
    }
}
