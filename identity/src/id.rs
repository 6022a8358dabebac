//! SPIFFE IDs in their one spelling. The `spiffe` crate's parser decides what is an ID; it also accepts an upper-case
//! trust domain and lowers it, and IDs without a path. Both would give one workload two spellings, or none, so they are
//! refused here (`tokens.md` N18).

use crate::SpiffeId;

/// Why a text is not the ID of a workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdFault {
    /// Not a SPIFFE ID (SPIFFE-ID §2).
    #[error("not a SPIFFE ID: {0}")]
    Malformed(String),
    /// An ID that names a trust domain and no workload.
    #[error("a SPIFFE ID of a trust domain, without the path of a workload")]
    NoPath,
    /// Another spelling of an ID, such as an upper-case trust domain.
    #[error("not the canonical spelling of a SPIFFE ID")]
    Spelling,
}

/// The workload with this ID.
///
/// ```
/// # use identity::{SpiffeId, workload_id};
/// fn parsed(text: &str) -> Option<SpiffeId> { workload_id(text).ok() }
/// ```
/// It cannot be put together from halves:
/// ```compile_fail,E0451
/// # use identity::{SpiffeId, TrustDomain};
/// fn moved(id: SpiffeId, trust_domain: TrustDomain) -> SpiffeId { SpiffeId { trust_domain, ..id } }
/// ```
/// nor a trust domain from unchecked text:
/// ```compile_fail,E0451
/// # use identity::TrustDomain;
/// fn unchecked(name: String) -> TrustDomain { TrustDomain { name } }
/// ```
///
/// # Errors
/// The [`IdFault`].
pub fn workload_id(text: &str) -> Result<SpiffeId, IdFault> {
    let id = SpiffeId::new(text).map_err(|error| IdFault::Malformed(error.to_string()))?;
    if id.path().is_empty() {
        return Err(IdFault::NoPath);
    }
    if id.to_string() == text { Ok(id) } else { Err(IdFault::Spelling) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_other_spelling_is_refused() {
        assert!(workload_id("spiffe://corp.example/ns/agents/sa/planner").is_ok());
        for text in [
            "spiffe://CORP.example/a",
            "SPIFFE://corp.example/a",
            "spiffe://corp.example",
            "spiffe://corp.example/",
            "spiffe://corp.example/a/",
            "spiffe://corp.example//a",
            "spiffe://corp.example/../a",
            "spiffe://corp.example/./a",
            "spiffe://corp.example:443/a",
            "spiffe://user@corp.example/a",
            "spiffe://corp.example/a?b",
            "spiffe://corp.example/a#b",
            "spiffe://corp.example/%61",
            "spiffe:///a",
            "corp.example/a",
            "",
        ] {
            assert!(workload_id(text).is_err(), "{text}");
        }
    }
}
