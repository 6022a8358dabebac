//! Handles: who finds what, and until when.

use super::{book::LIVE_MAX, *};

fn now() -> UnixTime {
    clock::now()
}

fn claim(transactions: &Transactions, handle: Option<&HeaderValue>) -> Result<Arc<Transaction>, Refusal> {
    transactions.claim(Signs { handle, trace: None }).map(|claim| Arc::clone(claim.transaction()))
}

#[test]
fn a_handle_dies_with_its_exchange() {
    let transactions = Transactions::default();
    let exchange = transactions.open(Brought::default(), now()).expect("opens");
    let handle = exchange.handle().expect("a handle");
    assert!(claim(&transactions, Some(&handle)).is_ok());
    drop(exchange);
    assert_eq!(claim(&transactions, Some(&handle)).err(), Some(Refusal::CallNoTransaction));
}

#[test]
fn a_handle_of_another_pod_finds_nothing() {
    let (one, other) = (Transactions::default(), Transactions::default());
    let exchange = one.open(Brought::default(), now()).expect("opens");
    let handle = exchange.handle().expect("a handle");
    assert_eq!(claim(&other, Some(&handle)).err(), Some(Refusal::CallNoTransaction));
    assert_eq!(claim(&one, None).err(), Some(Refusal::CallNoTransaction));
    assert_eq!(claim(&one, Some(&HeaderValue::from_static(""))).err(), Some(Refusal::CallNoTransaction));
}

#[test]
fn handles_are_256_bits_and_never_the_same() {
    let transactions = Transactions::default();
    let exchanges: Vec<_> = (0..100).map(|_| transactions.open(Brought::default(), now()).expect("opens")).collect();
    let handles: std::collections::HashSet<_> = exchanges.iter().map(|exchange| exchange.handle.clone()).collect();
    assert_eq!(handles.len(), 100);
    assert!(handles.iter().all(|handle| BASE64_URL_SAFE_NO_PAD.decode(handle).is_ok_and(|bits| bits.len() == 32)));
    assert!(exchanges.iter().all(|exchange| exchange.handle().is_some_and(|handle| handle.is_sensitive())));
}

#[test]
fn a_leaf_cannot_call_on() {
    let exchange = Transactions::default().open(Brought::default(), now()).expect("opens");
    assert_eq!(exchange.transaction().held(now()).err(), Some(Refusal::ChainNotCallee));
}

#[test]
fn one_exchange_more_than_the_limit_is_refused() {
    let transactions = Transactions::default();
    let open: Vec<_> = (0..LIVE_MAX).map(|_| transactions.open(Brought::default(), now()).expect("opens")).collect();
    assert_eq!(transactions.open(Brought::default(), now()).err(), Some(Refusal::FaultOverloaded));
    drop(open);
    assert!(transactions.open(Brought::default(), now()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_exchange_is_told_to_its_renewal() {
    let exchange = Transactions::default().open(Brought::default(), now()).expect("opens");
    let transaction = Arc::clone(exchange.transaction());
    drop(exchange);
    tokio::time::timeout(Duration::from_secs(1), transaction.closed.cancelled()).await.expect("told");
}
