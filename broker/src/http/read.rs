//! A posted form, read within bounds: head first, then a body of a length that the door allows, in a time that a form
//! needs. Nothing else is a request here.

use std::time::Duration;

use axum::{body::Body, extract::Request};
use http::{Method, header, request::Parts};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use identity::Refusal;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::form::Form;

/// Longest wait for a body; a form comes in one piece.
const BODY_TIME_MAX: Duration = Duration::from_secs(5);
/// How much of a refused body is read to no purpose, and how long.
const DISCARD_LENGTH_MAX: usize = 256 * 1024;
const DISCARD_TIME_MAX: Duration = Duration::from_secs(1);
const FORM: &str = "application/x-www-form-urlencoded";

/// A posted form whose head was right, and is let go of; the body is still to be read.
#[derive(Debug)]
pub(super) struct Posted {
    body: Body,
    length_max: usize,
}

/// The form of `request`, whose body has at most `length_max` bytes.
///
/// # Errors
/// `request.*`.
pub(super) async fn form(request: Request, length_max: usize) -> Result<Form, Refusal> {
    Posted::head(request, length_max).await?.form().await
}

impl Posted {
    /// Looks at the head of `request`, whose body may have at most `length_max` bytes.
    ///
    /// # Errors
    /// `request.*`.
    pub(super) async fn head(request: Request, length_max: usize) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        match check_head(&parts, length_max) {
            Ok(()) => Ok(Self { body, length_max }),
            Err(refusal) => {
                discard(body).await;
                Err(refusal)
            }
        }
    }

    /// The form in the body.
    ///
    /// # Errors
    /// `request.*`.
    pub(super) async fn form(mut self) -> Result<Form, Refusal> {
        let bytes = collect(&mut self.body, self.length_max).await;
        if bytes.is_err() {
            discard(self.body).await;
        }
        Form::parse(&bytes?)
    }
}

async fn collect(body: &mut Body, length_max: usize) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let collected = timeout(BODY_TIME_MAX, Limited::new(body, length_max).collect()).await;
    let collected = collected.map_err(|_elapsed| Refusal::RequestMalformed)?.map_err(|fault| too_long(&*fault))?;
    Ok(Zeroizing::new(collected.to_bytes().to_vec()))
}

/// Reads on for a moment after a refusal, and keeps nothing: a requester that is still writing when the connection closes
/// would see a reset instead of the answer.
async fn discard(body: Body) {
    let mut rest = Limited::new(body, DISCARD_LENGTH_MAX);
    let end = timeout(DISCARD_TIME_MAX, async {
        loop {
            match rest.frame().await {
                Some(Ok(_unwanted)) => {}
                Some(Err(_broken_or_long)) => return false,
                None => return true,
            }
        }
    });
    if !matches!(end.await, Ok(true)) {
        tracing::debug!("a refused request went on for too long");
    }
}

fn check_head(parts: &Parts, length_max: usize) -> Result<(), Refusal> {
    if parts.method != Method::POST {
        return Err(Refusal::RequestMethod);
    }
    let media_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(FORM) {
        return Err(Refusal::RequestMediaType);
    }
    let declared = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: usize| length > length_max) {
        return Err(Refusal::RequestTooLarge);
    }
    Ok(())
}

fn too_long(fault: &(dyn std::error::Error + Send + Sync + 'static)) -> Refusal {
    if fault.is::<LengthLimitError>() { Refusal::RequestTooLarge } else { Refusal::RequestMalformed }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH_MAX: usize = 1000;

    fn post(media_type: &str, body: impl Into<Body>) -> Request {
        let request = http::Request::post("/token?grant_type=ignored").header(header::CONTENT_TYPE, media_type);
        request.body(body.into()).expect("a request")
    }

    async fn read(request: Request) -> Result<Form, Refusal> {
        form(request, LENGTH_MAX).await
    }

    #[tokio::test]
    async fn only_a_posted_form_is_read() {
        let get = http::Request::get("/token").body(Body::empty()).expect("a request");
        assert_eq!(read(get).await.err(), Some(Refusal::RequestMethod));
        for media_type in ["application/json", "", "text/plain; x=application/x-www-form-urlencoded"] {
            assert_eq!(read(post(media_type, "{}")).await.err(), Some(Refusal::RequestMediaType), "{media_type}");
        }
        let form = read(post("Application/X-WWW-Form-urlencoded; charset=UTF-8", "a=b")).await.expect("a form");
        assert_eq!((form.value("a"), form.value("grant_type")), (Some("b"), None));
    }

    #[tokio::test]
    async fn one_byte_more_than_the_limit_is_refused() {
        let body = |length: usize| format!("a={}", "x".repeat(length - 2));
        assert!(read(post(FORM, body(LENGTH_MAX))).await.is_ok());
        assert_eq!(read(post(FORM, body(LENGTH_MAX + 1))).await.err(), Some(Refusal::RequestTooLarge));
        let unannounced = Body::from_stream(futures_util::stream::iter(vec![
            Ok::<_, std::io::Error>(body(LENGTH_MAX)),
            Ok("x".to_owned()),
        ]));
        assert_eq!(read(post(FORM, unannounced)).await.err(), Some(Refusal::RequestTooLarge));
    }
}
