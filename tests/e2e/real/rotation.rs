//! SPIRE's authorities and SVIDs rotate under running calls, and no call fails.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use dev::real::spire::{Authority, Spire};
use harness::{Desk, eventually};
use spiffe::WorkloadApiClient;

/// Short enough that SPIRE issues new X509-SVIDs all the time (`peers.md` §2.2), and keeps JWT-SVIDs for 5 s.
const BRIEF: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// `keycloak.md` §3.3, and a second.
const KEYCLOAK_FETCHES_EVERY: Duration = Duration::from_secs(11);

/// What this very process sees of SPIRE.
struct Seen(WorkloadApiClient);

impl Seen {
    async fn of(desk: &Desk) -> Self {
        Self(WorkloadApiClient::connect_to(desk.stack.workload_api()).await.expect("a client"))
    }

    async fn certificate(&self) -> Vec<u8> {
        let svid = self.0.fetch_x509_svid().await.expect("an SVID");
        svid.cert_chain()[0].as_bytes().to_vec()
    }

    async fn authorities(&self, authority: Authority) -> usize {
        match authority {
            Authority::X509 => {
                let bundles = self.0.fetch_x509_bundles().await.expect("bundles");
                bundles.iter().map(|(_domain, bundle)| bundle.authorities().len()).sum()
            }
            Authority::Jwt => {
                let bundles = self.0.fetch_jwt_bundles().await.expect("bundles");
                bundles.iter().map(|(_domain, bundle)| bundle.jwt_authorities().count()).sum()
            }
        }
    }

    async fn has_authorities(&self, authority: Authority, count: usize) {
        eventually(&format!("{authority:?} has {count} authorities"), || async {
            (self.authorities(authority).await == count).then_some(())
        })
        .await;
    }
}

/// As an operator does it: each step once the one before it has reached the workloads.
async fn rotate(spire: &Spire, seen: &Seen, authority: Authority) {
    let before = seen.certificate().await;
    let next = spire.prepare_authority(authority).await.expect("prepared");
    seen.has_authorities(authority, 2).await;
    let old = spire.activate_authority(authority, &next).await.expect("activated");
    spire.taint_authority(authority, &old).await.expect("tainted");
    if authority == Authority::X509 {
        eventually("SVIDs are issued anew", || async { (seen.certificate().await != before).then_some(()) }).await;
    }
    spire.revoke_authority(authority, &old).await.expect("revoked");
    seen.has_authorities(authority, 1).await;
}

#[tokio::test]
async fn no_call_fails_while_svids_and_both_authorities_rotate() {
    let mut options = Desk::real_options().await;
    options.spire_lives = Some(BRIEF);
    let desk = Desk::open_with(options).await;
    let seen = Seen::of(&desk).await;
    let over = AtomicBool::new(false);
    let calls = async {
        let mut count = 0_usize;
        while !over.load(Ordering::Relaxed) {
            // A new transaction each time: the broker shows Keycloak its SVID, and all sidecars their certificates.
            let answer = desk.ask_planner(&desk.alice().await).await;
            assert_eq!(answer.status, 200, "call {count}: {}", String::from_utf8_lossy(&answer.body));
            count += 1;
        }
        count
    };
    let first_call = Instant::now();
    let rotations = async {
        let spire = desk.stack.spire().expect("SPIRE");
        let first = seen.certificate().await;
        eventually("an SVID rotates by itself", || async { (seen.certificate().await != first).then_some(()) }).await;
        rotate(spire, &seen, Authority::X509).await;
        // Keycloak fetches the keys of JWT-SVIDs for an unknown `kid`, but never twice within this time.
        let may_fetch = || async { (first_call.elapsed() > KEYCLOAK_FETCHES_EVERY).then_some(()) };
        eventually("Keycloak may fetch keys again", may_fetch).await;
        rotate(spire, &seen, Authority::Jwt).await;
        over.store(true, Ordering::Relaxed);
    };
    let (count, ()) = tokio::join!(calls, rotations);
    assert!(count > 3, "calls went on: {count}");
    desk.close().await;
}
