//! What an operator does to a process from outside.

use dev::stack::Stack;
use rustix::process::{Pid, Signal, kill_process};

/// Sends `signal` to a running process of the stack; where it holds a foreign program, to that.
///
/// # Panics
/// Where it does not run.
pub fn signal(stack: &Stack, process: &str, signal: Signal) {
    let held = stack.address(process, "pid").and_then(|pid| pid.parse().ok());
    let own = || stack.pid(process).and_then(|pid| i32::try_from(pid).ok());
    let pid = held.or_else(own).and_then(Pid::from_raw);
    kill_process(pid.expect("a running process"), signal).expect("sent");
}
