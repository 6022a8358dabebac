//! What is told about a token, and to whom (RFC 7662): to those whom it concerns, and to whom policy lets look
//! (`administer`). Everybody else learns as much as of a token that does not exist.

use identity::{DecisionRecord, Kind, RawToken, Refusal, SpiffeId, UnixTime};
use policies::{Operation, What};
use serde_json::{Value, json};

use crate::{
    administer::{allowed, decide},
    issued::Shown,
    names::{BEARER, NOT_APPLICABLE},
    parties::Parties,
};

/// The members of RFC 7662 §2.2, or `None` where the token counts for nothing, or is not for `requester` to know (N75).
///
/// # Errors
/// `client.not_permitted`, which is answered like a token that counts for nothing; `policy.error`, `fault.record`.
pub(crate) async fn look(
    parties: &Parties,
    requester: &SpiffeId,
    raw: &RawToken,
    record: &mut DecisionRecord,
    now: UnixTime,
) -> Result<Option<Value>, Refusal> {
    record.note(|entry| (entry.kind, entry.target) = (Some(Kind::Introspect), Some(What::Token.name().to_owned())));
    let token = match Shown::read(parties, raw, now) {
        Ok(Some(token)) => token,
        Ok(None) | Err(Refusal::RequestForeignToken) => return Ok(None),
        Err(other) => return Err(other),
    };
    record.note(|entry| token.describe(entry));
    if !token.concerns(parties, requester) {
        let permitted = decide(parties, requester, (Operation::Introspect, What::Token), record, now)?;
        record.note(|entry| allowed(entry, &permitted));
        parties.recorder.granted(record.entry()).await?;
    }
    Ok(token.is_live(parties).then(|| members(parties, &token)))
}

fn members(parties: &Parties, token: &Shown) -> Value {
    let mut members = match token {
        Shown::Access(token) => json!({
            "scope": token.scopes().to_string(),
            "client_id": token.client().to_string(),
            "sub": token.subject().as_str(),
            "aud": token.audience(),
            "exp": token.lifetime().not_after().secs(),
            "iat": token.issued_at().secs(),
            "jti": token.id().as_str(),
            "txn": token.transaction().as_str(),
            "act": token.chain().to_act(),
            "token_type": BEARER,
        }),
        Shown::Transaction(token) => json!({
            "scope": token.scopes().to_string(),
            "client_id": token.requester().to_string(),
            "sub": token.subject().as_str(),
            "aud": parties.issuer.trust_domain.as_str(),
            "exp": token.lifetime().not_after().secs(),
            "iat": token.issued_at().secs(),
            "jti": token.id().as_str(),
            "txn": token.transaction().as_str(),
            "act": token.chain().to_act(),
            "token_type": NOT_APPLICABLE,
        }),
    };
    if let Some(members) = members.as_object_mut() {
        members.insert("active".to_owned(), json!(true));
        members.insert("iss".to_owned(), json!(parties.issuer.url));
    }
    members
}
