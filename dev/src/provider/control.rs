//! `/dev/…`: [`ProviderHandle`] for other processes of this host. A web page must not reach it: requests need
//! `application/json` and no `Origin`, and the router refuses foreign host names.

use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{
    answer::json_answer,
    handle::{HandleFault, ProviderHandle},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Session {
    sid: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogoutUrl {
    client: String,
    url: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    user: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Role {
    user: String,
    role: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Events {
    readable: bool,
    stored: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Forgery {
    #[serde(default)]
    header: Map<String, Value>,
    claims: Value,
}

/// Why a command was not done.
struct Undone {
    status: StatusCode,
    why: String,
}

/// `GET /dev/exchanges` → `{"exchanges":1}`.
pub(super) async fn exchanges(State(handle): State<ProviderHandle>) -> Response {
    json_answer(StatusCode::OK, json!({ "exchanges": handle.exchanges() }))
}

/// `POST /dev/{command}` → 204, or 200 with the token for `sign`; 404 for an unknown command, session, client or user.
pub(super) async fn command(
    State(handle): State<ProviderHandle>,
    Path(command): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let json = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if !json || headers.contains_key(header::ORIGIN) {
        return Undone::new(StatusCode::FORBIDDEN, "application/json without an origin only").into_response();
    }
    obey(&handle, &command, &body).await.unwrap_or_else(Undone::into_response)
}

async fn obey(handle: &ProviderHandle, command: &str, body: &[u8]) -> Result<Response, Undone> {
    let done = match command {
        "sign-out" => handle.sign_out(&read::<Session>(body)?.sid).await,
        "backchannel-logout-url" => {
            let LogoutUrl { client, url } = read(body)?;
            handle.set_backchannel_logout(&client, url.as_deref())
        }
        "disable" => handle.set_enabled(&read::<User>(body)?.user, false),
        "enable" => handle.set_enabled(&read::<User>(body)?.user, true),
        "add-role" => {
            let Role { user, role } = read(body)?;
            handle.add_role(&user, &role)
        }
        "remove-role" => {
            let Role { user, role } = read(body)?;
            handle.remove_role(&user, &role)
        }
        "log-out-everybody" => {
            handle.log_out_everybody();
            Ok(())
        }
        "events" => {
            let Events { readable, stored } = read(body)?;
            handle.set_events_readable(readable);
            handle.set_events_stored(stored);
            Ok(())
        }
        "sign" => {
            let Forgery { header, claims } = read(body)?;
            let token = handle.sign(header, &claims)?;
            return Ok(json_answer(StatusCode::OK, json!({ "token": token })));
        }
        _unknown => return Err(Undone::new(StatusCode::NOT_FOUND, "no such command")),
    };
    Ok(done.map(|()| StatusCode::NO_CONTENT.into_response())?)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Undone> {
    serde_json::from_slice(body).map_err(|error| Undone::new(StatusCode::BAD_REQUEST, error.to_string()))
}

impl Undone {
    fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, why: why.into() }
    }
}

impl From<HandleFault> for Undone {
    fn from(fault: HandleFault) -> Self {
        let status = match fault {
            HandleFault::NoSession | HandleFault::NoUser | HandleFault::NoClient => StatusCode::NOT_FOUND,
            HandleFault::ForeignUrl => StatusCode::BAD_REQUEST,
            HandleFault::SignsNothing => StatusCode::FORBIDDEN,
            HandleFault::Key => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, fault.to_string())
    }
}

impl IntoResponse for Undone {
    fn into_response(self) -> Response {
        json_answer(self.status, json!({ "error": self.why }))
    }
}
