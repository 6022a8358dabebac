//! The mesh door: `authenticate → mcp → authorize → forward`, in this order, so that no body is read for a stranger and
//! nothing reaches the app without a permit.

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;

use super::{
    Inbound,
    authenticate::{self, Sides},
    authority, authorize,
    forward::{self, Asked},
    metadata, session,
};
use crate::{answer::About, body::Body, perimeter, strip};
use identity::Refusal;
use runtime::{clock, mtls::Peer};

pub(super) async fn serve(
    door: &Inbound,
    peer: &Peer,
    request: Request<Incoming>,
    about: &mut About,
) -> Result<Response<Body>, Refusal> {
    let (mut parts, body) = request.into_parts();
    let shown = strip::request(&mut parts)?;
    let authority = authority(&parts)?;
    let snapshot = door.snapshots.current()?;
    if let Some(answer) = metadata::of_target(&parts, &authority, &snapshot) {
        return Ok(answer);
    }
    let target = snapshot.serves.by_authority(&authority, parts.uri.path()).ok_or(Refusal::CallUnmapped)?;
    about.target = Some(target.name().to_owned());
    about.metadata = metadata::url_of_target(target);
    let now = clock::now();
    let identity = door.workload.identity(now).map_err(|_fault| Refusal::FaultIdentity)?;
    let sides = Sides { peer: peer.id(), own: identity.id(), now };
    let trace = shown.trace;
    let verified = authenticate::call(shown, target, &snapshot, sides)?;
    about.transaction = Some(verified.access.transaction().clone());
    about.subject = Some(verified.access.subject().clone());
    about.actors = Some(verified.access.chain().clone());
    let call = perimeter::read(target, &parts, body, &door.room, about).await?;
    session::check(&door.sessions, target.name(), &parts.headers, call.kind, &verified.access).await?;
    about.scope = Some(call.needs.clone());
    let permit = authorize::call(verified, Arc::clone(target), &call.needs, call.kind)?;
    let asked = Asked { parts, payload: call.payload, authority: &authority, trace, traceparent: call.traceparent };
    forward::forward(door, permit, asked).await
}
