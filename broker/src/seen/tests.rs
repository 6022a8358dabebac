use std::cell::Cell;

use identity::{TrustDomain, TxnRule, verify};
use serde_json::{Value, json};

use super::*;
use crate::keys;

const ISSUER: &str = "https://broker.agents.svc";

/// Keys, what was seen, and how often a signature was looked at.
struct World {
    keys: Arc<Keys>,
    seen: Seen,
    verified: Cell<usize>,
}

impl World {
    fn new() -> Self {
        Self { keys: Arc::new(keys::tests::fresh()), seen: Seen::default(), verified: Cell::new(0) }
    }

    /// A token of alice's with this number, from second 1000 to 1120.
    fn token(&self, number: usize) -> String {
        let claims = json!({
            "iss": ISSUER, "aud": "corp.example", "sub": "alice", "txn": "t", "jti": number.to_string(), "scope": "",
            "iat": 1000, "exp": 1120, "req_wl": "spiffe://corp.example/planner",
            "act": { "sub": "spiffe://corp.example/planner" },
        });
        self.sign(&claims)
    }

    fn sign(&self, claims: &Value) -> String {
        self.keys.sign("txntoken+jwt", claims).expect("signed").to_string()
    }

    fn prove(&self, token: &str, now: u64) -> Result<Arc<TxnToken>, TokenFault> {
        self.prove_with(token, &self.keys, now)
    }

    fn prove_with(&self, token: &str, keys: &Arc<Keys>, now: u64) -> Result<Arc<TxnToken>, TokenFault> {
        let (raw, now) = (RawToken::parse(token.to_owned())?, UnixTime::from_secs(now).expect("a time"));
        self.seen.prove(&raw, keys, now, || {
            self.verified.set(self.verified.get().saturating_add(1));
            let trust_domain = TrustDomain::new("corp.example").expect("a domain");
            verify(&raw, keys.verifying(), &TxnRule { issuer: ISSUER, trust_domain: &trust_domain }, now)
        })
    }
}

#[test]
fn a_token_that_is_shown_again_is_not_verified_again() {
    let world = World::new();
    let token = world.token(1);
    let first = world.prove(&token, 1000).expect("proved");
    let again = world.prove(&token, 1119).expect("proved");
    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(world.verified.get(), 1);
}

/// An ECDSA signature has a second spelling, and whoever does not hold the key can write it: it is another token.
#[test]
fn a_token_that_differs_anywhere_from_one_that_was_seen_is_verified() {
    let world = World::new();
    let token = world.token(1);
    world.prove(&token, 1000).expect("proved");
    for place in 0..token.len() {
        let mut other = token.clone().into_bytes();
        other[place] = if other[place] == b'A' { b'B' } else { b'A' };
        let other = String::from_utf8(other).expect("text");
        assert!(world.prove(&other, 1000).is_err(), "changed at {place}");
    }
    assert_eq!(world.verified.get(), 1 + token.len());
}

#[test]
fn a_token_that_has_ended_is_refused_though_it_was_seen() {
    let world = World::new();
    let token = world.token(1);
    world.prove(&token, 1000).expect("proved");
    assert_eq!(world.prove(&token, 1120).err(), Some(TokenFault::Expired));
}

#[test]
fn where_the_clock_went_back_a_token_of_the_future_is_refused_though_it_was_seen() {
    let world = World::new();
    let token = world.token(1);
    world.prove(&token, 1000).expect("proved");
    assert_eq!(world.prove(&token, 900).err(), Some(TokenFault::NotYetValid));
}

#[test]
fn with_other_keys_nothing_that_was_seen_counts() {
    let world = World::new();
    let (token, others) = (world.token(1), Arc::new(keys::tests::fresh()));
    world.prove(&token, 1000).expect("proved");
    assert_eq!(world.prove_with(&token, &others, 1000).err(), Some(TokenFault::KeyUnknown));
    world.prove(&token, 1000).expect("proved");
    assert_eq!(world.verified.get(), 2, "what was refused took no place");
}

#[test]
fn what_was_refused_is_not_remembered() {
    let world = World::new();
    for _time in 0..2 {
        assert_eq!(world.prove("no token", 1000).err(), Some(TokenFault::Malformed));
    }
    assert_eq!(world.verified.get(), 2);
    assert!(world.seen.lock().young.is_empty());
}

#[test]
fn what_is_remembered_is_bounded_and_what_ended_is_let_go() {
    let world = World::new();
    let proof = world.prove(&world.token(0), 1000).expect("proved");
    for number in 0..1_000_000_u64 {
        let mut name = [0; SHA256_OUTPUT_LEN];
        name[..8].copy_from_slice(&number.to_be_bytes());
        world.seen.lock().keep(name, &world.keys, Arc::clone(&proof));
    }
    let held = |proofs: &Proofs| (proofs.young.len(), proofs.old.len());
    let (young, old) = held(&world.seen.lock());
    assert!(young <= GENERATION_MAX && old <= GENERATION_MAX, "{young} and {old}");
    world.seen.forget(UnixTime::from_secs(1120).expect("a time"));
    assert_eq!(held(&world.seen.lock()), (0, 0));
}
