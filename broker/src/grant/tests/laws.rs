//! The laws over generated inputs: something is issued exactly where it is no more than every input, and then says what
//! the inputs say. Policy permits everything here, so that nothing but the laws stands in the way.

use identity::{AccessToken, McpSpec};
use proptest::prelude::*;

use super::*;

const NOW: u64 = 1000;
const PERMISSIVE: [(&str, &str); 2] = [
    (
        "begin",
        r#"@id("begin") @long_work("1h") permit (principal is Workload, action == Action::"begin", resource is TrustDomain);"#,
    ),
    ("call", r#"@id("call") permit (principal is Workload, action == Action::"exchange", resource is Target);"#),
];

thread_local! {
    static WORLD: std::rc::Rc<World> = std::rc::Rc::new(World::ruled("laws", &PERMISSIVE));
}

fn any_scopes() -> impl Strategy<Value = Scopes> {
    proptest::sample::subsequence(vec!["a:read", "b:write", "c:other", "d:odd"], 0..=4)
        .prop_map(|set| scopes(&set.join(" ")))
}

fn any_chain() -> impl Strategy<Value = ActorChain> {
    (1..=identity::DEPTH_MAX).prop_map(|depth| {
        let grown = (1..depth).try_fold(ActorChain::of(id("w0")), |chain, n| chain.then(id(&format!("w{n}"))));
        grown.expect("a chain")
    })
}

/// A target whose tools need `tools`, and which passes on or not; beside it another one of the same workload.
fn target(tools: &Scopes, passes_on: Option<&Scopes>) -> Registry {
    let tools = tools.iter().map(|scope| (format!("tool for {scope}"), scope.to_owned())).collect();
    let spec = TargetSpec {
        name: "t".to_owned(),
        resource: "https://t.svc".to_owned(),
        workload: "spiffe://corp.example/t".to_owned(),
        connect: "t:8443".to_owned(),
        passes_on: passes_on.map(ToString::to_string),
        mcp: Some(McpSpec { tools, ..McpSpec::default() }),
        ..TargetSpec::default()
    };
    let other = TargetSpec { name: "u".to_owned(), resource: "https://u.svc".to_owned(), ..spec.clone() };
    Registry::new(vec![other, spec], &Reserved::default()).expect("a registry")
}

impl World {
    fn access(&self, issued: &Issued, target: &Target, caller: &SpiffeId) -> AccessToken {
        let rule = AccessRule { issuer: ISSUER, audience: target.audience(), peer: caller };
        let raw = RawToken::parse(issued.token.to_string()).expect("short");
        verify(&raw, self.issuer.keys.current().verifying(), &rule, at(NOW))
            .expect("for this audience and caller alone")
    }

    fn txn_of(&self, chain: &ActorChain, callee: Option<&SpiffeId>, held: &Scopes) -> TxnToken {
        let mut claims = json!({
            "iss": ISSUER, "aud": "corp.example", "iat": 1, "exp": 1100, "jti": "t", "txn": "x", "sub": "alice",
            "scope": held.to_string(), "req_wl": chain.current().to_string(), "act": chain.to_act(),
        });
        if let Some(callee) = callee {
            claims["callee"] = json!(callee.to_string());
        }
        self.txn(&self.issuer.keys.current().sign("txntoken+jwt", &claims).expect("signed"))
    }
}

/// A transaction token with this chain, which `callee` may use, or its current actor.
pub(crate) fn held_by(chain: &ActorChain, callee: Option<&SpiffeId>) -> TxnToken {
    WORLD.with(|world| world.txn_of(chain, callee, &Scopes::none()))
}

proptest! {
    #[test]
    fn a_begin_gives_what_keeper_and_edge_allow_until_the_user_s_token_ends(
        (asked, kept, known) in (any_scopes(), any_scopes(), any_scopes()),
        ends in 900_u64..5000,
    ) {
        let world = WORLD.with(std::rc::Rc::clone);
        let (keeper, edge) = (world.user(&kept.to_string(), 5000), id("planner"));
        let begin = Begin {
            person: person(&keeper),
            actor: Actor::of(ActorChain::of(edge.clone())),
            keeper: &keeper,
            signed_in: Lifetime::until(at(ends)),
            edge_scopes: &known,
            trust_domain: &world.issuer.trust_domain,
            scopes: &asked,
        };
        let decided = decide(&world.policies, Case::Begin(begin), &LIFE, at(NOW), &mut None);
        let within = asked.is_subset(&kept) && asked.is_subset(&known);
        prop_assert_eq!(decided.is_ok(), within && ends > NOW, "{:?}", decided);
        let Ok(grant) = decided else { return Ok(()) };
        let until = grant.ends();
        prop_assert_eq!(until.not_after.not_after(), at(ends.min(NOW + 1800)));
        prop_assert!(until.long_not_after.not_after() <= at(ends.min(NOW + 1800).max(NOW + 3600)));
        let issued = mint(grant, &world.issuer, at(NOW)).expect("minted");
        prop_assert!(issued.txn_token.is_none());
        let txn = world.txn(&issued.token);
        prop_assert_eq!((txn.scopes(), txn.subject()), (&asked, keeper.subject()));
        prop_assert_eq!(txn.lifetime().not_after(), at(ends.min(NOW + 120)));
        prop_assert_eq!((txn.chain(), txn.requester(), txn.callee()), (&ActorChain::of(edge.clone()), &edge, None));
    }

    #[test]
    fn a_call_gives_what_is_asked_for_one_target_and_hands_on_what_that_may_pass_on(
        (held, asked, tools) in (any_scopes(), any_scopes(), any_scopes()),
        passes_on in proptest::option::of(any_scopes()),
        chain in any_chain(),
        ends in 900_u64..1400,
    ) {
        let world = WORLD.with(std::rc::Rc::clone);
        let registry = target(&tools, passes_on.as_ref());
        let target = registry.by_name("t").expect("registered");
        let (held, caller) = (world.txn_of(&chain, None, &held), chain.current());
        let call = Call {
            person: Person { subject: held.subject(), groups: &[], roles: &[] },
            actor: Actor::of(chain.clone()),
            held: &held,
            target,
            scopes: &asked,
            ends: Lifetime::until(at(ends)),
        };
        let decided = decide(&world.policies, Case::Call(call), &LIFE, at(NOW), &mut None);
        let within = asked.is_subset(held.scopes()) && asked.is_subset(target.scopes());
        prop_assert_eq!(decided.is_ok(), within && ends > NOW, "{:?}", decided);
        let Ok(grant) = decided else { return Ok(()) };
        let issued = mint(grant, &world.issuer, at(NOW)).expect("minted");
        let access = world.access(&issued, target, caller);
        prop_assert_eq!(access.scopes(), &asked);
        prop_assert_eq!(access.lifetime().not_after(), at(ends.min(NOW + 60)));
        prop_assert_eq!((access.subject(), access.transaction()), (held.subject(), held.transaction()));
        prop_assert_eq!(access.chain(), &chain);
        prop_assert!(access.may_ask().is_subset(held.scopes()) && access.may_ask().is_subset(target.scopes()));
        prop_assert_eq!(issued.txn_token.is_some(), passes_on.is_some());
        let (Some(token), Some(passes_on)) = (issued.txn_token, passes_on) else { return Ok(()) };
        let handed = world.txn(&token);
        prop_assert_eq!(handed.scopes(), &held.scopes().intersect(&passes_on));
        prop_assert_eq!(handed.lifetime().not_after(), at(ends.min(NOW + 120)));
        prop_assert_eq!((handed.subject(), handed.transaction()), (held.subject(), held.transaction()));
        prop_assert_eq!((handed.chain(), handed.requester()), (&chain, caller));
        prop_assert_eq!((handed.callee(), access.minted_with()), (Some(target.workload()), Some(handed.id())));
    }

    #[test]
    fn a_renewal_gives_no_more_than_is_held_and_changes_nothing_else(
        (held, asked) in (any_scopes(), any_scopes()),
        handed in any::<bool>(),
        chain in any_chain(),
        ends in 900_u64..1400,
    ) {
        let world = WORLD.with(std::rc::Rc::clone);
        let registry = target(&held, Some(&held));
        let targets: Vec<&Target> = registry.iter().map(AsRef::as_ref).collect();
        let callee = handed.then(|| id("t"));
        let held = world.txn_of(&chain, callee.as_ref(), &held);
        let renew = Renew {
            person: Person { subject: held.subject(), groups: &[], roles: &[] },
            actor: Actor::of(chain),
            held: &held,
            targets: &targets,
            edge_scopes: Some(held.scopes()),
            trust_domain: &world.issuer.trust_domain,
            scopes: Some(&asked),
            ends: Lifetime::until(at(ends)),
        };
        let decided = decide(&world.policies, Case::Renew(renew), &LIFE, at(NOW), &mut None);
        prop_assert_eq!(decided.is_ok(), asked.is_subset(held.scopes()) && ends > NOW, "{:?}", decided);
        let Ok(grant) = decided else { return Ok(()) };
        let issued = mint(grant, &world.issuer, at(NOW)).expect("minted");
        prop_assert!(issued.txn_token.is_none());
        let renewed = world.txn(&issued.token);
        prop_assert_eq!(renewed.scopes(), &asked);
        prop_assert_eq!(renewed.lifetime().not_after(), at(ends.min(NOW + 120)));
        prop_assert_eq!((renewed.subject(), renewed.transaction()), (held.subject(), held.transaction()));
        prop_assert_eq!((renewed.chain(), renewed.requester()), (held.chain(), held.requester()));
        prop_assert_eq!(renewed.callee(), held.callee());
        prop_assert_ne!(renewed.id(), held.id());
    }
}
