//! Broker, Keycloak and SPIRE's agent die without a word, one after the other, and come back.

use dev::{
    apps::Answer,
    stack::{BROKER, KEYCLOAK, Peers, SPIRE_AGENT, StackOptions},
};
use harness::{Desk, eventually, signal, tells_token};
use rustix::process::Signal;

/// Either the whole answer or a refusal with its code; never half of one, and never a token.
fn assert_clean(when: &str, answer: &Answer) {
    let text = String::from_utf8_lossy(&answer.body);
    assert!(answer.status == 200 || answer.refusal().is_some(), "{when}: {} {text}", answer.status);
    assert!(!tells_token(&text), "{when}: {text}");
}

async fn runs_again(desk: &Desk, token: &str) {
    eventually("the story runs again", || async {
        let answer = desk.ask_planner(token).await;
        assert_clean("after the restart", &answer);
        (answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn each_may_be_killed_and_the_story_runs_again_or_refuses_cleanly() {
    // A Keycloak of this test's own: others go on using the shared one.
    let options = StackOptions { peers: Peers::Real, ..StackOptions::story() };
    let mut desk = Desk::open_with(options).await;
    let alice = desk.alice().await;
    assert_eq!(desk.ask_planner(&alice).await.status, 200);
    for process in [BROKER, SPIRE_AGENT, KEYCLOAK] {
        signal(&desk.stack, process, Signal::KILL);
        let answer = desk.ask_planner(&alice).await;
        assert_clean(process, &answer);
        if process == KEYCLOAK {
            assert_eq!(answer.refusal().as_deref(), Some("fault.provider"), "nobody is let in without Keycloak");
        }
        desk.stack.halt(process).await;
        desk.stack.revive(process).await.unwrap_or_else(|fault| panic!("{process}: {fault:?}"));
        // Keycloak forgot nothing: sessions lie in its database.
        runs_again(&desk, &alice).await;
    }
    desk.close().await;
}
