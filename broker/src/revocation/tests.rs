//! What a revocation refuses, for how long, and what it leaves alone.

use identity::{ActorChain, workload_id};

use super::*;
use crate::grant::tests::{begun, owned_and_handed};

/// Nothing was revoked.
pub(crate) fn nothing() -> Revocations {
    Revocations::new(Vec::new())
}

fn at(secs: u64) -> UnixTime {
    UnixTime::from_secs(secs).expect("a time")
}

fn id(name: &str) -> SpiffeId {
    workload_id(&format!("spiffe://corp.example/{name}")).expect("an id")
}

fn token(number: usize) -> Name {
    Name::Token(format!("j-{number}").parse().expect("an id"))
}

fn revoked(name: Name, through: UnixTime) -> Revoked {
    Revoked { name, through, until: at(1180) }
}

fn after(name: Name, through: UnixTime) -> Revocations {
    let revocations = nothing();
    revocations.add(&[revoked(name, through)], By::Other, at(1000)).expect("room");
    revocations
}

const REVOKED: Result<(), Refusal> = Err(Refusal::SubjectRevoked);

#[test]
fn a_token_alone_or_its_whole_transaction() {
    let (owned, handed) = owned_and_handed(ActorChain::of(id("planner")));
    let alone = after(Name::Token(handed.id().clone()), UnixTime::MAX);
    assert_eq!((alone.check(&handed), alone.check(&owned)), (REVOKED, Ok(())));
    let tree = after(Name::Transaction(owned.transaction().clone()), UnixTime::MAX);
    assert_eq!((tree.check(&handed), tree.check(&owned)), (REVOKED, REVOKED));
}

#[test]
fn a_workload_ends_wherever_it_is_named_up_to_that_second_and_no_later() {
    let (owned, handed) = owned_and_handed(ActorChain::of(id("planner")));
    assert_eq!(owned.issued_at(), at(1000));
    let callee = handed.callee().expect("a callee").clone();
    let as_callee = after(Name::Workload(callee), at(1000));
    assert_eq!((as_callee.check(&handed), as_callee.check(&owned)), (REVOKED, Ok(())));
    let as_actor = after(Name::Workload(id("planner")), at(1000));
    assert_eq!((as_actor.check(&handed), as_actor.check(&owned)), (REVOKED, REVOKED));
    let before = after(Name::Workload(id("planner")), at(999));
    assert_eq!((before.check(&handed), before.check(&owned)), (Ok(()), Ok(())), "issued later");
    let other = after(Name::Workload(id("elsewhere")), at(1000));
    assert_eq!((other.check(&handed), other.check(&owned)), (Ok(()), Ok(())), "not named");
}

/// The race: it was decided and recorded, and then it was revoked.
#[test]
fn what_was_granted_just_before_is_not_minted() {
    let (owned, _handed) = owned_and_handed(ActorChain::of(id("planner")));
    let grant = begun("a:read");
    assert_eq!(nothing().check_grant(&grant, Some(&owned), at(1000)), Ok(()));
    for (case, name, through) in [
        ("its transaction", Name::Transaction(grant.transaction().clone()), UnixTime::MAX),
        ("an actor", Name::Workload(grant.workloads().next().expect("one").clone()), at(1000)),
        ("the token that was shown", Name::Token(owned.id().clone()), UnixTime::MAX),
    ] {
        assert_eq!(after(name, through).check_grant(&grant, Some(&owned), at(1000)), REVOKED, "{case}");
    }
}

#[test]
fn it_is_told_and_wakes_whoever_tells_until_it_may_be_forgotten() {
    let revocations = nothing();
    let changes = revocations.changes();
    let names = [token(1), Name::Transaction("t-1".parse().expect("an id")), Name::Workload(id("planner"))];
    let all = names.map(|name| revoked(name, at(1000)));
    revocations.add(&all, By::Other, at(1000)).expect("room");
    assert!(changes.has_changed().expect("open"));
    let told = revocations.told();
    assert_eq!((told.tokens, told.transactions), (vec!["j-1".to_owned()], vec!["t-1".to_owned()]));
    assert_eq!((told.workloads[0].id.as_str(), told.workloads[0].through), ("spiffe://corp.example/planner", 1000));
    revocations.forget(at(1179));
    assert_eq!(revocations.told().tokens.len(), 1);
    revocations.forget(at(1180));
    assert_eq!(revocations.told(), api::Revocations::default());
}

#[test]
fn when_it_is_full_the_next_is_a_fault_and_none_is_forgotten() {
    let revocations = nothing();
    let all: Vec<_> = (0..TOKENS_MAX).map(|number| revoked(token(number), UnixTime::MAX)).collect();
    revocations.add(&all, By::Other, at(1000)).expect("room");
    let more = [revoked(token(TOKENS_MAX), UnixTime::MAX)];
    assert_eq!(revocations.add(&more, By::Other, at(1179)), Err(Refusal::FaultOverloaded));
    assert_eq!(revocations.add(&all, By::Other, at(1179)), Ok(()), "what is known needs no room");
    assert_eq!(revocations.told().tokens.len(), TOKENS_MAX);
    assert_eq!(revocations.add(&more, By::Other, at(1180)), Ok(()), "all others may be forgotten");
}

/// Each time costs everybody who watches a snapshot, and would keep the memory full for as long as somebody repeats it.
#[test]
fn what_is_told_again_wakes_nobody_and_is_remembered_no_longer() {
    let revocations = nothing();
    let told_at = |secs: u64, through: UnixTime| {
        let one = Revoked { name: Name::Workload(id("planner")), through, until: at(secs).plus(REMEMBERED) };
        revocations.add(std::slice::from_ref(&one), By::Other, at(secs)).expect("room");
        one
    };
    let one = told_at(1000, at(1000));
    assert!(!revocations.are_stored(std::slice::from_ref(&one)));
    revocations.stored(&[one]);
    let mut changes = revocations.changes();
    changes.mark_unchanged();
    assert!(revocations.are_stored(&[told_at(1100, at(1000))]), "the store need not be asked");
    assert!(!changes.has_changed().expect("open"), "told again");
    assert!(!revocations.are_stored(&[told_at(1100, at(1100))]));
    assert!(changes.has_changed().expect("open"), "told for more");
    revocations.forget(at(1279));
    assert_eq!(revocations.told().workloads.len(), 1);
    told_at(1279, at(1100));
    revocations.forget(at(1280));
    assert_eq!(revocations.told().workloads.len(), 0);
}

#[test]
fn workloads_cannot_fill_it_with_their_own() {
    let revocations = nothing();
    let own: Vec<_> = (0..=OWN_EACH_MAX).map(|number| revoked(token(number), UnixTime::MAX)).collect();
    let (planner, other) = (id("planner"), id("other"));
    assert_eq!(revocations.add(&own, By::Owner(&planner), at(1000)), Err(Refusal::FaultOverloaded));
    assert_eq!(revocations.told().tokens.len(), OWN_EACH_MAX);
    let more = [revoked(token(TOKENS_MAX), UnixTime::MAX)];
    assert_eq!(revocations.add(&more, By::Owner(&other), at(1000)), Ok(()), "another has its own share");
    revocations.forget(at(1180));
    assert_eq!(revocations.add(&own[..1], By::Owner(&planner), at(1180)), Ok(()), "and gets it back");
}

#[test]
fn what_the_store_does_not_know_is_told_to_it_later() {
    let revocations = nothing();
    let one = [revoked(Name::Workload(id("planner")), at(1000))];
    revocations.add(&one, By::Other, at(1000)).expect("room");
    assert_eq!(revocations.unstored(), one);
    let again = [revoked(Name::Workload(id("planner")), at(1001))];
    revocations.add(&again, By::Other, at(1001)).expect("room");
    revocations.stored(&one);
    assert_eq!(revocations.unstored(), again, "it was told again since, for longer");
    revocations.stored(&again);
    assert_eq!(revocations.unstored(), []);
    assert_eq!(Revocations::new(again.to_vec()).unstored(), [], "nor what came from there");
}
