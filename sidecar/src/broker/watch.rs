//! The watch stream (`protocol.md` §1): snapshots from the broker, on a connection of its own, for as long as the process
//! lives. It never stops trying, and what it is told is taken whole or not at all.

use std::{io, time::Duration};

use api::{Snapshot, WatchRequest, watch_service_client::WatchServiceClient};
use futures_util::{Stream, StreamExt as _};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout};
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use super::BrokerAddress;
use crate::{causes::causes, hearing::Hearing};
use runtime::{
    backoff::{Backoff, spread},
    mtls::Connector,
    shutdown::Shutdown,
};

/// Longest wait for a connection with its HTTP/2 handshake.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A stream that is silent for this long is given up: the broker speaks every 10 s, and another stream can still be opened
/// before its silence ends everything.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// A silent connection is pinged after this time …
const PING_AFTER: Duration = Duration::from_secs(15);
/// … and given up when no answer came within this.
const PING_ANSWER_MAX: Duration = Duration::from_secs(10);
/// Largest snapshot: a thousand targets with their mappings.
const SNAPSHOT_LENGTH_MAX: usize = 4 * 1024 * 1024;

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum StreamFault {
    #[error("the broker's address is malformed")]
    Address(#[source] tonic::transport::Error),
    #[error("no connection to the broker")]
    Connect(#[source] tonic::transport::Error),
    #[error("the broker ended the stream")]
    Status(#[source] Box<tonic::Status>),
    #[error("the broker did not speak in time")]
    Silent,
    #[error("the broker closed the stream")]
    Closed,
}

/// Follows the broker until shutdown, and minds its silence.
pub(crate) async fn follow(address: BrokerAddress, connector: Connector, hearing: Hearing, shutdown: Shutdown) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = hearing.mind_silence() => {}
        () = listen_on(&address, &connector, &hearing) => {}
    }
}

/// One stream after another, without end.
async fn listen_on(address: &BrokerAddress, connector: &Connector, hearing: &Hearing) {
    let mut waits = Backoff::default();
    loop {
        let mut spoke = false;
        let ended = listen(address, connector, hearing, &mut spoke).await;
        let fault = ended.err().unwrap_or(StreamFault::Closed);
        tracing::warn!(error = causes(&fault), "watch stream ended, trying again");
        if spoke {
            waits.reset();
        }
        tokio::time::sleep(waits.next(spread())).await;
    }
}

async fn listen(
    address: &BrokerAddress,
    connector: &Connector,
    hearing: &Hearing,
    spoke: &mut bool,
) -> Result<(), StreamFault> {
    let channel = connect(address, connector).await?;
    let mut client = WatchServiceClient::new(channel).max_decoding_message_size(SNAPSHOT_LENGTH_MAX);
    let request = WatchRequest { version: env!("CARGO_PKG_VERSION").to_owned() };
    let status = |status| StreamFault::Status(Box::new(status));
    let opened = timeout(SILENCE_MAX, client.watch(request)).await;
    let stream = opened.map_err(|_elapsed| StreamFault::Silent)?.map_err(status)?.into_inner();
    hear_all(stream, hearing, spoke).await
}

async fn hear_all(
    mut stream: impl Stream<Item = Result<Snapshot, tonic::Status>> + Unpin,
    hearing: &Hearing,
    spoke: &mut bool,
) -> Result<(), StreamFault> {
    loop {
        let asked = Instant::now();
        let next = timeout(SILENCE_MAX, stream.next()).await.map_err(|_elapsed| StreamFault::Silent)?;
        // A process that stood still finds words that came meanwhile, from times that are over.
        if asked.elapsed() >= SILENCE_MAX {
            return Err(StreamFault::Silent);
        }
        let Some(told) = next else { return Ok(()) };
        let told = told.map_err(|status| StreamFault::Status(Box::new(status)))?;
        *spoke = true;
        hearing.hear(told);
    }
}

/// The scheme only names the authority for HTTP/2; our connector does TLS itself.
async fn connect(address: &BrokerAddress, connector: &Connector) -> Result<Channel, StreamFault> {
    let endpoint = Endpoint::from_shared(format!("http://{}", address.connect)).map_err(StreamFault::Address)?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_MAX)
        .http2_keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_ANSWER_MAX)
        .keep_alive_while_idle(true);
    let (connector, address) = (connector.clone(), address.clone());
    let dial = service_fn(move |_endpoint: Uri| {
        let (connector, address) = (connector.clone(), address.clone());
        async move {
            let tls = connector.connect_h2(&address.connect, &address.id).await.map_err(io::Error::other)?;
            Ok::<_, io::Error>(TokioIo::new(tls))
        }
    });
    endpoint.connect_with_connector(dial).await.map_err(StreamFault::Connect)
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Poll};

    use futures_util::stream;
    use tokio::{sync::mpsc, time::advance};

    use super::*;
    use crate::{
        metrics::Metrics,
        snapshot::{Snapshots, tests::told},
        transactions::Transactions,
    };
    use runtime::telemetry::Telemetry;

    #[tokio::test(start_paused = true)]
    async fn a_word_that_lay_waiting_is_not_heard() {
        let ready = Telemetry::new().ready_flag("targets");
        let hearing = Hearing::new(Snapshots::default(), Transactions::default(), Metrics::default(), ready);
        for (wait, heard) in [(SILENCE_MAX - Duration::from_secs(1), true), (SILENCE_MAX, false)] {
            let (teller, saying) = mpsc::channel(1);
            let words =
                stream::unfold(saying, |mut saying| async move { saying.recv().await.map(|word| (word, saying)) });
            let (mut spoke, words) = (false, Box::pin(words));
            let mut hears = Box::pin(hear_all(words, &hearing, &mut spoke));
            let waits = poll_fn(|cx| Poll::Ready(hears.as_mut().poll(cx).is_pending())).await;
            assert!(waits, "for a word");
            teller.try_send(Ok(told(Vec::new()))).expect("told");
            advance(wait).await;
            drop(teller);
            let ended = hears.as_mut().await;
            drop(hears);
            assert_eq!(ended.is_ok(), heard, "{wait:?}: {ended:?}");
            assert_eq!(spoke, heard, "{wait:?}");
        }
    }
}
