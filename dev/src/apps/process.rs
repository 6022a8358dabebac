//! When a development program ends: on SIGTERM, on SIGINT, or when its parent is gone.

use std::io::Read as _;

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

/// Ends on SIGTERM or SIGINT, and with `stdin_closes` also when standard input is closed: a parent that was killed
/// closes it too. May be dropped at any time.
///
/// # Errors
/// The signal handlers cannot be set.
pub async fn stopped(stdin_closes: bool) -> std::io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let closed = async { if stdin_closes { stdin_closed().await } else { std::future::pending().await } };
    tokio::select! {
        _signal = terminate.recv() => {}
        _signal = interrupt.recv() => {}
        _closed = closed => {}
    }
    Ok(())
}

/// A thread of its own reads: a read of standard input cannot be cancelled, and must not hold the runtime at its end.
fn stdin_closed() -> oneshot::Receiver<()> {
    let (closed, told) = oneshot::channel();
    std::thread::spawn(move || {
        let mut ignored = [0_u8; 64];
        while std::io::stdin().read(&mut ignored).is_ok_and(|read| read > 0) {}
        // Nobody listens any more when the program ends for another reason first.
        let _told = closed.send(());
    });
    told
}
