//! The lines of keys: what happened to a signing key, or that the wrapping key is another. They hold nothing of a key.

use identity::UnixTime;
use serde_json::{Value, json};

use super::{Recorder, line::Liner};
use crate::keys::Event;

impl Recorder {
    /// Records what happened to a signing key.
    pub(crate) fn key_changed(&self, event: &Event, at: UnixTime) {
        self.soon(self.liner.key_changed(event, at));
    }

    /// Records that another wrapping key encrypts the store.
    pub(crate) fn rewrapped(&self, at: UnixTime) {
        self.soon(self.liner.key("rewrapped", at, []));
    }
}

impl Liner {
    fn key_changed(&self, event: &Event, at: UnixTime) -> String {
        self.key(event.change.word(), at, [("kid", event.kid.as_str()), ("alg", event.algorithm.name())])
    }

    fn key<const N: usize>(&self, what: &str, at: UnixTime, about: [(&str, &str); N]) -> String {
        let mut line = self.head("key", at);
        line.insert("op".into(), json!(what));
        line.extend(about.map(|(name, value)| (name.to_owned(), json!(value))));
        line.insert("dec".into(), json!("allow"));
        line.insert("code".into(), json!(""));
        Value::Object(line).to_string()
    }
}
