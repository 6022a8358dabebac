//! Whose sessions a logout token ends, and whose not.

use identity::{LogoutRule, RawToken, verify};
use serde_json::{Value, json};

use super::*;
use crate::{
    keys::tests::fresh,
    seal::{WRAPPING_KEY_LENGTH, Wrapping},
};

const ISSUER: &str = "https://keycloak.corp.example/realms/agents";
const NOW: u64 = 1000;

fn at(secs: u64) -> UnixTime {
    UnixTime::from_secs(secs).expect("a time")
}

pub(crate) fn wrapping() -> Wrapping {
    Wrapping::new(&[1; WRAPPING_KEY_LENGTH]).expect("a key")
}

pub(crate) fn sealer() -> Sealer {
    let wrapping = wrapping();
    Sealer::new(wrapping.clone(), wrapping.hash_keys_of_before())
}

/// A logout token that `issuer` gave at [`NOW`], with these claims besides.
pub(crate) fn logout(issuer: &str, more: &Value) -> LogoutToken {
    let keys = fresh();
    let mut claims = json!({
        "iss": issuer, "aud": "console", "iat": NOW, "exp": NOW + 120, "jti": "l-1",
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    });
    for (name, value) in more.as_object().expect("claims") {
        claims[name] = value.clone();
    }
    let raw = RawToken::parse(keys.sign("logout+jwt", &claims).expect("signed").to_string()).expect("short");
    verify(&raw, keys.verifying(), &LogoutRule { issuer, clients: &["console"] }, at(NOW)).expect("verified")
}

/// Ends what the token says.
pub(crate) fn end(sessions: &Sessions, token: &LogoutToken, now: UnixTime) -> Result<End, Refusal> {
    sessions.end(token.issuer(), Whose::from(token), REMEMBERED, now)
}

/// A sign-in that was last confirmed at `confirmed_at`.
pub(crate) fn sign_in(issuer: &str, session: &str, user: &str, confirmed_at: u64) -> SignIn {
    let sealer = sealer();
    SignIn {
        session: Mark::of(&sealer, "session", issuer, session),
        user: Mark::of(&sealer, "user", issuer, user),
        confirmed_at: at(confirmed_at),
    }
}

fn after(more: &Value) -> Sessions {
    let sessions = Sessions::new(sealer(), Vec::new());
    end(&sessions, &logout(ISSUER, more), at(NOW)).expect("ended");
    sessions
}

const ENDED: Result<(), Refusal> = Err(Refusal::SubjectSessionEnded);

#[test]
fn a_session_ends_alone_and_for_good() {
    let sessions = after(&json!({"sid": "s-1", "sub": "alice"}));
    for confirmed_at in [1, NOW, NOW + 1000] {
        assert_eq!(sessions.check(&sign_in(ISSUER, "s-1", "alice", confirmed_at)), ENDED, "{confirmed_at}");
    }
    for (case, other) in [
        ("another session of hers", sign_in(ISSUER, "s-2", "alice", 1)),
        ("another user's", sign_in(ISSUER, "s-3", "bob", 1)),
        ("the same sid elsewhere", sign_in("https://other.example/realms/agents", "s-1", "alice", 1)),
        ("a session named as a user", sign_in(ISSUER, "alice", "s-1", 1)),
    ] {
        assert_eq!(sessions.check(&other), Ok(()), "{case}");
    }
}

#[test]
fn a_user_ends_with_all_sessions_of_that_moment_and_may_come_back() {
    let sessions = after(&json!({"sub": "alice"}));
    for session in ["s-1", "s-2"] {
        assert_eq!(sessions.check(&sign_in(ISSUER, session, "alice", NOW)), ENDED, "{session}");
    }
    assert_eq!(sessions.check(&sign_in(ISSUER, "s-4", "alice", NOW + 1)), Ok(()), "signed in again");
    assert_eq!(sessions.check(&sign_in(ISSUER, "s-3", "bob", 1)), Ok(()), "another user");
    assert_eq!(sessions.check(&sign_in("https://other.example", "s-1", "alice", 1)), Ok(()), "another authority");
}

#[test]
fn an_older_logout_that_comes_late_takes_nothing_back() {
    let sessions = after(&json!({"sub": "alice"}));
    let end =
        end(&sessions, &logout(ISSUER, &json!({"sub": "alice", "iat": 900, "exp": 1100})), at(NOW)).expect("ended");
    assert_eq!(end.through, at(NOW));
    assert_eq!(sessions.check(&sign_in(ISSUER, "s-1", "alice", NOW)), ENDED);
}

#[test]
fn it_is_remembered_for_two_hours_and_over_a_restart() {
    let sessions = after(&json!({"sid": "s-1"}));
    let ended = sign_in(ISSUER, "s-1", "alice", 1);
    sessions.forget(at(NOW + 7199));
    assert_eq!(sessions.check(&ended), ENDED);
    let end = end(&sessions, &logout(ISSUER, &json!({"sid": "s-1"})), at(NOW)).expect("ended");
    let again = Sessions::new(sealer(), vec![end]);
    assert_eq!(again.check(&ended), ENDED);
    again.forget(at(NOW + 7200));
    assert_eq!(again.check(&ended), Ok(()));
}

#[test]
fn when_no_more_can_be_remembered_the_next_is_a_fault_and_none_is_forgotten() {
    let mark = |number: usize| {
        let mut bytes = [0; HASH_LENGTH];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Mark(bytes)
    };
    let numbered = |number: usize| End { mark: mark(number), through: UnixTime::MAX, until: at(2000) };
    let sessions = Sessions::new(sealer(), (0..ENDED_MAX).map(numbered).collect());
    let token = logout(ISSUER, &json!({"sid": "s-1"}));
    assert_eq!(end(&sessions, &token, at(1999)), Err(Refusal::FaultOverloaded));
    let first = SignIn { session: mark(0), user: mark(ENDED_MAX), confirmed_at: at(1) };
    assert_eq!(sessions.check(&first), ENDED);
    assert!(end(&sessions, &token, at(2000)).is_ok(), "all others may be forgotten");
}

#[test]
fn ids_of_two_authorities_are_two() {
    let sessions = Sessions::new(sealer(), Vec::new());
    let more = json!({"sid": "s-1"});
    sessions.admit(&logout(ISSUER, &more), at(NOW)).expect("new").keep();
    assert!(sessions.admit(&logout("https://other.example", &more), at(NOW)).is_ok());
    assert_eq!(sessions.admit(&logout(ISSUER, &more), at(NOW)).err(), Some(Refusal::LogoutTokenReplayed));
}

/// Of one that is asked, the authority itself refuses what is older.
#[test]
fn an_end_is_remembered_for_as_long_as_a_token_of_it_may_be_shown() {
    let alone = identity::OpenIdRule::AGE_MAX;
    for (remembered, shown) in [(REMEMBERED, Duration::from_hours(1)), (REMEMBERED_ALONE, alone)] {
        let sessions = Sessions::new(sealer(), Vec::new());
        sessions.end("https://i", Whose::Session("s"), remembered, at(1000)).expect("room");
        sessions.forget(at(1000).plus(shown));
        let of_before = sign_in("https://i", "s", "alice", 1000);
        assert_eq!(sessions.check(&of_before), Err(Refusal::SubjectSessionEnded), "{remembered:?}");
        sessions.forget(at(1000).plus(remembered));
        assert_eq!(sessions.check(&of_before), Ok(()), "{remembered:?}");
    }
}
