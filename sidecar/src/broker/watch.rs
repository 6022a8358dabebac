//! The watch stream (`protocol.md` §1): snapshots from the broker, on a connection of its own, for as long as the process
//! lives. It never stops trying, and what it is told is taken whole or not at all.

use std::{io, time::Duration};

use api::{WatchRequest, watch_service_client::WatchServiceClient};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use super::BrokerAddress;
use crate::{causes::causes, snapshot::Snapshots};
use runtime::{
    backoff::{Backoff, spread},
    mtls::Connector,
    shutdown::Shutdown,
    telemetry::ReadyFlag,
};

/// Longest wait for a connection with its HTTP/2 handshake.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A stream that is silent for this long is dead: the broker speaks at least every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(40);
/// A silent connection is pinged after this time …
const PING_AFTER: Duration = Duration::from_secs(20);
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

/// Follows the broker until shutdown. `ready` tells whether a snapshot is in force.
pub(crate) async fn follow(
    address: BrokerAddress,
    connector: Connector,
    snapshots: Snapshots,
    ready: ReadyFlag,
    shutdown: Shutdown,
) {
    let mut waits = Backoff::default();
    loop {
        let heard = tokio::select! {
            () = shutdown.cancelled() => return,
            ended = stream(&address, &connector, &snapshots, &ready) => ended,
        };
        heard.log();
        if snapshots.current().is_err() {
            ready.not_ready("the broker has not told the targets");
        }
        if heard.spoke {
            waits.reset();
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(waits.next(spread())) => {}
        }
    }
}

/// How a stream ended, and whether it had spoken before.
struct Ended {
    fault: StreamFault,
    spoke: bool,
}

impl Ended {
    fn log(&self) {
        tracing::warn!(error = causes(&self.fault), "watch stream ended, trying again");
    }
}

async fn stream(address: &BrokerAddress, connector: &Connector, snapshots: &Snapshots, ready: &ReadyFlag) -> Ended {
    let mut spoke = false;
    let fault = match listen(address, connector, snapshots, ready, &mut spoke).await {
        Ok(()) => StreamFault::Closed,
        Err(fault) => fault,
    };
    Ended { fault, spoke }
}

async fn listen(
    address: &BrokerAddress,
    connector: &Connector,
    snapshots: &Snapshots,
    ready: &ReadyFlag,
    spoke: &mut bool,
) -> Result<(), StreamFault> {
    let channel = connect(address, connector).await?;
    let mut client = WatchServiceClient::new(channel).max_decoding_message_size(SNAPSHOT_LENGTH_MAX);
    let request = WatchRequest { version: env!("CARGO_PKG_VERSION").to_owned() };
    let status = |status| StreamFault::Status(Box::new(status));
    let opened = timeout(SILENCE_MAX, client.watch(request)).await;
    let mut stream = opened.map_err(|_elapsed| StreamFault::Silent)?.map_err(status)?.into_inner();
    loop {
        let next = timeout(SILENCE_MAX, stream.message()).await.map_err(|_elapsed| StreamFault::Silent)?;
        let Some(told) = next.map_err(status)? else { return Ok(()) };
        *spoke = true;
        match snapshots.hear(told) {
            Ok(()) => ready.ready(),
            Err(fault) => {
                tracing::error!(error = causes(&fault), kept = snapshots.any(), "snapshot refused whole");
            }
        }
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
