//! Which requests are read as which wish, and which are refused with which code.

use identity::{Reserved, TargetKind, TargetSpec};

use super::*;

const PLANNER: &str = "spiffe://corp.example/ns/agents/sa/planner";

fn registry() -> Registry {
    let spec = |name: &str| TargetSpec {
        name: name.to_owned(),
        resource: format!("https://{name}.agents.svc"),
        workload: format!("spiffe://corp.example/ns/agents/sa/{name}"),
        connect: format!("{name}:8443"),
        ..TargetSpec::default()
    };
    let service = TargetSpec {
        kind: TargetKind::Workload,
        workload: String::new(),
        connect: "https://inventory.agents.svc".to_owned(),
        ..spec("inventory")
    };
    Registry::new(vec![spec("researcher"), spec("tickets"), service], &Reserved::default()).expect("a registry")
}

fn read(parameters: &[(&str, &str)]) -> Result<Request, Refusal> {
    let encode =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let body: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    let form = Form::parse(body.join("&").as_bytes()).expect("a form");
    let (registry, trust_domain) = (registry(), TrustDomain::new("corp.example").expect("a domain"));
    Request::read(&form, Known { registry: &registry, trust_domain: &trust_domain })
}

/// A good request with `changes` in place; an empty value leaves a parameter out.
fn changed(
    good: &[(&'static str, &'static str)],
    changes: &[(&'static str, &'static str)],
) -> Result<Request, Refusal> {
    let kept = good.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    read(&kept.chain(changes).copied().collect::<Vec<_>>())
}

const BEGIN: &[(&str, &str)] = &[
    ("grant_type", TOKEN_EXCHANGE),
    ("subject_token", "u"),
    ("subject_token_type", ACCESS_TOKEN),
    ("requested_token_type", TXN_TOKEN),
    ("audience", "corp.example"),
    ("scope", "tickets:read"),
];
const CALL: &[(&str, &str)] = &[
    ("grant_type", TOKEN_EXCHANGE),
    ("subject_token", "t"),
    ("subject_token_type", TXN_TOKEN),
    ("requested_token_type", ACCESS_TOKEN),
    ("resource", "https://tickets.agents.svc"),
];
const RENEW: &[(&str, &str)] = &[
    ("grant_type", TOKEN_EXCHANGE),
    ("subject_token", "t"),
    ("subject_token_type", TXN_TOKEN),
    ("requested_token_type", TXN_TOKEN),
    ("audience", "corp.example"),
    ("scope", "tickets:read"),
];

#[test]
fn each_wish_is_read() {
    assert!(matches!(read(BEGIN).expect("reads").wish, Wish::Begin { .. }));
    assert!(matches!(read(RENEW).expect("reads").wish, Wish::Renew { scopes: Some(_), .. }));
    let call = read(CALL).expect("reads").wish;
    assert!(matches!(call, Wish::Call { target, scopes, .. } if target.name() == "tickets" && scopes.is_empty()));
}

#[test]
fn unknown_parameters_and_wishes_about_the_context_change_nothing() {
    for extra in [("foo", "bar"), ("request_details", r#"{"txn":"x","sub":"mallory"}"#), ("client_id", PLANNER)] {
        assert!(changed(BEGIN, &[extra]).is_ok(), "{extra:?}");
    }
}

#[test]
fn bad_begins_are_refused() {
    for (change, refusal) in [
        (("grant_type", ""), Refusal::RequestMissingParameter),
        (("grant_type", "client_credentials"), Refusal::RequestGrantType),
        (("subject_token", ""), Refusal::RequestMissingParameter),
        (("subject_token_type", ""), Refusal::RequestMissingParameter),
        (("subject_token_type", "urn:ietf:params:oauth:token-type:saml2"), Refusal::RequestTokenType),
        (("subject_token_type", "urn:ietf:params:oauth:token-type:refresh_token"), Refusal::RequestTokenType),
        (("subject_token_type", JWT), Refusal::RequestTokenType),
        (("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"), Refusal::RequestTokenType),
        (("requested_token_type", ACCESS_TOKEN), Refusal::RequestTokenType),
        (("actor_token", "a"), Refusal::RequestTokenType),
        (("actor_token_type", JWT), Refusal::RequestTokenType),
        (("audience", ""), Refusal::RequestMissingParameter),
        (("audience", "other.example"), Refusal::TargetDomain),
        (("resource", "https://tickets.agents.svc"), Refusal::TargetSeveral),
        (("scope", ""), Refusal::RequestMissingParameter),
        (("scope", "a\"b"), Refusal::ScopeMalformed),
        (("scope", "a  b"), Refusal::ScopeMalformed),
        (("request_context", "[]"), Refusal::RequestMalformed),
        (("request_details", r#"{"a":1,"a":2}"#), Refusal::RequestMalformed),
    ] {
        assert_eq!(changed(BEGIN, &[change]).err(), Some(refusal), "{change:?}");
    }
}

#[test]
fn an_actor_token_of_another_type_is_refused() {
    let given = [("actor_token", "a"), ("actor_token_type", ACCESS_TOKEN)];
    assert_eq!(changed(BEGIN, &given).err(), Some(Refusal::Actor(TokenFault::Type)));
}

#[test]
fn bad_targets_are_refused() {
    for (change, refusal) in [
        ([("resource", ""), ("audience", "")], Refusal::TargetMissing),
        ([("resource", "/relative"), ("audience", "")], Refusal::TargetUnknown),
        ([("resource", "https://tickets.agents.svc#frag"), ("audience", "")], Refusal::TargetUnknown),
        ([("resource", "https://TICKETS.agents.svc"), ("audience", "")], Refusal::TargetUnknown),
        ([("resource", "https://tickets.agents.svc/"), ("audience", "")], Refusal::TargetUnknown),
        ([("resource", ""), ("audience", "nobody")], Refusal::TargetUnknown),
        ([("resource", "https://tickets.agents.svc"), ("audience", "researcher")], Refusal::TargetSeveral),
        (
            [("resource", "https://tickets.agents.svc"), ("resource", "https://researcher.agents.svc")],
            Refusal::TargetSeveral,
        ),
    ] {
        assert_eq!(changed(CALL, &change).err(), Some(refusal), "{change:?}");
    }
    assert!(changed(CALL, &[("audience", "tickets")]).is_ok());
}

#[test]
fn a_target_of_another_kind_is_told_apart_from_none() {
    const INVENTORY: &str = "https://inventory.agents.svc";
    const TICKETS: &str = "https://tickets.agents.svc";
    for change in [("resource", INVENTORY), ("audience", "inventory"), ("audience", INVENTORY)] {
        let refused = changed(CALL, &[("resource", ""), change]).err();
        assert_eq!(refused, Some(Refusal::TargetKind), "{change:?}");
    }
    let registry = registry();
    let used = |parameters: &[(&str, &str)]| {
        let body: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let form = Form::parse(body.join("&").as_bytes()).expect("a form");
        target(&form, registry.workload(), registry.mesh()).map(|target| target.name().to_owned())
    };
    for (parameters, expected) in [
        (&[("resource", INVENTORY)][..], Ok("inventory")),
        (&[("resource", INVENTORY), ("audience", "inventory")], Ok("inventory")),
        (&[("resource", INVENTORY), ("resource", INVENTORY)], Ok("inventory")),
        (&[("resource", TICKETS)], Err(Refusal::TargetKind)),
        (&[("resource", INVENTORY), ("audience", "tickets")], Err(Refusal::TargetKind)),
        (&[("resource", "https://inventory.agents.svc/")], Err(Refusal::TargetUnknown)),
        (&[], Err(Refusal::TargetMissing)),
        (&[("resource", "")], Err(Refusal::TargetMissing)),
    ] {
        assert_eq!(used(parameters), expected.map(str::to_owned), "{parameters:?}");
    }
}
