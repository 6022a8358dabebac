//! What is covered by a revocation and what is not, and lists that are refused.

use serde_json::{Value, json};

use super::*;
use crate::{
    signer::{NOW, Signer, access, id, now, txn},
    transactions::Held,
};
use identity::{AccessRule, RawToken, verify};

const RESEARCHER: &str = "https://researcher.agents.svc";

/// What planner showed at researcher.
struct Shown {
    access: AccessToken,
    held: Held,
}

fn shown() -> Shown {
    let signer = Signer::new();
    let target = api::Target {
        name: "researcher".into(),
        resource: RESEARCHER.into(),
        hosts: vec!["researcher.agent".into()],
        passes_on: Some("tickets:read".into()),
        mcp: None,
        ..crate::snapshot::tests::tickets()
    };
    let snapshot = signer.snapshot(vec![target]);
    let token = |typ: &str, claims: &Value| RawToken::parse(signer.sign(typ, claims)).expect("a token");
    let audience = snapshot.serves.by_name("researcher").expect("the target").audience();
    let rule = AccessRule { issuer: &snapshot.issuer, audience, peer: &id("planner") };
    let access = token("at+jwt", &access(RESEARCHER, &json!({"tjti": "t2"})));
    let held = token("txntoken+jwt", &txn(&json!({})));
    Shown {
        access: verify(&access, &snapshot.keys, &rule, now()).expect("verified"),
        held: Held::verify(held, &snapshot.keys, &snapshot.issuer, &snapshot.trust_domain, now()).expect("verified"),
    }
}

fn read(told: &api::Revocations) -> Result<Revocations, RevocationFault> {
    Revocations::try_from(told.clone())
}

fn workload(name: &str, through: u64) -> api::Revocations {
    let workloads = vec![api::RevokedWorkload { id: id(name).to_string(), through }];
    api::Revocations { workloads, ..api::Revocations::default() }
}

fn transaction(id: &str) -> api::Revocations {
    api::Revocations { transactions: vec![id.to_owned()], ..api::Revocations::default() }
}

fn token(id: &str) -> api::Revocations {
    api::Revocations { tokens: vec![id.to_owned()], ..api::Revocations::default() }
}

#[test]
fn a_call_with_what_was_revoked_is_refused() {
    let Shown { access, held } = shown();
    let admitted = |told: &api::Revocations| read(told).expect("a list").admit(&access, Some(held.proof()));
    for (case, told, refusal) in [
        ("its transaction", transaction("x1"), Refusal::AccessTokenRevoked),
        ("its access token", token("a1"), Refusal::AccessTokenRevoked),
        ("the token minted with it", token("t2"), Refusal::AccessTokenRevoked),
        ("its client, in the second of its issue", workload("planner", NOW), Refusal::AccessTokenRevoked),
        ("its callee", workload("researcher", NOW + 1), Refusal::TxnTokenRevoked),
    ] {
        assert_eq!(admitted(&told), Err(refusal), "{case}");
    }
    for (case, told) in [
        ("nothing", api::Revocations::default()),
        ("another transaction", transaction("x2")),
        ("a token of the same name as the transaction", token("x1")),
        ("a transaction of the same name as the token", transaction("a1")),
        ("a workload that it does not name", workload("tickets", NOW + 60)),
        ("its client, up to the second before", workload("planner", NOW - 1)),
    ] {
        assert_eq!(admitted(&told), Ok(()), "{case}");
    }
}

#[test]
fn a_workload_that_is_told_twice_is_revoked_through_the_later_second() {
    let mut told = workload("planner", NOW + 5);
    told.workloads.extend(workload("planner", NOW).workloads);
    let revocations = read(&told).expect("a list");
    assert_eq!(revocations.through(&id("planner")).map(UnixTime::secs), Some(NOW + 5));
    assert_eq!(revocations.len(), 1);
}

#[test]
fn a_list_that_cannot_be_read_whole_is_refused() {
    let nameless = api::RevokedWorkload { id: "planner".into(), through: NOW };
    let endless = api::RevokedWorkload { id: id("planner").to_string(), through: u64::MAX };
    let with = |workloads| api::Revocations { workloads, ..transaction("x1") };
    assert!(matches!(read(&transaction("")), Err(RevocationFault::Transaction(..))));
    assert!(matches!(read(&transaction("x 1")), Err(RevocationFault::Transaction(..))));
    assert!(matches!(read(&token(&"x".repeat(256))), Err(RevocationFault::Token(..))));
    assert!(matches!(read(&with(vec![nameless])), Err(RevocationFault::Workload(_))));
    assert!(matches!(read(&with(vec![endless])), Err(RevocationFault::Time(_))));
}

#[test]
fn one_entry_more_than_fits_is_refused() {
    let many = |count: usize| {
        let transactions = (1..count).map(|number| format!("x{number}")).collect();
        api::Revocations { transactions, ..token("a1") }
    };
    assert_eq!(read(&many(ENTRIES_MAX)).expect("a list").len(), ENTRIES_MAX);
    assert!(matches!(read(&many(ENTRIES_MAX + 1)), Err(RevocationFault::TooMany)));
}
