//! Programs that fail, hang and outlive.

use std::fs;

use eventually::eventually;

use super::*;
use crate::folder::Folder;

/// Longest wait for what must happen at once.
const SOON: Duration = Duration::from_secs(20);

fn shell(script: &str) -> Command {
    let mut shell = command("sh");
    shell.args(["-c", script]);
    shell
}

fn run_in(folder: &Folder, script: &str, limit: Duration) -> (Result<(), FetchFault>, Vec<String>) {
    let mut lines = Vec::new();
    let mut tell = |line: &str| lines.push(line.to_owned());
    let mut progress = Progress::new(&mut tell);
    progress.every = Duration::from_millis(20);
    let outcome = run(shell(script), "working", limit, &folder.path().join("log"), &mut progress);
    (outcome, lines)
}

#[test]
fn a_failed_command_shows_its_last_lines_and_where_the_others_are() {
    let folder = Folder::new("failing");
    let script = "i=1; while [ $i -le 30 ]; do echo line $i; i=$((i+1)); done; echo the cause >&2; exit 3";
    let (outcome, _told) = run_in(&folder, script, SOON);
    let fault = outcome.expect_err("it failed").to_string();
    let lines: Vec<&str> = fault.lines().collect();
    assert!(lines[0].starts_with("`sh -c i=1;") && lines[0].ends_with("failed: exit status: 3"), "{fault}");
    assert_eq!(lines[1], "  | line 12", "the last twenty: {fault}");
    assert_eq!(lines[20], "  | the cause");
    assert_eq!(lines[21], format!("all of its output: {}", folder.path().join("log").display()));
}

#[test]
fn a_command_that_works_is_told_once_and_its_output_is_kept() {
    let folder = Folder::new("working");
    let (outcome, told) = run_in(&folder, "echo done", SOON);
    outcome.expect("it worked");
    assert!(told[0].ends_with("  working …"), "{told:?}");
    assert_eq!(fs::read_to_string(folder.path().join("log")).expect("text"), "done\n");
}

#[test]
fn a_program_that_is_not_there_is_a_failure() {
    let folder = Folder::new("absent");
    let mut tell = |_line: &str| {};
    let absent = command("/nonexistent/program");
    let outcome = run(absent, "working", SOON, &folder.path().join("log"), &mut Progress::new(&mut tell));
    assert!(outcome.expect_err("absent").to_string().starts_with("`/nonexistent/program` failed: exit status: 127"));
}

#[tokio::test]
async fn a_long_command_says_that_it_still_runs_and_is_ended_at_its_limit() {
    let folder = Folder::new("hanging");
    let (outcome, told) = run_in(&folder, "echo $$; exec sleep 600", Duration::from_millis(300));
    let fault = outcome.expect_err("too long").to_string();
    assert!(fault.contains("was ended after 0.3 s"), "{fault}");
    assert!(told.iter().any(|line| line.contains("… still working")), "{told:?}");
    let said = fs::read_to_string(folder.path().join("log")).expect("text");
    let process = Path::new("/proc").join(said.trim());
    eventually("nothing is left running", || async { (!process.exists()).then_some(()) }).await;
}

#[test]
fn a_program_that_was_stopped_got_time_to_end_in_order() {
    let folder = Folder::new("orderly");
    let log = folder.path().join("log");
    let mut tell = |_line: &str| {};
    let mut progress = Progress::new(&mut tell);
    let script = "trap 'echo ended in order; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    let mut program = Program::start(&mut shell(script), &log).expect("started");
    let ready = |_program: &mut Program| fs::read_to_string(&log).map(|said| said.contains("ready").then_some(()));
    program.wait_until(SOON, "starting", &mut progress, ready).expect("ready");
    program.stop(&mut progress).expect("stopped");
    assert!(fs::read_to_string(&log).expect("text").ends_with("ended in order\n"));
}
