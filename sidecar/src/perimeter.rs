//! From a request to the scope that it needs, by the target's mapping (`protocol.md` §6). Both doors use this one
//! reading: outbound to ask for the scope, inbound to check it. What is not mapped does not exist.

mod held;
mod reading;

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method, header, request::Parts};
use hyper::body::{Body as HttpBody, Incoming};
use runtime::serve::{BODY_IDLE_MAX, IdleBody};

pub(crate) use self::held::Room;
use self::held::{Place, held};
use crate::{
    answer::About,
    body::{Body, Clean, Until},
    mcp::{self, Ask},
};
use identity::{Mapping, Perimeter, Refusal, Scopes, Target};

/// A request that the target maps.
#[derive(Debug)]
pub(crate) struct Call {
    /// The scope that it needs; empty: none.
    pub(crate) needs: Scopes,
    /// What the doors must do besides.
    pub(crate) kind: Kind,
    /// Its body.
    pub(crate) payload: Payload,
    /// `_meta.traceparent` of an MCP message.
    pub(crate) traceparent: Option<String>,
    /// What a held body takes of the room for all, until the call is answered.
    _place: Option<Place>,
}

/// Kinds of calls that are treated in their own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Plain HTTP.
    Http,
    /// An MCP message without more.
    Message,
    /// MCP `initialize`: its answer may open a session.
    Initialize,
    /// MCP `notifications/initialized`: the session is open.
    Initialized,
    /// MCP `tools/list`: its answer is filtered.
    ListTools,
    /// MCP GET: an event stream from the server.
    Listen,
    /// MCP DELETE: ends the session.
    EndSession,
}

impl Kind {
    /// Whether it belongs to MCP.
    pub(crate) const fn is_mcp(self) -> bool {
        match self {
            Self::Http => false,
            Self::Message
            | Self::Initialize
            | Self::Initialized
            | Self::ListTools
            | Self::Listen
            | Self::EndSession => true,
        }
    }

    /// Whether it belongs to an MCP session itself rather than to work within it. Clients send these from where they
    /// hold the session, once, and without `_meta`.
    pub(crate) const fn is_of_session(self) -> bool {
        match self {
            Self::Http | Self::Message | Self::Initialize | Self::ListTools => false,
            Self::Initialized | Self::Listen | Self::EndSession => true,
        }
    }
}

/// A request's body: held whole after a peek, else streaming.
pub(crate) enum Payload {
    /// Held; can be sent again.
    Held(Bytes),
    /// Arrives while it is sent.
    Stream(Incoming),
}

impl Payload {
    /// The body to send. One that streams breaks off with `over`, also when the answer is there already.
    pub(crate) fn into_body(self, over: impl Future<Output = ()> + Send + 'static) -> Body {
        match self {
            Self::Held(bytes) => Body::full(bytes),
            Self::Stream(incoming) if incoming.is_end_stream() => Body::empty(),
            Self::Stream(incoming) => {
                Body::of(Until::new(IdleBody::new(Clean::new(incoming), BODY_IDLE_MAX), Box::pin(over)))
            }
        }
    }

    /// With what `change` makes of a held body; one that streams is not looked at.
    pub(crate) fn changed(self, change: impl FnOnce(Bytes) -> Bytes) -> Self {
        match self {
            Self::Held(bytes) => Self::Held(change(bytes)),
            Self::Stream(incoming) => Self::Stream(incoming),
        }
    }

    /// A copy of a body that can be sent again.
    pub(crate) fn again(&self) -> Option<Self> {
        match self {
            Self::Held(bytes) => Some(Self::Held(bytes.clone())),
            Self::Stream(incoming) if incoming.is_end_stream() => Some(Self::Held(Bytes::new())),
            Self::Stream(_) => None,
        }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(bytes) => write!(f, "Held({} bytes)", bytes.len()),
            Self::Stream(_) => f.write_str("Stream(..)"),
        }
    }
}

/// Finds what `target` maps the request to. Holds an MCP message in `room` and notes in `about` how to answer it and
/// what it asks for.
/// Dropped half-way, the body is lost and nothing was sent.
///
/// # Errors
/// [`Refusal::CallUnmapped`], [`Refusal::CallBatch`], [`Refusal::CallTooLarge`], [`Refusal::CallMalformed`] or
/// [`Refusal::FaultOverloaded`].
pub(crate) async fn read(
    target: &Target,
    parts: &Parts,
    body: Incoming,
    room: &Room,
    about: &mut About,
) -> Result<Call, Refusal> {
    let path = parts.uri.path();
    match target.mapping() {
        Mapping::Everything | Mapping::Routes(_) => {
            let needs = route(target.perimeter(), parts)?;
            about.operation = Some(operation_of_route(target.perimeter(), parts));
            Ok(Call { needs, kind: Kind::Http, payload: Payload::Stream(body), traceparent: None, _place: None })
        }
        Mapping::Mcp(_) if reading::is_replaced(parts) => Err(Refusal::CallMalformed),
        Mapping::Mcp(_) => match endpoint(target, path, &parts.method)? {
            Endpoint::Post => message(target, &parts.headers, body, room, about).await,
            Endpoint::Bodiless(kind) if body.is_end_stream() => {
                about.operation = Some(method(parts).to_owned());
                let payload = Payload::Held(Bytes::new());
                Ok(Call { needs: Scopes::none(), kind, payload, traceparent: None, _place: None })
            }
            Endpoint::Bodiless(_) => Err(Refusal::CallMalformed),
        },
    }
}

/// Whether `perimeter` maps a plain HTTP call that needs no scope; notes in `about` what it asks for.
///
/// # Errors
/// [`Refusal::CallUnmapped`] or [`Refusal::CallMalformed`].
pub(crate) fn check(perimeter: &Perimeter, parts: &Parts, about: &mut About) -> Result<(), Refusal> {
    let needs = route(perimeter, parts)?;
    about.operation = Some(operation_of_route(perimeter, parts));
    if needs.is_empty() { Ok(()) } else { Err(Refusal::CallUnmapped) }
}

fn route(perimeter: &Perimeter, parts: &Parts) -> Result<Scopes, Refusal> {
    let (method, path) = (parts.method.as_str(), parts.uri.path());
    let needs = perimeter.scope_of_route(method, path).ok_or(Refusal::CallUnmapped)?;
    match perimeter.mapping() {
        // Whatever the app makes of it, it is mapped.
        Mapping::Everything => Ok(needs),
        Mapping::Routes(_) | Mapping::Mcp(_) if reading::is_replaced(parts) => Err(Refusal::CallMalformed),
        Mapping::Routes(routes) if reading::is_two_fold(routes, perimeter.path(), (method, path), &needs) => {
            Err(Refusal::CallUnmapped)
        }
        Mapping::Routes(_) | Mapping::Mcp(_) => Ok(needs),
    }
}

/// Method and path as the registry has them. What only the caller wrote does not get into a log.
fn operation_of_route(perimeter: &Perimeter, parts: &Parts) -> String {
    match perimeter.route(parts.method.as_str(), parts.uri.path()) {
        Some(route) => format!("{} {}", parts.method, route.path),
        None => method(parts).to_owned(),
    }
}

/// The method, if it is one of the standard's.
pub(crate) fn method(parts: &Parts) -> &'static str {
    match parts.method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Endpoint {
    Post,
    Bodiless(Kind),
}

/// MCP over streamable HTTP has one endpoint: the resource itself; a path below it maps nothing.
fn endpoint(target: &Target, path: &str, method: &Method) -> Result<Endpoint, Refusal> {
    let here = path.strip_prefix(target.path()).is_some_and(|rest| rest.is_empty() || rest == "/");
    match *method {
        _ if !here => Err(Refusal::CallUnmapped),
        Method::POST => Ok(Endpoint::Post),
        Method::GET => Ok(Endpoint::Bodiless(Kind::Listen)),
        Method::DELETE => Ok(Endpoint::Bodiless(Kind::EndSession)),
        _ => Err(Refusal::CallUnmapped),
    }
}

async fn message(
    target: &Target,
    headers: &HeaderMap,
    body: Incoming,
    room: &Room,
    about: &mut About,
) -> Result<Call, Refusal> {
    // What another reader could decode differently is not sent on.
    if headers.contains_key(header::CONTENT_ENCODING) || !is_plain_json(headers) {
        return Err(Refusal::CallMalformed);
    }
    let (bytes, place) = held(body, room).await?;
    let message = mcp::read(&bytes, headers).map_err(|fault| {
        about.rpc = Some(fault.rpc);
        fault.refusal
    })?;
    about.rpc = Some(message.rpc);
    let needs = match message.ask.operation() {
        Some(operation) => target.scope_of_operation(operation).ok_or(Refusal::CallUnmapped)?,
        None => Scopes::none(),
    };
    about.operation = Some(message.ask.name());
    let kind = match message.ask {
        Ask::Initialize => Kind::Initialize,
        Ask::Initialized => Kind::Initialized,
        Ask::ListTools => Kind::ListTools,
        Ask::Free(_) | Ask::Tool(_) | Ask::Resource(_) | Ask::Prompt(_) => Kind::Message,
    };
    let payload = Payload::Held(mcp::without_riders(bytes));
    Ok(Call { needs, kind, payload, traceparent: message.traceparent, _place: Some(place) })
}

/// Whether the body says that it is JSON in UTF-8 (RFC 8259 §8.1), once. Some servers decode by `charset`.
fn is_plain_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else { return false };
    let text = only.to_str().unwrap_or_default().to_ascii_lowercase();
    let (essence, parameters) = text.split_once(';').unwrap_or((&text, ""));
    let charset = parameters.trim();
    essence.trim() == "application/json" && matches!(charset, "" | "charset=utf-8" | "charset=\"utf-8\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Snapshot, tests as snapshots};

    #[test]
    fn a_path_below_the_mcp_endpoint_maps_nothing() {
        let snapshot = Snapshot::try_from(snapshots::told(vec![snapshots::tickets()])).expect("a snapshot");
        let target = snapshot.reaches.by_name("tickets").expect("the target");
        assert_eq!(endpoint(target, "/mcp", &Method::POST), Ok(Endpoint::Post));
        assert_eq!(endpoint(target, "/mcp/", &Method::POST), Ok(Endpoint::Post));
        assert_eq!(endpoint(target, "/mcp", &Method::GET), Ok(Endpoint::Bodiless(Kind::Listen)));
        assert_eq!(endpoint(target, "/mcp", &Method::DELETE), Ok(Endpoint::Bodiless(Kind::EndSession)));
        for (path, method) in [
            ("/mcp/admin", Method::POST),
            ("/mcpx", Method::POST),
            ("/", Method::GET),
            ("/mcp", Method::PUT),
            ("/mcp", Method::OPTIONS),
        ] {
            assert_eq!(endpoint(target, path, &method), Err(Refusal::CallUnmapped), "{method} {path}");
        }
    }

    #[test]
    fn only_json_in_utf_8_is_read() {
        let with = |types: &[&str]| {
            let mut headers = HeaderMap::new();
            for text in types {
                headers.append(header::CONTENT_TYPE, text.parse().expect("a value"));
            }
            is_plain_json(&headers)
        };
        for text in ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\""] {
            assert!(with(&[text]), "{text}");
        }
        for text in ["text/plain", "application/json; charset=utf-7", "application/json; a=b; charset=utf-16", ""] {
            assert!(!with(&[text]), "{text}");
        }
        assert!(!with(&[]) && !with(&["application/json", "application/json"]));
    }
}
