//! When an authority counts as confirmed.

use super::*;

const ISSUER: &str = "https://keycloak.corp.example/realms/agents";

fn watching(confirmed: Option<Instant>) -> Liveness {
    let mut liveness = Liveness::nobody();
    let watched = Watched { confirmed: Mutex::new(confirmed), within: Duration::from_secs(60), doubted: Notify::new() };
    liveness.watched.insert(ISSUER.to_owned(), watched);
    liveness
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_told_nothing_for_a_minute_is_unconfirmed_until_it_tells_again() {
    let liveness = watching(Some(Instant::now()));
    tokio::time::advance(Duration::from_secs(59)).await;
    assert_eq!(liveness.check(ISSUER), Ok(()));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(liveness.check(ISSUER), Err(Refusal::FaultUnconfirmed));
    // A look counts from where it began: what it saw may be as old as that.
    liveness.confirm(ISSUER, Instant::now() - Duration::from_secs(59));
    assert_eq!(liveness.check(ISSUER), Ok(()));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(liveness.check(ISSUER), Err(Refusal::FaultUnconfirmed));
}

#[test]
fn one_without_event_logs_is_not_waited_for_and_one_never_read_is_unconfirmed() {
    assert_eq!(Liveness::nobody().check("https://elsewhere"), Ok(()));
    assert_eq!(watching(None).check(ISSUER), Err(Refusal::FaultUnconfirmed));
}
