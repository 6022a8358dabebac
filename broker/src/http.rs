//! The broker over HTTP: `/token` and the watch stream for workloads that proved who they are, keys and metadata for
//! everybody. It turns bytes into a request and an outcome into bytes; what is allowed is decided elsewhere.

mod answer;
mod form;
mod published;
mod token;

use std::{convert::Infallible, sync::Arc};

use axum::{Router, body::Body, routing};
use http::{Request, Response};
use hyper::{body::Incoming, service::Service};
use hyper_util::service::TowerToHyperService;
use runtime::mtls::Peer;
use tower::{ServiceExt as _, service_fn};

pub(crate) use self::form::Form;
use self::{published::Published, token::TokenDoor};
use crate::{
    names::{JWKS_PATH, METADATA_PATH, TOKEN_PATH},
    parties::Parties,
};

/// What everybody may read.
pub(crate) fn public(parties: &Parties) -> Router {
    Published::new(&parties.issuer).router()
}

/// What a workload may ask: `/token`, the watch stream, and what everybody may read.
pub(crate) fn inside(parties: Arc<Parties>, watch: Router) -> Router {
    let public = public(&parties);
    let token = Router::new().route(TOKEN_PATH, routing::any(token::exchange)).with_state(TokenDoor::new(parties));
    public.merge(token).merge(watch)
}

/// A connection's service where nobody has proved who he is.
pub(crate) fn anonymous(
    router: Router,
) -> impl Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send> + Send {
    TowerToHyperService::new(router.map_request(|request: Request<Incoming>| request.map(Body::new)))
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
