//! A client with nothing but a JWT-SVID of a real SPIRE agent, over TLS without a certificate, for a user of a real
//! Keycloak.

use dev::apps::{Answer, Call};
use harness::{
    Desk, Folder, Form, RESEARCHER, assert_refused, begin, call, claims_of, odd_forms, tls_without_certificate,
};
use serde_json::json;

const ISSUER: &str = "https://broker.agents.svc";
const PLANNER: &str = "spiffe://corp.example/ns/agents/sa/planner";

async fn ask(desk: &Desk, form: Form) -> Answer {
    let stream = tls_without_certificate(&desk.assertion_address()).await;
    Call::from(form).send_over(stream).await.expect("answered")
}

#[tokio::test]
async fn a_jwt_svid_of_spire_gets_its_workload_a_token_and_nobody_else_s() {
    let (folder, made) =
        (Folder::new(), rcgen::generate_simple_self_signed(["broker.agents.svc".to_owned()]).expect("a pair"));
    let mut options = Desk::real_options().await;
    options.members.clear();
    options.broker["assertions"] = json!({"listen": "127.0.0.1:0", "tls": {
        "certificate": folder.write("tls.crt", &made.cert.pem()),
        "key": folder.write("tls.key", &made.signing_key.serialize_pem()),
    }});
    let desk = Desk::open_with(options).await;
    let good = begin(&desk.alice().await, "tickets:read");
    let svid = desk.jwt_svid("planner", ISSUER).await;
    let before = desk.stack.records().len();
    for (svid, code) in [
        (desk.jwt_svid("planner", &format!("{ISSUER}/token")).await, "client_assertion.audience"),
        (desk.stack.sign_in("alice", "openid").await.expect("signed in"), "client_assertion.key_unknown"),
    ] {
        let answer = ask(&desk, good.clone().by(&svid)).await;
        assert_refused("another token", &answer, 401, "invalid_client", code);
    }
    let [.., forged] = odd_forms(&svid);
    let answer = ask(&desk, good.clone().by(&forged)).await;
    assert_refused("forged", &answer, 401, "invalid_client", "client_assertion.signature");
    let answer = ask(&desk, good.clone()).await;
    assert_refused("none", &answer, 401, "invalid_client", "client_assertion.missing");
    assert_eq!(desk.stack.records().len(), before, "strangers leave no line");
    let others = desk.jwt_svid("researcher", ISSUER).await;
    let answer = ask(&desk, good.clone().by(&others)).await;
    assert_refused("researcher is no edge", &answer, 400, "invalid_request", "edge.not_registered");

    let begun = ask(&desk, good.by(&svid)).await;
    let txn = begun.text("/access_token").unwrap_or_else(|| panic!("{} {}", begun.status, begun.json()));
    assert_eq!(claims_of(&txn)["req_wl"], PLANNER);
    let answer = ask(&desk, call(&txn, RESEARCHER, "").by(&others)).await;
    assert_refused("planner's token", &answer, 400, "invalid_request", "chain.not_callee");
    let called = ask(&desk, call(&txn, RESEARCHER, "").by(&svid)).await;
    let access = called.text("/access_token").unwrap_or_else(|| panic!("{} {}", called.status, called.json()));
    assert_eq!(claims_of(&access)["client_id"], PLANNER);
    desk.close().await;
}
