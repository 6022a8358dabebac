//! Every way in which tokens of a call between sidecars can be wrong (`tokens.md` N81–N89, N104).

use serde_json::{Value, json};

use super::*;
use crate::{
    signer::{Signer, access, id, now, txn},
    snapshot::{Snapshot, tests as snapshots},
};

const RESEARCHER: &str = "https://researcher.agents.svc";
const TICKETS: &str = "https://tickets.tools.svc/mcp";

struct Case {
    signer: Signer,
    revocations: api::Revocations,
    target: &'static str,
    authorization: Option<String>,
    txn_token: Option<String>,
    peer: &'static str,
    own: &'static str,
}

impl Case {
    fn tickets() -> Self {
        Self {
            signer: Signer::new(),
            revocations: api::Revocations::default(),
            target: "tickets",
            authorization: None,
            txn_token: None,
            peer: "planner",
            own: "tickets",
        }
    }

    fn researcher() -> Self {
        Self { target: "researcher", own: "researcher", ..Self::tickets() }
    }

    fn access(mut self, resource: &str, changes: &Value) -> Self {
        self.authorization = Some(format!("Bearer {}", self.signer.sign("at+jwt", &access(resource, changes))));
        self
    }

    fn txn(mut self, changes: &Value) -> Self {
        self.txn_token = Some(self.signer.sign("txntoken+jwt", &txn(changes)));
        self
    }

    fn verified(self) -> Result<Verified, Refusal> {
        let researcher = api::Target {
            name: "researcher".into(),
            resource: RESEARCHER.into(),
            hosts: vec!["researcher.agent".into()],
            workload: id("researcher").to_string(),
            passes_on: Some("tickets:read".into()),
            mcp: None,
            ..snapshots::tickets()
        };
        let told = self.signer.told(vec![snapshots::tickets(), researcher]);
        let told = api::Snapshot { revocations: Some(self.revocations), ..told };
        let snapshot = Snapshot::try_from(told).expect("a snapshot");
        let value = |text: String| HeaderValue::try_from(text).expect("a value");
        let shown = Shown {
            authorization: self.authorization.map(value),
            txn_token: self.txn_token.map(value),
            ..Shown::default()
        };
        let target = snapshot.serves.by_name(self.target).expect("the target");
        call(shown, target, &snapshot, Sides { peer: &id(self.peer), own: &id(self.own), now: now() })
    }

    fn code(self) -> String {
        self.verified().expect_err("refused").code().into_owned()
    }
}

#[test]
fn a_good_token_is_a_proof() {
    let leaf = Case::tickets().access(TICKETS, &json!({})).verified().expect("verified");
    assert!(leaf.held.is_none() && leaf.access.scopes().holds("tickets:read"));
    let passing = Case::researcher().access(RESEARCHER, &json!({"tjti": "t2"})).txn(&json!({})).verified();
    assert!(passing.expect("verified").held.is_some());
}

#[test]
fn no_token_is_told_apart_from_an_empty_one() {
    assert_eq!(Case::tickets().verified().err(), Some(Refusal::AccessTokenMissing));
    let with = |value: &str| Case { authorization: Some(value.to_owned()), ..Case::tickets() }.verified().err();
    assert_eq!(with("Basic YTpi"), Some(Refusal::AccessTokenMissing));
    for empty in ["Bearer", "Bearer ", "bearer   ", "Bearer a b", "Bearer a, Bearer b"] {
        assert_eq!(with(empty), Some(Refusal::CallMalformed), "{empty:?}");
    }
}

#[test]
fn a_token_of_another_kind_issuer_audience_or_time_is_refused() {
    for (changes, code) in [
        (json!({"exp": crate::signer::NOW}), "access_token.expired"),
        (json!({"iss": "https://broker.agents.svc/"}), "access_token.issuer"),
        (json!({"aud": RESEARCHER}), "access_token.audience"),
        (json!({"aud": [TICKETS]}), "access_token.audience"),
        (json!({"aud": "https://tickets.tools.svc/mcp/"}), "access_token.audience"),
        (json!({"cnf": {"x5t#S256": "x"}}), "access_token.claim"),
        (json!({"act": {"sub": id("researcher").to_string()}}), "access_token.actors"),
    ] {
        assert_eq!(Case::tickets().access(TICKETS, &changes).code(), code, "{changes}");
    }
    let of_type = |typ: &str, claims: &Value| {
        let case = Case::tickets();
        Case { authorization: Some(format!("Bearer {}", case.signer.sign(typ, claims))), ..case }.code()
    };
    for typ in ["JWT", "", "AT+JWT", "application/at+jwt"] {
        assert_eq!(of_type(typ, &access(TICKETS, &json!({}))), "access_token.type", "{typ}");
    }
    assert_eq!(of_type("txntoken+jwt", &txn(&json!({}))), "access_token.type");
    let stranger = Signer::new().sign("at+jwt", &access(TICKETS, &json!({})));
    let case = Case { authorization: Some(format!("Bearer {stranger}")), ..Case::tickets() };
    assert_eq!(case.code(), "access_token.signature");
}

#[test]
fn a_token_shown_by_another_workload_is_refused() {
    let stolen = Case { peer: "researcher", ..Case::tickets() }.access(TICKETS, &json!({}));
    assert_eq!(stolen.code(), "access_token.not_bound");
}

#[test]
fn a_transaction_token_stands_exactly_where_the_target_passes_on() {
    let missing = Case::researcher().access(RESEARCHER, &json!({"tjti": "t2"}));
    assert_eq!(missing.code(), "txn_token.missing");
    let unexpected = Case::tickets().access(TICKETS, &json!({})).txn(&json!({}));
    assert_eq!(unexpected.code(), "txn_token.unexpected");
    let parted = Case::tickets().access(TICKETS, &json!({"tjti": "t2"}));
    assert_eq!(parted.code(), "txn_token.missing");
}

#[test]
fn a_transaction_token_that_does_not_belong_to_the_call_is_refused() {
    for changes in [
        json!({"callee": id("tickets").to_string()}),
        json!({"callee": null}),
        json!({"req_wl": id("researcher").to_string()}),
        json!({"txn": "x2"}),
        json!({"sub": "bob"}),
        json!({"act": {"sub": id("planner").to_string(), "act": {"sub": id("edge").to_string()}}}),
        json!({"jti": "t3"}),
    ] {
        let case = Case::researcher().access(RESEARCHER, &json!({"tjti": "t2"})).txn(&changes);
        assert_eq!(case.code(), "txn_token.mismatch", "{changes}");
    }
    let unbound = Case::researcher().access(RESEARCHER, &json!({})).txn(&json!({}));
    assert_eq!(unbound.code(), "txn_token.mismatch");
    for (changes, code) in [
        (json!({"exp": crate::signer::NOW}), "txn_token.expired"),
        (json!({"aud": "other.example"}), "txn_token.audience"),
        (json!({"iss": "https://other"}), "txn_token.issuer"),
    ] {
        let case = Case::researcher().access(RESEARCHER, &json!({"tjti": "t2"})).txn(&changes);
        assert_eq!(case.code(), code, "{changes}");
    }
}

#[test]
fn scope_covers_a_call_and_what_may_be_asked_does_not() {
    let needs = |text: &str| text.parse::<identity::Scopes>().expect("scopes");
    let permit = |needs: &identity::Scopes| {
        let case = Case::tickets();
        let changes = json!({"may_ask": "tickets:write"});
        let snapshot = case.signer.snapshot(vec![snapshots::tickets()]);
        let target = std::sync::Arc::clone(snapshot.serves.by_name("tickets").expect("the target"));
        let verified = case.access(TICKETS, &changes).verified().expect("verified");
        super::super::authorize::call(verified, target, needs, crate::perimeter::Kind::Message)
    };
    assert!(permit(&needs("")).is_ok() && permit(&needs("tickets:read")).is_ok());
    assert_eq!(permit(&needs("tickets:write")).err(), Some(Refusal::ScopeInsufficient));
    assert_eq!(permit(&needs("tickets:read tickets:write")).err(), Some(Refusal::ScopeInsufficient));
}

#[test]
fn a_revoked_token_is_refused_once_it_is_known_to_be_one() {
    let revoked = |tokens: &[&str]| api::Revocations {
        tokens: tokens.iter().map(|id| (*id).to_owned()).collect(),
        ..api::Revocations::default()
    };
    let pair = |tokens: &[&str]| {
        let pair = Case::researcher().access(RESEARCHER, &json!({"tjti": "t2"})).txn(&json!({}));
        Case { revocations: revoked(tokens), ..pair }
    };
    assert_eq!(pair(&["a1"]).code(), "access_token.revoked");
    assert_eq!(pair(&["t2"]).code(), "access_token.revoked");
    assert!(pair(&["a2"]).verified().is_ok());
    let callee = vec![api::RevokedWorkload { id: id("researcher").to_string(), through: crate::signer::NOW }];
    let to_revoked = Case { revocations: api::Revocations { workloads: callee, ..revoked(&[]) }, ..pair(&[]) };
    assert_eq!(to_revoked.code(), "txn_token.revoked");
    let expired = Case::tickets().access(TICKETS, &json!({"exp": crate::signer::NOW}));
    assert_eq!(Case { revocations: revoked(&["a1"]), ..expired }.code(), "access_token.expired");
}
