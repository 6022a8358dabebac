//! What a careless user and a program that means no good do to `up`, `run`, `check` and `dev tether`.

use std::{
    fs::{self, DirBuilder, File},
    os::unix::fs::DirBuilderExt as _,
    time::Duration,
};

use harness::{Folder, Instance, Program, eventually, runs};
use rustix::process::Signal;
use tokio::time::timeout;

use super::shell;

/// Longest time that who interrupts something waits for it.
const AT_ONCE: Duration = Duration::from_secs(10);

/// Whether a process does something else on SIGINT than to end (`SigCgt` of proc(5), bit 2).
fn listens_to_interrupts(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 0b10 != 0)
}

#[tokio::test]
async fn a_run_that_waits_for_up_is_interrupted_at_once() {
    let instance = Instance::none();
    DirBuilder::new().mode(0o700).create(instance.path("countersign")).expect("made");
    // As long as an instance starts it holds its lock and does not listen yet.
    let starting = File::create(instance.path("countersign/default.lock")).expect("made");
    starting.lock().expect("locked");
    let running = instance.run_program("planner", &[], &shell("true")).start();
    eventually("it listens", || async { listens_to_interrupts(running.pid()).then_some(()) }).await;
    running.signal(Signal::INT);
    let ended = timeout(AT_ONCE, running.end()).await.expect("at once");
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
}

#[tokio::test]
async fn a_program_inherits_nothing_but_its_standard_streams() {
    let instance = Instance::start(&[]).await;
    let script = "for fd in /proc/$$/fd/*; do echo ${fd##*/}; done";
    let told = instance.run_program("tickets", &[], &shell(script)).run().await;
    let ours = Program::at("sh").arguments(["-c", script]).run().await;
    assert_eq!(told.stdout, ours.stdout, "the same as without us");
    instance.end().await;
}

#[tokio::test]
async fn a_program_that_will_not_end_ends_with_a_run_that_is_killed() {
    let instance = Instance::start(&[]).await;
    let told = instance.path("app.pid");
    let stubborn = format!("trap '' TERM; echo $$ > {told}.new; mv {told}.new {told}; while :; do sleep 1; done");
    let running = instance.run("tickets", &[], &shell(&stubborn));
    let app = eventually("it runs", || async { fs::read_to_string(&told).ok()?.trim().parse().ok() }).await;
    running.signal(Signal::KILL);
    running.end().await;
    eventually("it ends", || async { (!runs(app)).then_some(()) }).await;
    instance.end().await;
}

#[tokio::test]
async fn a_folder_that_is_no_work_folder_is_never_removed() {
    let folder = Folder::new();
    for name in ["precious", "countersign", "countersign-1000", "countersign-of-mine"] {
        fs::create_dir(folder.path(name)).expect("made");
        let arguments = ["dev", "tether", "--scratch", &folder.path(name), "--", "true"];
        let told = Program::new("countersign").arguments(arguments).run().await;
        assert_eq!(told.code, Some(1), "{}", told.stderr);
        assert!(told.stderr.contains("no work folder"), "{}", told.stderr);
        assert!(fs::exists(folder.path(name)).expect("asked"), "{name}");
    }
}

#[tokio::test]
async fn a_pipe_is_checked_where_its_kind_is_said_and_nobody_waits_for_it_where_not() {
    let folder = Folder::new();
    let pipe = folder.path("pipe");
    assert_eq!(Program::at("mkfifo").arguments([&pipe]).run().await.code, Some(0));
    let check = Program::new("countersign").arguments(["check", &pipe]).run();
    let told = timeout(AT_ONCE, check).await.expect("at once");
    assert!(told.code == Some(2) && told.stderr.contains("--kind"), "{}", told.stderr);
    let substituted = format!(
        "{} check --kind sidecar <(printf 'workload_api: unix:///run/agent.sock\\nbroker: {{ url: https://b, id: \
         spiffe://corp.example/b }}\\napp: http://127.0.0.1:1\\noutside: {{ ca: /etc/ssl/certs/ca-certificates.crt }}\\n')",
        harness::binaries().join("countersign").display()
    );
    let told = Program::at("bash").arguments(["-c", &substituted]).run().await;
    assert_eq!(told.code, Some(0), "{}", told.stderr);
}

#[tokio::test]
async fn what_stands_in_a_file_never_reaches_the_terminal_as_an_instruction() {
    let folder = Folder::new();
    let file =
        folder.write("sidecar.yaml", "app: \"x\\e[2J\"\nmesh: { \"\\e]0;owned\\a\": 1 }\n\"agent\\u009b2J\": 2\n");
    let told = Program::new("countersign").arguments(["check", "--kind", "sidecar", &file]).run().await;
    assert_eq!(told.code, Some(2), "{}", told.stderr);
    let controls: Vec<_> = told.stderr.chars().filter(|one| one.is_control() && *one != '\n').collect();
    assert!(told.stderr.contains("owned") && controls.is_empty(), "{:?}", told.stderr);
}
