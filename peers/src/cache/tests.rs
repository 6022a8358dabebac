//! Names in the cache, and what counts as there.

use std::os::unix::fs::symlink;

use super::*;
use crate::folder::Folder;

/// A cache, and a checkout with realm files and one Python environment.
fn checkout(name: &str) -> (Folder, Cache) {
    let folder = Folder::new(name);
    for file in ["keycloak/agents-realm.json", "keycloak/test-overlay.json", "keycloak/join", "peers/python/agents.txt"]
    {
        write(&folder.path().join(file));
    }
    let cache = Cache::of(&folder.path().join("cache"), &folder.path().join("peers"));
    (folder, cache)
}

fn write(file: &Path) {
    fs::create_dir_all(file.parent().expect("a folder")).expect("made");
    fs::write(file, "first").expect("written");
}

#[test]
fn the_database_is_another_once_a_realm_file_changes() {
    let (folder, cache) = checkout("seed");
    let before = cache.seed_name().expect("a name");
    assert_eq!(before, cache.seed_name().expect("a name"));
    for file in ["agents-realm.json", "test-overlay.json", "join"] {
        let before = cache.seed_name().expect("a name");
        fs::write(folder.path().join("keycloak").join(file), file).expect("changed");
        assert_ne!(before, cache.seed_name().expect("a name"), "{file}");
    }
}

#[test]
fn a_python_environment_is_another_once_its_file_changes() {
    let (folder, cache) = checkout("python-digest");
    let before = cache.python_name("agents").expect("a name");
    assert!(before.starts_with("python-agents-"), "{before}");
    fs::write(folder.path().join("peers/python/agents.txt"), "second").expect("changed");
    assert_ne!(before, cache.python_name("agents").expect("a name"));
}

#[test]
fn keycloak_is_there_with_its_database_only() {
    let (_folder, cache) = checkout("keycloak");
    let missing = cache.keycloak().expect_err("nothing is there");
    assert_eq!(missing.to_string(), "Keycloak 26.7.3 is missing; get it: cargo xtask peers fetch");
    write(&cache.keycloak_home().join("bin/kc.sh"));
    assert_eq!(cache.keycloak().expect_err("no database").what(), "Keycloak's database");
    let seed = cache.folder().join(cache.seed_name().expect("a name")).join(DATABASE);
    write(&seed);
    assert_eq!(cache.keycloak().expect("all is there").seed, seed);
}

#[test]
fn two_of_spire_s_three_programs_are_not_spire() {
    let (_folder, cache) = checkout("spire");
    for program in ["spire-server", "spire-agent"] {
        write(&cache.folder().join("spire-1.13.3/bin").join(program));
        assert!(cache.spire().is_err(), "{program}");
    }
    write(&cache.folder().join("spire-1.13.3/bin/oidc-discovery-provider"));
    assert!(cache.spire().is_ok());
}

#[test]
fn a_python_environment_counts_once_it_is_whole_and_for_its_own_interpreter_only() {
    let (folder, cache) = checkout("python");
    let environment = cache.folder().join(cache.python_name("agents").expect("a name"));
    let interpreter = folder.path().join("python3.11");
    write(&interpreter);
    fs::create_dir_all(environment.join("bin")).expect("made");
    symlink(&interpreter, environment.join("bin/python")).expect("linked");
    assert!(cache.python("agents").is_err(), "half-made");
    let interpreter = interpreter.canonicalize().expect("a path");
    fs::write(environment.join(WHOLE), interpreter.to_str().expect("text")).expect("written");
    assert_eq!(cache.python("agents").expect("whole"), environment.join("bin/python"));
    fs::write(environment.join(WHOLE), "/usr/bin/python3.9").expect("written");
    assert!(cache.python("agents").is_err(), "made for another interpreter");
}

#[test]
fn an_environment_that_no_file_describes_is_told_by_its_file() {
    let (_folder, cache) = checkout("no-file");
    assert!(cache.python("nobody").expect_err("no file").what().contains("python/nobody.txt"));
}

#[test]
fn everything_is_keycloak_spire_and_each_python_file() {
    let (folder, cache) = checkout("everything");
    write(&folder.path().join("peers/python/README.md"));
    let everything = cache.everything().expect("read");
    assert_eq!(everything, [What::Keycloak, What::Spire, What::Python("agents".to_owned())]);
    assert_eq!(cache.missing(&everything), everything);
}
