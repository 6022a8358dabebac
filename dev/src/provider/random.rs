//! Unguessable names: sessions, codes, token ids, key ids.

use std::fmt::Write as _;

use aws_lc_rs::{error::Unspecified, rand};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

/// 256 random bits, base64url.
pub(super) fn text() -> Result<String, Unspecified> {
    let mut bytes = [0_u8; 32];
    rand::fill(&mut bytes)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// 128 random bits, written as Keycloak writes its ids: 8-4-4-4-12 hexadecimal digits.
pub(super) fn id() -> Result<String, Unspecified> {
    let mut bytes = [0_u8; 16];
    rand::fill(&mut bytes)?;
    let mut id = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            id.push('-');
        }
        write!(id, "{byte:02x}").map_err(|_never| Unspecified)?;
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_id_has_the_form_of_a_uuid_and_is_new_each_time() {
        let ids = [super::id().expect("random"), super::id().expect("random")];
        assert_ne!(ids[0], ids[1]);
        let parts: Vec<_> = ids[0].split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
    }
}
