//! Keycloak's event logs over HTTP, read by the broker's own service account, which proves itself with a JWT-SVID and has
//! the role `view-events`. Only to where the configuration says, bounded in time and size, as all that is asked of a
//! provider (`security.md` T9).

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use identity::{Refusal, UnixTime};
use reqwest::{Client, Response, StatusCode, redirect::Policy};
use runtime::workload::JwtSvids;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use super::{
    clock::Clock,
    told::{self, CHANGED, Event, USER_EVENTS},
};
use crate::{
    config::{AuthorityConfig, AuthorityKind},
    names::{BEARER, SPIFFE_JWT_ASSERTION},
};

/// Longest wait for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// Longest answer in bytes: a page of the longest events, with room.
const ANSWER_LENGTH_MAX: usize = 1024 * 1024;
/// Events of one page. Keycloak gives 100 where nothing is said.
const PAGE: usize = 1000;
/// Pages of one look: more have happened only where the broker was away for long.
const PAGES_MAX: usize = 8;
/// Longest use of one service account token, whatever Keycloak says: with each the clock is read anew and the log looked
/// at for whether it is kept.
const SIGNED_IN_MAX: Duration = Duration::from_secs(60);

/// The event logs of one realm.
#[derive(Debug)]
pub(super) struct EventLog {
    issuer: String,
    client_id: String,
    token: Url,
    root: Url,
    http: Client,
}

/// The broker's own sign-in, seen in the log that it reads.
#[derive(Debug)]
pub(super) struct SignedIn {
    token: Zeroizing<String>,
    fresh_until: Instant,
    pub(super) clock: Clock,
    /// The realm's own id, as the log says it.
    pub(super) realm: String,
    /// How long Keycloak keeps user events, where it does not keep them for ever.
    pub(super) keeps: Option<Duration>,
}

/// What a look saw.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) events: Vec<Event>,
    /// Whether there was more than one look takes in.
    pub(super) overfull: bool,
}

/// Why a log could not be read. Never holds a token or a user's name.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogFault {
    #[error("no JWT-SVID to authenticate at the provider with")]
    Identity,
    #[error("no answer")]
    Unreachable(#[source] reqwest::Error),
    #[error("took too long")]
    TooSlow,
    #[error("answer with status {0}")]
    Status(StatusCode),
    #[error("answer of more than {ANSWER_LENGTH_MAX} bytes")]
    TooLong,
    #[error("the sign-in of the broker was refused with status {0}")]
    SignIn(StatusCode),
    #[error("the service account may not read events")]
    Forbidden,
    #[error("the realm does not store the events `{0}`")]
    NotStored(&'static str),
    #[error("answer is malformed")]
    Malformed(#[source] serde_json::Error),
    #[error("answer holds what was not asked for")]
    NotAsked,
    #[error("the log does not show the broker's own sign-in")]
    OwnSignIn,
    #[error("the log is another realm's")]
    OtherRealm,
    #[error("what was told could not be done: `{}`", .0.code())]
    NotDone(Refusal),
    #[error("the store did not answer")]
    Store(#[source] crate::store::StoreFault),
}

#[derive(Serialize)]
struct SignInForm<'a> {
    grant_type: &'a str,
    client_id: &'a str,
    client_assertion_type: &'a str,
    client_assertion: &'a str,
}

/// RFC 6749 §5.1.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    token_type: String,
    expires_in: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogConfig {
    events_enabled: bool,
    admin_events_enabled: bool,
    /// None are named where all are stored.
    #[serde(default)]
    enabled_event_types: Vec<String>,
    /// In seconds; absent or 0 is for ever.
    #[serde(default)]
    events_expiration: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OwnLogin {
    time: u64,
    realm_id: String,
    details: OwnLoginDetails,
}

#[derive(Deserialize)]
struct OwnLoginDetails {
    token_id: String,
}

#[derive(Deserialize)]
struct OwnToken {
    jti: String,
}

impl EventLog {
    /// The logs of a Keycloak realm; `None` where nobody is asked, or the issuer is none of Keycloak's.
    ///
    /// # Errors
    /// The HTTP client cannot be built.
    pub(super) fn of(config: &AuthorityConfig) -> anyhow::Result<Option<Self>> {
        let AuthorityKind::Keycloak { client_id } = &config.kind else { return Ok(None) };
        let Some((base, realm)) = config.url.path().rsplit_once("/realms/") else { return Ok(None) };
        let (mut token, mut root) = (config.url.clone(), config.url.clone());
        token.set_path(&format!("{base}/realms/{realm}/protocol/openid-connect/token"));
        root.set_path(&format!("{base}/admin/realms/{realm}/"));
        let builder = Client::builder().redirect(Policy::none()).no_proxy().timeout(ANSWER_MAX);
        let builder = builder.https_only(!config.is_clear_text());
        let builder = if config.is_clear_text() { builder.tls_certs_only([]) } else { builder };
        let (issuer, client_id) = (config.issuer.clone(), client_id.clone());
        Ok(Some(Self { issuer, client_id, token, root, http: builder.build()? }))
    }

    /// The broker's client at this realm.
    pub(super) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Signs the broker in, and looks whether the log is kept and shows just that. Dropped half-way, a token that nobody
    /// holds was made.
    pub(super) async fn sign_in(&self, svids: &JwtSvids, now: UnixTime) -> Result<SignedIn, LogFault> {
        let svid = svids.fetch(&self.issuer, now).await.map_err(|_fault| LogFault::Identity)?;
        let form = SignInForm {
            grant_type: "client_credentials",
            client_id: &self.client_id,
            client_assertion_type: SPIFFE_JWT_ASSERTION,
            client_assertion: svid.expose(),
        };
        let asked = Instant::now();
        let response = self.http.post(self.token.clone()).form(&form).send().await.map_err(unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(LogFault::SignIn(response.status()));
        }
        let body = Zeroizing::new(bounded(response).await?);
        let answered = Instant::now();
        let answer: TokenAnswer = serde_json::from_slice(&body).map_err(LogFault::Malformed)?;
        let token = Zeroizing::new(answer.access_token);
        if !answer.token_type.eq_ignore_ascii_case(BEARER) {
            return Err(LogFault::NotAsked);
        }
        let jti = jti(&token).ok_or(LogFault::OwnSignIn)?;
        let keeps = self.check_config(&token).await?;
        let query = [("type", "CLIENT_LOGIN"), ("client", self.client_id.as_str()), ("max", "20")];
        let logins = self.fetch(&token, "events", &query).await?;
        let logins: Vec<OwnLogin> = serde_json::from_slice(&logins).map_err(LogFault::Malformed)?;
        let own = logins.into_iter().find(|login| login.details.token_id == jti).ok_or(LogFault::OwnSignIn)?;
        let fresh = Duration::from_secs(answer.expires_in.div_ceil(2)).min(SIGNED_IN_MAX);
        Ok(SignedIn {
            token,
            fresh_until: answered.checked_add(fresh).unwrap_or(answered),
            clock: Clock { at_ms: own.time, asked, answered },
            realm: own.realm_id,
            keeps,
        })
    }

    /// Both logs from `from_ms` on.
    pub(super) async fn look(&self, signed_in: &SignedIn, from_ms: u64) -> Result<Seen, LogFault> {
        let users = self.read(signed_in, ("events", "type", &USER_EVENTS), from_ms, told::user_events);
        let changes = self.read(signed_in, ("admin-events", "resourceTypes", &CHANGED), from_ms, told::changes);
        let (mut seen, changes) = tokio::try_join!(users, changes)?;
        seen.events.extend(changes.events);
        seen.overfull |= changes.overfull;
        // One id for all, that of the log which shows our own sign-in.
        if seen.events.iter().any(|event| event.realm != signed_in.realm) {
            return Err(LogFault::OtherRealm);
        }
        Ok(seen)
    }

    /// Page by page from the oldest on, so that what happens meanwhile comes on a later one.
    async fn read(
        &self,
        signed_in: &SignedIn,
        (log, parameter, kinds): (&str, &str, &[&str]),
        from_ms: u64,
        meaning: fn(&[u8]) -> Result<Vec<Event>, LogFault>,
    ) -> Result<Seen, LogFault> {
        let (from, size) = (from_ms.to_string(), PAGE.to_string());
        let mut events = Vec::new();
        for page in 0..PAGES_MAX {
            let first = page.saturating_mul(PAGE).to_string();
            let mut query: Vec<(&str, &str)> = kinds.iter().map(|kind| (parameter, *kind)).collect();
            query.extend([("dateFrom", from.as_str()), ("direction", "asc"), ("first", &first), ("max", &size)]);
            let more = meaning(&self.fetch(&signed_in.token, log, &query).await?)?;
            let is_last = more.len() < PAGE;
            events.extend(more);
            if is_last {
                return Ok(Seen { events, overfull: false });
            }
        }
        Ok(Seen { events, overfull: true })
    }

    /// A realm that keeps no events answers with an empty list, which looks like nothing happened.
    async fn check_config(&self, token: &str) -> Result<Option<Duration>, LogFault> {
        let body = self.fetch(token, "events/config", &[]).await?;
        let config: LogConfig = serde_json::from_slice(&body).map_err(LogFault::Malformed)?;
        if !config.events_enabled {
            return Err(LogFault::NotStored("user events"));
        }
        if !config.admin_events_enabled {
            return Err(LogFault::NotStored("admin events"));
        }
        let stored = |kind: &str| {
            config.enabled_event_types.is_empty() || config.enabled_event_types.iter().any(|stored| stored == kind)
        };
        if let Some(missing) = USER_EVENTS.into_iter().chain(["CLIENT_LOGIN"]).find(|kind| !stored(kind)) {
            return Err(LogFault::NotStored(missing));
        }
        Ok(Some(config.events_expiration).filter(|secs| *secs > 0).map(Duration::from_secs))
    }

    async fn fetch(&self, token: &str, path: &str, query: &[(&str, &str)]) -> Result<Vec<u8>, LogFault> {
        let mut url = self.root.clone();
        url.set_path(&format!("{}{path}", self.root.path()));
        url.query_pairs_mut().extend_pairs(query);
        let response = self.http.get(url).bearer_auth(token).send().await.map_err(unreachable)?;
        match response.status() {
            StatusCode::OK => bounded(response).await,
            StatusCode::FORBIDDEN => Err(LogFault::Forbidden),
            other => Err(LogFault::Status(other)),
        }
    }
}

impl SignedIn {
    /// Whether it may be used for another look.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        now < self.fresh_until
    }
}

fn unreachable(fault: reqwest::Error) -> LogFault {
    // What was asked for stands in the URL, and it is long.
    LogFault::Unreachable(fault.without_url())
}

async fn bounded(mut response: Response) -> Result<Vec<u8>, LogFault> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len().saturating_add(chunk.len()) > ANSWER_LENGTH_MAX {
            return Err(LogFault::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The id of our own token, to find it in the log. Nothing is believed on it: Keycloak itself reads the token.
fn jti(token: &str) -> Option<String> {
    let payload = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload).ok().map(|OwnToken { jti }| jti)
}

impl LogFault {
    /// One closed word, for the metric.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Identity => "no_identity",
            Self::Unreachable(_) | Self::TooSlow | Self::Status(_) | Self::TooLong => "away",
            Self::SignIn(_) => "sign_in_refused",
            Self::Forbidden => "forbidden",
            Self::NotStored(_) => "not_stored",
            Self::Malformed(_) | Self::NotAsked | Self::OwnSignIn | Self::OtherRealm => "not_believed",
            Self::NotDone(_) | Self::Store(_) => "not_done",
        }
    }

    /// What whoever administers the realm has to do, where that is known.
    pub(super) fn remedy(&self, client: &str) -> Option<String> {
        match self {
            Self::Forbidden => Some(format!(
                "give the role `view-events` of the client `realm-management` to the service account of `{client}`, and \
                 add it to the scope of `{client}` (keycloak/README.md); until then nothing is issued for users of this realm"
            )),
            Self::NotStored(kind) => {
                Some(format!("turn on what is missing in the realm's settings, Events: save `{kind}`"))
            }
            Self::SignIn(_) => Some(format!("look at the client `{client}`: JWT-SVID, service account")),
            Self::OtherRealm => Some("if the realm was made anew, restart the broker".to_owned()),
            Self::Identity
            | Self::Unreachable(_)
            | Self::TooSlow
            | Self::Status(_)
            | Self::TooLong
            | Self::Malformed(_)
            | Self::NotAsked
            | Self::OwnSignIn
            | Self::NotDone(_)
            | Self::Store(_) => None,
        }
    }
}
