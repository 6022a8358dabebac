//! However an instance, a run or a sidecar ends: nothing is left running, nothing is left lying, and it is told why.

use std::fs;

use harness::{Instance, eventually, processes_below, runs};
use rustix::process::{Pid, Signal, kill_process};

use super::shell;

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, Signal::KILL).expect("sent");
}

#[tokio::test]
async fn ended_it_leaves_no_process_no_socket_and_no_key() {
    let instance = Instance::start(&[]).await;
    let app = instance.path("app.pid");
    let running = instance.run("tickets", &[], &shell(&format!("echo $$ > {app}; exec sleep 600")));
    let app = eventually("the command runs", || async { fs::read_to_string(&app).ok()?.trim().parse().ok() }).await;
    let (folder, socket) = (instance.path("countersign-"), instance.path("countersign/default.sock"));
    assert!(processes_below(&folder).len() >= 4 && fs::exists(&socket).expect("asked"), "it runs");
    let kept = instance.kept();
    let up = instance.end().await;
    assert_eq!(up.code, Some(0), "{}", up.stderr);
    let ended = running.end().await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("`countersign up` has ended"), "{}", ended.stderr);
    assert!(!runs(app), "the command is ended");
    assert_eq!(processes_below(&folder), Vec::<u32>::new());
    let runtime: Vec<_> = fs::read_dir(kept.path("countersign")).expect("there").collect();
    assert!(runtime.is_empty(), "{runtime:?}");
    for left in fs::read_dir(kept.path("")).expect("a folder").filter_map(Result::ok) {
        assert!(!left.path().join("wrapping.key").exists(), "{}", left.path().display());
    }
}

#[tokio::test]
async fn what_a_killed_instance_left_is_replaced() {
    let mut instance = Instance::start(&[]).await;
    let work = instance.address("folder").await;
    let running = instance.run("tickets", &[], &shell("exec sleep 600"));
    running.address(&instance.ready_file("tickets"), "agent").await;
    kill(instance.pid());
    let ended = running.end().await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    eventually("its processes end with it", || async { processes_below(&work).is_empty().then_some(()) }).await;
    assert!(fs::exists(format!("{work}/wrapping.key")).expect("asked"), "a kill leaves everything");
    instance.start_again().await;
    assert!(!fs::exists(&work).expect("asked"), "the successor removes it");
    let told = instance.run_program("tickets", &[], &shell("true")).run().await;
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let up = instance.end().await;
    assert!(up.stdout.contains("removed what a killed instance had left"), "{}", up.stdout);
}

/// Process id of the sidecar of a workload.
async fn sidecar(instance: &Instance, workload: &str) -> u32 {
    let file = format!("{}/{workload}-sidecar.yaml", instance.address("folder").await);
    let found = processes_below(&file);
    let [pid] = found.as_slice() else { panic!("not one sidecar: {found:?}") };
    *pid
}

#[tokio::test]
async fn a_sidecar_that_dies_ends_the_command_and_shows_its_log() {
    let instance = Instance::start(&[]).await;
    let app = instance.path("app.pid");
    let running = instance.run("tickets", &[], &shell(&format!("echo $$ > {app}; exec sleep 600")));
    let app = eventually("the command runs", || async { fs::read_to_string(&app).ok()?.trim().parse().ok() }).await;
    kill(sidecar(&instance, "tickets").await);
    let ended = running.end().await;
    assert_eq!(ended.code, Some(1));
    for words in ["the sidecar of `tickets` failed", "signal: 9", "the sidecar serves", "tickets-sidecar.log"] {
        assert!(ended.stderr.contains(words), "{words} in\n{}", ended.stderr);
    }
    assert!(!runs(app), "the command is ended");
    instance.end().await;
}

#[tokio::test]
async fn a_run_that_is_killed_leaves_neither_command_nor_sidecar_and_frees_its_place() {
    let instance = Instance::start(&[]).await;
    let app = instance.path("app.pid");
    let running = instance.run("tickets", &[], &shell(&format!("echo $$ > {app}; exec sleep 600")));
    let app = eventually("the command runs", || async { fs::read_to_string(&app).ok()?.trim().parse().ok() }).await;
    let sidecar = sidecar(&instance, "tickets").await;
    kill(running.pid());
    running.end().await;
    eventually("both end", || async { (!runs(app) && !runs(sidecar)).then_some(()) }).await;
    let again = eventually("the place is free", || async {
        let again = instance.run_program("tickets", &[], &shell("true")).run().await;
        (again.code == Some(0)).then_some(again)
    })
    .await;
    assert!(!again.stderr.contains("already"), "{}", again.stderr);
    instance.end().await;
}
