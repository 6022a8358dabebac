//! `countersign up --real` and `run`, with the demo's programs: the same promises as on the embedded default, and no
//! workload can take what another, or any other user of the machine, must not have.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use ::peers::development::{ALICE_PASSWORD, BOB_PASSWORD, TEST_LOGIN_SECRET};
use dev::apps::Call;
use harness::{Instance, eventually, nothing_is_left, patiently, processes_below, runs, tells_token, work_folder};
use http::Method;
use rustix::process::{Signal, geteuid};

use crate::up::{ask, demo_app};

/// As the command that `run` prints.
async fn sign_in(instance: &Instance, user: &str, password: &str) -> String {
    let url = format!("{}/protocol/openid-connect/token", instance.address("issuer").await);
    let form = [
        ("grant_type", "password"),
        ("client_id", "test-login"),
        ("client_secret", TEST_LOGIN_SECRET),
        ("username", user),
        ("password", password),
        ("scope", "tickets:read tickets:write"),
    ];
    let answer = Call::new(Method::POST, &url).form(&form).send().await.expect("answered");
    answer.text("/access_token").expect("signed in")
}

/// What others than the owner could read, write or run below `folder`.
fn open_to_others(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("read").map(|entry| entry.expect("an entry").path()) {
        let metadata = fs::symlink_metadata(&entry).expect("there");
        let mode = metadata.mode() & 0o077;
        // Passed through, and not listed; what is behind it is looked at.
        let is_passage = metadata.is_dir() && mode & 0o066 == 0;
        if mode != 0 && !is_passage {
            found.push(entry.display().to_string());
        } else if metadata.is_dir() && mode != 0 {
            found.extend(open_to_others(&entry));
        }
    }
    found
}

#[tokio::test]
async fn own_programs_on_real_peers_serve_alice_and_refuse_bob_and_all_ends_with_up() {
    let instance = Instance::start(&["--real"]).await;
    let work = instance.address("folder").await;
    let tickets = instance.run("tickets", &[], &demo_app("tickets"));
    let researcher = instance.run("researcher", &[], &demo_app("researcher"));
    let planner = instance.run("planner", &["--edge"], &demo_app("planner"));
    let edge = planner.address(&instance.ready_file("planner"), "edge").await;
    let (alice, bob) =
        (sign_in(&instance, "alice", ALICE_PASSWORD).await, sign_in(&instance, "bob", BOB_PASSWORD).await);
    let answer = eventually("all three programs and their sidecars listen", || async {
        let answer = ask(&edge, &alice).await;
        let is_early = answer.refusal().is_some_and(|code| ["fault.app", "fault.not_ready"].contains(&code.as_str()));
        (!is_early).then_some(answer)
    })
    .await;
    assert!(answer.status.is_success(), "{}", answer.json());
    let refused = ask(&edge, &bob).await;
    assert_eq!((refused.status.as_u16(), refused.refusal().as_deref()), (403, Some("policy.no_rule")));
    assert_apart(&work);

    let kept = instance.kept();
    let up = instance.end().await;
    assert_eq!(up.code, Some(0), "{}", up.stderr);
    let mut told = String::new();
    for running in [planner, researcher, tickets] {
        let ended = running.end().await;
        assert!(ended.stderr.contains("`countersign up` has ended"), "{}", ended.stderr);
        told.push_str(&ended.stderr);
    }
    for words in [
        "← alice via edge  planner  scope tickets:read tickets:write  allowed",
        "refused policy.no_rule",
        "← planner for alice via mesh  researcher",
        "← researcher for alice via mesh  tickets list_tickets  scope tickets:read  allowed",
    ] {
        assert!(told.contains(words), "{words} in\n{told}");
    }
    assert!(!tells_token(&told) && !tells_token(&up.stdout) && !tells_token(&up.stderr), "{told}");
    // The record is left to be read.
    assert_eq!(processes_below(&work), Vec::<u32>::new());
    let left: Vec<_> = fs::read_dir(&work).expect("there").map(|left| left.expect("an entry").file_name()).collect();
    assert_eq!(left, ["ledger"]);
    fs::remove_dir_all(work).expect("removed");
    nothing_is_left(&kept.path("")).await;
}

/// Each workload is a user of its own where the stack's owner may make it one; and no other user is let in anywhere but
/// to the Workload API, which attests, and to the programs, which are no secret.
fn assert_apart(work: &str) {
    let is_public = |path: &String| path.ends_with("/spire/agent.sock") || path.contains("/bin/");
    let open: Vec<_> = open_to_others(Path::new(work)).into_iter().filter(|path| !is_public(path)).collect();
    assert_eq!(open, Vec::<String>::new());
    let user = |name: &str| {
        let found = processes_below(&format!("{work}/{name}.yaml"));
        let [pid] = found.as_slice() else { panic!("not one {name}: {found:?}") };
        assert!(runs(*pid));
        // A process that is closed to others has files there that belong to root.
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("runs");
        let users = status.lines().find_map(|line| line.strip_prefix("Uid:")).expect("its users");
        users.split_whitespace().next().expect("the first").parse::<u32>().expect("a number")
    };
    let users = ["broker", "planner-sidecar", "researcher-sidecar", "tickets-sidecar"].map(user);
    let own = geteuid().as_raw();
    let are_own = users.iter().all(|user| *user != own);
    let mut different = users.to_vec();
    different.sort_unstable();
    different.dedup();
    assert!(!geteuid().is_root() || (are_own && different.len() == users.len()), "{users:?}");
}

#[tokio::test]
async fn up_that_is_interrupted_while_it_starts_leaves_neither_process_nor_folder() {
    let instance = Instance::none();
    let parent = instance.path("");
    let up = instance.program().arguments(["up", "--real"]).start();
    patiently("it is half-way", || async {
        let work = work_folder(&parent).filter(|work| !work.contains("/countersign/"))?;
        (!processes_below(&format!("{work}/keycloak/lib")).is_empty()).then_some(())
    })
    .await;
    up.signal(Signal::INT);
    let ended = up.end().await;
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    nothing_is_left(&parent).await;
}
