//! What points to what: the edges between crates, what the sidecar links, that the page of refusals tells the truth, and
//! that each refusal is reached by a test. Reads the checkout only; starts nothing but cargo.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use identity::Refusal;
use serde_json::Value;

/// Which crates of ours each crate may depend on, in any way: docs/architecture.md.
const EDGES: [(&str, &[&str]); 13] = [
    ("eventually", &[]),
    ("identity", &[]),
    ("runtime", &["eventually", "identity"]),
    ("policies", &["identity"]),
    ("api", &[]),
    ("broker", &["api", "identity", "policies", "runtime"]),
    ("sidecar", &["api", "identity", "runtime"]),
    ("dev", &["api", "eventually", "identity", "peers", "runtime"]),
    ("cli", &["dev", "identity", "peers", "policies", "runtime"]),
    ("e2e", &["api", "broker", "cli", "dev", "eventually", "identity", "peers", "policies", "runtime", "sidecar"]),
    ("bench", &["dev", "identity", "policies", "runtime"]),
    ("peers", &["eventually"]),
    ("xtask", &["peers"]),
];
/// What the sidecar must not link: a policy engine, a database, Kubernetes, a second HTTP client, a certificate factory.
const NOT_IN_THE_SIDECAR: [&str; 5] = ["cedar-policy", "sqlx", "kube", "reqwest", "rcgen"];
/// Second providers of cryptography, and what brings them.
const NOT_IN_ANY_PROGRAM: [&str; 5] = ["ring", "openssl", "openssl-sys", "native-tls", "rsa"];
/// Most crates in the sidecar, ours included: each is code beside the tokens.
const SIDECAR_CRATES_MAX: usize = 250;

/// Codes that no end-to-end test can reach on the embedded default: why, and where a unit test shows them.
const OUT_OF_REACH: [(&str, &str, &str, &str); 1] = [(
    "subject.actors",
    "only a transaction token has an `act` at the broker, and only the broker's own key could sign a wrong one",
    "identity/src/refusal/tests.rs",
    "a_subject_token_can_have_exactly_the_faults_of_its_family",
)];

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

#[test]
fn every_refusal_is_expected_by_an_end_to_end_test() {
    let lines = lines_of_other_modules();
    let expects = |text: &str| lines.iter().any(|line| line.contains(&format!("\"{text}\"")));
    let excepted = |code: &str| OUT_OF_REACH.iter().any(|(known, ..)| *known == code);
    let codes = Refusal::catalogue().filter(|refusal| !matches!(refusal, Refusal::PolicyForbidden(_)));
    let codes: Vec<String> = codes.map(|refusal| refusal.code().into_owned()).collect();
    let unreached: Vec<&String> = codes.iter().filter(|code| !expects(code) && !excepted(code)).collect();
    assert!(unreached.is_empty(), "codes that no test in tests/e2e expects: {unreached:#?}");
    let speaks = |line: &String| {
        let quoted = line.split('"').filter_map(Refusal::from_code);
        quoted.into_iter().any(|refusal| matches!(refusal, Refusal::PolicyForbidden(_)))
    };
    assert!(lines.iter().any(speaks), "no test in tests/e2e expects the id of a forbid rule");
    for (code, reason, file, test) in OUT_OF_REACH {
        assert!(codes.iter().any(|known| known == code) && !reason.is_empty(), "{code} is no code any more");
        assert!(!expects(code), "{code} is reached: take it off the list");
        let text = fs::read_to_string(root().join(file)).expect("the unit test's file");
        assert!(text.contains(&format!("fn {test}()")), "{code}: no `{test}` in {file}");
    }
}

/// Every line of code in the other modules of this program, without comments.
fn lines_of_other_modules() -> Vec<String> {
    let modules = files_below(&root().join("tests/e2e"));
    let others = modules.into_iter().filter(|path| !path.ends_with("architecture.rs"));
    let texts = others.map(|path| fs::read_to_string(path).expect("text"));
    let lines = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
    lines.filter(|line| !line.trim_start().starts_with("//")).collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
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
