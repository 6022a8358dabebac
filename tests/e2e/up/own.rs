//! Files of one's own: registry, policies, configurations.

use std::fs;

use dev::apps::Call;
use harness::{Instance, Program, Sink, claims_of, eventually, tells_token};
use http::Method;
use rustix::process::Signal;
use serde_json::json;

use super::{demo_app, shell};

/// Other names, scopes and rules than the demo's, for the demo's programs: they call `tickets.tool`, whatever it is.
const REGISTRY: &str = "\
edges:
  - workload: spiffe://acme.example/front
    login_clients: [console]
    scopes: [docs:read]
targets:
  - name: docs
    resource: https://docs.acme.example/mcp
    hosts: [tickets.tool]
    workload: spiffe://acme.example/docs
    identity_headers: [subject]
    mcp: { tools: { list_tickets: docs:read } }
";
const RULES: [(&str, &str); 3] = [
    (
        "begin",
        r#"@id("begin") permit (principal == Workload::"spiffe://acme.example/front", action == Action::"begin", resource == TrustDomain::"acme.example");"#,
    ),
    (
        "docs",
        r#"@id("docs") permit (principal == Workload::"spiffe://acme.example/front", action == Action::"exchange", resource == Target::"docs");"#,
    ),
    (
        "nightly",
        r#"@id("nightly") permit (principal == Workload::"spiffe://acme.example/nightly", action == Action::"use", resource == Target::"inventory");"#,
    ),
];

/// An instance with the registry above and `more` targets.
async fn own_instance(more: &str) -> Instance {
    let instance = Instance::none();
    let registry = instance.write("registry.yaml", &format!("{REGISTRY}{more}"));
    fs::create_dir(instance.path("policies")).expect("made");
    for (name, rule) in RULES {
        let _file = instance.write(&format!("policies/{name}.cedar"), rule);
    }
    let policies = instance.path("policies");
    instance.begin(&["--registry", &registry, "--policies", &policies]).await
}

/// A service that accepts JWT-SVIDs, at `url`.
fn inventory(url: &str) -> String {
    format!(
        "  - name: inventory\n    kind: workload\n    resource: https://inventory.acme.example\n    \
         hosts: [inventory.tool]\n    connect: {url}\n"
    )
}

#[tokio::test]
async fn an_own_registry_with_own_scopes_and_policies_is_served() {
    let instance = own_instance(&inventory("http://127.0.0.1:1")).await;
    let docs = instance.run("docs", &[], &demo_app("tickets"));
    let front = instance.run("front", &["--edge"], &demo_app("planner"));
    docs.address(&instance.ready_file("docs"), "mesh").await;
    let edge = front.address(&instance.ready_file("front"), "edge").await;
    let alice = instance.sign_in_for("alice", "docs:read").await;
    let text = eventually("both programs listen", || async {
        let call = Call::new(Method::POST, &format!("http://{edge}/ask"));
        let call = call.header("authorization", &format!("Bearer {alice}"));
        let answer = call.json(&json!({ "question": "list_tickets" })).send().await.expect("answered");
        answer.status.is_success().then(|| String::from_utf8_lossy(&answer.body).into_owned())
    })
    .await;
    assert!(text.contains("T-1"), "{text}");
    front.signal(Signal::TERM);
    let told = front.end().await;
    let expected = "→ docs list_tickets  for alice  scope docs:read  allowed";
    assert!(told.code == Some(0) && told.stderr.contains(expected), "{}", told.stderr);
    docs.signal(Signal::TERM);
    docs.end().await;
    instance.end().await;
}

#[tokio::test]
async fn a_job_calls_in_its_own_name_by_the_door_for_that() {
    let service = Sink::open().await;
    let instance = own_instance(&inventory(&service.url())).await;
    let told = instance.path("proxy");
    let id = "spiffe://acme.example/nightly";
    let job = instance.run_program(
        id,
        &["--self", "--ready-file", &instance.ready_file("job")],
        &shell(&format!("echo $HTTP_PROXY > {told}.new; mv {told}.new {told}; exec sleep 600")),
    );
    let job = job.start();
    let door = format!("http://{}", job.address(&instance.ready_file("job"), "self").await);
    let proxy = eventually("the job runs", || async { fs::read_to_string(&told).ok() }).await;
    assert_eq!(proxy.trim(), door, "what knows nothing of doors uses this one");
    let answer = Call::new(Method::GET, "http://inventory.tool/items").send_through(&door).await.expect("answered");
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.json());
    let shown = service.received()[0].headers["authorization"].to_str().expect("text").to_owned();
    let svid = shown.strip_prefix("Bearer ").expect("a bearer");
    assert_eq!(
        (&claims_of(svid)["sub"], &claims_of(svid)["aud"][0]),
        (&json!(id), &json!("https://inventory.acme.example"))
    );
    let token = instance.write("svid", svid);
    let inspected = instance.program().arguments(["token", "inspect", &token]).run().await;
    assert_eq!(inspected.code, Some(1));
    let why = "the trust domain's keys are not known";
    assert!(inspected.stdout.contains("JWT-SVID") && inspected.stdout.contains(why), "{}", inspected.stdout);
    job.signal(Signal::TERM);
    let ended = job.end().await;
    assert!(ended.stderr.contains("→ inventory GET  in its own name  allowed"), "{}", ended.stderr);
    assert!(!tells_token(&ended.stderr), "{}", ended.stderr);
    let both = instance.run_program("front", &["--edge", "--self"], &shell("true")).run().await;
    assert_eq!(both.code, Some(2), "who lets users in does not call in its own name for them: {}", both.stderr);
    instance.end().await;
}

#[tokio::test]
async fn mistakes_in_own_files_are_told_by_their_names() {
    let instance = Instance::none();
    let registry = instance.write("registry.yaml", &REGISTRY.replace("https://docs.acme.example/mcp", "docs"));
    fs::create_dir(instance.path("policies")).expect("made");
    let _rule = instance.write("policies/begin.cedar", &RULES[0].1.replace("Workload::", "Worklod::"));
    let policies = instance.path("policies");
    let up = |arguments: &[&str]| instance.program().arguments([&["up"], arguments].concat()).run();
    let wrong = up(&["--registry", &registry, "--policies", &policies]).await;
    assert_eq!(wrong.code, Some(2), "{}{}", wrong.stdout, wrong.stderr);
    for words in [format!("{registry}: targets[0].resource: "), format!("{policies}/begin.cedar:1")] {
        assert!(wrong.stderr.contains(&words), "{words} in\n{}", wrong.stderr);
    }
    let other = instance.write("other.yaml", "store: sqlite:///x\n");
    for (arguments, words) in [
        (&["--registry", &other][..], "`store` is not for here"),
        (&["--registry", "/nonexistent/registry.yaml"], "cannot be read"),
        (&["--policies", "/nonexistent"], "cannot be read"),
        (&["--name", "A B"], "no name of an instance"),
    ] {
        let told = up(arguments).await;
        assert_eq!(told.code, Some(2), "{arguments:?}: {}", told.stderr);
        assert!(told.stderr.contains(words), "{words} in\n{}", told.stderr);
    }
}

#[tokio::test]
async fn several_files_are_checked_at_once_by_the_programs_that_read_them() {
    let instance = Instance::none();
    let sidecar = "workload_api: unix:///run/agent.sock\nbroker:\n  url: https://broker.agents.svc\n  \
                   id: spiffe://corp.example/ns/agents/sa/broker\napp: http://127.0.0.1:8000\n";
    let good = instance.write("good.yaml", sidecar);
    let bad = instance.write("bad.yaml", &sidecar.replace("app: http://127.0.0.1", "apq: http://10.0.0.1"));
    let broker = instance.write("broker.yaml", "issuer: http://broker.agents.svc\ntrust_domain: corp.example\n");
    let odd = instance.write("odd.yaml", "hello: world\n");
    let check = |arguments: &[&str]| Program::new("countersign").arguments([&["check"], arguments].concat()).run();
    let fine = check(&[&good]).await;
    assert_eq!((fine.code, fine.stdout.contains("good.yaml: fine")), (Some(0), true), "{}", fine.stderr);
    let values = check(&["--values", &good]).await;
    assert!(values.stdout.contains("agent.listen") || values.stdout.contains("127.0.0.1:15001"), "{}", values.stdout);
    let several = check(&[&good, &bad, &broker, "/nonexistent/x.yaml"]).await;
    assert_eq!(several.code, Some(2));
    assert!(several.stdout.contains("good.yaml: fine") && !several.stdout.contains("bad.yaml"), "{}", several.stdout);
    for words in
        ["bad.yaml:5: apq", "did you mean `app`", "broker.yaml:1: issuer", "/nonexistent/x.yaml: cannot be read"]
    {
        assert!(several.stderr.contains(words), "{words} in\n{}", several.stderr);
    }
    let unclear = check(&[&odd]).await;
    assert!(unclear.code == Some(2) && unclear.stderr.contains("--kind"), "{}", unclear.stderr);
    assert_eq!(check(&["--kind", "sidecar", &odd]).await.code, Some(2));
}
