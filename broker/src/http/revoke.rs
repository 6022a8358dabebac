//! `/revoke` (RFC 7009) ends a token that is shown, `/administer` what an operator names. Both are done and on record when
//! they are answered.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    response::Response,
};
use identity::{Kind, Refusal};
use runtime::mtls::Peer;

use super::{
    answer,
    inside::InsideDoor,
    posted::{Asked, ask},
};
use crate::administer::{self, Done};

/// Answers 200 with nothing once the token counts no more, also where it never did (RFC 7009 §2.2).
pub(super) async fn token(
    State(door): State<InsideDoor>,
    Extension(peer): Extension<Arc<Peer>>,
    request: Request,
) -> Response {
    let decide = async |asked: Asked<'_>| {
        let Asked { parties, client, form, record, now } = asked;
        let Some(raw) = super::posted::token(form)? else { return Ok(answer::done()) };
        administer::revoke_token(parties, client.id(), &raw, record, now).await.map(|_done| answer::done())
    };
    ask(&door, &peer, request, Kind::Revoke, decide).await
}

/// Answers 200 with what ended.
pub(super) async fn administer(
    State(door): State<InsideDoor>,
    Extension(peer): Extension<Arc<Peer>>,
    request: Request,
) -> Response {
    let decide = async |asked: Asked<'_>| {
        let Asked { parties, client, form, record, now } = asked;
        let Done { what, transactions } = administer::revoke(parties, client.id(), form, record, now).await?;
        Ok::<_, Refusal>(answer::ended(transactions.map(|_done| what.name()), transactions.unwrap_or_default()))
    };
    ask(&door, &peer, request, Kind::Revoke, decide).await
}
