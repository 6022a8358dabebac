//! A token that is odd in form, key or signature is refused by the name of what is odd, at every mesh door: before a claim
//! of it is read (N84, N89). For the broker's doors see `table`.

use harness::{Desk, assert_challenged, odd_forms, to_researcher, to_tickets, tool};

#[tokio::test]
async fn an_odd_access_token_opens_no_mesh_door() {
    let desk = Desk::open_story().await;
    let (_access, for_researcher) = desk.called_researcher(&desk.begun().await).await;
    let good = desk.called_tickets(&for_researcher, "tickets:read").await;
    let refusals = [
        "access_token.too_long",
        "access_token.malformed",
        "access_token.repeated_name",
        "access_token.forbidden_header",
        "access_token.algorithm",
        "access_token.type",
        "access_token.key_unknown",
        "access_token.signature",
    ];
    for (token, refusal) in odd_forms(&good).iter().zip(refusals) {
        let answer = desk.to_mesh("researcher", "tickets", to_tickets(token, &tool("list_tickets"))).await;
        assert_challenged("N84", &answer, 401, refusal);
    }
    assert_eq!(desk.stack.seen("tickets").await.expect("counted").requests, 0, "nothing reached the app");
    desk.close().await;
}

#[tokio::test]
async fn an_odd_transaction_token_opens_no_mesh_door() {
    let desk = Desk::open_story().await;
    let (access, good) = desk.called_researcher(&desk.begun().await).await;
    let refusals = [
        "txn_token.too_long",
        "txn_token.malformed",
        "txn_token.repeated_name",
        "txn_token.forbidden_header",
        "txn_token.algorithm",
        "txn_token.type",
        "txn_token.key_unknown",
        "txn_token.signature",
    ];
    for (token, refusal) in odd_forms(&good).iter().zip(refusals) {
        let answer = desk.to_mesh("planner", "researcher", to_researcher(&access, token)).await;
        assert_challenged("N89", &answer, 401, refusal);
    }
    assert_eq!(desk.stack.seen("researcher").await.expect("counted").requests, 0, "nothing reached the app");
    desk.close().await;
}
