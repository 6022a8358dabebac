//! One request to a server on loopback, for its status alone.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

/// Longest wait for any step of it: a Keycloak that just started is slow.
const WAIT: Duration = Duration::from_secs(30);
/// Longest status line.
const LINE_BYTES: u64 = 1024;

/// The status of `GET path`.
pub(super) fn get(port: u16, path: &str) -> io::Result<u16> {
    status(port, &format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n"))
}

/// The status of `POST path` with a form, which stands as it is sent.
pub(super) fn post(port: u16, path: &str, form: &str) -> io::Result<u16> {
    let head = format!("POST {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {}\r\n", form.len());
    status(port, &format!("{head}Content-Type: application/x-www-form-urlencoded\r\n\r\n{form}"))
}

/// Ports of loopback that were free a moment ago, all different.
pub(super) fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    let mut listeners = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

fn status(port: u16, request: &str) -> io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), WAIT)?;
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(WAIT))?;
    stream.write_all(request.as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream.take(LINE_BYTES)).read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| io::Error::other(format!("`{}` is no status line", line.trim_end())))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn server(answer: &'static str) -> (u16, thread::JoinHandle<String>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let serving = thread::spawn(move || {
            let (stream, _peer) = listener.accept().expect("a caller");
            let mut asked = String::new();
            BufReader::new(&stream).read_line(&mut asked).expect("a line");
            (&stream).write_all(answer.as_bytes()).expect("answered");
            asked
        });
        (port, serving)
    }

    #[test]
    fn the_status_is_read() {
        let (port, serving) = server("HTTP/1.1 503 Service Unavailable\r\n\r\n{}");
        assert_eq!(get(port, "/health/ready").expect("an answer"), 503);
        assert_eq!(serving.join().expect("no panic"), "GET /health/ready HTTP/1.0\r\n");
    }

    #[test]
    fn what_is_no_http_is_an_error() {
        let (port, serving) = server("hello");
        post(port, "/token", "a=b").expect_err("no status");
        assert_eq!(serving.join().expect("no panic"), "POST /token HTTP/1.0\r\n");
    }

    #[test]
    fn free_ports_differ() {
        let [one, other] = free_ports().expect("ports");
        assert!(one != other && one != 0 && other != 0);
    }
}
