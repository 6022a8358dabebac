//! What points to what: the edges between crates, what the sidecar links, and that the page of refusals tells the truth.
//! Reads the checkout only; starts nothing but cargo.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use identity::Refusal;
use serde_json::Value;

/// Which crates of ours each crate may depend on, in any way: docs/architecture.md.
const EDGES: [(&str, &[&str]); 10] = [
    ("identity", &[]),
    ("runtime", &["identity"]),
    ("policies", &["identity"]),
    ("api", &[]),
    ("broker", &["api", "identity", "policies", "runtime"]),
    ("sidecar", &["api", "identity", "runtime"]),
    ("dev", &["api", "identity", "runtime"]),
    ("cli", &["dev", "identity", "runtime"]),
    ("e2e", &["api", "broker", "cli", "dev", "identity", "policies", "runtime", "sidecar"]),
    ("xtask", &[]),
];
/// What the sidecar must not link: a policy engine, a database, Kubernetes, a second HTTP client, a certificate factory.
const NOT_IN_THE_SIDECAR: [&str; 5] = ["cedar-policy", "sqlx", "kube", "reqwest", "rcgen"];
/// Second providers of cryptography, and what brings them.
const NOT_IN_ANY_PROGRAM: [&str; 5] = ["ring", "openssl", "openssl-sys", "native-tls", "rsa"];
/// Most crates in the sidecar, ours included: each is code beside the tokens.
const SIDECAR_CRATES_MAX: usize = 250;

#[test]
fn crates_depend_on_one_another_in_one_direction_only() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        EDGES.into_iter().map(|(name, edges)| (name, edges.iter().copied().collect())).collect();
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1", "--offline"])).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let ours: BTreeSet<&str> = packages.iter().map(name).collect();
    assert_eq!(ours, allowed.keys().copied().collect(), "every crate stands in the list of edges");
    for package in packages {
        let of_paths =
            package["dependencies"].as_array().expect("dependencies").iter().filter(|edge| edge["path"].is_string());
        let edges: BTreeSet<&str> = of_paths.map(name).collect();
        let forbidden: Vec<_> = edges.difference(&allowed[name(package)]).collect();
        assert!(forbidden.is_empty(), "{} must not depend on {forbidden:?}", name(package));
    }
}

#[test]
fn the_sidecar_links_no_policy_engine_no_database_and_no_certificate_factory() {
    let crates = linked("sidecar");
    assert!(crates.contains("rustls") && crates.contains("identity"), "the list is that of the sidecar: {crates:?}");
    for name in NOT_IN_THE_SIDECAR {
        assert!(!crates.iter().any(|found| found == name || found.starts_with(&format!("{name}-"))), "{name}");
    }
    assert!(crates.len() <= SIDECAR_CRATES_MAX, "{} crates, at most {SIDECAR_CRATES_MAX}", crates.len());
}

#[test]
fn no_program_links_a_second_provider_of_cryptography() {
    for program in ["broker", "sidecar"] {
        let crates = linked(program);
        assert!(crates.contains("aws-lc-rs"), "the list is that of {program}: {crates:?}");
        for name in NOT_IN_ANY_PROGRAM {
            assert!(!crates.contains(name), "{program} links {name}");
        }
    }
}

#[test]
fn the_page_of_refusals_lists_each_code_once_and_no_other() {
    let mut codes: Vec<String> = Refusal::catalogue().map(|refusal| refusal.code().into_owned()).collect();
    let page = fs::read_to_string(root().join("docs/refusals.md")).expect("the page");
    let mut listed: Vec<String> = page.lines().filter_map(code_of_row).map(str::to_owned).collect();
    codes.sort();
    listed.sort();
    let without = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|code| !those.contains(code)).cloned().collect()
    };
    assert_eq!(without(&codes, &listed), Vec::<String>::new(), "codes without a row in docs/refusals.md");
    assert_eq!(without(&listed, &codes), Vec::<String>::new(), "rows in docs/refusals.md without a code");
    assert_eq!(listed, codes, "a code stands twice in docs/refusals.md");
}

#[test]
fn every_row_of_the_page_of_refusals_says_what_happened_and_what_to_do() {
    let page = fs::read_to_string(root().join("docs/refusals.md")).expect("the page");
    for line in page.lines().filter(|line| code_of_row(line).is_some()) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 5, "{line}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{line}");
    }
}

/// The code of a table row that begins with one in backticks.
fn code_of_row(line: &str) -> Option<&str> {
    line.strip_prefix("| `")?.split_once("` |").map(|(code, _rest)| code)
}

/// The crates that are linked into a package's programs, by name.
fn linked(package: &str) -> BTreeSet<String> {
    let tree = cargo(&["tree", "-p", package, "-e", "normal", "--prefix", "none", "--locked", "--offline"]);
    tree.lines().filter_map(|line| line.split(' ').next()).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn name(value: &Value) -> &str {
    value["name"].as_str().expect("a name")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// What cargo says about the checkout.
fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().expect("cargo starts");
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
