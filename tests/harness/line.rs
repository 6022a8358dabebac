//! A connection that stays open between requests, so that a test can change the world in between.

use bytes::Bytes;
use dev::apps::Answer;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use runtime::mtls::TlsStream;
use tokio::task::JoinSet;

use crate::Form;

/// An open HTTP/1.1 connection. Ends when it is dropped.
#[derive(Debug)]
pub struct Line {
    sender: SendRequest<Full<Bytes>>,
    _connection: JoinSet<()>,
}

impl Line {
    pub(crate) async fn over(stream: TlsStream) -> Self {
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
        let mut tasks = JoinSet::new();
        // A broken connection shows in the next request.
        tasks.spawn(async move { drop(connection.await) });
        Self { sender, _connection: tasks }
    }

    /// Posts `form` to the token endpoint.
    pub async fn ask(&mut self, form: &Form) -> Answer {
        self.try_to_ask(form).await.expect("answered")
    }

    /// Posts `form` to the token endpoint; `None` where the broker ended the connection instead of an answer.
    pub async fn try_to_ask(&mut self, form: &Form) -> Option<Answer> {
        let request = Request::post("/token")
            .header(header::HOST, "broker.agents.svc")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let request = request.body(Full::new(Bytes::from(form.encoded()))).expect("a request");
        let (head, body) = self.sender.send_request(request).await.ok()?.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        Some(Answer { status: head.status, headers: head.headers, body, trailers: http::HeaderMap::new() })
    }
}
