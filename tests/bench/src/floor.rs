//! The floor: what a call of the broker cannot do without. The same TLS library, HTTP library, cryptography and token
//! sizes; no policy, no record, no store, no limits, no log. `/verified` proves the token's signature with a key that was
//! parsed once and signs another one; `/signed` only signs. It is written to be hard to beat, never to be secure.

use std::{
    fs,
    io::{Write as _, stdout},
    path::Path,
    sync::Arc,
};

use anyhow::{Context as _, bail};
use aws_lc_rs::{
    rand::{self, SystemRandom},
    signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, ParsedPublicKey},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use runtime::{clock, mtls::Acceptor, process::Process, ready_file::ReadyFile, workload::Workload};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::TcpListener;

/// Proves the token, then signs.
pub(crate) const VERIFIED: &str = "/verified";
/// Only signs.
pub(crate) const SIGNED: &str = "/signed";

const COORDINATE_LENGTH: usize = 32;

struct Floor {
    key: ParsedPublicKey,
    pair: EcdsaKeyPair,
    /// Encoded, as it is the same in each token.
    header: String,
    random: SystemRandom,
}

/// What is read of a token.
#[derive(Deserialize)]
struct Shown<'a> {
    iss: &'a str,
    sub: &'a str,
    txn: &'a str,
    exp: u64,
    req_wl: &'a str,
}

/// An access token, as the broker's.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    iat: u64,
    txn: &'a str,
    sub: &'a str,
    act: Actor<'a>,
    aud: &'a str,
    exp: u64,
    jti: &'a str,
    client_id: &'a str,
    scope: &'a str,
}

#[derive(Serialize)]
struct Actor<'a> {
    sub: &'a str,
}

/// An answer, as the broker's.
#[derive(Serialize)]
struct Issued<'a> {
    access_token: &'a str,
    issued_token_type: &'static str,
    token_type: &'static str,
    expires_in: u64,
    scope: &'a str,
}

/// Serves until it is killed. The first line on standard output is its address.
pub(crate) fn main(workload_api: &str, jwks: &Path) -> anyhow::Result<()> {
    runtime::tls::install_provider();
    let floor = Arc::new(Floor::new(jwks)?);
    // One thread: cheaper for each request than several that wake each other.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(workload_api, floor))
}

async fn serve(workload_api: &str, floor: Arc<Floor>) -> anyhow::Result<()> {
    let workload = Workload::connect(workload_api, &Process::new(ReadyFile::default()));
    workload.wait().await;
    let acceptor = Acceptor::new(workload);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(stdout(), "{}", listener.local_addr()?)?;
    stdout().flush()?;
    loop {
        let (tcp, _from) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        let (acceptor, floor) = (acceptor.clone(), Arc::clone(&floor));
        let connection = async move {
            let Ok((tls, _peer)) = acceptor.accept(tcp).await else { return };
            let service = service_fn(move |request| answer(Arc::clone(&floor), request));
            drop(http1::Builder::new().serve_connection(TokioIo::new(tls), service).await);
        };
        #[expect(clippy::disallowed_methods, reason = "nothing is drained: the floor is killed")]
        drop(tokio::spawn(connection));
    }
}

async fn answer(floor: Arc<Floor>, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
    let proves = request.uri().path() == VERIFIED;
    let body = request.into_body().collect().await?.to_bytes();
    let (status, body) = match floor.exchange(&body, proves) {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()),
    };
    let response = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    Ok(response.header(header::CACHE_CONTROL, "no-store").body(Full::new(body.into()))?)
}

impl Floor {
    fn new(jwks: &Path) -> anyhow::Result<Self> {
        let jwks: Value = serde_json::from_slice(&fs::read(jwks)?)?;
        let key = jwks.pointer("/keys/0").context("no key")?;
        let coordinate = |name: &str| {
            let text = key.get(name).and_then(Value::as_str).context("no coordinate")?;
            let bytes = URL_SAFE_NO_PAD.decode(text)?;
            if bytes.len() == COORDINATE_LENGTH { Ok(bytes) } else { bail!("no key of P-256") }
        };
        let point = [vec![4], coordinate("x")?, coordinate("y")?].concat();
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok().context("no point of the curve")?;
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref())?;
        let kid = "0123456789012345678901234567890123456789012";
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"typ":"at+jwt","alg":"ES256","kid":"{kid}"}}"#));
        Ok(Self { key, pair, header, random })
    }

    fn exchange(&self, form: &[u8], proves: bool) -> anyhow::Result<String> {
        let (mut token, mut resource, mut scope) = (None, None, None);
        for (name, value) in form_urlencoded::parse(form) {
            match name.as_ref() {
                "subject_token" => token = Some(value),
                "resource" => resource = Some(value),
                "scope" => scope = Some(value),
                _other => {}
            }
        }
        let token = token.context("no token")?;
        let (input, signature) = token.rsplit_once('.').context("no token")?;
        let payload = input.split_once('.').context("no token")?.1;
        if proves {
            let signature = URL_SAFE_NO_PAD.decode(signature)?;
            self.key.verify_sig(input.as_bytes(), &signature).ok().context("not signed by the broker")?;
        }
        let payload = URL_SAFE_NO_PAD.decode(payload)?;
        let shown: Shown<'_> = serde_json::from_slice(&payload)?;
        let now = clock::now().secs();
        if shown.exp <= now {
            bail!("expired");
        }
        let mut id = [0; 16];
        rand::fill(&mut id)?;
        let (resource, scope) = (resource.context("no resource")?, scope.context("no scope")?);
        let claims = Claims {
            iss: shown.iss,
            iat: now,
            txn: shown.txn,
            sub: shown.sub,
            act: Actor { sub: shown.req_wl },
            aud: &resource,
            exp: now.saturating_add(60),
            jti: &URL_SAFE_NO_PAD.encode(id),
            client_id: shown.req_wl,
            scope: &scope,
        };
        let mut token = String::with_capacity(1024);
        token.push_str(&self.header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(&claims)?, &mut token);
        let signature = self.pair.sign(&self.random, token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        let issued = Issued {
            access_token: &token,
            issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
            token_type: "Bearer",
            expires_in: 60,
            scope: &scope,
        };
        Ok(serde_json::to_string(&issued)?)
    }
}
