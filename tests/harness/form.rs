//! Requests to the token endpoint, and what every refusal of it has in common.

use dev::apps::Answer;

use crate::tells_token;

const TYPE: &str = "urn:ietf:params:oauth:token-type:";

/// A form that a row of a table changes.
#[derive(Clone, Debug, Default)]
pub struct Form(pub Vec<(String, String)>);

impl Form {
    /// The same with `name` set to `value`, wherever it stood.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.0.retain(|(known, _)| known != name);
        self.add(name, value)
    }

    /// The same with one more parameter.
    #[must_use]
    pub fn add(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same without `name`.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|(known, _)| known != name);
        self
    }

    /// As `application/x-www-form-urlencoded`.
    #[must_use]
    pub fn encoded(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(self.pairs()).finish()
    }

    /// As pairs.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

fn exchange(subject: &str, subject_type: &str, requested: &str) -> Form {
    Form::default()
        .add("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
        .add("subject_token", subject)
        .add("subject_token_type", &format!("{TYPE}{subject_type}"))
        .add("requested_token_type", &format!("{TYPE}{requested}"))
}

/// *begin*: a user's token becomes a transaction.
#[must_use]
pub fn begin(user_token: &str, scope: &str) -> Form {
    exchange(user_token, "access_token", "txn_token").add("audience", "corp.example").add("scope", scope)
}

/// *call*: a transaction token becomes an access token for one target.
#[must_use]
pub fn call(txn_token: &str, resource: &str, scope: &str) -> Form {
    exchange(txn_token, "txn_token", "access_token").add("resource", resource).add("scope", scope)
}

/// *renew*: a transaction token becomes a younger one.
#[must_use]
pub fn renew(txn_token: &str, scope: &str) -> Form {
    exchange(txn_token, "txn_token", "txn_token").add("audience", "corp.example").add("scope", scope)
}

/// The answer refuses with this status, OAuth error and code; nothing was issued, nothing may be cached, a fault says
/// when to try again, and a wrong method which one is right.
///
/// # Panics
/// Where it does not.
pub fn assert_refused(case: &str, answer: &Answer, status: u16, error: &str, refusal: &str) {
    let body = answer.json();
    let found = (answer.status.as_u16(), body["error"].as_str().unwrap_or(""), body["refusal"].as_str().unwrap_or(""));
    assert_eq!(found, (status, error, refusal), "{case}: {body}");
    assert_eq!(answer.header("cache-control"), "no-store", "{case}");
    assert_eq!(answer.header("content-type"), "application/json", "{case}");
    assert_eq!(answer.header("allow"), if status == 405 { "POST" } else { "" }, "{case}: Allow");
    assert_eq!(answer.header("retry-after").is_empty(), status != 503, "{case}: Retry-After");
    let text = String::from_utf8_lossy(&answer.body);
    assert!(!tells_token(&text) && body["access_token"].is_null() && body["txn_token"].is_null(), "{case}: {text}");
}
