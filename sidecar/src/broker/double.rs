//! For tests: a broker over plain loopback that answers what a test says, and counts.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use runtime::{process::Process, ready_file::ReadyFile, workload::Workload};
use serde_json::Value;
use tokio::net::TcpListener;

use super::Broker;
use crate::{
    metrics::Metrics,
    pool::{Pool, Upstream},
};

pub(crate) struct Double {
    pub(crate) broker: Broker,
    pub(crate) process: Process,
    calls: Arc<AtomicUsize>,
}

impl Double {
    /// A broker that answers a form, as text, with status and JSON.
    pub(crate) async fn start(answer: impl Fn(&str) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let process = Process::new(ReadyFile::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let calls = Arc::new(AtomicUsize::new(0));
        let (answer, counted, tasks) = (Arc::new(answer), Arc::clone(&calls), process.shutdown.clone());
        process.shutdown.spawn("broker", async move {
            while let Ok((tcp, _from)) = listener.accept().await {
                let (answer, counted) = (Arc::clone(&answer), Arc::clone(&counted));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (answer, counted) = (Arc::clone(&answer), Arc::clone(&counted));
                    async move {
                        counted.fetch_add(1, Ordering::SeqCst);
                        let form = request.into_body().collect().await.expect("a form").to_bytes();
                        let (status, body) = answer(&String::from_utf8_lossy(&form));
                        let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
                        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
                        Ok::<_, Infallible>(response)
                    }
                });
                let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tcp), service);
                tasks.spawn("broker connection", async move { drop(serving.await) });
            }
        });
        let workload = Workload::connect("unix:///nowhere/agent.sock", &process);
        let pool = Pool::new(workload.clone(), None, &process.shutdown);
        let upstream = Upstream::App(address.clone());
        let broker = Broker { pool, upstream, host: address, workload, metrics: Metrics::default() };
        Self { broker, process, calls }
    }

    /// How often it was asked.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}
