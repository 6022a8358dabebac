//! What a process may call itself while the Workload API comes and goes. The stream itself is tested end to end.

use spiffe::{X509Bundle, X509BundleSet, X509Context, X509Svid};

use super::*;
use crate::{
    mtls::tests::{Authority, PLANNER, TICKETS, expired, holding},
    ready_file::ReadyFile,
    shutdown::tests::task,
};

fn context(authority: &Authority, svids: &[(&str, Option<&str>)]) -> X509Context {
    let svid = |(id, hint): &(&str, Option<&str>)| {
        let leaf = authority.leaf(&[id], |_| {});
        let (certificate, key) = (leaf.certificate.as_ref(), leaf.key.secret_der());
        let parsed = match hint {
            Some(hint) => X509Svid::parse_from_der_with_hint(certificate, key, Some((*hint).into())),
            None => X509Svid::parse_from_der(certificate, key),
        };
        Arc::new(parsed.unwrap())
    };
    let domain = identity::TrustDomain::new("corp.example").unwrap();
    let mut bundles = X509BundleSet::new();
    bundles.add_bundle(X509Bundle::from_x509_authorities(domain, &[authority.certificate().as_ref()]).unwrap());
    X509Context::new(svids.iter().map(svid).collect::<Vec<_>>(), Arc::new(bundles))
}

fn chosen(context: &X509Context, hint: Option<&str>, current: Option<&str>) -> Result<String, String> {
    let current = current.map(|id| id.parse().unwrap());
    Identity::of(context, hint, current.as_ref())
        .map(|identity| identity.id().to_string())
        .map_err(|fault| fault.to_string())
}

#[test]
fn the_first_svid_is_taken_and_then_kept_whatever_the_order() {
    let authority = Authority::new();
    let both = context(&authority, &[(PLANNER, None), (TICKETS, None)]);
    assert_eq!(chosen(&both, None, None).unwrap(), PLANNER);
    assert_eq!(chosen(&both, None, Some(TICKETS)).unwrap(), TICKETS);
}

#[test]
fn a_hint_chooses_and_without_a_match_there_is_no_identity() {
    let authority = Authority::new();
    let both = context(&authority, &[(PLANNER, Some("external")), (TICKETS, Some("internal"))]);
    assert_eq!(chosen(&both, Some("internal"), None).unwrap(), TICKETS);
    assert_eq!(chosen(&both, Some("other"), Some(PLANNER)).unwrap_err(), "no SVID has the hint `other`");
}

#[test]
fn a_message_without_a_bundle_of_the_own_domain_is_refused() {
    let authority = Authority::new();
    let svid = authority.leaf(&[PLANNER], |_| {});
    let fault = Identity::new(vec![svid.certificate], svid.key, mtls_bundles()).unwrap_err();
    assert_eq!(fault.to_string(), "the message holds no bundle for the own trust domain");
}

fn mtls_bundles() -> crate::mtls::Bundles {
    crate::mtls::Bundles::new()
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let authority = Authority::new();
    let (one, other) = (authority.leaf(&[PLANNER], |_| {}), authority.leaf(&[PLANNER], |_| {}));
    assert!(Identity::new(vec![one.certificate], other.key, authority.bundles()).is_err());
}

#[test]
fn the_same_svid_with_the_same_bundles_is_no_change() {
    let authority = Authority::new();
    let message = context(&authority, &[(PLANNER, None)]);
    let twice = || Identity::of(&message, None, None).unwrap();
    assert!(twice().is_same_as(&twice()));
    let rotated = Identity::of(&context(&authority, &[(PLANNER, None)]), None, None).unwrap();
    assert!(!twice().is_same_as(&rotated));
}

#[test]
fn a_tenth_of_life_is_nearly_over() {
    let authority = Authority::new();
    let identity = authority.identity(authority.leaf(&[PLANNER], expired));
    let hours = |count: u64| identity.not_after().minus(Duration::from_secs(count * 3600));
    assert!(!identity.is_nearly_over(hours(3)) && identity.is_nearly_over(hours(2)));
}

#[tokio::test]
async fn before_the_first_answer_every_use_is_refused_and_wait_waits() {
    let (state, watch) = watch::channel(State::Waiting);
    let workload = Workload::over(watch);
    let now = crate::clock::now();
    assert_eq!(workload.identity(now).unwrap_err(), IdentityFault::Waiting);
    let waiting = task({
        let workload = workload.clone();
        async move { workload.wait().await.id().to_string() }
    });
    let authority = Authority::new();
    state.send_replace(State::Held(authority.identity(authority.leaf(&[PLANNER], |_| {})).into()));
    assert_eq!(waiting.await.unwrap(), PLANNER);
    assert!(workload.identity(now).is_ok());
    state.send_replace(State::Lost);
    assert_eq!(workload.identity(now).unwrap_err(), IdentityFault::Lost);
    let svids = JwtSvids::new("unix:///nowhere", workload);
    assert_eq!(svids.fetch("https://tool", now).await.unwrap_err(), IdentityFault::Lost);
}

#[tokio::test]
async fn a_missing_socket_is_told_by_readiness_and_blocks_nothing() {
    let process = Process::new(ReadyFile::default());
    let workload = Workload::connect("unix:///nowhere/agent.sock", &process);
    assert_eq!(workload.identity(crate::clock::now()).unwrap_err(), IdentityFault::Waiting);
    let told = |missing: &[(&str, String)]| {
        missing.iter().any(|(name, reason)| *name == "identity" && reason.starts_with("no identity yet: "))
    };
    eventually::eventually("readiness tells it", async || told(&process.telemetry.not_ready()).then_some(())).await;
}

#[tokio::test]
async fn an_expired_identity_gives_no_jwt_svid() {
    let authority = Authority::new();
    let svids = JwtSvids::new("unix:///nowhere", holding(authority.identity(authority.leaf(&[PLANNER], expired))));
    let fault = svids.fetch("https://tool", crate::clock::now()).await.unwrap_err();
    assert!(matches!(fault, IdentityFault::Expired(_)), "{fault}");
}
