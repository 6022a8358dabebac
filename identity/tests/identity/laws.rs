//! Laws that hold for every input: nothing widens, nothing lives longer, a chain grows at its current end only,
//! and no bit of a signed token can change.

use identity::{ActorChain, Lifetime, Scopes, SpiffeId, UnixTime, UserRule, verify};
use proptest::prelude::*;
use serde_json::json;

use crate::signer::{Signer, raw};

fn scopes() -> impl Strategy<Value = Scopes> {
    proptest::collection::btree_set("[a-d]{1,2}(:[rw])?", 0..8)
        .prop_map(|set| set.into_iter().collect::<Vec<_>>().join(" ").parse().expect("scopes"))
}

fn actors() -> impl Strategy<Value = Vec<SpiffeId>> {
    proptest::collection::vec("[a-f]", 1..12).prop_map(|names| {
        names.iter().map(|name| SpiffeId::new(format!("spiffe://corp.example/{name}")).expect("an id")).collect()
    })
}

proptest! {
    #[test]
    fn intersection_never_widens(a in scopes(), b in scopes(), c in scopes()) {
        let both = a.intersect(&b);
        prop_assert!(both.is_subset(&a) && both.is_subset(&b));
        prop_assert!(both.intersect(&c).is_subset(&both));
        prop_assert_eq!(both, b.intersect(&a));
        prop_assert!(a.keep(|scope| scope.is_subset(&b)).is_subset(&a));
        prop_assert!(a.without_openid().is_subset(&a));
        prop_assert_eq!(a.to_string().parse::<Scopes>(), Ok(a));
    }

    #[test]
    fn life_never_grows(a in 0..=UnixTime::MAX.secs(), b in 0..=UnixTime::MAX.secs()) {
        let life = |secs| Lifetime::until(UnixTime::from_secs(secs).expect("a time"));
        let shorter = life(a).min(life(b));
        prop_assert!(shorter.not_after() <= life(a).not_after() && shorter.not_after() <= life(b).not_after());
        prop_assert!(shorter.expired(shorter.not_after()));
    }

    #[test]
    fn a_chain_only_grows_at_its_current_end(actors in actors()) {
        let mut names = actors.into_iter();
        let mut chain = ActorChain::of(names.next().expect("one at least"));
        for actor in names {
            let before: Vec<SpiffeId> = chain.iter().cloned().collect();
            let Ok(grown) = chain.clone().then(actor.clone()) else {
                prop_assert!(before.contains(&actor) || before.len() == identity::DEPTH_MAX);
                continue;
            };
            let after: Vec<SpiffeId> = grown.iter().cloned().collect();
            prop_assert_eq!(&after[0], &actor);
            prop_assert_eq!(&after[1..], &before[..]);
            chain = grown;
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _refused = identity::RawToken::parse(text.clone()).and_then(|token| token.claimed_scopes());
        let _refused = identity::KeySet::parse(text.as_bytes());
        let _refused = identity::parse_strict(text.as_bytes());
    }
}

#[test]
fn any_single_flipped_bit_of_a_signed_token_is_refused() {
    let signer = Signer::new("k");
    let keys = signer.keys();
    let rule = UserRule { issuer: "https://i.example", audience: "b" };
    let now = UnixTime::from_secs(1000).expect("a time");
    let claims = json!({"iss": "https://i.example", "aud": "b", "sub": "alice", "typ": "Bearer", "azp": "c", "sid": "s", "iat": 1000,
        "exp": 1300, "scope": "r"});
    let token = signer.sign("JWT", &claims);
    assert!(verify(&raw(token.clone()), &keys, &rule, now).is_ok());
    for byte in 0..token.len() {
        for bit in 0..8 {
            let mut flipped = token.clone().into_bytes();
            flipped[byte] ^= 1 << bit;
            // A byte over 127 is no text, so it cannot even arrive as a token.
            let Ok(text) = String::from_utf8(flipped) else { continue };
            assert!(verify(&raw(text), &keys, &rule, now).is_err(), "bit {bit} of byte {byte}");
        }
    }
}
