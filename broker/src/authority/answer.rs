//! What a provider's answer to the exchange means (`keycloak.md` §4, `tokens.md` K1–K8). Its words are for our log; the
//! caller gets a refusal of ours.

use identity::{RawToken, Refusal, Scopes, TokenFault};
use reqwest::StatusCode;
use serde::Deserialize;

use crate::names::{ACCESS_TOKEN, BEARER};

/// Words of an error that are logged: Keycloak's longest sentence has fewer.
const LOGGED_WORDS_MAX: usize = 32;
/// Longest of them in bytes: a client's or scope's name, and far shorter than any token.
const LOGGED_WORD_MAX: usize = 64;

/// RFC 8693 §2.2.1.
#[derive(Deserialize)]
struct Success {
    access_token: String,
    issued_token_type: String,
    token_type: String,
    #[serde(default)]
    scope: String,
}

/// RFC 6749 §5.2.
#[derive(Deserialize)]
struct Failure {
    error: String,
    #[serde(default)]
    error_description: String,
}

/// What an answer means.
#[derive(Debug)]
pub(super) struct Said {
    /// The keeper, not yet verified, if its scope is exactly what was asked.
    pub(super) keeper: Result<RawToken, Refusal>,
    /// Whether the provider does its work. It does where it refuses, and where what it gives is of no use: both may be
    /// due to the one user who is asked about, who must not keep it from all others.
    pub(super) works: bool,
}

pub(super) fn read(status: StatusCode, body: &[u8], asked: &Scopes, issuer: &str) -> Said {
    if status != StatusCode::OK {
        let refusal = refused(status, body, issuer);
        return Said { works: !refusal.is_fault(), keeper: Err(refusal) };
    }
    match serde_json::from_slice(body) {
        Ok(success) => Said { keeper: keeper(success, asked, issuer), works: true },
        Err(_malformed) => Said { keeper: Err(discarded(issuer, "malformed")), works: false },
    }
}

fn keeper(success: Success, asked: &Scopes, issuer: &str) -> Result<RawToken, Refusal> {
    let discarded = |reason: &str| discarded(issuer, reason);
    if success.issued_token_type != ACCESS_TOKEN || !success.token_type.eq_ignore_ascii_case(BEARER) {
        return Err(discarded("another type of token"));
    }
    let scopes: Scopes = success.scope.parse().map_err(|_malformed| discarded("malformed scope"))?;
    compare(&scopes.without_openid(), asked)?;
    RawToken::parse(success.access_token).map_err(|_fault| discarded("a token of a wrong length"))
}

fn discarded(issuer: &str, reason: &str) -> Refusal {
    tracing::error!(issuer, reason, "the provider's answer was discarded");
    Refusal::FaultProvider
}

/// Less scope than asked: a role is gone since the sign-in (K8). More: the answer is not trusted (K7). Scopes that speak
/// to an OpenID provider only are left out on both sides.
pub(super) fn compare(given: &Scopes, asked: &Scopes) -> Result<(), Refusal> {
    if !given.is_subset(asked) {
        tracing::error!(%given, %asked, "the provider gave more than was asked; its answer was discarded");
        return Err(Refusal::ScopeWidened);
    }
    if !asked.is_subset(given) {
        return Err(Refusal::ScopeWithdrawn);
    }
    Ok(())
}

/// K1–K6. `invalid_client` means two things, and only the description tells them apart (`keycloak.md` §10).
fn refused(status: StatusCode, body: &[u8], issuer: &str) -> Refusal {
    let Ok(Failure { error, error_description: description }) = serde_json::from_slice(body) else {
        tracing::warn!(issuer, status = status.as_u16(), "the provider failed");
        return Refusal::FaultProvider;
    };
    let audience_fault = ["Audience not found", "Client disabled", "Requested audience not available"];
    let names_audience = audience_fault.iter().any(|start| description.starts_with(start));
    let ended = ["Invalid token", "Assertion contains an invalid access token"];
    let refusal = match error.as_str() {
        _any if status.is_server_error() => Refusal::FaultProvider,
        "access_denied" => Refusal::Subject(TokenFault::Audience),
        "invalid_client" | "invalid_request" if names_audience => Refusal::TargetUnknown,
        "invalid_scope" => Refusal::ScopeWithdrawn,
        "invalid_request" if ended.contains(&description.as_str()) => Refusal::SubjectSessionEnded,
        // Our own assertion, or a misconfigured client: never the caller's fault (K6).
        _other => Refusal::FaultProvider,
    };
    let (error, description) = (for_log(&error), for_log(&description));
    let code = refusal.code();
    if refusal.is_fault() || refusal == Refusal::TargetUnknown {
        tracing::error!(issuer, error, description, %code, "the provider refused the broker; check its client there");
    } else {
        tracing::info!(issuer, error, description, %code, "the provider refused a user's token");
    }
    refusal
}

/// A stranger's words for our log: short, and none of them that could be a token which was sent to it.
fn for_log(words: &str) -> String {
    let shown = |word: &str| if word.len() > LOGGED_WORD_MAX { "(hidden)".to_owned() } else { word.to_owned() };
    let words: Vec<String> = words.split_whitespace().take(LOGGED_WORDS_MAX).map(shown).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://keycloak.corp.example/realms/agents";

    fn scopes(text: &str) -> Scopes {
        text.parse().expect("scopes")
    }

    fn answer(status: u16, body: &str) -> Result<(), Refusal> {
        let status = StatusCode::from_u16(status).expect("a status");
        said(status, body).keeper.map(drop)
    }

    fn said(status: StatusCode, body: &str) -> Said {
        read(status, body.as_bytes(), &scopes("tickets:read tickets:write"), ISSUER)
    }

    fn success(scope: &str) -> String {
        format!(
            r#"{{"access_token":"a","issued_token_type":"{ACCESS_TOKEN}","token_type":"Bearer","scope":"{scope}"}}"#
        )
    }

    #[test]
    fn exactly_the_asked_scope_is_accepted() {
        assert_eq!(answer(200, &success("tickets:write tickets:read")), Ok(()));
        assert_eq!(answer(200, &success("openid tickets:write profile tickets:read")), Ok(()));
    }

    #[test]
    fn less_scope_is_withdrawn_and_more_is_widened() {
        assert_eq!(answer(200, &success("tickets:read")), Err(Refusal::ScopeWithdrawn));
        assert_eq!(answer(200, &success("")), Err(Refusal::ScopeWithdrawn));
        assert_eq!(answer(200, &success("tickets:read tickets:write admin")), Err(Refusal::ScopeWidened));
        assert_eq!(answer(200, &success("tickets:read admin")), Err(Refusal::ScopeWidened));
    }

    #[test]
    fn each_error_has_its_refusal() {
        let failure = |error: &str, text: &str| format!(r#"{{"error":"{error}","error_description":"{text}"}}"#);
        for (status, error, text, refusal) in [
            (403, "access_denied", "Client is not within the token audience", Refusal::Subject(TokenFault::Audience)),
            (400, "invalid_client", "Audience not found", Refusal::TargetUnknown),
            (400, "invalid_client", "Client disabled", Refusal::TargetUnknown),
            (400, "invalid_request", "Requested audience not available: txn-broker", Refusal::TargetUnknown),
            (400, "invalid_scope", "Scopes [x] not present in the initial access token []", Refusal::ScopeWithdrawn),
            (400, "invalid_request", "Invalid token", Refusal::SubjectSessionEnded),
            (401, "invalid_client", "Invalid client or Invalid client credentials", Refusal::FaultProvider),
            (400, "invalid_client", "Invalid token audience", Refusal::FaultProvider),
            (
                400,
                "invalid_request",
                "Standard token exchange is not enabled for the requested client",
                Refusal::FaultProvider,
            ),
            (503, "invalid_request", "Invalid token", Refusal::FaultProvider),
            (400, "something_new", "", Refusal::FaultProvider),
        ] {
            assert_eq!(answer(status, &failure(error, text)), Err(refusal), "{status} {error} {text}");
        }
    }

    #[test]
    fn a_provider_works_that_refuses_one_user_and_fails_where_it_would_refuse_all() {
        let long = success("tickets:read tickets:write").replace(r#":"a""#, &format!(r#":"{}""#, "a".repeat(8193)));
        for (status, body, works) in [
            (200, success("tickets:read tickets:write").as_str(), true),
            (200, success("").as_str(), true),
            (200, long.as_str(), true),
            (400, r#"{"error":"invalid_request","error_description":"Invalid token"}"#, true),
            (403, r#"{"error":"access_denied"}"#, true),
            (401, r#"{"error":"invalid_client"}"#, false),
            (500, r#"{"error":"unknown_error"}"#, false),
            (200, "<html>", false),
            (404, r#"{"error":"Realm does not exist"}"#, false),
            (302, "", false),
        ] {
            assert_eq!(said(StatusCode::from_u16(status).expect("a status"), body).works, works, "{status} {body}");
        }
    }

    #[test]
    fn what_a_provider_says_is_logged_short_and_without_tokens() {
        assert_eq!(for_log("Requested audience not available: tickets"), "Requested audience not available: tickets");
        let token = format!("eyJhbGciOiJSUzI1NiJ9.{}.c2ln", "A".repeat(80));
        assert_eq!(for_log(&format!("Invalid token {token}\n\u{1b}[2J")), "Invalid token (hidden) \u{1b}[2J");
        assert!(for_log(&"word ".repeat(100_000)).len() < 200);
    }

    #[test]
    fn what_is_no_answer_is_a_fault() {
        for (status, body) in [(200, "{}"), (200, "<html>"), (502, "<html>"), (302, ""), (429, "")] {
            assert_eq!(answer(status, body), Err(Refusal::FaultProvider), "{status} {body}");
        }
        let other = success("tickets:read tickets:write").replace("Bearer", "N_A");
        assert_eq!(answer(200, &other), Err(Refusal::FaultProvider));
    }
}
