//! For tests: a broker's key that signs whatever a test wants, so that only the verifier stands in between.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::snapshot::Snapshot;
use identity::{SpiffeId, UnixTime, workload_id};

pub(crate) struct Signer(EcdsaKeyPair);

pub(crate) const NOW: u64 = 1_000_000;

pub(crate) fn now() -> UnixTime {
    UnixTime::from_secs(NOW).expect("a time")
}

pub(crate) fn id(name: &str) -> SpiffeId {
    workload_id(&format!("spiffe://corp.example/ns/agents/sa/{name}")).expect("an id")
}

impl Signer {
    pub(crate) fn new() -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
        Self(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).expect("a key"))
    }

    /// `targets` served and reached under this key.
    pub(crate) fn snapshot(&self, targets: Vec<api::Target>) -> Snapshot {
        Snapshot::try_from(self.told(targets)).expect("a snapshot")
    }

    /// The same, as the broker tells it.
    pub(crate) fn told(&self, targets: Vec<api::Target>) -> api::Snapshot {
        let point = self.0.public_key().as_ref();
        let coordinate = |range: std::ops::Range<usize>| BASE64_URL_SAFE_NO_PAD.encode(&point[range]);
        let key = json!({"kty": "EC", "crv": "P-256", "kid": "1", "x": coordinate(1..33), "y": coordinate(33..65)});
        let jwks = json!({"keys": [key]}).to_string().into_bytes();
        api::Snapshot { jwks, ..crate::snapshot::tests::told(targets) }
    }

    pub(crate) fn sign(&self, typ: &str, claims: &Value) -> String {
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", encode(&json!({"typ": typ, "alg": "ES256", "kid": "1"})), encode(claims));
        let signature = self.0.sign(&SystemRandom::new(), input.as_bytes()).expect("a signature");
        format!("{input}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Claims of an access token of planner for `resource`, with `changes` over them.
pub(crate) fn access(resource: &str, changes: &Value) -> Value {
    let claims = json!({
        "iss": "https://broker.agents.svc", "aud": resource, "iat": NOW, "exp": NOW + 60, "jti": "a1", "txn": "x1",
        "sub": "alice", "client_id": id("planner").to_string(), "act": {"sub": id("planner").to_string()},
        "scope": "tickets:read",
    });
    changed(claims, changes)
}

/// Claims of the transaction token that goes with it to researcher, with `changes` over them.
pub(crate) fn txn(changes: &Value) -> Value {
    let claims = json!({
        "iss": "https://broker.agents.svc", "aud": "corp.example", "iat": NOW, "exp": NOW + 120, "jti": "t2",
        "txn": "x1", "sub": "alice", "act": {"sub": id("planner").to_string()}, "scope": "tickets:read",
        "req_wl": id("planner").to_string(), "callee": id("researcher").to_string(),
    });
    changed(claims, changes)
}

/// `null` takes a claim away.
fn changed(mut claims: Value, changes: &Value) -> Value {
    let members = claims.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    claims
}
