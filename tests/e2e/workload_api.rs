//! Identity: who is not registered has none, and who has none serves nobody.

use dev::apps::Call;
use harness::{Desk, Program, eventually};
use http::Method;

#[tokio::test]
async fn an_apps_process_is_denied() {
    let desk = Desk::open_story().await;
    for app in ["planner", "researcher", "tickets"] {
        let answer = desk.stack.identity_of_app(app).await.expect("answered");
        assert!(answer.contains("PermissionDenied"), "{app}: {answer}");
    }
    desk.close().await;
}

#[tokio::test]
async fn rotation_of_keys_and_certificates_breaks_no_call() {
    let desk = Desk::open_story().await;
    let url = format!("{}/ask", desk.stack.edge("planner").expect("an edge"));
    let ask = async || {
        let token = desk.alice().await;
        let call = Call::new(Method::POST, &url).header("authorization", &format!("Bearer {token}"));
        call.json(&serde_json::json!({"question": "which tickets are open?"})).send().await.expect("answered")
    };
    assert_eq!(ask().await.status, 200);
    desk.stack.registrar().expect("embedded").rotate_ca(dev::identity::Old::Kept).await.expect("rotated");
    desk.stack.registrar().expect("embedded").rotate_jwt_key(dev::identity::Old::Kept).await.expect("rotated");
    let answer = ask().await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    desk.close().await;
}

#[tokio::test]
async fn a_lost_identity_stops_its_sidecar() {
    let desk = Desk::open_story().await;
    let pid = desk.stack.pid("tickets-sidecar").expect("running");
    let ready = format!("http://{}/ready", desk.stack.address("tickets-sidecar", "admin").expect("an admin door"));
    desk.stack.registrar().expect("embedded").remove(pid).await.expect("removed");
    let answer = eventually("the sidecar is not ready", || async {
        let answer = Call::new(Method::GET, &ready).send().await.expect("answered");
        (answer.status != 200).then_some(answer)
    })
    .await;
    assert!(String::from_utf8_lossy(&answer.body).contains("identity"), "it says what is missing");
    desk.close().await;
}

#[tokio::test]
async fn a_missing_socket_is_not_ready_and_no_hang() {
    let folder = harness::Folder::new();
    let config = folder.write(
        "sidecar.yaml",
        "workload_api: unix:///nonexistent/agent.sock\nbroker: {url: \"https://127.0.0.1:1\", id: spiffe://corp.example/broker}\n\
         app: http://127.0.0.1:1\nmesh: {listen: \"127.0.0.1:0\"}\nagent: {listen: \"127.0.0.1:0\"}\nadmin: {listen: \"127.0.0.1:0\"}\n",
    );
    let ready_file = folder.path("ready.json");
    let arguments = ["--config", &config, "--ready-file", &ready_file, "--exit-on-stdin-close"];
    let sidecar = Program::new("countersign-sidecar").arguments(arguments).start();
    let admin = sidecar.address(&ready_file, "admin").await;
    let answer = Call::new(Method::GET, &format!("http://{admin}/ready")).send().await.expect("answered");
    assert_eq!(answer.status, 503);
    assert!(String::from_utf8_lossy(&answer.body).contains("identity"), "{}", String::from_utf8_lossy(&answer.body));
    let live = Call::new(Method::GET, &format!("http://{admin}/live")).send().await.expect("answered");
    assert_eq!(live.status, 200);
    let finished = sidecar.end().await;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stderr.contains("/nonexistent/agent.sock"), "the log names the socket: {}", finished.stderr);
}
