//! The last step before a request leaves: origin form, our own `Host`, framing from the body that is sent
//! (RFC 9112 §3.2, §6.3). It adds no credential and forwards none.

use http::{
    HeaderMap, HeaderValue, Method, Request, Uri,
    header::{CONTENT_LENGTH, COOKIE, HOST, TRANSFER_ENCODING},
    request::Parts,
    uri::PathAndQuery,
};
use hyper::body::Body as _;

use crate::body::Body;
use identity::Refusal;

/// The request as it is sent to `host`.
///
/// # Errors
/// [`Refusal::CallMalformed`] if `host` cannot stand in a header.
pub(crate) fn request(mut parts: Parts, body: Body, host: &str) -> Result<Request<Body>, Refusal> {
    let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    parts.uri = Uri::from(path);
    parts.headers.insert(HOST, HeaderValue::try_from(host).map_err(|_not_a_value| Refusal::CallMalformed)?);
    join_cookies(&mut parts.headers);
    // An empty body says nothing about its length by itself; some servers insist (RFC 9110 §8.6).
    if body.is_end_stream() && matches!(parts.method, Method::POST | Method::PUT | Method::PATCH) {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    // hyper takes a body of unknown length for none at all here, and would lose it.
    if !body.is_end_stream() && body.size_hint().exact().is_none() && matches!(parts.method, Method::GET | Method::HEAD)
    {
        parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    parts.extensions.clear();
    Ok(Request::from_parts(parts, body))
}

/// HTTP/2 may send one cookie a line; HTTP/1 has one line (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let lines: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if lines.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_of_several_lines_become_one() {
        let asked = Request::get("/").header("cookie", "a=1").header("cookie", "b=2").body(());
        let sent = request(asked.expect("a request").into_parts().0, Body::empty(), "app").expect("a request");
        let cookies: Vec<_> = sent.headers().get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(cookies, [b"a=1; b=2"]);
    }

    #[test]
    fn a_body_of_unknown_length_is_not_lost() {
        let stream =
            || Body::of(http_body_util::StreamBody::new(futures_util::stream::pending::<Result<_, std::io::Error>>()));
        for (method, body, framed) in [("GET", stream(), true), ("HEAD", stream(), true), ("GET", Body::empty(), false)]
        {
            let (parts, ()) = Request::builder().method(method).uri("/").body(()).expect("a request").into_parts();
            let sent = request(parts, body, "app").expect("a request");
            assert_eq!(sent.headers().contains_key(TRANSFER_ENCODING), framed, "{method}");
        }
    }

    #[test]
    fn only_authority_changes_and_the_path_stays() {
        let asked = Request::post("http://tickets.tool/mcp?a=b").header("host", "tickets.tool").body(());
        let (parts, ()) = asked.expect("a request").into_parts();
        let sent = request(parts, Body::empty(), "tickets.tools.svc").expect("a request");
        assert_eq!(sent.uri(), "/mcp?a=b");
        assert_eq!(sent.headers().get(HOST).map(HeaderValue::as_bytes), Some(&b"tickets.tools.svc"[..]));
        assert_eq!(sent.headers().get(CONTENT_LENGTH).map(HeaderValue::as_bytes), Some(&b"0"[..]));
    }
}
