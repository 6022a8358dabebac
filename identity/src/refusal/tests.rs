//! The catalogue holds what can occur and nothing else: each fault of each family is made by a token that has it, and
//! no token with one wrong claim finds a fault that is not listed.

use std::collections::BTreeSet;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::Engine as _;
use serde_json::{Value, json};

use super::*;
use crate::{
    AccessRule, KeySet, LogoutRule, RawToken, Registry, Reserved, Rule, SpiffeId, SvidRule, TargetSpec, TrustDomain,
    TxnRule, UnixTime, UserRule, jose::BASE64URL, verify,
};

const NOW: u64 = 1_795_300_000;
const ISSUER: &str = "https://keycloak.corp.example/realms/agents";
const BROKER: &str = "https://broker.agents.svc";
const PLANNER: &str = "spiffe://corp.example/ns/agents/sa/planner";
const RESEARCHER: &str = "spiffe://corp.example/ns/agents/sa/researcher";
const TICKETS: &str = "https://tickets.tools.svc/mcp";

#[test]
fn every_code_is_unique_and_reads_back() {
    let codes: Vec<_> = Refusal::catalogue().map(|refusal| refusal.code().into_owned()).collect();
    assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len());
    for refusal in Refusal::catalogue() {
        assert_eq!(Refusal::from_code(&refusal.code()), Some(refusal));
    }
    assert_eq!(Refusal::from_code("policy.deny-no-mfa"), Some(Refusal::PolicyForbidden("deny-no-mfa".into())));
    for code in ["nonsense", "actor.no_session", "txn_token.not_bound", "subject."] {
        assert_eq!(Refusal::from_code(code), None, "{code}");
    }
}

#[test]
fn messages_are_one_sentence_without_a_full_stop_inside() {
    for refusal in Refusal::catalogue() {
        let message = refusal.message();
        assert!(message.ends_with('.') && message.matches(". ").count() == 0, "{message}");
    }
}

#[test]
fn a_subject_token_can_have_exactly_the_faults_of_its_family() {
    let bench = Bench::new();
    let user = |token: &str| bench.fault(token, &UserRule { issuer: ISSUER, audience: "txn-broker" });
    let txn = |token: &str| bench.fault(token, &TxnRule { issuer: BROKER, trust_domain: &bench.domain });
    let mut found = bench.faults("JWT", &users(), user);
    found.extend(bench.faults("txntoken+jwt", &txns(), txn));
    assert_eq!(found, listed("subject.", &["missing", "session_ended", "transaction_ended", "revoked"]));
}

#[test]
fn an_actor_token_can_have_exactly_the_faults_of_its_family() {
    let bench = Bench::new();
    let rule = SvidRule { audience: BROKER, trust_domain: &bench.domain };
    let found = bench.faults("JWT", &svids(), |token| bench.fault(token, &rule));
    assert_eq!(found, listed("actor.", &["mismatch"]));
    assert_eq!(found, listed("client_assertion.", &["missing", "long_lived"]), "a JWT-SVID, too");
}

#[test]
fn an_access_token_can_have_exactly_the_faults_of_its_family() {
    let bench = Bench::new();
    let spec = TargetSpec {
        name: "tickets".into(),
        resource: TICKETS.into(),
        workload: "spiffe://corp.example/ns/tools/sa/tickets".into(),
        connect: "tickets:8443".into(),
        ..TargetSpec::default()
    };
    let registry = Registry::new(vec![spec], &Reserved::default()).expect("a registry");
    let audience = registry.by_name("tickets").expect("registered").audience();
    let peer = SpiffeId::new(RESEARCHER).expect("an id");
    let rule = AccessRule { issuer: BROKER, audience, peer: &peer };
    let found = bench.faults("at+jwt", &accesses(), |token| bench.fault(token, &rule));
    assert_eq!(found, listed("access_token.", &["missing", "revoked"]));
}

#[test]
fn a_transaction_token_can_have_exactly_the_faults_of_its_family() {
    let bench = Bench::new();
    let rule = TxnRule { issuer: BROKER, trust_domain: &bench.domain };
    let found = bench.faults("txntoken+jwt", &txns(), |token| bench.fault(token, &rule));
    assert_eq!(found, listed("txn_token.", &["missing", "unexpected", "mismatch", "revoked"]));
}

#[test]
fn a_logout_token_can_have_exactly_the_faults_of_its_family() {
    let bench = Bench::new();
    let rule = LogoutRule { issuer: ISSUER, clients: &["console"] };
    let found = bench.faults("logout+jwt", &logouts(), |token| bench.fault(token, &rule));
    assert_eq!(found, listed("logout_token.", &["replayed"]));
}

/// The reasons that the catalogue lists for a family, without those that are no fault of the token itself.
fn listed(family: &str, others: &[&str]) -> BTreeSet<String> {
    let codes = Refusal::catalogue().map(|refusal| refusal.code().into_owned());
    let reasons = codes.filter_map(|code| code.strip_prefix(family).map(str::to_owned));
    reasons.filter(|reason| !others.contains(&reason.as_str())).collect()
}

fn users() -> Value {
    json!({"iss": ISSUER, "aud": "txn-broker", "sub": "5f1c-alice", "typ": "Bearer", "azp": "console", "sid": "s-1",
        "iat": NOW, "exp": NOW + 300, "scope": "openid tickets:read"})
}

fn txns() -> Value {
    json!({"iss": BROKER, "aud": "corp.example", "iat": NOW, "exp": NOW + 120, "jti": "t-2", "txn": "0199-a3", "sub": "5f1c-alice",
        "scope": "tickets:read", "req_wl": PLANNER, "callee": RESEARCHER, "act": {"sub": PLANNER}})
}

fn accesses() -> Value {
    json!({"iss": BROKER, "aud": TICKETS, "iat": NOW, "exp": NOW + 60, "jti": "a-7", "txn": "0199-a3", "sub": "5f1c-alice",
        "scope": "tickets:read", "client_id": RESEARCHER, "act": {"sub": RESEARCHER, "act": {"sub": PLANNER}}})
}

fn svids() -> Value {
    json!({"sub": PLANNER, "aud": [BROKER], "exp": NOW + 60, "iat": NOW})
}

fn logouts() -> Value {
    json!({"iss": ISSUER, "aud": "console", "sid": "s-1", "iat": NOW, "exp": NOW + 120, "jti": "l-1", "typ": "Logout",
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}}})
}

/// A key, and what it is asked with.
struct Bench {
    pair: EcdsaKeyPair,
    keys: KeySet,
    domain: TrustDomain,
}

impl Bench {
    fn new() -> Self {
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).expect("a key");
        let point = pair.public_key().as_ref();
        let (x, y) = (BASE64URL.encode(&point[1..33]), BASE64URL.encode(&point[33..65]));
        let jwks = json!({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "k", "x": x, "y": y}]});
        let keys = KeySet::parse(jwks.to_string().as_bytes()).expect("a key set");
        Self { pair, keys, domain: TrustDomain::new("corp.example").expect("a trust domain") }
    }

    /// What is wrong with `token` by `rule`, as a code's reason.
    fn fault<R: Rule>(&self, token: &str, rule: &R) -> Option<String> {
        let now = UnixTime::from_secs(NOW).expect("a time");
        let verified = RawToken::parse(token.to_owned()).and_then(|raw| verify(&raw, &self.keys, rule, now).map(drop));
        verified.err().map(|fault| fault.code("x").trim_start_matches("x.").to_owned())
    }

    fn sign(&self, header: &str, claims: &str) -> String {
        let input = format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), input.as_bytes()).expect("a signature");
        format!("{input}.{}", BASE64URL.encode(signature))
    }

    /// Every fault that `judge` finds in the good token of `claims` with one thing changed.
    fn faults(&self, typ: &str, claims: &Value, judge: impl Fn(&str) -> Option<String>) -> BTreeSet<String> {
        let good = json!({"typ": typ, "alg": "ES256", "kid": "k"}).to_string();
        assert_eq!(judge(&self.sign(&good, &claims.to_string())), None, "the token itself is good");
        let forms = self.odd_forms(typ, &good, &claims.to_string());
        let claims = odd_claims(claims).into_iter().map(|changed| self.sign(&good, &changed.to_string()));
        forms.into_iter().chain(claims).filter_map(|token| judge(&token)).collect()
    }

    fn odd_forms(&self, typ: &str, good: &str, claims: &str) -> Vec<String> {
        let header = |alg: &str, kid: &str, more: &str| {
            self.sign(&format!(r#"{{"typ":"{typ}","alg":"{alg}","kid":"{kid}"{more}}}"#), claims)
        };
        let other = Self::new().sign(good, claims);
        vec![
            "a".repeat(crate::token::TOKEN_LENGTH_MAX + 1),
            format!("{other}="),
            self.sign(good, &claims.replacen('{', r#"{"iat":1,"#, 1)),
            header("ES256", "k", r#","jwk":{}"#),
            header("none", "k", ""),
            header("ES384", "k", ""),
            header("ES256", "other", ""),
            self.sign(&json!({"typ": "other", "alg": "ES256", "kid": "k"}).to_string(), claims),
            other,
        ]
    }
}

/// The claims with each one, and each that a rule knows, set to something else or taken away.
fn odd_claims(claims: &Value) -> Vec<Value> {
    let known = claims.as_object().expect("claims").keys().map(String::as_str);
    let names: BTreeSet<&str> = known.chain(["act", "may_act", "cnf", "nbf", "sid", "client_id", "tjti"]).collect();
    let odd = [json!(1), json!(NOW + 3600), json!(-1), json!("x"), json!(PLANNER), json!([]), json!({"sub": PLANNER})];
    let with = |name: &str, value: &Value| {
        let mut changed = claims.clone();
        changed[name] = value.clone();
        changed
    };
    let without = |name: &str| {
        let mut changed = claims.clone();
        changed.as_object_mut().expect("claims").remove(name);
        changed
    };
    names.iter().flat_map(|name| odd.iter().map(|value| with(name, value)).chain([without(name)])).collect()
}
