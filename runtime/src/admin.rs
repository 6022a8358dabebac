//! The admin door: `/live`, `/ready`, `/metrics` for the operator and the kubelet's agent, on loopback or a Unix
//! socket only. It changes nothing, shows no secret, and answers until the process ends, drain included.

use std::{
    convert::Infallible,
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    serve::{Door, Listener, UnixDoor, connection},
    shutdown::Shutdown,
    telemetry::Telemetry,
};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Where the admin door listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminListen {
    /// A loopback address.
    Tcp(SocketAddr),
    /// An absolute path of a Unix socket.
    Unix(PathBuf),
}

/// Why an address cannot be the admin door's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdminListenFault {
    /// Anybody who reaches the host would reach it.
    #[error("`{0}` is not a loopback address; the admin door has no authentication")]
    NotLoopback(SocketAddr),
    /// Neither form.
    #[error("`{0}` is neither `127.0.0.1:<port>` nor `unix:///<path>`; names are not resolved here")]
    Malformed(String),
}

impl AdminListen {
    /// Reads `127.0.0.1:15020`, `[::1]:15020` or `unix:///run/countersign/admin.sock`.
    ///
    /// # Errors
    /// The [`AdminListenFault`].
    pub fn parse(text: &str) -> Result<Self, AdminListenFault> {
        if let Some(path) = text.strip_prefix("unix://") {
            let path = Path::new(path);
            let usable = path.is_absolute() && path.file_name().is_some();
            return if usable {
                Ok(Self::Unix(path.to_owned()))
            } else {
                Err(AdminListenFault::Malformed(text.to_owned()))
            };
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => Ok(Self::Tcp(address)),
            Ok(address) => Err(AdminListenFault::NotLoopback(address)),
            Err(_not_an_address) => Err(AdminListenFault::Malformed(text.to_owned())),
        }
    }
}

impl fmt::Display for AdminListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// Binds the admin door, serves it until the process ends (not only until drain), and returns its address.
///
/// # Errors
/// The address is taken, or the socket's path cannot be written.
pub async fn serve(listen: &AdminListen, telemetry: Telemetry, shutdown: &Shutdown) -> io::Result<String> {
    match listen {
        AdminListen::Tcp(address) => {
            let listener = Listener::bind(&address.to_string()).await?.counted(&telemetry, "admin");
            let bound = listener.address();
            shutdown.background("admin", serve_tcp(listener, telemetry));
            Ok(bound.to_string())
        }
        AdminListen::Unix(path) => {
            let door = UnixDoor::bind(path)?;
            shutdown.background("admin", serve_unix(door, telemetry, shutdown.clone()));
            Ok(listen.to_string())
        }
    }
}

async fn serve_tcp(listener: Listener, telemetry: Telemetry) {
    // Its own shutdown, which nobody triggers: `/ready` must say "draining" while the process drains.
    let never = Shutdown::new();
    let each = never.clone();
    listener
        .run(&never, move |tcp, _from| {
            let (telemetry, never) = (telemetry.clone(), each.clone());
            async move { answer_all(tcp, telemetry, &never).await }
        })
        .await;
}

async fn serve_unix(door: UnixDoor, telemetry: Telemetry, shutdown: Shutdown) {
    while let Some((unix, slot)) = door.accept().await {
        let telemetry = telemetry.clone();
        shutdown.background("admin connection", async move {
            answer_all(unix, telemetry, &Shutdown::new()).await;
            drop(slot);
        });
    }
}

async fn answer_all(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, telemetry: Telemetry, never: &Shutdown) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answer(request.method(), request.uri().path(), &telemetry);
        async move { Ok::<_, Infallible>(response) }
    });
    connection(io, service, never.cancelled(), &Door::default()).await;
}

fn answer(method: &Method, path: &str, telemetry: &Telemetry) -> Response<Full<Bytes>> {
    if method != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n".to_owned());
    }
    match path {
        "/live" => text(StatusCode::OK, TEXT, "live\n".to_owned()),
        "/ready" => ready(telemetry),
        "/metrics" => telemetry.metrics().map_or_else(
            |fault| text(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{fault}\n")),
            |metrics| text(StatusCode::OK, OPENMETRICS, metrics),
        ),
        _ => text(StatusCode::NOT_FOUND, TEXT, "here are /live, /ready and /metrics\n".to_owned()),
    }
}

fn ready(telemetry: &Telemetry) -> Response<Full<Bytes>> {
    let missing = telemetry.not_ready();
    if missing.is_empty() {
        return text(StatusCode::OK, TEXT, "ready\n".to_owned());
    }
    let list: String = missing.into_iter().map(|(name, reason)| format!("{name}: {reason}\n")).collect();
    text(StatusCode::SERVICE_UNAVAILABLE, TEXT, list)
}

fn text(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpStream, UnixStream},
    };

    use super::*;

    #[test]
    fn only_loopback_and_unix_sockets_are_accepted() {
        assert_eq!(AdminListen::parse("127.0.0.1:15020").unwrap().to_string(), "127.0.0.1:15020");
        assert_eq!(AdminListen::parse("unix:///run/a.sock").unwrap().to_string(), "unix:///run/a.sock");
        assert!(matches!(AdminListen::parse("0.0.0.0:15020"), Err(AdminListenFault::NotLoopback(_))));
        for malformed in ["unix://a.sock", "unix:///", "localhost", ""] {
            assert!(matches!(AdminListen::parse(malformed), Err(AdminListenFault::Malformed(_))), "{malformed}");
        }
    }

    async fn exchange(mut io: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> String {
        io.write_all(format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        io.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn ready_lists_what_is_missing_and_answers_during_drain() {
        let (telemetry, shutdown) = (Telemetry::new(), Shutdown::new());
        let flag = telemetry.ready_flag("identity");
        flag.not_ready("no socket");
        let listen = AdminListen::parse("127.0.0.1:0").unwrap();
        let address = serve(&listen, telemetry.clone(), &shutdown).await.unwrap();
        let ask = async |path: &str| exchange(TcpStream::connect(&address).await.unwrap(), path).await;

        let answer = ask("/ready").await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("identity: no socket\n"), "{answer}");
        flag.ready();
        assert!(ask("/ready").await.starts_with("HTTP/1.1 200"));
        telemetry.drain();
        shutdown.trigger();
        assert!(ask("/ready").await.ends_with("process: draining\n"));
        assert!(ask("/live").await.starts_with("HTTP/1.1 200"));
        assert!(ask("/metrics").await.contains("countersign_connections_total{door=\"admin\""));
        assert!(ask("/config").await.starts_with("HTTP/1.1 404"));
    }

    #[tokio::test]
    async fn a_socket_left_behind_is_replaced_and_is_private() {
        let path = std::env::temp_dir().join(format!("runtime-admin-{}.sock", std::process::id()));
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let listen = AdminListen::parse(&format!("unix://{}", path.display())).unwrap();
        serve(&listen, Telemetry::new(), &Shutdown::new()).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(exchange(UnixStream::connect(&path).await.unwrap(), "/live").await.ends_with("live\n"));
        fs::remove_file(&path).unwrap();
    }
}
