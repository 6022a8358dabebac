//! `/introspect` (RFC 7662): what a token is, to whom it concerns. Whoever else asks learns that it is not active.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    response::Response,
};
use identity::Kind;
use runtime::mtls::Peer;

use super::{
    answer,
    inside::InsideDoor,
    posted::{Asked, ask},
};
use crate::introspection;

/// Answers 200 with the members of RFC 7662 §2.2, or with `active` alone, which is false.
pub(super) async fn token(
    State(door): State<InsideDoor>,
    Extension(peer): Extension<Arc<Peer>>,
    request: Request,
) -> Response {
    let decide = async |asked: Asked<'_>| {
        let Asked { parties, client, form, record, now } = asked;
        let Some(raw) = super::posted::token(form)? else { return Ok(answer::introspected(None)) };
        let members = introspection::look(parties, client.id(), &raw, record, now).await?;
        Ok(answer::introspected(members))
    };
    ask(&door, &peer, request, Kind::Introspect, decide).await
}
