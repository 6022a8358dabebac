//! HTTP with a provider: discovery, keys, the exchange. Only to where the configuration says: no redirect, no proxy from
//! the environment, no other origin than the issuer's, bounded in time and size (`security.md` T9).

use std::time::Duration;

use identity::KeySet;
use reqwest::{Client, Response, StatusCode, redirect::Policy};
use serde::{Deserialize, Serialize};
use tokio::{sync::OnceCell, time::timeout};
use url::Url;

use crate::config::AuthorityConfig;

/// Longest wait for one answer, and for one that needs the discovery document first: a requester waits behind it.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(3);
/// Longest answer in bytes: a large key set, with room.
const ANSWER_LENGTH_MAX: usize = 1024 * 1024;
/// Connections are kept shorter than a provider keeps them, so that no request meets a closing one.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// The provider's documents.
#[derive(Debug)]
pub(super) struct Documents {
    issuer: String,
    url: Url,
    is_asked: bool,
    http: Client,
    endpoints: OnceCell<Endpoints>,
}

#[derive(Clone, Debug)]
struct Endpoints {
    /// `None` at an issuer that is never asked.
    token: Option<Url>,
    jwks: Url,
}

/// OpenID Connect Discovery §3; all else in it is not used.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    #[serde(default)]
    token_endpoint: Option<String>,
    jwks_uri: String,
}

/// Why a provider could not be asked. Never holds a token: reqwest's errors name the URL only.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProviderFault {
    #[error("no answer")]
    Unreachable(#[source] reqwest::Error),
    #[error("no answer in {} s", ANSWER_MAX.as_secs())]
    TooSlow,
    #[error("answer with status {0}")]
    Status(StatusCode),
    #[error("answer of more than {ANSWER_LENGTH_MAX} bytes")]
    TooLong,
    #[error("discovery document is malformed")]
    Discovery(#[source] serde_json::Error),
    #[error("discovery document of the issuer `{0}`")]
    OtherIssuer(String),
    #[error("endpoint `{0}` is not at the issuer's origin")]
    OtherOrigin(String),
    #[error("discovery document names no token endpoint")]
    NoTokenEndpoint,
    #[error("key set is malformed")]
    Keys(#[source] identity::KeySetFault),
    #[error("key set holds no key that can be used")]
    NoKeys,
}

impl Documents {
    pub(super) fn new(config: &AuthorityConfig) -> anyhow::Result<Self> {
        let builder = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .timeout(ANSWER_MAX)
            .pool_idle_timeout(IDLE_MAX)
            .https_only(!config.is_clear_text());
        // On loopback nothing is verified, so the machine needs no root certificates.
        let builder = if config.is_clear_text() { builder.tls_certs_only([]) } else { builder };
        let http = builder.build()?;
        let (issuer, url, is_asked) = (config.issuer.clone(), config.url.clone(), config.is_asked());
        Ok(Self { issuer, url, is_asked, http, endpoints: OnceCell::new() })
    }

    /// Its issuer URL.
    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The provider's keys, fetched anew.
    pub(super) async fn keys(&self) -> Result<KeySet, ProviderFault> {
        let fetch = async { self.fetch(self.endpoints().await?.jwks.clone()).await };
        let body = timeout(ANSWER_MAX, fetch).await.unwrap_or(Err(ProviderFault::TooSlow))?;
        let keys = KeySet::parse(&body).map_err(ProviderFault::Keys)?;
        if keys.is_empty() { Err(ProviderFault::NoKeys) } else { Ok(keys) }
    }

    /// Posts a form to the token endpoint; the answer's status and body, whatever they say.
    pub(super) async fn post_exchange(&self, form: &impl Serialize) -> Result<(StatusCode, Vec<u8>), ProviderFault> {
        let endpoint = self.endpoints().await?.token.clone().ok_or(ProviderFault::NoTokenEndpoint)?;
        let request = self.http.post(endpoint).form(form);
        let response = request.send().await.map_err(ProviderFault::Unreachable)?;
        Ok((response.status(), bounded(response).await?))
    }

    /// Read once; a change of a provider's endpoints needs a restart.
    async fn endpoints(&self) -> Result<&Endpoints, ProviderFault> {
        self.endpoints.get_or_try_init(|| self.discover()).await
    }

    async fn discover(&self) -> Result<Endpoints, ProviderFault> {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/.well-known/openid-configuration", self.url.path().trim_end_matches('/')));
        let body = self.fetch(url).await?;
        let found: Discovery = serde_json::from_slice(&body).map_err(ProviderFault::Discovery)?;
        if found.issuer != self.issuer {
            return Err(ProviderFault::OtherIssuer(found.issuer));
        }
        // One that is never asked may have it anywhere.
        let token = found.token_endpoint.filter(|_url| self.is_asked);
        let token = token.map(|url| self.endpoint(&url)).transpose()?;
        Ok(Endpoints { token, jwks: self.endpoint(&found.jwks_uri)? })
    }

    /// An endpoint elsewhere would be sent users' tokens, or give us keys, on a provider's word alone.
    fn endpoint(&self, text: &str) -> Result<Url, ProviderFault> {
        let url = Url::parse(text).ok().filter(|url| url.origin() == self.url.origin());
        url.ok_or_else(|| ProviderFault::OtherOrigin(text.to_owned()))
    }

    async fn fetch(&self, url: Url) -> Result<Vec<u8>, ProviderFault> {
        let response = self.http.get(url).send().await.map_err(ProviderFault::Unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(ProviderFault::Status(response.status()));
        }
        bounded(response).await
    }
}

async fn bounded(mut response: Response) -> Result<Vec<u8>, ProviderFault> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(ProviderFault::Unreachable)? {
        if body.len().saturating_add(chunk.len()) > ANSWER_LENGTH_MAX {
            return Err(ProviderFault::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
