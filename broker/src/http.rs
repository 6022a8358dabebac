//! The broker over HTTP: what workloads that proved who they are may ask, and keys, metadata and the receiver of logouts
//! for everybody. It turns bytes into a request and an outcome into bytes; what is allowed is decided elsewhere.

mod answer;
mod assertion;
mod form;
mod inside;
mod introspect;
mod keys;
mod logout;
mod own_use;
mod posted;
mod published;
mod read;
mod revoke;
mod token;
mod turns;

use std::{convert::Infallible, sync::Arc};

use axum::{Router, body::Body, routing};
use http::{Request, Response};
use hyper::{body::Incoming, service::Service};
use hyper_util::service::TowerToHyperService;
use runtime::{mtls::Peer, telemetry::Telemetry};
use tower::{ServiceExt as _, service_fn};

use self::{assertion::AssertionDoor, logout::LogoutDoor, published::Published, turns::Turns};
pub(crate) use self::{form::Form, inside::InsideDoor, keys::keys};
use crate::{
    names::{
        ADMINISTER_PATH, INTROSPECT_PATH, JWKS_PATH, LOGOUT_PATH, METADATA_PATH, REVOKE_PATH, TOKEN_PATH, USE_PATH,
    },
    parties::Parties,
};

/// What everybody may read, and where an authority says who signed out. Served with [`anonymous`].
pub(crate) fn everybody(parties: &Arc<Parties>, assertions: Option<&str>, telemetry: &Telemetry) -> Router {
    let door = LogoutDoor::new(Arc::clone(parties), telemetry);
    let logout = Router::new().route(LOGOUT_PATH, routing::any(logout::receive)).with_state(door);
    published(parties, assertions).merge(logout)
}

/// What a workload may ask: `/token`, `/use`, `/revoke`, `/administer`, `/introspect`, the watch stream, and what everybody may read.
pub(crate) fn inside(door: &InsideDoor, assertions: Option<&str>, watch: Router) -> Router {
    let published = published(door.parties(), assertions);
    let asked = Router::new().route(TOKEN_PATH, routing::any(token::exchange));
    let asked = asked.route(USE_PATH, routing::any(own_use::ask));
    let asked =
        asked.route(REVOKE_PATH, routing::any(revoke::token)).route(ADMINISTER_PATH, routing::any(revoke::administer));
    let asked = asked.route(INTROSPECT_PATH, routing::any(introspect::token)).with_state(door.clone());
    published.merge(asked).merge(watch)
}

/// `/token` for clients who have no certificate. Served with [`anonymous`].
pub(crate) fn assertions(door: &InsideDoor, telemetry: &Telemetry) -> Router {
    let door = AssertionDoor::new(door.clone(), telemetry);
    Router::new().route(TOKEN_PATH, routing::any(assertion::exchange)).with_state(door)
}

fn published(parties: &Parties, assertions: Option<&str>) -> Router {
    Published::new(&parties.issuer, assertions).router()
}

/// A connection's service where nobody has proved who he is.
pub(crate) fn anonymous(
    router: Router,
) -> impl Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send> + Send {
    let turns = Turns::default();
    TowerToHyperService::new(router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(turns.clone());
        request.map(Body::new)
    }))
}

/// One connection's service: every request on it carries the connection's peer, whatever it says itself.
pub(crate) fn with_peer(
    router: Router,
    peer: Arc<Peer>,
) -> impl Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send> + Send {
    TowerToHyperService::new(service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Arc::clone(&peer));
        router.clone().oneshot(request.map(Body::new))
    }))
}
