//! Keeps a transaction token fresh while its inbound exchange lives (`protocol.md` §5), so that no call ever waits for
//! it. It ends with the exchange, with a refusal, or when nothing more can be gained.

use std::{sync::Arc, time::Duration};

use super::Transaction;
use crate::{broker::Broker, snapshot::Snapshots};
use identity::{Refusal, UnixTime};
use runtime::{
    backoff::{Backoff, spread},
    clock,
};

/// A renewal that gains less is not worth a call and a leaf (`protocol.md` §5).
const GAIN_MIN: Duration = Duration::from_secs(10);

/// Renews the token of `transaction` at about 80 % of its life, until its exchange is closed.
pub(crate) async fn keep_alive(transaction: Arc<Transaction>, broker: Broker, snapshots: Snapshots) {
    let mut waits = Backoff::default();
    let mut failed = false;
    loop {
        let now = clock::now();
        // Without a token, or after its end, there is nothing to renew.
        let Ok(held) = transaction.held(now) else { return };
        let wait = if failed { waits.next(spread()) } else { ahead(now, held.proof().lifetime().not_after()) };
        tokio::select! {
            () = transaction.closed.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        let renewed = match snapshots.current() {
            Ok(snapshot) => broker.renew(&held, &snapshot).await,
            Err(refusal) => Err(refusal),
        };
        failed = match renewed {
            Ok(next) => {
                let before = held.proof().lifetime().not_after();
                let after = next.proof().lifetime().not_after();
                if after > before {
                    transaction.replace(next);
                    // What was heard while it was on its way did not find it.
                    if let Ok(snapshot) = snapshots.current() {
                        transaction.revoke(&snapshot, clock::now());
                    }
                }
                if before.until(after) < GAIN_MIN {
                    return;
                }
                waits.reset();
                false
            }
            Err(refusal) if passing(&refusal) => true,
            Err(refusal) => {
                let code = refusal.code();
                tracing::info!(code = code.as_ref(), "transaction is not renewed");
                return;
            }
        };
    }
}

/// Whether asking again may help.
fn passing(refusal: &Refusal) -> bool {
    refusal.is_fault() || matches!(refusal, Refusal::PeerUnreachable | Refusal::PeerAnswer | Refusal::PeerWrongIdentity)
}

/// 75 to 85 % of what is left, spread so that exchanges that began together do not renew together.
fn ahead(now: UnixTime, not_after: UnixTime) -> Duration {
    let percent = 75_u32.saturating_add(u32::from(spread() % 11));
    now.until(not_after).saturating_mul(percent).checked_div(100).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        broker::double::Double,
        signer::{Signer, txn},
        transactions::{Brought, Held, Transactions},
    };
    use identity::RawToken;

    const TXN_TOKEN: &str = "urn:ietf:params:oauth:token-type:txn_token";

    #[test]
    fn renewal_is_ahead_of_the_end_by_a_fifth_more_or_less() {
        let at = |secs| UnixTime::from_secs(secs).expect("a time");
        for _ in 0..100 {
            let wait = ahead(at(1000), at(1120));
            assert!((90..=102).contains(&wait.as_secs()), "{wait:?}");
        }
        assert_eq!(ahead(at(1000), at(900)), Duration::ZERO);
    }

    /// Renews a token of two seconds into one of `changes`, and returns when the task has ended or the token changed.
    async fn renewed(changes: serde_json::Value) -> (bool, usize) {
        let signer = Signer::new();
        let snapshots = Snapshots::default();
        snapshots.hear(signer.told(Vec::new())).expect("a snapshot");
        let snapshot = snapshots.current().expect("a snapshot");
        let now = clock::now();
        let end = now.plus(Duration::from_secs(2));
        let first = signer.sign("txntoken+jwt", &txn(&json!({"iat": now.secs(), "exp": end.secs()})));
        let mut later = json!({"iat": now.secs(), "exp": now.plus(Duration::from_secs(120)).secs()});
        for (name, value) in changes.as_object().expect("an object") {
            later[name] = value.clone();
        }
        let next = signer.sign("txntoken+jwt", &txn(&later));
        let issued =
            json!({"access_token": next, "issued_token_type": TXN_TOKEN, "token_type": "N_A", "expires_in": 120});
        let double = Double::start(move |_form| (200, issued.clone())).await;
        let token = RawToken::parse(first).expect("a token");
        let held = Held::verify(token, &snapshot.keys, &snapshot.issuer, &snapshot.trust_domain, now);
        let exchange =
            Transactions::default().open(Brought { held: held.ok(), ..Brought::default() }, now).expect("opens");
        let transaction = Arc::clone(exchange.transaction());
        let renewing = keep_alive(Arc::clone(&transaction), double.broker.clone(), snapshots);
        let longer = async {
            while transaction.not_after() <= end {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            () = renewing => {}
            () = longer => {}
        }
        (transaction.not_after() > end, double.calls())
    }

    #[tokio::test]
    async fn a_token_is_renewed_before_it_ends() {
        assert_eq!(renewed(json!({})).await, (true, 1));
    }

    #[tokio::test]
    async fn a_token_of_another_transaction_is_not_taken() {
        for changes in [json!({"txn": "x2"}), json!({"sub": "bob"}), json!({"scope": "tickets:read tickets:write"})] {
            let (longer, calls) = renewed(changes.clone()).await;
            assert!(!longer && calls >= 1, "{changes}");
        }
    }

    #[tokio::test]
    async fn a_token_that_was_revoked_on_its_way_ends_its_exchange() {
        let (signer, snapshots) = (Signer::new(), Snapshots::default());
        snapshots.hear(signer.told(Vec::new())).expect("a snapshot");
        let snapshot = snapshots.current().expect("a snapshot");
        let now = clock::now();
        let lasting = |id: &str, secs: u64| {
            let life = json!({"jti": id, "iat": now.secs(), "exp": now.plus(Duration::from_secs(secs)).secs()});
            signer.sign("txntoken+jwt", &txn(&life))
        };
        let issued = json!({"access_token": lasting("t3", 120), "issued_token_type": TXN_TOKEN, "token_type": "N_A",
            "expires_in": 120});
        let revocations = api::Revocations { tokens: vec!["t3".into()], ..api::Revocations::default() };
        let told = api::Snapshot { revocations: Some(revocations), ..signer.told(Vec::new()) };
        let heard = snapshots.clone();
        let double = Double::start(move |_form| {
            heard.hear(told.clone()).expect("a snapshot");
            (200, issued.clone())
        })
        .await;
        let token = RawToken::parse(lasting("t2", 2)).expect("a token");
        let held = Held::verify(token, &snapshot.keys, &snapshot.issuer, &snapshot.trust_domain, now).ok();
        let exchange = Transactions::default().open(Brought { held, ..Brought::default() }, now).expect("opens");
        let transaction = Arc::clone(exchange.transaction());
        let renewing = keep_alive(Arc::clone(&transaction), double.broker.clone(), snapshots);
        tokio::select! {
            () = renewing => {}
            why = Arc::clone(&transaction).ended() => assert_eq!(why, Refusal::SubjectRevoked),
        }
        assert_eq!(transaction.held(now).err(), Some(Refusal::SubjectRevoked));
        assert_eq!(double.calls(), 1);
    }

    #[tokio::test]
    async fn renewal_ends_with_its_exchange() {
        let double = Double::start(|_form| (503, json!({"refusal": "fault.store"}))).await;
        let exchange = Transactions::default().open(Brought::default(), clock::now()).expect("opens");
        let transaction = Arc::clone(exchange.transaction());
        drop(exchange);
        keep_alive(transaction, double.broker.clone(), Snapshots::default()).await;
        assert_eq!(double.calls(), 0);
    }
}
