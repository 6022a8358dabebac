//! The line of a session that ended: which authority said so, whose it was as a keyed hash, and what ended with it.
//! Only a logout token that was believed writes one.

use identity::{LoggedOut, LogoutToken, UnixTime};
use serde_json::{Value, json};

use super::{Job, Recorder, line::Liner};
use crate::authority::Authority;

impl Recorder {
    /// Records that `token` ended so many running transactions, for a request that came at `at` and has this id.
    pub(crate) fn logged_out(
        &self,
        token: &LogoutToken,
        authority: &Authority,
        transactions: u64,
        (at, request_id): (UnixTime, &str),
    ) {
        tracing::info!(issuer = token.issuer(), transactions, request_id, "a session ended at its authority");
        let line = self.liner.logout(token, authority, transactions, at);
        if self.jobs.try_send(Job::Soon { line }).is_err() {
            self.measures.lost.inc();
        }
    }
}

impl Liner {
    fn logout(&self, token: &LogoutToken, authority: &Authority, transactions: u64, at: UnixTime) -> String {
        let mut line = self.head("revoke", at);
        line.insert("op".into(), json!("logout"));
        line.insert("iss".into(), json!(token.issuer()));
        let (session, subject) = match token.logged_out() {
            LoggedOut::Session { id, subject } => (Some(id), subject.as_ref()),
            LoggedOut::User(subject) => (None, Some(subject)),
        };
        if let Some(id) = session {
            line.insert("sid".into(), json!(self.blind_session(token.issuer(), id)));
        }
        // As the lines of the user's transactions say it. A name too long to be in any of them is in none here.
        if let Some(subject) = subject.and_then(|subject| authority.qualified(subject).ok()) {
            line.insert("sub".into(), json!(self.blind(subject.as_str())));
        }
        line.insert("txns".into(), json!(transactions));
        line.insert("dec".into(), json!("allow"));
        line.insert("code".into(), json!(""));
        Value::Object(line).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        authority::tests::authority,
        sessions::tests::{logout, sealer},
    };

    const ISSUER: &str = "http://localhost/realms/agents";

    fn line(whom: &Value) -> Value {
        runtime::tls::install_provider();
        let at = UnixTime::from_secs(1000).expect("a time");
        let line = Liner::new(sealer(), "digest").logout(&logout(ISSUER, whom), &authority(ISSUER), 2, at);
        serde_json::from_str(&line).expect("JSON")
    }

    #[test]
    fn a_line_tells_authority_session_and_user_and_names_neither() {
        let both = line(&json!({"sid": "s-1", "sub": "alice"}));
        assert_eq!((&both["t"], &both["op"], &both["iss"]), (&json!("revoke"), &json!("logout"), &json!(ISSUER)));
        assert_eq!((&both["txns"], &both["ts"], &both["pol"]), (&json!(2), &json!(1_000_000), &json!("digest")));
        assert_eq!(both["sub"], json!(sealer().blind("alice")), "as the lines of her transactions say it");
        let text = both.to_string();
        assert!(!text.contains("s-1") && !text.contains("alice"), "{text}");
        let (session, user) = (line(&json!({"sid": "s-1"})), line(&json!({"sub": "alice"})));
        assert_eq!((&session["sid"], &session["sub"]), (&both["sid"], &Value::Null));
        assert_eq!((&user["sid"], &user["sub"]), (&Value::Null, &both["sub"]));
        assert_ne!(line(&json!({"sid": "alice"}))["sid"], both["sub"], "a session is never a user");
    }
}
