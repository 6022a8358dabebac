//! Names that tokens carry: bounded, printable, and never mixed up with one another.

use std::fmt;

/// Longest `sub`, `txn` or `jti` in bytes.
const NAME_LENGTH_MAX: usize = 255;

/// Why a name was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name must hold 1 to {NAME_LENGTH_MAX} printable ASCII characters without spaces")]
pub struct NameFault;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as tokens carry it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameFault;

            fn from_str(text: &str) -> Result<Self, NameFault> {
                let fits = (1..=NAME_LENGTH_MAX).contains(&text.len());
                if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) { Ok(Self(text.to_owned())) } else { Err(NameFault) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The user for whom a transaction runs: `sub`, unique in the trust domain (`protocol.md` §3).
    Subject
}
name! {
    /// `txn`: the same on every token of a transaction (RFC 8417 §2.2).
    TransactionId
}
name! {
    /// `jti` of one token (RFC 7519 §4.1.7). Deny lists and records use it, never the token's bytes:
    /// ECDSA signatures are malleable.
    TokenId
}
