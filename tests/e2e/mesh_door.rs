//! A mesh door lets in one caller, with one fresh token made for it, for one covered call (N81–N89, N104).

use dev::apps::Call;
use harness::{Desk, Forger, TICKETS, assert_challenged, claims_of, to_researcher, to_tickets, tool};
use http::Method;
use serde_json::json;

#[tokio::test]
async fn a_call_without_one_good_token_is_challenged() {
    let desk = Desk::open_story().await;
    let (_access, for_researcher) = desk.called_researcher(&desk.begun().await).await;
    let access = desk.called_tickets(&for_researcher, "tickets:read").await;
    let list = tool("list_tickets");
    let bare = || Call::new(Method::POST, TICKETS).json(&list);
    let answer = desk.to_mesh("researcher", "tickets", bare()).await;
    assert_challenged("N81", &answer, 401, "access_token.missing");
    assert!(!answer.header("www-authenticate").contains("error="), "N81: no error without a token");
    let query = Call::new(Method::POST, &format!("{TICKETS}?access_token={access}")).json(&list);
    assert_challenged("N83", &desk.to_mesh("researcher", "tickets", query).await, 401, "access_token.missing");
    let empty = bare().header("authorization", "Bearer ");
    assert_challenged("N82 empty", &desk.to_mesh("researcher", "tickets", empty).await, 400, "call.malformed");
    let twice = to_tickets(&access, &list).header("authorization", &format!("Bearer {access}"));
    assert_challenged("N82 twice", &desk.to_mesh("researcher", "tickets", twice).await, 400, "call.credential_headers");
    let txn_twice = to_tickets(&access, &list).header("txn-token", "a").header("Txn-Token", "b");
    assert_challenged(
        "N82 Txn-Token",
        &desk.to_mesh("researcher", "tickets", txn_twice).await,
        400,
        "call.credential_headers",
    );
    let listed = to_tickets(&access, &list).header("connection", "close, authorization");
    assert_challenged(
        "Connection",
        &desk.to_mesh("researcher", "tickets", listed).await,
        400,
        "call.credential_headers",
    );
    let reached = async || desk.stack.seen("tickets").await.expect("counted").requests;
    assert_eq!(reached().await, 0, "nothing reached the app");
    // The app itself wants an MCP session first; that it was asked is what counts here.
    desk.to_mesh("researcher", "tickets", to_tickets(&access, &list)).await;
    assert_eq!(reached().await, 1, "the same call with its token reaches it");
    desk.close().await;
}

#[tokio::test]
async fn a_token_of_another_kind_issuer_audience_or_key_is_refused() {
    let desk = Desk::open_story().await;
    let txn = desk.begun().await;
    let (for_researcher_door, for_researcher) = desk.called_researcher(&txn).await;
    let access = desk.called_tickets(&for_researcher, "tickets:read").await;
    let forger = Forger::default();
    let rows = [
        ("N84 signature", forger.resign(&access, |_same| {}), "access_token.signature"),
        ("N84 expired, resigned", forger.resign(&access, |claims| claims["exp"] = json!(1)), "access_token.signature"),
        (
            "N84 typ",
            forger.sign(r#"{"typ":"JWT","alg":"ES256","kid":"x"}"#, &claims_of(&access).to_string()),
            "access_token.type",
        ),
        (
            "N84 unknown key",
            forger.sign(r#"{"typ":"at+jwt","alg":"ES256","kid":"x"}"#, "{}"),
            "access_token.key_unknown",
        ),
        ("N84 audience", for_researcher_door, "access_token.audience"),
        ("N85", desk.alice().await, "access_token.type"),
        ("N86 T", for_researcher, "access_token.type"),
        ("N86 SVID", desk.jwt_svid("researcher", TICKETS).await, "access_token.type"),
        ("nonsense", "nonsense".to_owned(), "access_token.malformed"),
    ];
    for (case, token, refusal) in rows {
        let answer = desk.to_mesh("researcher", "tickets", to_tickets(&token, &tool("list_tickets"))).await;
        assert_challenged(case, &answer, 401, refusal);
    }
    desk.close().await;
}

#[tokio::test]
async fn a_token_is_good_in_its_callers_hand_only() {
    let desk = Desk::open_story().await;
    let (_access, for_researcher) = desk.called_researcher(&desk.begun().await).await;
    let access = desk.called_tickets(&for_researcher, "tickets:read").await;
    for thief in ["planner", "stranger", "tickets"] {
        let answer = desk.to_mesh(thief, "tickets", to_tickets(&access, &tool("list_tickets"))).await;
        assert_challenged("N88", &answer, 401, "access_token.not_bound");
    }
    let before = desk.stack.seen("tickets").await.expect("counted").requests;
    assert_eq!(before, 0, "nothing reached the app");
    desk.close().await;
}

#[tokio::test]
async fn scope_covers_the_very_call() {
    let desk = Desk::open_story().await;
    let (_access, for_researcher) = desk.called_researcher(&desk.begun().await).await;
    let access = desk.called_tickets(&for_researcher, "tickets:read").await;
    let answer = desk.to_mesh("researcher", "tickets", to_tickets(&access, &tool("close_ticket"))).await;
    assert_challenged("N87", &answer, 403, "scope.insufficient");
    let challenge = answer.header("www-authenticate");
    assert!(
        challenge.contains("error=\"insufficient_scope\"") && challenge.contains("scope=\"tickets:write\""),
        "{challenge}"
    );
    assert_eq!(
        (&answer.json()["id"], &answer.json()["jsonrpc"]),
        (&json!(7), &json!("2.0")),
        "a JSON-RPC error with the request's id"
    );
    let scopeless = desk.called_tickets(&for_researcher, "").await;
    assert_eq!(claims_of(&scopeless)["may_ask"], "tickets:read");
    let answer = desk.to_mesh("researcher", "tickets", to_tickets(&scopeless, &tool("list_tickets"))).await;
    assert_challenged("may_ask admits no call", &answer, 403, "scope.insufficient");
    desk.close().await;
}

#[tokio::test]
async fn listings_show_what_may_be_asked() {
    let desk = Desk::open_story().await;
    let (_access, for_researcher) = desk.called_researcher(&desk.begun().await).await;
    let access = desk.called_tickets(&for_researcher, "").await;
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"}}});
    let opened = desk.to_mesh("researcher", "tickets", to_tickets(&access, &hello)).await;
    assert_eq!(opened.status, 200, "{}", opened.json());
    let session = opened.header("mcp-session-id").to_owned();
    let list = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"});
    let answer =
        desk.to_mesh("researcher", "tickets", to_tickets(&access, &list).header("mcp-session-id", &session)).await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.contains("list_tickets") && !text.contains("close_ticket"), "{text}");
    let (_other, for_other) = desk.called_researcher(&desk.begun().await).await;
    let same_user = desk.called_tickets(&for_other, "").await;
    let answer =
        desk.to_mesh("researcher", "tickets", to_tickets(&same_user, &list).header("mcp-session-id", &session)).await;
    assert_eq!(answer.status, 200, "a session belongs to user and caller, not to one transaction");
    let txn = desk.begun().await;
    let by_planner = desk.ask("planner", &harness::call(&txn, TICKETS, "")).await.json()["access_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    let answer =
        desk.to_mesh("planner", "tickets", to_tickets(&by_planner, &list).header("mcp-session-id", &session)).await;
    assert_challenged("N109 another caller", &answer, 404, "call.session");
    let unknown = to_tickets(&access, &list).header("mcp-session-id", "unknown");
    assert_challenged("N109 unknown", &desk.to_mesh("researcher", "tickets", unknown).await, 404, "call.session");
    desk.close().await;
}

#[tokio::test]
async fn the_transaction_token_fits_the_access_token_and_this_hop() {
    let desk = Desk::open_story().await;
    let txn = desk.begun().await;
    let (access, passed_on) = desk.called_researcher(&txn).await;
    let (_access, of_another_call) = desk.called_researcher(&txn).await;
    let (_access, of_another_user) = desk.called_researcher(&desk.begun().await).await;
    let at_tickets = desk.called_tickets(&passed_on, "tickets:read").await;
    let forged = Forger::default().resign(&passed_on, |_same| {});
    let rows = [
        ("N104 other T2 of this txn", of_another_call, "txn_token.mismatch"),
        ("N89 other txn", of_another_user, "txn_token.mismatch"),
        ("N89 owner's T", txn.clone(), "txn_token.mismatch"),
        ("N89 forged", forged, "txn_token.signature"),
        ("N89 A as T", access.clone(), "txn_token.type"),
    ];
    for (case, token, refusal) in rows {
        let answer = desk.to_mesh("planner", "researcher", to_researcher(&access, &token)).await;
        assert_challenged(case, &answer, 401, refusal);
    }
    let without = Call::new(Method::POST, "https://researcher.agents.svc/research")
        .header("authorization", &format!("Bearer {access}"))
        .json(&json!({}));
    assert_challenged("N89 missing", &desk.to_mesh("planner", "researcher", without).await, 401, "txn_token.missing");
    let with = to_tickets(&at_tickets, &tool("list_tickets")).header("txn-token", &passed_on);
    assert_challenged(
        "N104 A2 with a T",
        &desk.to_mesh("researcher", "tickets", with).await,
        401,
        "txn_token.unexpected",
    );
    desk.close().await;
}

#[tokio::test]
async fn metadata_is_served_without_a_token() {
    let desk = Desk::open_story().await;
    let call = Call::new(Method::GET, "https://tickets.tools.svc/.well-known/oauth-protected-resource/mcp");
    let answer = desk.to_mesh("stranger", "tickets", call).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    assert_eq!(answer.json()["resource"], TICKETS);
    assert_eq!(answer.json()["authorization_servers"], json!(["https://broker.agents.svc"]));
    desk.close().await;
}
