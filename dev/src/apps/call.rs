//! One HTTP/1.1 call over loopback, bounded in time and size: what a small program needs, and no more.
//! It never follows a redirect, keeps a connection, or adds a header by itself beside `Host`.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

/// Longest body of an answer in bytes: the demo's are a few hundred.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Longest call where nothing else is said. The longest real one crosses five processes and one broker call each.
const CALL_TIME_MAX: Duration = Duration::from_secs(20);

/// A call about to be made.
#[derive(Debug)]
pub struct Call {
    request: http::request::Builder,
    body: Bytes,
    time_max: Duration,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// The trailers.
    pub trailers: HeaderMap,
}

/// Why no answer came back.
#[derive(Debug, thiserror::Error)]
pub enum AnswerFault {
    /// The URL or a header cannot be sent.
    #[error("the call cannot be written")]
    Request(#[from] http::Error),
    /// The URL names no host and port.
    #[error("`{0}` is no http URL")]
    Url(String),
    /// Nobody listens there.
    #[error("`{address}` cannot be reached")]
    Unreachable {
        /// Where it was tried.
        address: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The connection broke, or what came is no HTTP.
    #[error("the answer cannot be read")]
    Broken(#[from] hyper::Error),
    /// The answer's body is longer than [`BODY_BYTES_MAX`] or broke off.
    #[error("the body of the answer cannot be read")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It took too long.
    #[error("no answer within {} seconds", .0.as_secs())]
    TooSlow(Duration),
}

impl Call {
    /// A call of `method` at `url`: an absolute `http://` URL.
    #[must_use]
    pub fn new(method: Method, url: &str) -> Self {
        Self { request: Request::builder().method(method).uri(url), body: Bytes::new(), time_max: CALL_TIME_MAX }
    }

    /// Sets how long the answer may take, instead of 20 s.
    #[must_use]
    pub fn within(self, time_max: Duration) -> Self {
        Self { time_max, ..self }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl TryInto<HeaderName, Error: Into<http::Error>>, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// Sets the body as it is, without saying what it is.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.header(header::CONTENT_TYPE, "application/json").body(body.to_string())
    }

    /// Sets a form as body.
    #[must_use]
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let written = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(written)
    }

    /// Sends the call to the host that its URL names.
    ///
    /// # Errors
    /// [`AnswerFault`]. Dropped half-way, the call may or may not have been made.
    pub async fn send(self) -> Result<Answer, AnswerFault> {
        let time_max = self.time_max;
        let mut request = self.into_request()?;
        let address = authority(request.uri())?;
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        *request.uri_mut() = path.try_into().map_err(http::Error::from)?;
        bounded(time_max, dial(&address, request)).await
    }

    /// Sends the call to `proxy` (`http://host:port`), in absolute form (RFC 9112 §3.2.2).
    ///
    /// # Errors
    /// As [`Call::send`].
    pub async fn send_through(self, proxy: &str) -> Result<Answer, AnswerFault> {
        let time_max = self.time_max;
        let request = self.into_request()?;
        let address = authority(&proxy.parse().map_err(|_malformed| AnswerFault::Url(proxy.to_owned()))?)?;
        bounded(time_max, dial(&address, request)).await
    }

    /// Sends the call over `stream`, which is connected already, in origin form.
    ///
    /// # Errors
    /// As [`Call::send`].
    pub async fn send_over(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send) -> Result<Answer, AnswerFault> {
        let time_max = self.time_max;
        let mut request = self.into_request()?;
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        *request.uri_mut() = path.try_into().map_err(http::Error::from)?;
        bounded(time_max, exchange(stream, request)).await
    }

    fn into_request(self) -> Result<Request<Full<Bytes>>, AnswerFault> {
        let mut request = self.request.body(Full::new(self.body))?;
        let host = request.uri().authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default();
        request.headers_mut().insert(header::HOST, HeaderValue::try_from(host).map_err(http::Error::from)?);
        Ok(request)
    }
}

impl Answer {
    /// The body as JSON; `Null` where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The text at `pointer` (RFC 6901) of a JSON body.
    #[must_use]
    pub fn text(&self, pointer: &str) -> Option<String> {
        self.json().pointer(pointer)?.as_str().map(str::to_owned)
    }

    /// The code of the refusal that the body tells, wherever it stands in it: plain, in a JSON-RPC error, or as an
    /// agent passed it on (`protocol.md` §11).
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        find_refusal(&self.json())
    }

    /// The header `name` as text; empty where it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

fn find_refusal(value: &Value) -> Option<String> {
    match value {
        Value::Object(members) => match members.get("refusal").and_then(Value::as_str) {
            Some(code) => Some(code.to_owned()),
            None => members.values().find_map(find_refusal),
        },
        Value::Array(items) => items.iter().find_map(find_refusal),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn authority(url: &Uri) -> Result<String, AnswerFault> {
    let not_one = || AnswerFault::Url(url.to_string());
    let authority = url.authority().filter(|_present| url.scheme_str() == Some("http")).ok_or_else(not_one)?;
    Ok(format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80)))
}

async fn bounded(
    time_max: Duration,
    call: impl Future<Output = Result<Answer, AnswerFault>>,
) -> Result<Answer, AnswerFault> {
    timeout(time_max, call).await.unwrap_or(Err(AnswerFault::TooSlow(time_max)))
}

async fn dial(address: &str, request: Request<Full<Bytes>>) -> Result<Answer, AnswerFault> {
    let unreachable = |source| AnswerFault::Unreachable { address: address.to_owned(), source };
    let stream = TcpStream::connect(address).await.map_err(unreachable)?;
    exchange(stream, request).await
}

/// One request, one answer, both driven here: no task is left behind.
async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, AnswerFault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut answer = pin!(async move {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(AnswerFault::Body)?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes(), trailers })
    });
    tokio::select! {
        answer = &mut answer => return answer,
        // The connection may end first, with the answer already read from it.
        _ended = connection => {}
    }
    answer.await
}
