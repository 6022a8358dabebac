//! Programs that go on, end early, hang, and states that others left. A shell stands in for the real program.

use std::{env, process::id};

use super::*;

/// Longest wait for what must happen at once.
const SOON: Duration = Duration::from_secs(20);
/// Says where it is, and ends when it is told to.
const SERVES: &str = "trap 'echo told to stop; exit 0' TERM; echo '{\"at\": \"here\"}' > whole && mv whole ready.json; \
    echo started; while :; do sleep 0.05; done";

/// A run folder of a test's own.
struct Own(RunFolder);

impl Own {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("countersign-xtask-{}-{name}", id()));
        Self(RunFolder::at(path))
    }

    fn start(&self, script: &str) -> Process {
        let _held = self.0.lock(&mut |line| panic!("nobody to wait for: {line}")).expect("the lock");
        self.0.start(Command::new("sh").args(["-c", script])).expect("started")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.0.log()).expect("a log")
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(process) = self.0.process() {
            self.0.stop(&process, SOON).expect("asked to end");
        }
        fs::remove_dir_all(&self.0.path).expect("removed");
    }
}

#[test]
fn a_program_is_found_again_and_ends_when_it_is_told_to() {
    let own = Own::new("found");
    let process = own.start(SERVES);
    let ready = own.0.wait_until_ready(&process, SOON).expect("JSON");
    assert!(matches!(&ready, Start::Ready(ready) if *ready == json!({ "at": "here" })), "{ready:?}");

    let found = RunFolder::at(own.0.path.clone()).process();
    assert_eq!(found, Some(process.clone()));
    assert!(own.0.stop(&process, SOON).expect("asked"), "it ended");
    assert_eq!(own.0.process(), None);
    assert_eq!(own.log(), "started\ntold to stop\n");
}

#[test]
fn a_program_that_ends_before_it_is_ready_is_told_with_its_last_lines() {
    let own = Own::new("early");
    let process = own.start("i=1; while [ $i -le 30 ]; do echo line $i; i=$((i+1)); done; echo the cause >&2; exit 1");
    let ended = own.0.wait_until_ready(&process, SOON).expect("looked");
    assert!(matches!(ended, Start::Ended), "{ended:?}");
    let told = own.0.it_ended("it");
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!((lines[0], lines[1], lines[20]), ("it ended; it said:", "  | line 12", "  | the cause"));
    assert_eq!(lines[21], format!("all of it: {}", own.0.log().display()));
}

#[test]
fn a_program_that_is_never_ready_is_late_and_can_be_ended() {
    let own = Own::new("late");
    let process = own.start("exec sleep 600");
    let late = own.0.wait_until_ready(&process, Duration::from_millis(100)).expect("looked");
    assert!(matches!(late, Start::Late), "{late:?}");
    assert!(own.0.stop(&process, SOON).expect("asked"), "it ended");
}

#[test]
fn a_program_that_does_not_end_is_told_and_not_forgotten() {
    let own = Own::new("stubborn");
    let script = "trap '' TERM; echo '{}' > whole && mv whole ready.json; while [ ! -e end ]; do sleep 0.05; done";
    let process = own.start(script);
    own.0.wait_until_ready(&process, SOON).expect("ready");
    assert!(!own.0.stop(&process, Duration::from_millis(100)).expect("asked"), "it goes on");
    assert_eq!(own.0.process(), Some(process));
    fs::write(own.0.path.join("end"), "").expect("written");
}

#[test]
fn a_state_that_another_process_has_inherited_is_no_state() {
    let own = Own::new("foreign");
    drop(own.0.lock(&mut |_line| ()).expect("the lock"));
    let us = Process::of(id()).expect("we run");
    for state in [json!({ "pid": us.pid, "began": "at another time" }), json!({ "pid": us.pid }), json!([])] {
        fs::write(own.0.state(), state.to_string()).expect("written");
        assert_eq!(own.0.process(), None, "{state}");
    }
    fs::write(own.0.ready_file(), "{}").expect("written");
    let process = own.start(SERVES);
    assert_eq!(own.0.process(), Some(process), "and it is replaced");
    assert_ne!(fs::read_to_string(own.0.ready_file()).unwrap_or_default(), "{}", "with what it wrote");
}

#[test]
fn what_is_typed_at_our_terminal_does_not_reach_it() {
    let own = Own::new("group");
    let process = own.start(SERVES);
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.pid)).expect("it runs");
    let group = stat.rsplit_once(')').and_then(|(_name, rest)| rest.split_whitespace().nth(2));
    assert_eq!(group, Some(process.pid.to_string().as_str()), "it leads a process group of its own");
}

#[test]
fn a_second_run_waits_and_says_so() {
    let own = Own::new("lock");
    let held = own.0.lock(&mut |line| panic!("nobody to wait for: {line}")).expect("the lock");
    let second = RunFolder::at(own.0.path.clone());
    let (said, hear) = std::sync::mpsc::channel();
    let waiting = thread::spawn(move || second.lock(&mut |line| said.send(line.to_owned()).expect("heard")).map(drop));
    assert!(hear.recv().expect("a line").contains("Another run"));
    assert!(!waiting.is_finished());
    drop(held);
    waiting.join().expect("no panic").expect("the lock");
}
