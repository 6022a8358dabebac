//! What an app may know about its caller (`protocol.md` §10): identifiers, never a token. Set after everything of that
//! name was stripped, and only where the target asks for it.

use http::{HeaderMap, HeaderName, HeaderValue};

use identity::{AccessToken, IdentityHeader, Target};

/// Adds the headers that `target` wants.
pub(super) fn add(headers: &mut HeaderMap, target: &Target, access: &AccessToken) {
    for wanted in target.identity_headers() {
        let (name, value) = match wanted {
            IdentityHeader::Subject => ("countersign-subject", access.subject().to_string()),
            IdentityHeader::Actors => {
                let actors: Vec<String> = access.chain().iter().map(ToString::to_string).collect();
                ("countersign-actors", actors.join(", "))
            }
            IdentityHeader::Scope => ("countersign-scope", access.scopes().to_string()),
            IdentityHeader::Transaction => ("countersign-transaction", access.transaction().to_string()),
        };
        // INVARIANT: subjects, SPIFFE IDs, scopes and transaction ids are printable ASCII.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}
