//! Nothing is issued that is not recorded, and nobody unauthenticated can fill the disk.

use harness::{Desk, alert_without_certificate, begin, claims_of, eventually, tells_token};
use serde_json::{Value, json};

fn with<'a>(records: &'a [Value], key: &str, value: &Value) -> Vec<&'a Value> {
    records.iter().filter(|record| record[key] == *value).collect()
}

#[tokio::test]
async fn every_grant_stands_in_the_record_before_its_tokens_leave() {
    let desk = Desk::open().await;
    let txn = desk.begun().await;
    let (access, for_researcher) = desk.called_researcher(&txn).await;
    let at_tickets = desk.called_tickets(&for_researcher, "tickets:read").await;
    let records = desk.stack.records();
    for token in [&txn, &access, &for_researcher, &at_tickets] {
        let jti = claims_of(token)["jti"].clone();
        let found = records.iter().any(|record| record.to_string().contains(jti.as_str().expect("an id")));
        assert!(found, "{jti} in {records:#?}");
    }
    let text = records.iter().map(Value::to_string).collect::<String>();
    let subject = claims_of(&txn)["sub"].as_str().expect("a subject").to_owned();
    assert!(
        !tells_token(&text) && !text.contains(&subject) && !text.contains("alice"),
        "no token and no person in the record"
    );
    desk.close().await;
}

#[tokio::test]
async fn refusals_of_the_authenticated_are_recorded_and_merged() {
    let desk = Desk::open().await;
    let alice = desk.alice().await;
    for _round in 0..40 {
        desk.ask("stranger", &begin(&alice, "tickets:read")).await;
    }
    let counted = eventually("the refusals are recorded", || async {
        let records = desk.stack.records();
        let refused = with(&records, "code", &json!("edge.not_registered"));
        let count: u64 = refused.iter().map(|record| record["count"].as_u64().unwrap_or(1)).sum();
        (count >= 40).then_some((refused.len(), count))
    })
    .await;
    assert_eq!(counted.1, 40);
    assert!(counted.0 < 40, "above ten a second they are merged: {counted:?}");
    desk.close().await;
}

#[tokio::test]
async fn the_unauthenticated_leave_no_line() {
    let desk = Desk::open().await;
    let before = desk.stack.records().len();
    for _round in 0..20 {
        alert_without_certificate(desk.stack.broker_token_address()).await;
    }
    desk.begun().await;
    assert_eq!(desk.stack.records().len(), before + 1, "{:?}", desk.stack.records());
    desk.close().await;
}
