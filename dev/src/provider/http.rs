//! The routes, at Keycloak's paths. Reads the clock once per request; everything behind it takes `now`.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, RawQuery, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use runtime::clock;
use serde_json::{Value, json};

use super::{
    Provider, ProviderHandle,
    answer::{Refused, json_answer},
    control,
    events::Log,
    form::Form,
};

/// Largest body in bytes: two tokens of 8 KiB fit many times.
const BODY_MAX: usize = 64 * 1024;
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// All routes of `provider`.
pub(super) fn router(provider: Arc<Provider>) -> Router {
    let realm = Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/protocol/openid-connect/certs", get(certs))
        .route("/protocol/openid-connect/auth", get(auth))
        .route("/login-actions/authenticate", post(authenticate))
        .route("/protocol/openid-connect/token", post(token))
        .route("/protocol/openid-connect/logout", get(logout_query).post(logout_form));
    let path = format!("/realms/{}", provider.state.lock().realm.name);
    let admin = Router::new()
        .route("/events", get(user_events))
        .route("/events/config", get(events_config))
        .route("/admin-events", get(admin_events));
    let control = Router::new()
        .route("/dev/exchanges", get(control::exchanges))
        .route("/dev/{command}", post(control::command))
        .with_state(ProviderHandle::new(Arc::clone(&provider)));
    Router::new()
        .nest(&format!("/admin{path}"), admin)
        .nest(&path, realm)
        .fallback(elsewhere)
        .with_state(Arc::clone(&provider))
        .merge(control)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn_with_state(provider, own_name_only))
}

/// Refuses a request for another host name: a page of the internet could have made its name mean this address.
async fn own_name_only(State(provider): State<Arc<Provider>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let named = host.or_else(|| request.uri().authority().map(axum::http::uri::Authority::as_str));
    let own = [provider.address.to_string(), format!("localhost:{}", provider.address.port())];
    if named.is_some_and(|named| own.iter().any(|own| own == named)) {
        next.run(request).await
    } else {
        (StatusCode::MISDIRECTED_REQUEST, "the development provider answers on its loopback address only\n")
            .into_response()
    }
}

async fn elsewhere(request: Request) -> Response {
    let error = if request.uri().path().starts_with("/realms/") { "Realm does not exist" } else { "Not Found" };
    json_answer(StatusCode::NOT_FOUND, json!({ "error": error }))
}

/// OpenID Connect Discovery §3, as far as it is true here.
async fn discovery(State(provider): State<Arc<Provider>>) -> Response {
    let issuer = &provider.issuer;
    let endpoint = |name: &str| format!("{issuer}/protocol/openid-connect/{name}");
    let mut scopes = vec!["openid".to_owned()];
    scopes.extend(provider.state.lock().realm.scopes.iter().map(|scope| scope.name.clone()));
    json_answer(
        StatusCode::OK,
        json!({
            "issuer": issuer,
            "authorization_endpoint": endpoint("auth"),
            "token_endpoint": endpoint("token"),
            "jwks_uri": endpoint("certs"),
            "end_session_endpoint": endpoint("logout"),
            "grant_types_supported": ["authorization_code", "client_credentials", "password", TOKEN_EXCHANGE],
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": scopes,
            "authorization_response_iss_parameter_supported": true,
            "backchannel_logout_supported": true,
            "backchannel_logout_session_supported": true,
        }),
    )
}

async fn certs(State(provider): State<Arc<Provider>>) -> Response {
    json_answer(StatusCode::OK, provider.key.jwks())
}

async fn auth(State(provider): State<Arc<Provider>>, RawQuery(query): RawQuery) -> Response {
    let answer = provider.authorization_request(&parsed(query), clock::now());
    answer.unwrap_or_else(Refused::into_response)
}

async fn authenticate(State(provider): State<Arc<Provider>>, RawQuery(query): RawQuery, body: Bytes) -> Response {
    let answer = provider.sign_in(&parsed(query), &Form::parse(&body), clock::now());
    answer.unwrap_or_else(Refused::into_response)
}

async fn token(State(provider): State<Arc<Provider>>, headers: HeaderMap, body: Bytes) -> Response {
    match grant(&provider, &headers, &body).await {
        Ok(answer) => json_answer(StatusCode::OK, answer),
        Err(refused) => {
            tracing::info!(
                status = refused.status.as_u16(),
                error = refused.error,
                refused.description,
                "token refused"
            );
            refused.into_response()
        }
    }
}

async fn grant(provider: &Provider, headers: &HeaderMap, body: &[u8]) -> Result<Value, Refused> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_form = media_type.split(';').next().is_some_and(|kind| kind.trim() == "application/x-www-form-urlencoded");
    let form = if is_form { Form::parse(body).without_repeats()? } else { Form::default() };
    let now = clock::now();
    match form.one("grant_type") {
        None => Err(Refused::invalid_request("Missing form parameter: grant_type")),
        Some("authorization_code") => provider.authorization_code(&form, now),
        Some("password") => provider.password(&form, now),
        Some(TOKEN_EXCHANGE) => {
            provider.count_exchange();
            let keys = provider.svid_keys.current().await;
            provider.exchange(&form, &keys, now)
        }
        Some("client_credentials") => {
            let keys = provider.svid_keys.current().await;
            provider.service_token(&provider.authenticate(&form, &keys, now)?.client, now)
        }
        Some(_unknown) => Err(Refused::bad("unsupported_grant_type", "Unsupported grant_type")),
    }
}

async fn logout_query(State(provider): State<Arc<Provider>>, RawQuery(query): RawQuery) -> Response {
    provider.sign_out(&parsed(query), clock::now()).await
}

async fn logout_form(State(provider): State<Arc<Provider>>, body: Bytes) -> Response {
    provider.sign_out(&Form::parse(&body), clock::now()).await
}

async fn user_events(State(provider): State<Arc<Provider>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    told(provider.events(Log::Users, &parsed(query), bearer(&headers), clock::now()))
}

async fn admin_events(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    told(provider.events(Log::Admins, &parsed(query), bearer(&headers), clock::now()))
}

async fn events_config(State(provider): State<Arc<Provider>>, headers: HeaderMap) -> Response {
    told(provider.events_config(bearer(&headers), clock::now()))
}

fn told(answer: Result<Value, Refused>) -> Response {
    answer.map_or_else(Refused::into_response, |answer| json_answer(StatusCode::OK, answer))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn parsed(query: Option<String>) -> Form {
    Form::parse(query.unwrap_or_default().as_bytes())
}
