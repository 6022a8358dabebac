//! Which headers never cross a door (`protocol.md` §10), and which end at every hop (RFC 9110 §7.6.1).
//! What a door needs of them is taken out here, once; after that no step can see or forward one.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Version,
    header::{self, Entry},
    request::Parts,
};

use crate::trace::{self, TraceContext};
use identity::Refusal;

/// The transaction token between two sidecars (draft-ietf-oauth-transaction-tokens-10 §8).
pub(crate) const TXN_TOKEN: HeaderName = HeaderName::from_static("txn-token");
/// The app's only sign of its transaction: opaque, random, worthless outside of this pod.
pub(crate) const HANDLE: HeaderName = HeaderName::from_static("countersign-handle");
/// Set by a mesh door alone, so that the caller's sidecar can tell its refusals from a tool's own answers.
pub(crate) const REFUSAL: HeaderName = HeaderName::from_static("countersign-refusal");

/// Credential headers beside those that begin with [`OURS`]. The last two carry a user's token from a proxy that signs
/// users in.
const CREDENTIALS: [&str; 6] = [
    "authorization",
    "txn-token",
    "proxy-authorization",
    "x-forwarded-client-cert",
    "x-forwarded-access-token",
    "x-auth-request-access-token",
];
const OURS: &str = "countersign-";
/// Traces and what rides on them: the doors make their own `traceparent`, and frameworks write a user's words into
/// `baggage` (`platform.md` §3.3).
const TRACES: [&str; 4] = ["traceparent", "tracestate", "traceresponse", "baggage"];
/// How the SDKs of language models tell on their host, in every call.
const TELL_TALE: &str = "x-stainless-";
/// Headers that end at every hop, whatever `Connection` says.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "te",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "expect",
];
/// Headers whose meaning this sidecar checks or sets. A server that reads `_` or `.` as `-` must not see a second one.
const CHECKED: [&str; 7] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "x-forwarded-host",
    "mcp-session-id",
];

/// What only a proxy may say, of the client before it. Between sidecars there is none to say it.
const OF_PROXIES: [&str; 2] = ["forwarded", "x-real-ip"];
const FORWARDED: &str = "x-forwarded-";
/// How a call asks for a coded answer or for pieces of it (RFC 9110 §12.5.3, §14.2).
const WISHES: [&str; 3] = ["accept-encoding", "range", "if-range"];

/// What a request showed, in the exact spelling. Other spellings count as shown twice, never as shown.
#[derive(Default)]
pub(crate) struct Shown {
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) txn_token: Option<HeaderValue>,
    pub(crate) handle: Option<HeaderValue>,
    /// The only trace that it names.
    pub(crate) trace: Option<TraceContext>,
    /// Whether it names more than one, so that none of them is `trace`.
    pub(crate) several_traces: bool,
}

/// Takes every credential, every trace and hop-by-hop header out of a request and returns what a door may look at.
///
/// # Errors
/// [`Refusal::CallCredentialHeaders`] where one stands twice in any spelling or is named by `Connection`;
/// [`Refusal::CallMethod`] for CONNECT, for TRACE, whose answer repeats what we add (RFC 9110 §9.3.8), and for upgrades
/// other than to HTTP/2, which a server may ignore (RFC 9110 §7.8).
pub(crate) fn request(parts: &mut Parts) -> Result<Shown, Refusal> {
    if matches!(parts.method, Method::CONNECT | Method::TRACE) || upgrades(&parts.headers) {
        return Err(Refusal::CallMethod);
    }
    let named = named_by_connection(&parts.headers).ok_or(Refusal::CallMalformed)?;
    if named.iter().any(|name| is_credential(name)) {
        return Err(Refusal::CallCredentialHeaders);
    }
    let mut seen: Vec<String> = Vec::new();
    for name in parts.headers.iter().map(|(name, _)| name.as_str()).filter(|name| is_credential(name)) {
        let plain: String = name.bytes().map(folded).map(char::from).collect();
        if seen.contains(&plain) {
            return Err(Refusal::CallCredentialHeaders);
        }
        seen.push(plain);
    }
    let shown = Shown {
        authorization: parts.headers.remove(header::AUTHORIZATION),
        txn_token: parts.headers.remove(TXN_TOKEN),
        handle: parts.headers.remove(HANDLE),
        trace: trace::of(&parts.headers),
        several_traces: trace::are_several(&parts.headers),
    };
    end_at_this_hop(&mut parts.headers, &named);
    let spelled_otherwise = |name: &str| name.bytes().any(|byte| byte != folded(byte));
    let shadow = |name: &str| {
        spelled_otherwise(name) && (CHECKED.iter().any(|known| same(name, known)) || same_start(name, "mcp-"))
    };
    remove(&mut parts.headers, |name| is_credential(name) || is_trace(name) || shadow(name));
    // Framing is made anew from the body that is really sent (RFC 9112 §6.3).
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.version = Version::HTTP_11;
    Ok(shown)
}

/// Takes out what a proxy would say of its client: addresses, names, users that nobody here has checked.
pub(crate) fn proxy_claims(headers: &mut HeaderMap) {
    remove(headers, |name| OF_PROXIES.iter().any(|known| same(name, known)) || same_start(name, FORWARDED));
}

/// Takes out of a call what its target has no business to know of this host.
pub(crate) fn tell_tales(headers: &mut HeaderMap) {
    remove(headers, |name| same_start(name, TELL_TALE));
}

/// Takes out by what a call could ask for its answer in a form that cannot be looked into: coded, or in pieces.
pub(crate) fn wishes(headers: &mut HeaderMap) {
    remove(headers, |name| WISHES.iter().any(|known| same(name, known)));
}

/// Takes every credential, trace and hop-by-hop header out of an answer.
pub(crate) fn response(headers: &mut HeaderMap) {
    let named = named_by_connection(headers).unwrap_or_default();
    // Beside a transfer coding a length says nothing, and would cut the answer off (RFC 9112 §6.3).
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    }
    end_at_this_hop(headers, &named);
    remove(headers, |name| is_credential(name) || is_trace(name));
}

/// Takes every credential header and trace out of trailers (RFC 9110 §6.5).
pub(crate) fn trailers(trailers: &mut HeaderMap) {
    remove(trailers, |name| is_credential(name) || is_trace(name));
}

fn is_trace(name: &str) -> bool {
    TRACES.iter().any(|known| same(name, known))
}

/// Whether a header of this name never crosses a door, in any spelling.
fn is_credential(name: &str) -> bool {
    CREDENTIALS.iter().any(|known| same(name, known)) || same_start(name, OURS)
}

/// Whether a server may take `name` for `known`, which is in lower case.
pub(crate) fn same(name: &str, known: &str) -> bool {
    name.len() == known.len() && same_start(name, known)
}

fn same_start(name: &str, known: &str) -> bool {
    name.len() >= known.len() && name.bytes().map(folded).zip(known.bytes()).all(|(one, other)| one == other)
}

/// As gateways spell names (RFC 3875 §4.1.18): some turn only `-` into `_`, some everything but letters and digits.
const fn folded(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

fn remove(headers: &mut HeaderMap, unwanted: impl Fn(&str) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| unwanted(name.as_str())).cloned().collect();
    for name in names {
        if let Entry::Occupied(entry) = headers.entry(name) {
            entry.remove_entry_mult();
        }
    }
}

fn end_at_this_hop(headers: &mut HeaderMap, named: &[String]) {
    remove(headers, |name| HOP_BY_HOP.contains(&name) || named.iter().any(|known| known == name));
}

/// The header names in `Connection`, in lower case; `None` where it is not text.
fn named_by_connection(headers: &HeaderMap) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for value in headers.get_all(header::CONNECTION) {
        let list = value.to_str().ok()?;
        names.extend(list.split(',').map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty()));
    }
    Some(names)
}

/// Whether the request asks for another protocol than HTTP/2.
fn upgrades(headers: &HeaderMap) -> bool {
    headers.get_all(header::UPGRADE).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"h2c"))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let builder = Request::builder().method("POST").uri("http://tickets.tool/mcp");
        let request = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        request.body(()).expect("a request").into_parts().0
    }

    fn left(headers: &[(&str, &str)]) -> Vec<String> {
        let mut parts = parts(headers);
        request(&mut parts).map(|_shown| ()).expect("no refusal");
        parts.headers.keys().map(|name| name.as_str().to_owned()).collect()
    }

    fn refusal(headers: &[(&str, &str)]) -> Option<Refusal> {
        request(&mut parts(headers)).err()
    }

    #[test]
    fn credential_headers_do_not_pass_in_any_spelling() {
        for name in [
            "authorization",
            "Authorization",
            "txn-token",
            "txn_token",
            "Txn_Token",
            "proxy-authorization",
            "proxy_authorization",
            "countersign-handle",
            "countersign_handle",
            "Countersign_Subject",
            "countersign-anything",
            "x-forwarded-client-cert",
            "x_forwarded_client_cert",
            "x-forwarded_client-cert",
            "countersign.subject",
            "Txn.Token",
            "proxy~authorization",
            "x-forwarded-access-token",
            "x-auth-request-access-token",
        ] {
            assert_eq!(left(&[(name, "v"), ("x-kept", "v")]), ["x-kept"], "{name}");
        }
    }

    #[test]
    fn a_credential_header_twice_is_refused_whatever_the_spelling() {
        for (one, other) in [
            ("authorization", "authorization"),
            ("txn-token", "txn_token"),
            ("countersign-handle", "countersign_handle"),
            ("proxy-authorization", "proxy_authorization"),
            ("x-forwarded-client-cert", "x_forwarded-client_cert"),
            ("countersign.subject", "countersign|subject"),
        ] {
            assert_eq!(refusal(&[(one, "a"), (other, "b")]), Some(Refusal::CallCredentialHeaders), "{one} {other}");
        }
    }

    #[test]
    fn a_credential_header_named_by_connection_is_refused() {
        for value in ["txn-token", "close, Authorization", "Countersign_Handle", ",, txn_token", "Countersign.Actors"] {
            assert_eq!(refusal(&[("connection", value)]), Some(Refusal::CallCredentialHeaders), "{value}");
        }
    }

    #[test]
    fn traces_and_what_rides_on_them_do_not_pass() {
        let caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let headers = [("traceparent", caller), ("Tracestate", "a=1"), ("baggage", "user=alice"), ("x-kept", "v")];
        assert_eq!(left(&headers), ["x-kept"]);
        assert!(request(&mut parts(&headers)).expect("no refusal").trace.is_some());
        let twice = [("traceparent", caller), ("traceparent", caller)];
        let shown = request(&mut parts(&twice)).expect("no refusal");
        assert!(shown.trace.is_none() && shown.several_traces);
        let mut answer = parts(&[("traceresponse", caller), ("traceparent", caller), ("x-kept", "v")]).headers;
        response(&mut answer);
        let mut late = parts(&[("traceparent", caller), ("x-kept", "v")]).headers;
        trailers(&mut late);
        for headers in [answer, late] {
            assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
        }
    }

    #[test]
    fn an_sdk_does_not_tell_on_its_host() {
        let mut headers =
            parts(&[("x-stainless-os", "Linux"), ("X_Stainless_Lang", "python"), ("x-kept", "v")]).headers;
        tell_tales(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
    }

    #[test]
    fn hop_by_hop_headers_and_those_that_connection_names_end_here() {
        let headers = [
            ("connection", "keep-alive, x-mine"),
            ("keep-alive", "timeout=5"),
            ("x-mine", "v"),
            ("te", "trailers"),
            ("content-length", "3"),
            ("accept", "*/*"),
        ];
        assert_eq!(left(&headers), ["accept"]);
    }

    #[test]
    fn a_shadow_of_a_checked_header_does_not_pass() {
        assert_eq!(left(&[("mcp_session_id", "v"), ("Content_Length", "3"), ("x_y", "v")]), ["x_y"]);
        assert_eq!(left(&[("mcp.session-id", "v"), ("Content.Type", "3"), ("x.y", "v")]), ["x.y"]);
    }

    #[test]
    fn only_the_exact_spelling_is_shown() {
        let mut exact = parts(&[("authorization", "Bearer a"), ("txn-token", "b"), ("countersign-handle", "c")]);
        let shown = request(&mut exact).expect("no refusal");
        assert!(shown.authorization.is_some() && shown.txn_token.is_some() && shown.handle.is_some());
        let shown = request(&mut parts(&[("txn_token", "b"), ("countersign_handle", "c")])).expect("no refusal");
        assert!(shown.txn_token.is_none() && shown.handle.is_none());
    }

    #[test]
    fn tunnels_and_upgrades_are_refused_and_an_offer_of_http_2_is_ignored() {
        let websocket = [("connection", "upgrade"), ("upgrade", "websocket")];
        assert_eq!(refusal(&websocket), Some(Refusal::CallMethod));
        assert_eq!(left(&[("connection", "upgrade, http2-settings"), ("upgrade", "h2c")]), Vec::<String>::new());
    }

    #[test]
    fn a_trace_is_refused() {
        let mut trace = parts(&[]);
        trace.method = Method::TRACE;
        assert_eq!(request(&mut trace).err(), Some(Refusal::CallMethod));
    }

    #[test]
    fn what_a_proxy_would_say_can_be_taken_out() {
        let claims = ["forwarded", "x-real-ip", "X-Forwarded-For", "x_forwarded_user", "X_Real_IP"];
        let claims: Vec<_> = claims.iter().map(|name| (*name, "v")).chain([("x-kept", "v")]).collect();
        let mut headers = parts(&claims).headers;
        proxy_claims(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
    }

    #[test]
    fn answers_and_trailers_are_stripped_too() {
        let mut headers = parts(&[
            ("countersign-refusal", "access_token.expired"),
            ("countersign_handle", "h"),
            ("authorization", "a"),
            ("authorization", "b"),
            ("connection", "x-mine"),
            ("x-mine", "v"),
            ("www-authenticate", "Basic"),
        ])
        .headers;
        response(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["www-authenticate"]);
        let mut twice = parts(&[("transfer-encoding", "chunked"), ("content-length", "2")]).headers;
        response(&mut twice);
        assert!(twice.is_empty());
        let mut late = parts(&[("txn_token", "t"), ("x-checksum", "1")]).headers;
        trailers(&mut late);
        assert_eq!(late.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-checksum"]);
    }
}
