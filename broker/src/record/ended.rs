//! The line of a session that ended by what the authority's event log or its answer said: which authority's it was, and
//! what ended with it. Whose it was stands there as a keyed hash.

use identity::UnixTime;
use serde_json::{Value, json};

use super::{Recorder, line::Liner};

/// What said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndedBy {
    /// The authority's event log.
    Event,
    /// Its answer, when it was asked.
    Answer,
}

impl EndedBy {
    const fn word(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Answer => "answer",
        }
    }
}

impl Recorder {
    /// Records that so many running transactions ended with this session of this authority.
    pub(crate) fn session_ended(&self, by: EndedBy, (issuer, session): (&str, &str), transactions: u64, at: UnixTime) {
        tracing::info!(issuer, transactions, by = by.word(), "a session ended at its authority");
        self.soon(self.liner.session_ended(by, (issuer, session), transactions, at));
    }
}

impl Liner {
    fn session_ended(&self, by: EndedBy, (issuer, session): (&str, &str), transactions: u64, at: UnixTime) -> String {
        let mut line = self.head("revoke", at);
        line.insert("op".into(), json!(by.word()));
        line.insert("iss".into(), json!(issuer));
        line.insert("sid".into(), json!(self.blind_session(issuer, session)));
        line.insert("txns".into(), json!(transactions));
        line.insert("dec".into(), json!("allow"));
        line.insert("code".into(), json!(""));
        Value::Object(line).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::tests::sealer;

    #[test]
    fn a_line_tells_what_said_it_and_names_no_session() {
        let liner = Liner::new(sealer(), "digest");
        let at = UnixTime::from_secs(1000).expect("a time");
        for (by, word) in [(EndedBy::Event, "event"), (EndedBy::Answer, "answer")] {
            let line = liner.session_ended(by, ("https://keycloak", "s-1"), 2, at);
            let read: Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!((&read["t"], &read["op"], &read["txns"]), (&json!("revoke"), &json!(word), &json!(2)));
            assert_eq!(read["sid"], json!(liner.blind_session("https://keycloak", "s-1")));
            assert!(!line.contains("s-1"), "{line}");
        }
    }
}
