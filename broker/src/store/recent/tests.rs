use identity::{Lifetime, Scopes, UnixTime};

use super::*;
use crate::{grant::Ends, sessions::tests::sign_in};

fn transaction(id: &str, long_ends: u64) -> Transaction {
    let until = |secs| Lifetime::until(UnixTime::from_secs(secs).expect("a time"));
    Transaction {
        id: id.parse().expect("an id"),
        authority: "https://keycloak".to_owned(),
        subject: "alice".parse().expect("a name"),
        session: "s".to_owned(),
        sign_in: sign_in("https://keycloak", "s", "alice", 1),
        scopes: Scopes::none(),
        groups: Vec::new(),
        roles: Vec::new(),
        ends: Ends { not_after: until(1000), long_not_after: until(long_ends) },
        keeper_ends: None,
    }
}

fn is_held(recent: &Recent, transaction: &Transaction) -> bool {
    recent.find(&transaction.id).is_some_and(|found| *found == *transaction)
}

#[tokio::test(start_paused = true)]
async fn what_was_read_is_found_and_no_longer_than_it_counts() {
    let (recent, one) = (Recent::default(), transaction("one", 1000));
    recent.keep(recent.reading(), &one);
    assert!(is_held(&recent, &one) && recent.find(&transaction("two", 1000).id).is_none());
    tokio::time::advance(AGE_MAX).await;
    assert!(!is_held(&recent, &one));
}

#[tokio::test(start_paused = true)]
async fn a_change_forgets_all_and_what_was_read_before_it_is_not_kept() {
    let (recent, one) = (Recent::default(), transaction("one", 1000));
    recent.keep(recent.reading(), &one);
    let before = recent.reading();
    let change = recent.change();
    assert!(!is_held(&recent, &one));
    let during = recent.reading();
    recent.keep(during, &one);
    assert!(!is_held(&recent, &one), "while the file is being changed nothing is kept");
    change.done();
    for reading in [before, during] {
        recent.keep(reading, &one);
        assert!(!is_held(&recent, &one), "it may have been changed since it was read");
    }
    recent.keep(recent.reading(), &one);
    assert!(is_held(&recent, &one));
}

#[tokio::test(start_paused = true)]
async fn two_changes_at_once_end_with_the_last_of_them() {
    let (recent, one) = (Recent::default(), transaction("one", 1000));
    let (first, second) = (recent.change(), recent.change());
    first.done();
    recent.keep(recent.reading(), &one);
    assert!(!is_held(&recent, &one));
    second.done();
    recent.keep(recent.reading(), &one);
    assert!(is_held(&recent, &one));
}

/// The database may still do what nobody waits for any more.
#[tokio::test(start_paused = true)]
async fn after_a_change_that_was_given_up_nothing_is_kept_for_a_while() {
    let (recent, one) = (Recent::default(), transaction("one", 1000));
    drop(recent.change());
    let soon = recent.reading();
    recent.keep(soon, &one);
    assert!(!is_held(&recent, &one));
    tokio::time::advance(UNSURE_FOR).await;
    recent.keep(soon, &one);
    assert!(!is_held(&recent, &one), "what was read in the meantime counts as little later");
    recent.keep(recent.reading(), &one);
    assert!(is_held(&recent, &one));
}

#[tokio::test(start_paused = true)]
async fn long_work_is_read_each_time() {
    let (recent, long) = (Recent::default(), transaction("long", 3000));
    recent.keep(recent.reading(), &long);
    assert!(!is_held(&recent, &long));
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_bounded() {
    let recent = Recent::default();
    let mut one = transaction("one", 1000);
    for number in 0..1_000_000 {
        one.id = number.to_string().parse().expect("an id");
        recent.keep(recent.reading(), &one);
    }
    let rows = recent.lock();
    assert!(rows.young.len() <= GENERATION_MAX && rows.old.len() <= GENERATION_MAX);
}
