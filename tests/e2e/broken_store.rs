//! A store that is damaged, or that cannot be written: the broker says so and issues nothing (`security.md` §5).

use std::{
    fs,
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use dev::stack::StackOptions;
use harness::{Desk, Folder, binaries};

fn store(desk: &Desk) -> PathBuf {
    desk.stack.folder().join("store/broker.db")
}

/// Binaries whose broker sees `folder` mounted read-only. The namespace is the broker's own, and needs no root.
fn that_may_only_read(own: &Folder, folder: &str) -> PathBuf {
    for name in ["countersign", "countersign-sidecar", "countersign-demo-app"] {
        std::os::unix::fs::symlink(binaries().join(name), own.path(name)).expect("linked");
    }
    let broker = binaries().join("countersign-broker");
    let script = format!(
        "#!/bin/sh\nexec unshare --map-current-user --user --mount --keep-caps sh -c \
         'mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$@\"' '{folder}' '{}' \"$@\"\n",
        broker.display()
    );
    let path = own.write("countersign-broker", &script);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    PathBuf::from(path).parent().expect("the folder").to_owned()
}

/// Overwrites all but the header, and loses what was not written into the file itself yet.
fn damage(path: &Path) {
    let mut file = fs::OpenOptions::new().write(true).open(path).expect("there");
    file.seek(SeekFrom::Start(100)).expect("behind the header");
    file.write_all(&[0xA5; 65_536]).expect("damaged");
    fs::remove_file(path.with_extension("db-wal")).expect("lost");
}

#[tokio::test]
async fn a_damaged_store_does_not_start_and_the_log_names_it() {
    let mut desk = Desk::open().await;
    desk.begun().await;
    desk.stack.halt("broker").await;
    damage(&store(&desk));
    desk.stack.revive("broker").await.expect_err("it does not start");
    let log = desk.stack.log_of("broker");
    for expected in ["cannot open the store", "broker.db", "is damaged", "docs/operations.md"] {
        assert!(log.contains(expected), "{expected} in\n{log}");
    }
    desk.close().await;
}

#[tokio::test]
async fn a_store_that_cannot_be_written_does_not_start() {
    let (own, held) = (Folder::new(), Folder::new());
    let desk = Desk::try_to_open_with(StackOptions {
        members: Vec::new(),
        binaries: Some(that_may_only_read(&own, &held.path(""))),
        broker: serde_json::json!({"store": format!("sqlite://{}", held.path("broker.db"))}),
        ..Desk::options()
    });
    let fault = desk.await.expect_err("it does not start");
    let told = fault.log_tail.join("\n");
    assert!(told.contains("Read-only file system") && told.contains("broker.db"), "{told}");
}
