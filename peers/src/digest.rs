//! A short digest of files, which names what was made of them. It tells versions of our own files apart and proves nothing:
//! what is fetched is verified by the clients that fetch it.

use std::{fmt, fs, io, path::Path};

/// FNV-1a with 64 bits: the standard library's hashers may change from release to release.
const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

/// A digest that grows part by part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest(u64);

impl Digest {
    /// Of nothing.
    pub(crate) const fn new() -> Self {
        Self(OFFSET_BASIS)
    }

    /// With one more part. A part's length counts, so that two parts never look like one.
    #[must_use]
    pub(crate) fn with(self, part: &[u8]) -> Self {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes();
        let bytes = length.iter().chain(part);
        Self(bytes.fold(self.0, |digest, byte| (digest ^ u64::from(*byte)).wrapping_mul(PRIME)))
    }

    /// With the content of a file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn with_file(self, path: &Path) -> io::Result<Self> {
        Ok(self.with(&fs::read(path)?))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_the_same_on_every_machine() {
        assert_eq!(Digest::new().to_string(), "cbf29ce484222325");
        assert_eq!(Digest::new().with(b"agents").to_string(), Digest::new().with(b"agents").to_string());
    }

    #[test]
    fn parts_do_not_run_into_one_another() {
        let of = |parts: &[&str]| parts.iter().fold(Digest::new(), |digest, part| digest.with(part.as_bytes()));
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["ab"]), of(&["ab", ""]));
        assert_ne!(of(&["ab"]), of(&["ba"]));
    }
}
