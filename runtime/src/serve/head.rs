//! What hyper does not bound of a request: the length of its line, the number of its headers over HTTP/2, and how often a
//! peer takes requests back before they are answered. It looks at sizes and never at what a request says.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::{Either, ready};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::{Either as EitherBody, Empty};
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    service::{Service, service_fn},
};
use tokio::{sync::Notify, time::Instant};

use super::{HEADER_SECTION_MAX, HEADERS_MAX, REQUEST_LINE_MAX, RESETS_MAX};

/// In which time [`RESETS_MAX`] are too many.
const RESETS_WITHIN: Duration = Duration::from_secs(10);
/// What stands in a request line beside method and target: two spaces, and the version.
const REST_OF_LINE: usize = "  HTTP/1.1".len();
/// What stands in a field line beside name and value.
const REST_OF_FIELD: usize = ": \r\n".len();
/// The ends of the request line and of the section.
const ENDS_OF_SECTION: usize = "\r\n\r\n".len();

/// What the service answers, or nothing but a status.
pub(super) type Answer<B> = Response<EitherBody<Awaited<B>, Empty<<B as Body>::Data>>>;

/// The requests of one connection that its peer took back. Clones count together.
#[derive(Clone, Debug, Default)]
pub(super) struct Withdrawn(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    /// When the last ones were, at most as many as are too many.
    when: Mutex<VecDeque<Instant>>,
    too_many: Notify,
}

/// A request of which nothing was answered yet; `None` once it was.
struct Unanswered(Option<Withdrawn>);

/// A body that tells when it is asked for: an answer that nobody waits for is dropped instead, whoever noticed first.
pub(super) struct Awaited<B> {
    body: Pin<Box<B>>,
    unanswered: Unanswered,
}

impl Withdrawn {
    /// Returns once there were too many in too short a time.
    pub(super) async fn too_many(&self) {
        self.0.too_many.notified().await;
    }

    fn count(&self, now: Instant) {
        let mut when = self.0.when.lock().unwrap_or_else(PoisonError::into_inner);
        while when.front().is_some_and(|first| now.saturating_duration_since(*first) >= RESETS_WITHIN) {
            when.pop_front();
        }
        when.push_back(now);
        if when.len() >= RESETS_MAX {
            when.clear();
            self.0.too_many.notify_one();
        }
    }
}

impl Unanswered {
    /// Counts only where `request` can be taken back, and its answer has a body to wait for.
    fn of<B>(request: &Request<B>, withdrawn: &Withdrawn) -> Self {
        let counts = request.version() == Version::HTTP_2 && request.method() != Method::HEAD;
        Self(counts.then(|| withdrawn.clone()))
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(withdrawn) = self.0.take() {
            withdrawn.count(Instant::now());
        }
    }
}

impl<B: Body> Awaited<B> {
    fn new(body: B, mut unanswered: Unanswered) -> Self {
        if body.is_end_stream() {
            unanswered.0 = None;
        }
        Self { body: Box::pin(body), unanswered }
    }
}

impl<B: Body> Body for Awaited<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.unanswered.0 = None;
        self.body.as_mut().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// `service` for requests within the limits; others are answered 414 or 431 without it.
pub(super) fn guarded<S, B>(
    service: S,
    withdrawn: Withdrawn,
) -> impl Service<Request<Incoming>, Response = Answer<B>, Error = Infallible, Future: Send + 'static> + Send + 'static
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    service_fn(move |request| match beyond(&request) {
        Some(status) => Either::Left(ready(Ok(refused(status)))),
        None => {
            let unanswered = Unanswered::of(&request, &withdrawn);
            let answering = service.call(request);
            Either::Right(async move {
                let answered = answering.await;
                answered.map(|answer| answer.map(|body| EitherBody::Left(Awaited::new(body, unanswered))))
            })
        }
    })
}

fn refused<B, D: bytes::Buf>(status: StatusCode) -> Response<EitherBody<B, Empty<D>>> {
    let mut answer = Response::new(EitherBody::Right(Empty::new()));
    *answer.status_mut() = status;
    answer
}

/// The status for a head beyond the limits.
fn beyond<B>(request: &Request<B>) -> Option<StatusCode> {
    let target = request.uri();
    let parts = [
        request.method().as_str(),
        target.scheme_str().unwrap_or_default(),
        target.authority().map_or("", |authority| authority.as_str()),
        target.path_and_query().map_or("", |path| path.as_str()),
    ];
    let line = parts.iter().fold(REST_OF_LINE, |length, part| length.saturating_add(part.len()));
    if line > REQUEST_LINE_MAX {
        return Some(StatusCode::URI_TOO_LONG);
    }
    let headers = request.headers();
    let field = |length: usize, (name, value): (&HeaderName, &HeaderValue)| {
        let both = name.as_str().len().saturating_add(value.len());
        length.saturating_add(both).saturating_add(REST_OF_FIELD)
    };
    // hyper's buffer may take more than its limit, if it comes at once.
    let section = headers.iter().fold(line.saturating_add(ENDS_OF_SECTION), field);
    let is_long = u32::try_from(section).map_or(true, |section| section > HEADER_SECTION_MAX);
    (is_long || headers.len() > HEADERS_MAX).then_some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_and_a_number_of_headers_are_bounded_to_the_byte() {
        let line = |length: usize| {
            let path = "x".repeat(length.saturating_sub("GET / HTTP/1.1".len()));
            beyond(&Request::get(format!("/{path}")).body(()).unwrap())
        };
        assert_eq!((line(REQUEST_LINE_MAX), line(REQUEST_LINE_MAX + 1)), (None, Some(StatusCode::URI_TOO_LONG)));
        let headers = |count: usize| {
            let request =
                (0..count).fold(Request::get("/"), |request, number| request.header(format!("h{number}"), "x"));
            beyond(&request.body(()).unwrap())
        };
        let too_large = Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        assert_eq!((headers(HEADERS_MAX), headers(HEADERS_MAX + 1)), (None, too_large));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_requests_that_are_taken_back_in_ten_seconds_are_too_many() {
        let withdrawn = Withdrawn::default();
        let is_too_much = async |withdrawn: &Withdrawn| {
            tokio::time::timeout(Duration::from_millis(1), withdrawn.too_many()).await.is_ok()
        };
        for _request in 1..RESETS_MAX {
            drop(Unanswered(Some(withdrawn.clone())));
        }
        assert!(!is_too_much(&withdrawn).await, "one less");
        tokio::time::advance(RESETS_WITHIN).await;
        drop(Unanswered(Some(withdrawn.clone())));
        assert!(!is_too_much(&withdrawn).await, "the others are long ago");
        for _request in 1..RESETS_MAX {
            drop(Unanswered(Some(withdrawn.clone())));
        }
        assert!(is_too_much(&withdrawn).await);
        assert!(withdrawn.0.when.lock().unwrap().is_empty());
    }
}
