//! All keys as one text, to be sealed as one: no key can be taken out, brought back or put into another state alone by who
//! writes to the store and has no wrapping key.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use identity::UnixTime;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    Algorithm, Due, KEYS_MAX, Key, KeyFault, Moment, RETIREMENT, REVOKED_MAX, Revoked, Ring, SigningKey, State, Terms,
};

/// Version of the text's form.
const VERSION: u64 = 1;
/// Longest text in bytes: keys of 500 bytes, names of 100.
pub(super) const TEXT_LENGTH_MAX: usize = 64 * 1024;

#[derive(Serialize, Deserialize)]
struct Text<'a> {
    v: u64,
    #[serde(borrow)]
    keys: Vec<KeyText<'a>>,
    revoked: Vec<RevokedText<'a>>,
}

#[derive(Serialize, Deserialize)]
struct KeyText<'a> {
    alg: &'a str,
    pkcs8: &'a str,
    since: u64,
    state: Word,
    /// End of the state, by the wall clock.
    until: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct RevokedText<'a> {
    kid: &'a str,
    alg: &'a str,
    since: u64,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Published,
    Signing,
    Retired,
}

impl Ring {
    /// The text, which holds private keys.
    pub(crate) fn to_text(&self) -> Result<Zeroizing<Vec<u8>>, KeyFault> {
        let documents: Vec<Zeroizing<String>> =
            self.keys.iter().map(|key| Zeroizing::new(STANDARD.encode(key.pair.document()))).collect();
        let keys = self.keys.iter().zip(&documents).map(|(key, pkcs8)| {
            let (state, until) = match key.state {
                State::Published(due) => (Word::Published, Some(due.wall().secs())),
                State::Signing => (Word::Signing, None),
                State::Retired(due) => (Word::Retired, Some(due.wall().secs())),
            };
            KeyText { alg: key.pair.algorithm().name(), pkcs8, since: key.since.secs(), state, until }
        });
        let revoked = self.revoked.iter();
        let revoked =
            revoked.map(|key| RevokedText { kid: &key.kid, alg: key.algorithm.name(), since: key.since.secs() });
        let text = Text { v: VERSION, keys: keys.collect(), revoked: revoked.collect() };
        // Room for the whole text from the start: growing would leave copies of private keys behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(TEXT_LENGTH_MAX));
        serde_json::to_writer(&mut *bytes, &text).map_err(|_impossible| KeyFault::Malformed)?;
        Ok(bytes)
    }

    /// Reads [`Ring::to_text`], at `at`: exactly one key signs, one waits at most, none is there twice.
    pub(crate) fn read(text: &[u8], terms: &Terms, at: Moment) -> Result<Self, KeyFault> {
        let text: Text<'_> = serde_json::from_slice(text).map_err(|_malformed| KeyFault::Malformed)?;
        if text.v != VERSION || text.keys.len() > KEYS_MAX || text.revoked.len() > REVOKED_MAX {
            return Err(KeyFault::Malformed);
        }
        let keys = text.keys.iter().map(|key| key.read(terms, at)).collect::<Result<Vec<_>, _>>()?;
        let revoked = text.revoked.iter().map(RevokedText::read).collect::<Result<Vec<_>, _>>()?;
        let ring = Self { keys, revoked };
        let count = |wanted: fn(&State) -> bool| ring.keys.iter().filter(|key| wanted(&key.state)).count();
        let signing = count(|state| matches!(state, State::Signing));
        let waiting = count(|state| matches!(state, State::Published(_)));
        let is_revoked = |key: &Key| ring.revoked.iter().any(|revoked| revoked.kid == key.pair.kid());
        if signing != 1 || waiting > 1 || ring.keys.iter().any(is_revoked) {
            return Err(KeyFault::Malformed);
        }
        Ok(ring)
    }
}

impl KeyText<'_> {
    fn read(&self, terms: &Terms, at: Moment) -> Result<Key, KeyFault> {
        let until = || self.until.and_then(UnixTime::from_secs).ok_or(KeyFault::Malformed);
        let state = match self.state {
            Word::Published => State::Published(Due::resumed(until()?, terms.publication, at)),
            Word::Signing => State::Signing,
            Word::Retired => State::Retired(Due::resumed(until()?, RETIREMENT, at)),
        };
        let pkcs8 = Zeroizing::new(STANDARD.decode(self.pkcs8).map_err(|_malformed| KeyFault::Malformed)?);
        let pair = Arc::new(SigningKey::read(algorithm(self.alg)?, &pkcs8)?);
        Ok(Key { pair, since: time(self.since)?, state })
    }
}

impl RevokedText<'_> {
    fn read(&self) -> Result<Revoked, KeyFault> {
        Ok(Revoked { kid: self.kid.to_owned(), algorithm: algorithm(self.alg)?, since: time(self.since)? })
    }
}

fn algorithm(name: &str) -> Result<Algorithm, KeyFault> {
    Algorithm::named(name).ok_or(KeyFault::Malformed)
}

fn time(secs: u64) -> Result<UnixTime, KeyFault> {
    UnixTime::from_secs(secs).ok_or(KeyFault::Malformed)
}
