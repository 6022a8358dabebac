//! `tools/list` shows a caller only the tools that it may ask for: scope in `scope` or `may_ask` of its token
//! (`protocol.md` §6). It is a courtesy to the model; what admits a call is the scope alone. A listing is held whole, at
//! most [`HELD_MAX`]; other events of a stream pass one by one.

use std::{
    error::Error,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Response, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as HttpBody, Frame};
use serde_json::Value;

use super::events::{self, Events, HELD_MAX};
use crate::{body::Body, pool::Leased};
use identity::{AccessToken, McpOperation, Refusal, Target};

/// Filters listings for one caller.
#[derive(Debug)]
pub(super) struct Listing {
    target: Arc<Target>,
    access: Arc<AccessToken>,
}

impl Listing {
    /// For the caller that showed `access` at `target`.
    pub(super) const fn new(target: Arc<Target>, access: Arc<AccessToken>) -> Self {
        Self { target, access }
    }

    /// Filters the answer to `tools/list`. Dropped half-way, nothing was sent.
    ///
    /// # Errors
    /// [`Refusal::PeerAnswer`] for an answer that is too long, encoded, or neither JSON nor an event stream.
    pub(super) async fn answer(&self, response: Response<Leased>) -> Result<Response<Body>, Refusal> {
        let (mut parts, body) = response.into_parts();
        let kind = kind(parts.headers.get(header::CONTENT_TYPE));
        if body.is_end_stream() || (kind == Content::Other && !parts.status.is_success()) {
            return Ok(Response::from_parts(parts, Body::of(body)));
        }
        if parts.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(Refusal::PeerAnswer);
        }
        let filtered = match kind {
            Content::Json => self.json(body).await?,
            Content::Events => self.events(body).await?,
            Content::Other => return Err(Refusal::PeerAnswer),
        };
        parts.headers.remove(header::CONTENT_LENGTH);
        Ok(Response::from_parts(parts, Body::full(filtered)))
    }

    /// Filters a stream that the client listens to: a server may repeat an earlier answer there (`Last-Event-ID`).
    ///
    /// # Errors
    /// [`Refusal::PeerAnswer`] for an encoded stream.
    pub(super) fn stream(self, response: Response<Leased>) -> Result<Response<Body>, Refusal> {
        let (mut parts, body) = response.into_parts();
        if kind(parts.headers.get(header::CONTENT_TYPE)) != Content::Events {
            return Ok(Response::from_parts(parts, Body::of(body)));
        }
        if parts.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(Refusal::PeerAnswer);
        }
        parts.headers.remove(header::CONTENT_LENGTH);
        let filtered = FilteredEvents { body, events: Events::default(), listing: self };
        Ok(Response::from_parts(parts, Body::of(filtered)))
    }

    async fn json(&self, body: Leased) -> Result<Bytes, Refusal> {
        let collected = Limited::new(body, HELD_MAX).collect().await.map_err(|_too_long| Refusal::PeerAnswer)?;
        let mut answer = serde_json::from_slice(&collected.to_bytes()).map_err(|_no_json| Refusal::PeerAnswer)?;
        self.filter(&mut answer);
        Ok(Bytes::from(answer.to_string()))
    }

    /// Reads up to the event that answers, so that a server which keeps the stream open is not waited for.
    async fn events(&self, mut body: Leased) -> Result<Bytes, Refusal> {
        let mut events = Events::default();
        let mut out = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(bytes) = frame.map_err(|_broken| Refusal::PeerAnswer)?.into_data() else { continue };
            for event in events.push(&bytes).map_err(|_too_long| Refusal::PeerAnswer)? {
                let (event, answers) = self.event(event).map_err(|_unreadable| Refusal::PeerAnswer)?;
                out.extend_from_slice(&event);
                if out.len() > HELD_MAX {
                    return Err(Refusal::PeerAnswer);
                }
                if answers {
                    return Ok(out.into());
                }
            }
        }
        Ok(out.into())
    }

    /// The event with its listing filtered, and whether it answers a request. What looks like a message and cannot be
    /// read does not pass: a client with another parser may find a listing in it.
    fn event(&self, event: Bytes) -> Result<(Bytes, bool), Unreadable> {
        let Some(data) = events::data(&event) else { return Ok((event, false)) };
        let Ok(mut message) = serde_json::from_str::<Value>(&data) else {
            let like_a_message = data.trim_start().starts_with(['{', '[']);
            return if like_a_message { Err(Unreadable) } else { Ok((event, false)) };
        };
        let answers = message.get("method").is_none() && message.get("id").is_some();
        let event = if self.filter(&mut message) { events::with_data(&event, &message.to_string()) } else { event };
        Ok((event, answers))
    }

    /// Takes out of `result.tools` what the caller may not ask for; says whether there was such a list.
    fn filter(&self, message: &mut Value) -> bool {
        if let Some(batch) = message.as_array_mut() {
            // Every message, not only up to the first with a list.
            let mut found = false;
            for message in batch {
                found |= self.filter(message);
            }
            return found;
        }
        let Some(tools) = message.pointer_mut("/result/tools").and_then(Value::as_array_mut) else { return false };
        tools.retain(|tool| tool.get("name").and_then(Value::as_str).is_some_and(|name| self.offers(name)));
        true
    }

    fn offers(&self, tool: &str) -> bool {
        let (held, may_ask) = (self.access.scopes(), self.access.may_ask());
        let needs = self.target.scope_of_operation(McpOperation::Tool(tool));
        needs.is_some_and(|needs| needs.iter().all(|scope| held.holds(scope) || may_ask.holds(scope)))
    }
}

/// An event holds a message that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event holds a message that cannot be read")]
struct Unreadable;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Json,
    Events,
    Other,
}

fn kind(content_type: Option<&http::HeaderValue>) -> Content {
    let text = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Content::Json,
        "text/event-stream" => Content::Events,
        _other => Content::Other,
    }
}

/// An event stream whose listings are filtered as they pass.
struct FilteredEvents {
    body: Leased,
    events: Events,
    listing: Listing,
}

impl HttpBody for FilteredEvents {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            let frame = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                // An event without its blank line is no event (WHATWG HTML §9.2.6): it ends here.
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(frame)) => frame?,
            };
            let bytes = match frame.into_data() {
                Ok(bytes) => bytes,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            };
            let complete = self.events.push(&bytes)?;
            if !complete.is_empty() {
                let mut filtered = Vec::new();
                for event in complete {
                    filtered.extend_from_slice(&self.listing.event(event)?.0);
                }
                return Poll::Ready(Some(Ok(Frame::data(filtered.into()))));
            }
        }
    }
}

#[cfg(test)]
mod tests;
