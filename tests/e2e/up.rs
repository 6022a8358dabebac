//! Own programs behind sidecars: `countersign up` and `countersign run` as a newcomer uses them.

mod careless;
mod endings;
mod own;

use dev::apps::{Answer, Call};
use harness::{Instance, binaries, eventually, tells_token};
use http::Method;
use rustix::process::Signal;
use serde_json::json;

pub(crate) fn demo_app(role: &str) -> Vec<String> {
    vec![binaries().join("countersign-demo-app").display().to_string(), role.to_owned()]
}

fn shell(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).to_vec()
}

pub(crate) async fn ask(edge: &str, token: &str) -> Answer {
    let call =
        Call::new(Method::POST, &format!("http://{edge}/ask")).header("authorization", &format!("Bearer {token}"));
    call.json(&json!({ "question": "Which of my tickets are open?" })).send().await.expect("answered")
}

#[tokio::test]
async fn own_programs_join_alice_is_let_in_and_bob_is_refused() {
    let instance = Instance::start(&[]).await;
    let tickets = instance.run("tickets", &[], &demo_app("tickets"));
    let researcher = instance.run("researcher", &[], &demo_app("researcher"));
    let planner = instance.run("planner", &["--edge"], &demo_app("planner"));
    let edge = planner.address(&instance.ready_file("planner"), "edge").await;
    let (alice, bob) = (instance.sign_in("alice").await, instance.sign_in("bob").await);
    let answer = eventually("all three programs listen", || async {
        let answer = ask(&edge, &alice).await;
        (answer.refusal().as_deref() != Some("fault.app")).then_some(answer)
    })
    .await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(answer.status.is_success() && text.contains("T-1") && text.contains("T-2"), "{} {text}", answer.status);
    let refused = ask(&edge, &bob).await;
    assert_eq!((refused.status.as_u16(), refused.refusal().as_deref()), (403, Some("policy.no_rule")));

    let mut told = String::new();
    for (running, expected) in [
        (
            planner,
            &[
                "← alice via edge  planner",
                "→ researcher",
                "for alice",
                "refused policy.no_rule",
                "explain policy.no_rule",
            ][..],
        ),
        (
            researcher,
            &[
                "← planner for alice via mesh  researcher",
                "→ tickets list_tickets  for alice  scope tickets:read  allowed",
            ],
        ),
        (tickets, &["← researcher for alice via mesh  tickets list_tickets  scope tickets:read  allowed"]),
    ] {
        running.signal(Signal::TERM);
        let ended = running.end().await;
        assert_eq!(ended.code, Some(0), "the program's own exit code: {}", ended.stderr);
        for words in expected {
            assert!(ended.stderr.contains(words), "{words} in\n{}", ended.stderr);
        }
        told.push_str(&ended.stderr);
    }
    assert!(told.contains("TOKEN=$(curl") && told.contains(&format!("http://{edge}")), "how to get in: {told}");
    let up = instance.end().await;
    assert_eq!(up.code, Some(0), "{}", up.stderr);
    for words in ["planner joined", "planner left", "alice", "run --as tickets", "token inspect"] {
        assert!(up.stdout.contains(words), "{words} in\n{}", up.stdout);
    }
    assert!(!tells_token(&told) && !tells_token(&up.stdout) && !tells_token(&up.stderr), "{told}");
    assert!(up.stdout.lines().all(|line| line.chars().count() <= 100 || line.contains('/')), "{}", up.stdout);
}

#[tokio::test]
async fn the_command_gets_a_proxy_and_a_port_and_nothing_of_ours_and_its_exit_code_is_passed_on() {
    let instance = Instance::start(&[]).await;
    let run = |workload: &str, more: &[&str], script: &str| {
        let program = instance.run_program(workload, more, &shell(script));
        let program = program.variable("COUNTERSIGN_CONFIG", "/x").variable("SPIFFE_ENDPOINT_SOCKET", "unix:///x");
        program.variable("KEPT", "as it was").run()
    };
    let told = run("tickets", &[], "env; exit 7").await;
    assert_eq!(told.code, Some(7), "{}", told.stderr);
    let variable = |name: &str| {
        let begin = format!("{name}=");
        told.stdout.lines().find_map(|line| line.strip_prefix(&begin)).map(str::to_owned)
    };
    let proxy = variable("HTTP_PROXY").expect("a proxy");
    assert!(proxy.starts_with("http://127.0.0.1:"), "{proxy}");
    assert_eq!(variable("http_proxy"), Some(proxy));
    for name in ["NO_PROXY", "no_proxy"] {
        assert_eq!(variable(name).as_deref(), Some("localhost,127.0.0.1,::1"));
    }
    assert!(variable("PORT").expect("a port").parse::<u16>().is_ok_and(|port| port > 0));
    assert_eq!(variable("KEPT").as_deref(), Some("as it was"));
    assert!(!told.stdout.contains("COUNTERSIGN_") && !told.stdout.contains("SPIFFE_"), "{}", told.stdout);
    assert_eq!(run("tickets", &["--port", "65001"], "exit $((PORT == 65001 ? 3 : 4))").await.code, Some(3));
    assert_eq!(run("tickets", &[], "kill -TERM $$").await.code, Some(143), "128 and the signal");
    assert_eq!(instance.run_program("tickets", &[], &["no-such-command".to_owned()]).run().await.code, Some(2));
    instance.end().await;
}

#[tokio::test]
async fn what_cannot_run_is_told_and_what_to_do() {
    let instance = Instance::start(&[]).await;
    let first = instance.run("planner", &[], &shell("exec sleep 600"));
    first.address(&instance.ready_file("planner"), "agent").await;
    for (workload, more, words) in [
        ("planner", &[][..], "it runs already"),
        ("spiffe://corp.example/ns/agents/sa/planner", &[], "it runs already"),
        ("plannr", &[], "it knows: planner, researcher, tickets"),
        ("tickets", &["--edge"], "edge.not_registered"),
        ("spiffe://other.example/x", &[], "outside of the trust domain"),
        ("tickets", &["--name", "other"], "no `countersign up` runs"),
    ] {
        let told = instance.run_program(workload, more, &shell("true")).run().await;
        assert_eq!(told.code, Some(1), "{workload}: {}", told.stderr);
        assert!(told.stderr.contains(words), "{words} in\n{}", told.stderr);
    }
    let second = instance.program().arguments(["up"]).run().await;
    assert_eq!(second.code, Some(1));
    assert!(second.stderr.contains("runs already") && second.stderr.contains("kill "), "{}", second.stderr);
    first.signal(Signal::TERM);
    assert_eq!(first.end().await.code, Some(143));
    let again = instance.run_program("planner", &[], &shell("true")).run().await;
    assert_eq!(again.code, Some(0), "its place is free again: {}", again.stderr);
    instance.end().await;
}

#[tokio::test]
async fn without_up_run_says_what_to_do() {
    let instance = Instance::none();
    let told = instance.run_program("planner", &[], &shell("true")).run().await;
    assert_eq!(told.code, Some(1));
    assert!(
        told.stderr.contains("no `countersign up` runs") && told.stderr.contains("countersign up`"),
        "{}",
        told.stderr
    );
}
