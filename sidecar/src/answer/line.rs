//! One line in the log for each call that comes in or leaves: who, for whom, what, and the decision. Names come from
//! certificates, verified tokens and the registry; there is no path, query, header, body, token, handle or trace in it.

use http::StatusCode;

use super::About;

/// The decision about a call that was let through, whatever its answer.
pub(super) const ALLOWED: &str = "allowed";
/// The end of a call whose caller did not wait for the decision or for its answer.
pub(super) const ABORTED: &str = "aborted";

/// Writes the line; `answer` is status and request id. Nothing is formatted where the target `calls` is not logged.
/// `called`, because a line's `target` is `calls`.
pub(super) fn write(about: &About, decision: &str, answer: Option<(StatusCode, &str)>) {
    let actors =
        || about.actors.as_ref().map(|chain| chain.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    tracing::info!(
        target: "calls",
        door = about.door.name(),
        direction = about.door.direction(),
        who = about.peer.as_ref().map(tracing::field::display),
        actors = actors(),
        subject = about.subject.as_ref().map(tracing::field::display),
        called = about.target.as_deref(),
        operation = about.operation.as_deref(),
        scope = about.scope.as_ref().map(tracing::field::display),
        decision,
        status = answer.map(|(status, _)| status.as_u16()),
        request_id = answer.map(|(_, id)| id),
        transaction = about.transaction.as_ref().map(tracing::field::display),
        found_by = about.way.map(super::Way::name),
        "call"
    );
}
