//! What a key is for, and when, whatever the clocks do.

use tokio::time::Instant;

use super::{super::due::tests::moment, sealed::TEXT_LENGTH_MAX, *};

const TERMS: Terms = Terms {
    algorithm: Algorithm::Es256,
    publication: Duration::from_secs(600),
    rotate_every: Duration::from_hours(720),
};
const ED: Terms = Terms { algorithm: Algorithm::EdDsa, ..TERMS };
const START: u64 = 10_000;

/// A first key, and the moment `secs` after it was made, by both clocks.
fn first() -> (Ring, impl Fn(u64) -> Moment) {
    let start = Instant::now();
    let (ring, events) = Ring::first(Algorithm::Es256, moment(start, START, 0)).expect("a ring");
    assert_eq!(changes(&events), ["signing"]);
    (ring, move |secs: u64| moment(start, START.saturating_add(secs), secs))
}

fn changes(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.change.word()).collect()
}

fn kids(ring: &Ring) -> Vec<String> {
    ring.keys.iter().map(|key| key.pair.kid().to_owned()).collect()
}

fn signs(ring: &Ring) -> String {
    ring.in_use().expect("keys").kid().to_owned()
}

#[test]
fn a_successor_is_published_for_ten_minutes_before_it_signs_and_its_predecessor_verifies_until_its_tokens_ended() {
    let (mut ring, at) = first();
    let old = signs(&ring);
    assert_eq!(changes(&ring.rotate(&ED, at(10)).expect("rotated")), ["published"]);
    let [_, new] = kids(&ring).try_into().expect("two keys");
    let keys = ring.in_use().expect("keys");
    assert!(keys.kid() == old && keys.verifying().holds(&new), "it can be learned, and does not sign");
    assert!(ring.advance(&ED, at(609)).expect("advanced").is_empty());
    assert_eq!(signs(&ring), old);
    assert_eq!(changes(&ring.advance(&ED, at(610)).expect("advanced")), ["retired", "signing"]);
    let keys = ring.in_use().expect("keys");
    assert!(keys.kid() == new && keys.verifying().holds(&old));
    assert!(ring.advance(&ED, at(789)).expect("advanced").is_empty(), "120 s, 30 s, and a margin");
    assert_eq!(changes(&ring.advance(&ED, at(790)).expect("advanced")), ["removed"]);
    assert!(!ring.in_use().expect("keys").verifying().holds(&old));
}

#[test]
fn a_wall_clock_that_jumps_activates_nothing_early_and_removes_nothing_early() {
    let start = Instant::now();
    let (mut ring, _events) = Ring::first(Algorithm::Es256, moment(start, START, 0)).expect("a ring");
    let old = signs(&ring);
    ring.rotate(&TERMS, moment(start, START, 0)).expect("rotated");
    for ahead in [300, 100_000] {
        assert!(ring.advance(&TERMS, moment(start, START + ahead, 1)).expect("advanced").is_empty());
    }
    assert!(ring.advance(&TERMS, moment(start, START - 300, 601)).expect("advanced").is_empty(), "nor back");
    assert_eq!(
        changes(&ring.advance(&TERMS, moment(start, START + 600, 900)).expect("advanced")),
        ["retired", "signing"]
    );
    assert!(ring.advance(&TERMS, moment(start, START + 1_000, 901)).expect("advanced").is_empty());
    assert!(ring.in_use().expect("keys").verifying().holds(&old));
}

#[test]
fn a_key_that_was_published_while_the_clock_was_ahead_signs_once_it_is_put_right() {
    let start = Instant::now();
    let (mut ring, _events) = Ring::first(Algorithm::Es256, moment(start, START, 0)).expect("a ring");
    ring.rotate(&TERMS, moment(start, START + 1_000_000, 1)).expect("rotated");
    assert!(ring.advance(&TERMS, moment(start, START + 2, 2)).expect("advanced").is_empty());
    assert!(ring.advance(&TERMS, moment(start, START + 601, 601)).expect("advanced").is_empty());
    assert_eq!(
        changes(&ring.advance(&TERMS, moment(start, START + 602, 602)).expect("advanced")),
        ["retired", "signing"]
    );
}

#[test]
fn a_key_is_rotated_by_itself_with_the_algorithm_that_is_configured_then() {
    let (mut ring, at) = first();
    let month = 720 * 3600;
    assert!(ring.advance(&ED, at(month - 1)).expect("advanced").is_empty());
    assert_eq!(changes(&ring.advance(&ED, at(month)).expect("advanced")), ["published"]);
    assert!(ring.advance(&ED, at(month + 1)).expect("advanced").is_empty(), "once");
    assert_eq!(ring.list(&ED, at(month + 1))[1].algorithm, Algorithm::EdDsa);
    assert_eq!(changes(&ring.advance(&ED, at(month + 600)).expect("advanced")), ["retired", "signing"]);
}

#[test]
fn there_is_one_successor_at_a_time_and_never_more_than_eight_keys() {
    let (mut ring, at) = first();
    ring.rotate(&TERMS, at(0)).expect("rotated");
    assert!(matches!(ring.rotate(&TERMS, at(1)), Err(RingFault::SuccessorWaits(kid)) if kid == kids(&ring)[1]));
    let hasty = Terms { publication: Duration::from_secs(1), ..TERMS };
    let (mut ring, at) = first();
    for second in 1..8 {
        ring.rotate(&hasty, at(second)).expect("rotated");
        ring.advance(&hasty, at(second + 1)).expect("advanced");
    }
    assert_eq!((ring.keys.len(), ring.rotate(&hasty, at(9))), (KEYS_MAX, Err(RingFault::Full)));
    let now = signs(&ring);
    assert!(ring.revoke(&now, &hasty, at(9)).is_ok(), "a key can be revoked nevertheless");
    assert_eq!(ring.keys.len(), KEYS_MAX);
}

#[test]
fn a_revoked_key_is_gone_at_once_and_another_signs() {
    let (mut ring, at) = first();
    let old = signs(&ring);
    assert_eq!(changes(&ring.revoke(&old, &TERMS, at(1)).expect("revoked")), ["revoked", "signing"]);
    let keys = ring.in_use().expect("keys");
    assert!(keys.kid() != old && !keys.verifying().holds(&old) && !keys.jwks().contains(&old));
    assert_eq!(keys.revoked(), std::slice::from_ref(&old));
    assert!(ring.revoke(&old, &TERMS, at(2)).expect("done already").is_empty());
    assert_eq!(ring.revoke("nobody", &TERMS, at(2)), Err(RingFault::Unknown("nobody".into())));
}

#[test]
fn a_successor_that_everybody_holds_takes_the_place_of_a_revoked_key() {
    let (mut ring, at) = first();
    ring.rotate(&TERMS, at(0)).expect("rotated");
    let [old, new] = kids(&ring).try_into().expect("two keys");
    assert_eq!(changes(&ring.revoke(&old, &TERMS, at(1)).expect("revoked")), ["revoked", "signing"]);
    assert_eq!((signs(&ring), kids(&ring)), (new.clone(), vec![new]));
}

#[test]
fn a_successor_or_a_retired_key_can_be_revoked_and_what_signs_goes_on() {
    let (mut ring, at) = first();
    ring.rotate(&TERMS, at(0)).expect("rotated");
    let [old, new] = kids(&ring).try_into().expect("two keys");
    let mut other = ring.clone();
    assert_eq!(changes(&other.revoke(&new, &TERMS, at(1)).expect("revoked")), ["revoked"]);
    assert_eq!(signs(&other), old);
    ring.advance(&TERMS, at(600)).expect("advanced");
    assert_eq!(changes(&ring.revoke(&old, &TERMS, at(601)).expect("revoked")), ["revoked"]);
    assert_eq!(signs(&ring), new);
}

#[test]
fn what_is_sealed_is_read_back_in_the_same_states_and_waits_anew() {
    let (mut ring, at) = first();
    ring.rotate(&ED, at(0)).expect("rotated");
    let retired = signs(&ring);
    ring.advance(&ED, at(600)).expect("advanced");
    ring.rotate(&TERMS, at(600)).expect("rotated");
    let [_, _, revoked] = kids(&ring).try_into().expect("three keys");
    ring.revoke(&revoked, &TERMS, at(600)).expect("revoked");
    ring.rotate(&TERMS, at(600)).expect("rotated");
    let text = ring.to_text().expect("a text");
    let mut again = Ring::read(&text, &TERMS, at(10_000)).expect("read");
    let told = |ring: &Ring| -> Vec<_> {
        let keys = ring.list(&TERMS, at(600));
        keys.into_iter().map(|key| (key.kid, key.algorithm, key.state, key.since)).collect()
    };
    assert_eq!(told(&again), told(&ring));
    assert!(again.advance(&TERMS, at(10_179)).expect("advanced").is_empty(), "nobody knows how long it was away");
    assert_eq!(changes(&again.advance(&TERMS, at(10_180)).expect("advanced")), ["removed"]);
    assert!(!again.in_use().expect("keys").verifying().holds(&retired));
    assert_eq!(changes(&again.advance(&TERMS, at(10_600)).expect("advanced")), ["retired", "signing"]);
}

#[test]
fn a_text_that_the_broker_did_not_write_is_refused() {
    let (mut ring, at) = first();
    ring.rotate(&TERMS, at(0)).expect("rotated");
    let text: serde_json::Value = serde_json::from_slice(&ring.to_text().expect("a text")).expect("JSON");
    let refused = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut changed = text.clone();
        change(&mut changed);
        Ring::read(changed.to_string().as_bytes(), &TERMS, at(1)).err()
    };
    assert_eq!(refused(&|_same| {}), None);
    assert_eq!(refused(&|text| text["v"] = 2.into()), Some(KeyFault::Malformed));
    assert_eq!(refused(&|text| text["keys"] = serde_json::json!([])), Some(KeyFault::Malformed), "nothing signs");
    assert_eq!(refused(&|text| text["keys"][1]["state"] = "signing".into()), Some(KeyFault::Malformed), "two sign");
    assert_eq!(refused(&|text| text["keys"][0]["alg"] = "EdDSA".into()), Some(KeyFault::Malformed));
    assert_eq!(refused(&|text| text["keys"][1]["until"] = serde_json::Value::Null), Some(KeyFault::Malformed));
    let kid = kids(&ring)[1].clone();
    let comes_back = move |text: &mut serde_json::Value| {
        text["revoked"] = serde_json::json!([{"kid": kid, "alg": "ES256", "since": 1}]);
    };
    assert_eq!(refused(&comes_back), Some(KeyFault::Malformed), "a revoked key");
}

#[test]
fn the_largest_ring_has_room() {
    let (mut ring, at) = first();
    let hasty = Terms { publication: Duration::ZERO, ..TERMS };
    for _ in 0..REVOKED_MAX + 3 {
        let now = signs(&ring);
        ring.revoke(&now, &hasty, at(1)).expect("revoked");
    }
    for _ in 1..KEYS_MAX {
        ring.rotate(&hasty, at(1)).expect("rotated");
        ring.advance(&hasty, at(1)).expect("advanced");
    }
    assert_eq!((ring.keys.len(), ring.revoked.len()), (KEYS_MAX, REVOKED_MAX));
    let text = ring.to_text().expect("a text");
    assert!(text.len() <= TEXT_LENGTH_MAX / 2, "{}", text.len());
    assert!(Ring::read(&text, &hasty, at(2)).is_ok());
}
