//! The five calls of the Workload API (SPIFFE_Workload_API.md), with the codes and words that SPIRE was seen to answer
//! (`peers.md` §2.1). Order: security header, parameters, attestation, and only then anything that is worth having.

use std::{collections::HashMap, sync::Arc, time::Duration};

use identity::{RawToken, SpiffeId, SvidRule, UnixTime, verify};
use prost_types::{ListValue, Struct, Value, value::Kind};
use runtime::{clock, shutdown::Shutdown};
use tokio::time;
use tonic::{Request, Response, Status};

use super::{
    book::{Book, BookFault},
    process::Process,
    proto::{
        JwtBundlesRequest, JwtBundlesResponse, Jwtsvid, JwtsvidRequest, JwtsvidResponse, ValidateJwtsvidRequest,
        ValidateJwtsvidResponse, X509BundlesRequest, X509BundlesResponse, X509svid, X509svidRequest, X509svidResponse,
        spiffe_workload_api_server::SpiffeWorkloadApi,
    },
    socket::Caller,
    streams::{Follower, Read, States},
    wire::Identity,
};

/// How long a call waits for the registration of its process: a child may call before its parent registered it.
const REGISTRATION_WAIT: Duration = Duration::from_secs(1);
/// Most audiences of one JWT-SVID.
const AUDIENCES_MAX: usize = 16;

/// The service.
#[derive(Debug)]
pub(super) struct WorkloadApi {
    book: Arc<Book>,
    shutdown: Shutdown,
}

impl WorkloadApi {
    pub(super) const fn new(book: Arc<Book>, shutdown: Shutdown) -> Self {
        Self { book, shutdown }
    }

    /// The calling process and its identities, after at most [`REGISTRATION_WAIT`].
    async fn attest(&self, caller: Option<Arc<Process>>) -> Result<(Arc<Process>, Vec<Identity>), Status> {
        let caller = caller.ok_or_else(no_identity)?;
        let mut revision = self.book.revision();
        let registered = async {
            loop {
                match self.book.identities(&caller) {
                    Ok(identities) => return Ok(identities),
                    Err(BookFault::NoIdentity) => {}
                    Err(fault) => return Err(status(&fault)),
                }
                revision.changed().await.map_err(|_closed| Status::unavailable("the server is stopping"))?;
            }
        };
        let identities = time::timeout(REGISTRATION_WAIT, registered).await.map_err(|_elapsed| no_identity())??;
        Ok((caller, identities))
    }

    async fn follow<R, T>(&self, request: Request<R>, read: Read<T>) -> Result<Response<States<T>>, Status>
    where
        T: Clone + PartialEq + Send + Sync + 'static,
    {
        let (caller, _identities) = self.attest(caller(&request)?).await?;
        let follower = Follower { book: Arc::clone(&self.book), caller, shutdown: self.shutdown.clone(), read };
        Ok(Response::new(follower.states()))
    }
}

#[tonic::async_trait]
impl SpiffeWorkloadApi for WorkloadApi {
    type FetchX509SVIDStream = States<X509svidResponse>;
    type FetchX509BundlesStream = States<X509BundlesResponse>;
    type FetchJWTBundlesStream = States<JwtBundlesResponse>;

    async fn fetch_x509svid(
        &self,
        request: Request<X509svidRequest>,
    ) -> Result<Response<Self::FetchX509SVIDStream>, Status> {
        self.follow(request, x509_svids).await
    }

    async fn fetch_x509_bundles(
        &self,
        request: Request<X509BundlesRequest>,
    ) -> Result<Response<Self::FetchX509BundlesStream>, Status> {
        self.follow(request, x509_bundles).await
    }

    async fn fetch_jwt_bundles(
        &self,
        request: Request<JwtBundlesRequest>,
    ) -> Result<Response<Self::FetchJWTBundlesStream>, Status> {
        self.follow(request, jwt_bundles).await
    }

    async fn fetch_jwtsvid(&self, request: Request<JwtsvidRequest>) -> Result<Response<JwtsvidResponse>, Status> {
        let caller = caller(&request)?;
        let JwtsvidRequest { audience, spiffe_id } = request.into_inner();
        if audience.is_empty() || audience.iter().any(String::is_empty) {
            return Err(Status::invalid_argument("audience must be specified"));
        }
        if audience.len() > AUDIENCES_MAX {
            return Err(Status::invalid_argument("too many audiences"));
        }
        let asked = match spiffe_id.as_str() {
            "" => None,
            id => Some(
                SpiffeId::new(id)
                    .map_err(|fault| Status::invalid_argument(format!("invalid requested SPIFFE ID: {fault}")))?,
            ),
        };
        let (_caller, mut identities) = self.attest(caller).await?;
        identities.retain(|identity| asked.as_ref().is_none_or(|asked| *asked == identity.spiffe_id));
        if identities.is_empty() {
            return Err(no_identity());
        }
        let now = clock::now();
        let sign = |identity: Identity| {
            let svid = self.book.jwt(&identity.spiffe_id, &audience, now).map_err(|fault| status(&fault))?;
            Ok(Jwtsvid { spiffe_id: identity.spiffe_id.to_string(), svid, hint: identity.hint })
        };
        let svids = identities.into_iter().map(sign).collect::<Result<_, Status>>()?;
        Ok(Response::new(JwtsvidResponse { svids }))
    }

    async fn validate_jwtsvid(
        &self,
        request: Request<ValidateJwtsvidRequest>,
    ) -> Result<Response<ValidateJwtsvidResponse>, Status> {
        let caller = caller(&request)?;
        let ValidateJwtsvidRequest { audience, svid } = request.into_inner();
        if audience.is_empty() {
            return Err(Status::invalid_argument("audience must be specified"));
        }
        if svid.is_empty() {
            return Err(Status::invalid_argument("svid must be specified"));
        }
        self.attest(caller).await?;
        let answer = validate(&self.book, &audience, svid, clock::now());
        answer.map(Response::new).map_err(|fault| Status::invalid_argument(fault.to_string()))
    }
}

/// The calling process, if the security header is there (SPIFFE Workload Endpoint §3: it keeps out requests that a
/// fooled HTTP client makes).
fn caller<R>(request: &Request<R>) -> Result<Option<Arc<Process>>, Status> {
    if request.metadata().get("workload.spiffe.io").is_none_or(|value| value != "true") {
        return Err(Status::invalid_argument("security header missing from request"));
    }
    Ok(request.extensions().get::<Caller>().and_then(|caller| caller.0.clone()))
}

fn x509_svids(book: &Book, caller: &Process) -> Result<X509svidResponse, Status> {
    let (held, bundle) = book.x509(caller, clock::now()).map_err(|fault| status(&fault))?;
    let svids = held.into_iter().map(|held| X509svid {
        spiffe_id: held.identity.spiffe_id.to_string(),
        x509_svid: held.svid.certificate.clone(),
        x509_svid_key: held.svid.private_key.clone(),
        bundle: bundle.clone(),
        hint: held.identity.hint,
    });
    Ok(X509svidResponse { svids: svids.collect(), crl: Vec::new(), federated_bundles: HashMap::new() })
}

fn x509_bundles(book: &Book, caller: &Process) -> Result<X509BundlesResponse, Status> {
    book.identities(caller).map_err(|fault| status(&fault))?;
    let bundles = HashMap::from([(book.trust_domain().id_string(), book.x509_bundle())]);
    Ok(X509BundlesResponse { crl: Vec::new(), bundles })
}

fn jwt_bundles(book: &Book, caller: &Process) -> Result<JwtBundlesResponse, Status> {
    book.identities(caller).map_err(|fault| status(&fault))?;
    let own = (book.trust_domain().id_string(), book.jwt_bundle());
    Ok(JwtBundlesResponse { bundles: std::iter::once(own).chain(book.federated_bundle()).collect() })
}

fn validate(
    book: &Book,
    audience: &str,
    svid: String,
    now: UnixTime,
) -> Result<ValidateJwtsvidResponse, identity::TokenFault> {
    let raw = RawToken::parse(svid)?;
    let rule = SvidRule { audience, trust_domain: book.trust_domain() };
    let proof = verify(&raw, &book.jwt_keys(), &rule, now)?;
    let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let list = ListValue { values: vec![text(audience)] };
    // Only what was verified is said; a JWT-SVID of this server holds nothing else but `iat`.
    let claims = [
        ("sub", text(&proof.id().to_string())),
        ("aud", Value { kind: Some(Kind::ListValue(list)) }),
        ("exp", Value { kind: Some(Kind::NumberValue(seconds(proof.lifetime().not_after()))) }),
    ];
    let fields = claims.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Ok(ValidateJwtsvidResponse { spiffe_id: proof.id().to_string(), claims: Some(Struct { fields }) })
}

/// Seconds as protobuf's only kind of number. Times up to the year 9999 fit 38 bits, so nothing is lost.
fn seconds(time: UnixTime) -> f64 {
    let (high, low) = (time.secs() >> 32, time.secs() & u64::from(u32::MAX));
    let exact = |half: u64| u32::try_from(half).map_or(0.0, f64::from);
    exact(high).mul_add(4_294_967_296.0, exact(low))
}

fn status(fault: &BookFault) -> Status {
    match fault {
        BookFault::NoIdentity => no_identity(),
        BookFault::NoProcess(..)
        | BookFault::NotRegistered(_)
        | BookFault::Foreign(_)
        | BookFault::NoOtherDomain(_)
        | BookFault::Identities
        | BookFault::Full
        | BookFault::Authority(_) => Status::unavailable(fault.to_string()),
    }
}

fn no_identity() -> Status {
    Status::permission_denied("no identity issued")
}
