//! The laws of a grant: whatever is asked, what is issued is no wider than what was shown.

use std::{fs, path::PathBuf};

use identity::{
    AccessRule, ActorChain, DecisionRecord, RawToken, Registry, Reserved, SubjectToken, TargetSpec, TrustDomain,
    TxnRule, TxnToken, UserRule, verify, workload_id,
};
use serde_json::json;

use super::*;
use crate::{exchange::Actor, keys};

pub(crate) mod laws;

const ISSUER: &str = "https://broker.agents.svc";
const AUTHORITY: &str = "https://keycloak.corp.example/realms/agents";
const LIFE: Life = Life {
    transaction: Duration::from_secs(1800),
    transaction_token: Duration::from_secs(120),
    access_token: Duration::from_secs(60),
};
const RULES: [(&str, &str); 5] = [
    (
        "begin",
        r#"@id("begin") @max_life("10m") permit (principal == Workload::"spiffe://corp.example/planner", action == Action::"begin", resource == TrustDomain::"corp.example") when { context.subject in Group::"support" };"#,
    ),
    (
        "begin-long",
        r#"@id("begin-long") @long_work("1h") permit (principal == Workload::"spiffe://corp.example/nightly", action == Action::"begin", resource == TrustDomain::"corp.example");"#,
    ),
    (
        "call",
        r#"@id("call") permit (principal == Workload::"spiffe://corp.example/planner", action == Action::"exchange", resource == Target::"researcher");"#,
    ),
    (
        "read",
        r#"@id("read") permit (principal == Workload::"spiffe://corp.example/planner", action == Action::"exchange", resource == Target::"tickets") when { ["a:read"].containsAll(context.scopes) };"#,
    ),
    (
        "never-b",
        r#"@id("never-b") forbid (principal, action == Action::"exchange", resource == Target::"researcher") when { context.scopes.contains("b:write") };"#,
    ),
];

/// Everything that a decision needs.
struct World {
    policies: Policies,
    registry: Registry,
    issuer: Issuer,
    folder: PathBuf,
}

impl World {
    fn new(name: &str) -> Self {
        Self::ruled(name, &RULES)
    }

    fn ruled(name: &str, rules: &[(&str, &str)]) -> Self {
        // Several tests may want a world of the same name at once.
        let own = uuid::Uuid::now_v7();
        let folder = std::env::temp_dir().join(format!("broker-grant-{name}-{own}"));
        fs::create_dir_all(&folder).expect("a folder");
        for (id, rule) in rules {
            fs::write(folder.join(format!("{id}.cedar")), rule).expect("written");
        }
        let policies = Policies::load(&folder, runtime::clock::now()).expect("policies");
        let trust_domain = TrustDomain::new("corp.example").expect("a domain");
        let issuer = Issuer { url: ISSUER.to_owned(), trust_domain, keys: keys::InUse::new(keys::tests::fresh()) };
        Self { policies, registry: registry(), issuer, folder }
    }

    /// A user's token or keeper with this scope, valid until `ends`.
    fn user(&self, scope: &str, ends: u64) -> SubjectToken {
        let claims = json!({
            "iss": AUTHORITY, "aud": "txn-broker", "sub": "alice", "sid": "s", "azp": "console", "typ": "Bearer",
            "iat": 1, "exp": ends, "scope": scope,
        });
        let raw = self.issuer.keys.current().sign("JWT", &claims).expect("signed");
        let raw = RawToken::parse(raw.to_string()).expect("short");
        let rule = UserRule { issuer: AUTHORITY, audience: "txn-broker" };
        verify(&raw, self.issuer.keys.current().verifying(), &rule, at(1)).expect("verified")
    }

    fn begin(&self, edge: &str, asked: &str, held: &str, known: &str) -> Result<Grant, Refusal> {
        let keeper = self.user(held, 5000);
        let begin = Begin {
            person: person(&keeper),
            actor: Actor::of(ActorChain::of(id(edge))),
            keeper: &keeper,
            signed_in: keeper.lifetime(),
            edge_scopes: &scopes(known),
            trust_domain: &self.issuer.trust_domain,
            scopes: &scopes(asked),
        };
        decide(&self.policies, Case::Begin(begin), &LIFE, at(1000), &mut None)
    }

    /// The transaction token that planner holds after a begin with this scope.
    fn held(&self, scope: &str) -> TxnToken {
        let grant = self.begin("planner", scope, scope, scope).expect("granted");
        let issued = mint(grant, &self.issuer, at(1000)).expect("minted");
        self.txn(&issued.token)
    }

    fn txn(&self, token: &str) -> TxnToken {
        let raw = RawToken::parse(token.to_owned()).expect("short");
        let rule = TxnRule { issuer: ISSUER, trust_domain: &self.issuer.trust_domain };
        verify(&raw, self.issuer.keys.current().verifying(), &rule, at(1000)).expect("verified")
    }

    fn call(&self, held: &TxnToken, target: &str, asked: &str, ends: u64) -> Result<Grant, Refusal> {
        self.call_as(held.chain().clone(), held, (target, asked), ends)
    }

    fn call_as(
        &self,
        chain: ActorChain,
        held: &TxnToken,
        (target, asked): (&str, &str),
        ends: u64,
    ) -> Result<Grant, Refusal> {
        let target = self.registry.by_name(target).expect("registered");
        let call = Call {
            person: Person { subject: held.subject(), groups: &[], roles: &[] },
            actor: Actor::of(chain),
            held,
            target,
            scopes: &scopes(asked),
            ends: Lifetime::until(at(ends)),
        };
        decide(&self.policies, Case::Call(call), &LIFE, at(1000), &mut None)
    }

    fn renew(&self, held: &TxnToken, asked: Option<&str>, groups: &[String]) -> Result<Grant, Refusal> {
        self.renew_at(Some("a:read b:write"), held, asked, groups)
    }

    /// Where users may enter with this scope; without one it is no edge.
    fn renew_at(
        &self,
        edge: Option<&str>,
        held: &TxnToken,
        asked: Option<&str>,
        groups: &[String],
    ) -> Result<Grant, Refusal> {
        let edge_scopes = edge.map(scopes);
        let targets: Vec<&Target> = self.registry.iter().map(AsRef::as_ref).collect();
        let asked = asked.map(scopes);
        let renew = Renew {
            person: Person { subject: held.subject(), groups, roles: &[] },
            actor: Actor::of(held.chain().clone()),
            held,
            targets: &targets,
            edge_scopes: edge_scopes.as_ref(),
            trust_domain: &self.issuer.trust_domain,
            scopes: asked.as_ref(),
            ends: Lifetime::until(at(5000)),
        };
        decide(&self.policies, Case::Renew(renew), &LIFE, at(1000), &mut None)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// A transaction that planner began with this scope at second 1000.
pub(crate) fn begun(scope: &str) -> Grant {
    World::new("begun").begin("planner", scope, scope, scope).expect("granted")
}

/// Planner's own token, and the one for researcher that planner got with a call as `chain`.
pub(crate) fn owned_and_handed(chain: ActorChain) -> (TxnToken, TxnToken) {
    let world = World::new("tokens");
    let owned = world.held("a:read");
    let grant = world.call_as(chain, &owned, ("researcher", ""), 5000).expect("granted");
    let issued = mint(grant, &world.issuer, at(1000)).expect("minted");
    let handed = world.txn(issued.txn_token.as_ref().expect("handed on"));
    (owned, handed)
}

fn registry() -> Registry {
    let spec = |name: &str| TargetSpec {
        name: name.to_owned(),
        resource: format!("https://{name}.svc"),
        workload: format!("spiffe://corp.example/{name}"),
        connect: format!("{name}:8443"),
        ..TargetSpec::default()
    };
    let researcher = TargetSpec { passes_on: Some("a:read b:write".to_owned()), ..spec("researcher") };
    let tools = [("list".to_owned(), "a:read".to_owned()), ("close".to_owned(), "b:write".to_owned())];
    let mcp = identity::McpSpec { tools: tools.into(), ..identity::McpSpec::default() };
    let tickets = TargetSpec { mcp: Some(mcp), ..spec("tickets") };
    Registry::new(vec![researcher, tickets], &Reserved::default()).expect("a registry")
}

fn person(keeper: &SubjectToken) -> Person<'_> {
    static SUPPORT: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(|| vec!["support".to_owned()]);
    Person { subject: keeper.subject(), groups: &SUPPORT, roles: &[] }
}

fn support() -> Vec<String> {
    vec!["support".to_owned()]
}

fn id(name: &str) -> SpiffeId {
    workload_id(&format!("spiffe://corp.example/{name}")).expect("an id")
}

fn at(secs: u64) -> UnixTime {
    UnixTime::from_secs(secs).expect("a time")
}

fn scopes(text: &str) -> Scopes {
    text.parse().expect("scopes")
}

#[test]
fn a_begin_ends_with_the_rule_s_life_and_names_the_rule() {
    let world = World::new("begin");
    let grant = world.begin("planner", "a:read", "a:read b:write", "a:read b:write").expect("granted");
    assert_eq!(grant.rules(), ["begin"]);
    assert_eq!(grant.ends().not_after.not_after(), at(1600));
    assert_eq!(grant.ends().long_not_after, grant.ends().not_after);
    let held = world.txn(&mint(grant, &world.issuer, at(1000)).expect("minted").token);
    assert_eq!((held.requester(), held.callee(), held.chain()), (&id("planner"), None, &ActorChain::of(id("planner"))));
    assert_eq!(held.lifetime().not_after(), at(1120));
}

#[test]
fn long_work_reaches_past_the_user_s_token_and_no_other_rule_does() {
    let world = World::new("long");
    let grant = world.begin("nightly", "a:read", "a:read", "a:read").expect("granted");
    assert_eq!(grant.ends(), Ends { not_after: Lifetime::until(at(2800)), long_not_after: Lifetime::until(at(4600)) });
}

#[test]
fn more_scope_than_held_or_known_is_refused_whole() {
    let world = World::new("scope");
    assert_eq!(
        world.begin("planner", "a:read b:write", "a:read", "a:read b:write").err(),
        Some(Refusal::ScopeBeyondSubject)
    );
    assert_eq!(
        world.begin("planner", "a:read b:write", "a:read b:write", "a:read").err(),
        Some(Refusal::ScopeBeyondTarget)
    );
    let held = world.held("a:read");
    assert_eq!(world.call(&held, "tickets", "b:write", 5000).err(), Some(Refusal::ScopeBeyondSubject));
    let held = world.held("a:read other");
    assert_eq!(world.call(&held, "tickets", "other", 5000).err(), Some(Refusal::ScopeBeyondTarget));
    assert_eq!(world.renew(&held, Some("a:read b:write"), &support()).err(), Some(Refusal::ScopeBeyondSubject));
}

#[test]
fn less_is_told_apart_from_nothing() {
    let world = World::new("less");
    let held = world.held("a:read b:write");
    assert_eq!(world.call(&held, "tickets", "b:write", 5000).err(), Some(Refusal::ScopeNotPermitted));
    assert_eq!(world.call(&held, "researcher", "b:write", 5000).err(), Some(Refusal::ScopeNotPermitted));
    assert_eq!(world.begin("stranger", "a:read", "a:read", "a:read").err(), Some(Refusal::PolicyNoRule));
}

#[test]
fn a_call_without_scope_lists_what_may_be_asked() {
    let world = World::new("may-ask");
    let held = world.held("a:read b:write");
    let grant = world.call(&held, "tickets", "", 5000).expect("granted");
    let mut record = DecisionRecord::open(at(1000), id("planner"), drop);
    record.note(|entry| grant.describe(entry));
    assert_eq!(record.entry().and_then(|entry| entry.may_ask.as_ref()), Some(&scopes("a:read")));
    let issued = mint(grant, &world.issuer, at(1000)).expect("minted");
    assert!(issued.txn_token.is_none());
    let target = world.registry.by_name("tickets").expect("registered");
    let rule = AccessRule { issuer: ISSUER, audience: target.audience(), peer: &id("planner") };
    let raw = RawToken::parse(issued.token.to_string()).expect("short");
    let access = verify(&raw, world.issuer.keys.current().verifying(), &rule, at(1000)).expect("verified");
    assert_eq!((access.may_ask(), access.scopes()), (&scopes("a:read"), &Scopes::none()));
}

#[test]
fn what_is_handed_on_names_its_callee_and_is_bound_to_the_access_token() {
    let world = World::new("handed");
    let held = world.held("a:read c:other");
    let issued =
        mint(world.call(&held, "researcher", "", 5000).expect("granted"), &world.issuer, at(1000)).expect("minted");
    let handed = world.txn(issued.txn_token.as_ref().expect("handed on"));
    assert_eq!(handed.callee(), Some(&id("researcher")));
    assert_eq!(handed.scopes(), &scopes("a:read"));
    assert_eq!(handed.transaction(), held.transaction());
    let target = world.registry.by_name("researcher").expect("registered");
    let rule = AccessRule { issuer: ISSUER, audience: target.audience(), peer: &id("planner") };
    let raw = RawToken::parse(issued.token.to_string()).expect("short");
    let access = verify(&raw, world.issuer.keys.current().verifying(), &rule, at(1000)).expect("verified");
    assert_eq!(access.minted_with(), Some(handed.id()));
}

#[test]
fn a_renewal_changes_the_life_alone_and_asks_policy_again() {
    let world = World::new("renew");
    let held = world.held("a:read b:write");
    let renewed = world.renew(&held, Some("a:read"), &support()).expect("granted");
    let renewed = world.txn(&mint(renewed, &world.issuer, at(1000)).expect("minted").token);
    assert_eq!(renewed.scopes(), &scopes("a:read"));
    assert_eq!((renewed.transaction(), renewed.chain()), (held.transaction(), held.chain()));
    assert_ne!(renewed.id(), held.id());
    assert_eq!(world.renew(&held, Some("a:read"), &[]).err(), Some(Refusal::PolicyNoRule));
    assert_eq!(world.renew(&held, None, &support()).err(), Some(Refusal::RequestMissingParameter));
}

#[test]
fn a_callee_renews_its_token_while_the_call_to_it_is_allowed() {
    let world = World::new("callee");
    let held = world.held("a:read b:write");
    let issued =
        mint(world.call(&held, "researcher", "", 5000).expect("granted"), &world.issuer, at(1000)).expect("minted");
    let handed = world.txn(issued.txn_token.as_ref().expect("handed on"));
    let renewed = world.renew(&handed, Some("a:read"), &[]).expect("granted");
    assert_eq!(renewed.rules(), ["call"]);
    let renewed = world.txn(&mint(renewed, &world.issuer, at(1000)).expect("minted").token);
    assert_eq!((renewed.callee(), renewed.requester()), (handed.callee(), handed.requester()));
}

#[test]
fn who_is_no_edge_any_more_or_lost_a_scope_renews_nothing_of_its_own() {
    let world = World::new("no-edge");
    let held = world.held("a:read b:write");
    let renew = |edge: Option<&str>| world.renew_at(edge, &held, Some("a:read b:write"), &support()).err();
    assert_eq!(renew(Some("a:read b:write")), None);
    assert_eq!(renew(Some("a:read")), Some(Refusal::ScopeBeyondTarget));
    assert_eq!(renew(None), Some(Refusal::EdgeNotRegistered));
    let grant = world.call(&held, "researcher", "", 5000).expect("granted");
    let issued = mint(grant, &world.issuer, at(1000)).expect("minted");
    let handed = world.txn(issued.txn_token.as_ref().expect("handed on"));
    assert!(world.renew_at(None, &handed, Some("a:read"), &[]).is_ok(), "a callee need be none");
}

/// Which scope a callee's token was handed on for is not known: it may have been the one with the strictest terms.
#[test]
fn a_callee_s_renewal_is_as_strict_as_the_strictest_call_that_hands_its_token_on() {
    let strict = r#"@id("call-to-read") @max_life("30s") @liveness("strict") permit (principal == Workload::"spiffe://corp.example/planner", action == Action::"exchange", resource == Target::"researcher") when { context.scopes == ["a:read"] };"#;
    let rules: Vec<_> = RULES.into_iter().chain([("call-to-read", strict)]).collect();
    let world = World::ruled("strictest", &rules);
    let grant = world.call(&world.held("a:read"), "researcher", "", 5000).expect("granted");
    assert!(!grant.needs_living_session());
    let issued = mint(grant, &world.issuer, at(1000)).expect("minted");
    let handed = world.txn(issued.txn_token.as_ref().expect("handed on"));
    let renewed = world.renew(&handed, Some("a:read"), &[]).expect("granted");
    assert!(renewed.needs_living_session());
    assert_eq!(renewed.rules(), ["call", "call-to-read"]);
    assert_eq!(mint(renewed, &world.issuer, at(1000)).expect("minted").expires_in, 30);
}

#[test]
fn nothing_lives_past_the_transaction() {
    let world = World::new("ends");
    let held = world.held("a:read");
    let grant = world.call(&held, "researcher", "", 1007).expect("granted");
    assert_eq!(mint(grant, &world.issuer, at(1000)).expect("minted").expires_in, 7);
    assert_eq!(world.call(&held, "researcher", "", 1000).err(), Some(Refusal::SubjectTransactionEnded));
}
