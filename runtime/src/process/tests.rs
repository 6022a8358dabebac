//! Supervision: what ends a process, and what is waited for.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::*;

#[tokio::test(start_paused = true)]
async fn work_that_ends_is_drained_and_its_outcome_kept() {
    let process = Process::new(ReadyFile::default());
    let finished = Arc::new(AtomicBool::new(false));
    let (inner, flag) = (process.clone(), Arc::clone(&finished));
    let work = async move {
        let cancelled = inner.shutdown.cancelled();
        inner.shutdown.spawn("request", async move {
            cancelled.await;
            for _turn in 0..100 {
                tokio::task::yield_now().await;
            }
            flag.store(true, Ordering::SeqCst);
        });
        anyhow::bail!("no ledger")
    };
    let signals = Signals::listen(false).unwrap();
    let outcome = supervise(work, &process, signals, Duration::ZERO).await;
    assert_eq!(outcome.unwrap_err().to_string(), "no ledger");
    assert!(finished.load(Ordering::SeqCst));
    assert_eq!(process.telemetry.not_ready(), [("process", "draining".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn drain_has_an_end() {
    let process = Process::new(ReadyFile::default());
    process.shutdown.spawn("stuck", std::future::pending());
    let signals = Signals::listen(false).unwrap();
    let begin = tokio::time::Instant::now();
    supervise(async { Ok(()) }, &process, signals, Duration::ZERO).await.unwrap();
    assert!(begin.elapsed() <= DRAIN_MAX + Duration::from_secs(1));
}

#[test]
fn by_default_a_process_has_ended_before_kubernetes_kills_it() {
    const KILLED_AFTER: Duration = Duration::from_secs(30);
    const ROOM: Duration = Duration::from_secs(4);
    let lame_duck = Duration::from_secs(arguments::LAME_DUCK_DEFAULT.into());
    assert!(lame_duck + DRAIN_MAX + RUNTIME_END_MAX + ROOM <= KILLED_AFTER);
}

#[test]
fn a_missing_file_says_what_was_tried_and_how_to_give_another() {
    let text = unreadable(Path::new("/etc/countersign/broker.yaml"), &io::ErrorKind::NotFound.into());
    assert!(text.contains("/etc/countersign/broker.yaml") && text.contains("--config"), "{text}");
}

#[test]
fn a_folder_and_a_file_that_is_no_text_are_told_as_such() {
    let path = Path::new("/etc/countersign/broker.yaml");
    let folder = unreadable(Path::new("/"), &read(Path::new("/")).unwrap_err());
    assert!(folder.contains("is a folder") && !folder.contains("another file"), "{folder}");
    let told = text(path, b"a: b\nc: \xff\n".to_vec()).unwrap_err();
    assert!(told.starts_with("/etc/countersign/broker.yaml:2: not UTF-8"), "{told}");
}
