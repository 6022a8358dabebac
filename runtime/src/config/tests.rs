//! What a user of a wrong configuration is told.

use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only read by serde")]
struct Raw {
    issuer: String,
    listen: String,
    #[serde(default)]
    workers: Option<u16>,
    public: Option<Public>,
    #[serde(default)]
    targets: Vec<Target>,
    #[serde(default)]
    life: Life,
    #[serde(default)]
    verbose: bool,
    #[serde(default)]
    store_password: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only read by serde")]
struct Public {
    listen: String,
    #[serde(default)]
    danger_plain: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Target {
    name: String,
    #[serde(default)]
    kind: Kind,
    #[serde(default)]
    tools: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Mesh,
    Workload,
}

#[derive(Debug, Deserialize, serde::Serialize, JsonSchema)]
#[serde(default)]
struct Life {
    transaction: String,
}

impl Default for Life {
    fn default() -> Self {
        Self { transaction: "30m".to_owned() }
    }
}

struct Broker;

impl App for Broker {
    const NAME: &'static str = "countersign-broker";
    const SHORT: &'static str = "broker";
    const ABOUT: &'static str = "test";
    type Raw = Raw;
    type Config = Raw;
    type Upkeep = crate::process::NoUpkeep;

    fn config(raw: Raw, problems: &mut Problems) -> Option<Raw> {
        if !raw.issuer.starts_with("https://") {
            problems.at("issuer", format!("`{}` is no https URL", raw.issuer));
        }
        for (index, target) in raw.targets.iter().enumerate() {
            if target.name == "self" {
                problems.at(&format!("targets[{index}].name"), "`self` is reserved");
            }
        }
        problems.is_empty().then_some(raw)
    }

    async fn serve(_config: Raw, _process: crate::process::Process) -> anyhow::Result<()> {
        Ok(())
    }

    async fn upkeep(none: Self::Upkeep, _config: Raw, _process: crate::process::Process) -> anyhow::Result<String> {
        match none {}
    }
}

fn read(text: &str, environment: &[(&str, &str)]) -> Result<Loaded<Raw>, String> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    load::<Broker>(Path::new("broker.yaml"), text, environment).map_err(|report| report.to_string())
}

fn refused(text: &str, environment: &[(&str, &str)]) -> String {
    read(text, environment).map(|loaded| loaded.effective.to_string()).unwrap_err()
}

const GOOD: &str = "issuer: https://broker.agents.svc\nlisten: 0.0.0.0:8443\n";

#[test]
fn a_good_file_is_read() {
    let text =
        format!("{GOOD}workers: 4\ntargets:\n  - name: tickets\n    kind: workload\n    tools: {{ list: a:b }}\n");
    let config = read(&text, &[]).unwrap().config;
    assert_eq!((config.workers, config.life.transaction.as_str()), (Some(4), "30m"));
    assert!(matches!(config.targets[0].kind, Kind::Workload));
    assert_eq!(config.targets[0].tools["list"], "a:b");
}

#[test]
fn all_problems_are_told_at_once_with_their_lines() {
    let text = "isuer: https://a\nworkers: many\npublic:\n  listen: [1]\n  colour: red\ntargets:\n  - kind: mash\n  - name: x\n    tools: {a: [b]}\n";
    assert_eq!(
        refused(text, &[]),
        "broker.yaml:1: issuer: missing\n\
         broker.yaml:1: isuer: unknown key `isuer`, did you mean `issuer`?\n\
         broker.yaml:1: listen: missing\n\
         broker.yaml:2: workers: expected a whole number, found `many`\n\
         broker.yaml:4: public.listen: expected text, found a list\n\
         broker.yaml:5: public.colour: unknown key `colour`, known here: `danger_plain`, `listen`\n\
         broker.yaml:7: targets[0].kind: unknown value `mash`, did you mean `mesh`?\n\
         broker.yaml:7: targets[0].name: missing\n\
         broker.yaml:9: targets[1].tools.a: expected text, found a list\n\
         9 problems\n"
    );
}

#[test]
fn problems_of_meaning_are_told_at_once_too() {
    let text = "issuer: http://a\nlisten: x\ntargets:\n  - name: a\n  - name: self\n";
    assert_eq!(
        refused(text, &[]),
        "broker.yaml:1: issuer: `http://a` is no https URL\nbroker.yaml:5: targets[1].name: `self` is reserved\n2 problems\n"
    );
}

#[test]
fn an_unknown_key_a_wrong_type_and_a_bad_value_are_told_together() {
    let text = "colour: red\nissuer: http://a\nworkers: many\ntargets:\n  - name: self\n  - kind: mesh\n";
    assert_eq!(
        refused(text, &[]),
        "broker.yaml:1: colour: unknown key `colour`, known here: `issuer`, `life`, `listen`, `public`, \
         `store_password`, `targets`, `verbose`, `workers`\n\
         broker.yaml:1: listen: missing\n\
         broker.yaml:2: issuer: `http://a` is no https URL\n\
         broker.yaml:3: workers: expected a whole number, found `many`\n\
         broker.yaml:5: targets[0].name: `self` is reserved\n\
         broker.yaml:6: targets[1].name: missing\n\
         6 problems\n"
    );
}

#[test]
fn a_misspelled_key_is_read_as_what_was_meant_to_find_more() {
    let text = "isuer: http://a\nlisten: x\ntargets:\n  - nam: self\n    kynd: mash\n";
    assert_eq!(
        refused(text, &[]),
        "broker.yaml:1: issuer: `http://a` is no https URL\n\
         broker.yaml:1: issuer: missing\n\
         broker.yaml:1: isuer: unknown key `isuer`, did you mean `issuer`?\n\
         broker.yaml:4: targets[0].nam: unknown key `nam`, did you mean `name`?\n\
         broker.yaml:4: targets[0].name: `self` is reserved\n\
         broker.yaml:4: targets[0].name: missing\n\
         broker.yaml:5: targets[0].kind: unknown value `mash`, did you mean `mesh`?\n\
         broker.yaml:5: targets[0].kynd: unknown key `kynd`, did you mean `kind`?\n\
         8 problems\n"
    );
}

#[test]
fn what_was_refused_for_its_type_is_not_refused_for_its_meaning_too() {
    let told = refused("issuer: [x]\nlisten: x\n", &[]);
    assert_eq!(told, "broker.yaml:1: issuer: expected text, found a list\n1 problem\n");
}

#[test]
fn a_key_with_nothing_after_it_is_refused() {
    let text = "issuer:\nlisten: ''\npublic:\ntargets:\n  - name: a\n    tools: { a: }\n  -\nlife:\n";
    assert_eq!(
        refused(text, &[]),
        "broker.yaml:1: issuer: is empty: give text\n\
         broker.yaml:3: public: is empty: give a mapping\n\
         broker.yaml:6: targets[0].tools.a: is empty: give text\n\
         broker.yaml:7: targets[1]: is empty: give a mapping\n\
         broker.yaml:8: life: is empty: give a mapping\n\
         5 problems\n"
    );
    assert!(read(&format!("{GOOD}public: null\n"), &[]).unwrap().config.public.is_none());
    let told = refused(GOOD, &[("COUNTERSIGN_BROKER__PUBLIC", "")]);
    assert!(told.starts_with("environment variable COUNTERSIGN_BROKER__PUBLIC: public: is empty"), "{told}");
}

#[test]
fn a_variable_that_nobody_replaces_is_refused() {
    let text = "issuer: https://${HOST}\nlisten: x\nworkers: ${N}\ntargets: [{name: '${A}', tools: {'A b': '${B}'}}]\n";
    let environment = [("COUNTERSIGN_BROKER__LISTEN", "${X}")];
    assert_eq!(
        refused(text, &environment),
        "broker.yaml:1: issuer: `${…}` is not replaced here; write the value or use an environment override, \
         COUNTERSIGN_BROKER__ISSUER\n\
         broker.yaml:3: workers: `${…}` is not replaced here; write the value or use an environment override, \
         COUNTERSIGN_BROKER__WORKERS\n\
         broker.yaml:4: targets[0].name: `${…}` is not replaced here; write the value or use an environment override, \
         COUNTERSIGN_BROKER__TARGETS__0__NAME\n\
         broker.yaml:4: targets[0].tools.A b: `${…}` is not replaced here; write the value\n\
         environment variable COUNTERSIGN_BROKER__LISTEN: listen: `${…}` is not replaced here; write the value\n\
         5 problems\n"
    );
}

#[test]
fn a_tab_is_told_as_such_with_its_line() {
    for text in ["issuer: a\npublic:\n\tlisten: b\n", "public:\n  listen: b\n\tdanger_plain: true\n"] {
        assert_eq!(refused(text, &[]), "broker.yaml:3: YAML indents with spaces, not tabs\n1 problem\n");
    }
    assert!(refused("issuer: [\n", &[]).contains("not YAML"));
}

#[test]
fn a_variable_with_single_underscores_is_refused_unless_kubernetes_sets_it() {
    let told = |name| refused(GOOD, &[(name, "x")]);
    for (name, meant) in [
        ("COUNTERSIGN_BROKER_LISTEN", "COUNTERSIGN_BROKER__LISTEN"),
        ("COUNTERSIGN_BROKER_STORE_PASSWORD", "COUNTERSIGN_BROKER__STORE_PASSWORD"),
        ("COUNTERSIGN_BROKER_PUBLIC_DANGER_PLAIN", "COUNTERSIGN_BROKER__PUBLIC__DANGER_PLAIN"),
        ("COUNTERSIGN_BROKER_LIFE_TRANSACTION", "COUNTERSIGN_BROKER__LIFE__TRANSACTION"),
        ("COUNTERSIGN_BROKER_X", "COUNTERSIGN_BROKER__X"),
    ] {
        assert_eq!(told(name), format!("environment variable {name}: did you mean {meant}?\n1 problem\n"));
    }
    let links = [
        ("COUNTERSIGN_BROKER_SERVICE_HOST", "10.0.0.1"),
        ("COUNTERSIGN_BROKER_SERVICE_PORT", "8443"),
        ("COUNTERSIGN_BROKER_SERVICE_PORT_MESH", "8443"),
        ("COUNTERSIGN_BROKER_PORT", "tcp://10.0.0.1:8443"),
        ("COUNTERSIGN_BROKER_PORT_8443_TCP_ADDR", "10.0.0.1"),
        ("COUNTERSIGN_BROKER_PUBLIC_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("COUNTERSIGN_LOG", "debug"),
        ("COUNTERSIGN_SIDECAR_LISTEN", "x"),
    ];
    assert!(read(GOOD, &links).is_ok());
}

#[test]
fn a_key_written_twice_is_refused_with_its_line() {
    assert_eq!(refused(&format!("{GOOD}listen: b\n"), &[]), "broker.yaml:3: listen: written twice\n1 problem\n");
}

#[test]
fn broken_yaml_is_refused_with_its_line() {
    let told = refused("issuer: https://a\nlisten: [\n", &[]);
    assert!(told.starts_with("broker.yaml:") && told.contains(": not YAML: "), "{told}");
}

#[test]
fn anchors_and_second_documents_are_refused() {
    assert!(refused("issuer: &a x\nlisten: *a\n", &[]).contains("broker.yaml:1: anchors"));
    assert!(refused(&format!("{GOOD}---\na: b\n"), &[]).contains("second document"));
}

#[test]
fn an_empty_file_lists_what_is_missing() {
    assert_eq!(refused("", &[]), "broker.yaml:1: issuer: missing\nbroker.yaml:1: listen: missing\n2 problems\n");
}

#[test]
fn a_file_that_is_no_mapping_is_refused() {
    assert_eq!(refused("- a\n", &[]), "broker.yaml:1: expected a mapping, found a list\n1 problem\n");
}

#[test]
fn numbers_out_of_range_are_refused() {
    let told = refused(&format!("{GOOD}workers: 70000\n"), &[]);
    assert_eq!(told, "broker.yaml:3: workers: must be at most 65535\n1 problem\n");
}

#[test]
fn text_stays_as_it_is_written() {
    for written in ["1.0", "no", "0x1f", "true", "\"quoted\""] {
        let text = format!("issuer: https://a\nlisten: {written}\n");
        assert_eq!(read(&text, &[]).unwrap().config.listen, written.trim_matches('"'));
    }
}

#[test]
fn the_environment_overrides_the_file() {
    let environment = [
        ("COUNTERSIGN_BROKER__PUBLIC__LISTEN", "127.0.0.1:8080"),
        ("COUNTERSIGN_BROKER__LISTEN", "127.0.0.1:1"),
        ("COUNTERSIGN_BROKER__TARGETS", "[{name: a}]"),
        ("COUNTERSIGN_BROKER__TARGETS__0__NAME", "b"),
        ("COUNTERSIGN_SIDECAR__LISTEN", "not ours"),
        ("COUNTERSIGN_CONFIG", "not ours"),
    ];
    let loaded = read(GOOD, &environment).unwrap();
    assert_eq!(loaded.config.listen, "127.0.0.1:1");
    assert_eq!(loaded.config.public.unwrap().listen, "127.0.0.1:8080");
    assert_eq!(loaded.config.targets[0].name, "b");
}

#[test]
fn a_problem_of_the_environment_names_the_variable() {
    let environment = [("COUNTERSIGN_BROKER__WORKRES", "1"), ("COUNTERSIGN_BROKER__TARGETS__3__NAME", "x")];
    let text = format!("{GOOD}targets: [{{name: a}}]\n");
    assert_eq!(
        refused(&text, &environment),
        "environment variable COUNTERSIGN_BROKER__TARGETS__3__NAME: targets.3: there is no element `3` in `targets`\n\
         environment variable COUNTERSIGN_BROKER__WORKRES: workres: unknown key `workres`, did you mean `workers`?\n\
         2 problems\n"
    );
}

#[test]
fn check_prints_values_with_their_origin_and_no_secret() {
    let text = format!("{GOOD}store_password: hunter2\n");
    let environment = [("COUNTERSIGN_BROKER__LISTEN", "postgres://me:hunter2@db/x")];
    let shown = read(&text, &environment).unwrap().effective.to_string();
    assert_eq!(
        shown,
        "issuer = https://broker.agents.svc  (broker.yaml:1)\n\
         listen = postgres://me:(hidden)@db/x  (environment variable COUNTERSIGN_BROKER__LISTEN)\n\
         store_password = (hidden)  (broker.yaml:3)\n\
         life.transaction = 30m  (default)\n\
         verbose = false  (default)\n"
    );
}

#[test]
fn weakening_keys_are_known() {
    let loaded = read(&format!("{GOOD}public: {{ listen: a, danger_plain: true }}\n"), &[]).unwrap();
    let danger = Danger { key: "public.danger_plain".to_owned(), origin: "broker.yaml:3".to_owned() };
    assert_eq!(loaded.dangers, [danger]);
    let loaded = read(&format!("{GOOD}public: {{ listen: a, danger_plain: false }}\n"), &[]).unwrap();
    assert!(loaded.dangers.is_empty());
}

#[test]
fn the_schema_is_printed_as_json() {
    let schema: Value = serde_json::from_str(&schema_text::<Broker>()).unwrap();
    assert!(schema.pointer("/properties/issuer").is_some());
    assert_eq!(schema["title"], "Configuration of countersign-broker");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema.pointer("/$defs/Public/additionalProperties"), Some(&Value::Bool(false)));
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Authority {
    Keycloak(String),
    Other { url: String },
    Nobody,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Shapes {
    authorities: Vec<Authority>,
    hosts: OneOrMany,
    ratio: f64,
    #[serde(flatten)]
    rest: Public,
    #[schemars(with = "String")]
    address: std::net::SocketAddr,
}

fn shapes(text: &str) -> Result<Shapes, String> {
    let mut problems = Problems::new("f");
    let none: [(String, String); 0] = [];
    let read = super::read::<Shapes>("x", text, none, &schema::<Shapes>(), &mut problems);
    let read = read.filter(|_| problems.is_empty());
    read.map(|(_document, shapes)| shapes).ok_or_else(|| problems.report().to_string())
}

#[test]
fn enums_flattened_and_untagged_parts_are_read() {
    let text = "authorities: [nobody, {keycloak: a}, {other: {url: b}}]\nhosts: [x, y]\nratio: 1\nlisten: c\naddress: 127.0.0.1:1\n";
    let read = shapes(text).unwrap();
    assert!(
        matches!(&read.authorities[..], [Authority::Nobody, Authority::Keycloak(a), Authority::Other { url }] if a == "a" && url == "b")
    );
    assert!(matches!(&read.hosts, OneOrMany::Many(hosts) if hosts.len() == 2));
    assert!(matches!(shapes(&text.replace("[x, y]", "x")).unwrap().hosts, OneOrMany::One(host) if host == "x"));
    assert_eq!((read.ratio, read.rest.listen.as_str(), read.address.port()), (1.0, "c", 1));
}

#[test]
fn what_only_serde_finds_has_its_line_too() {
    let text = "authorities: []\nhosts: x\nratio: 1\nlisten: c\naddress: nowhere\n";
    assert_eq!(shapes(text).unwrap_err(), "f:5: address: invalid socket address syntax\n1 problem\n");
}

#[test]
fn a_slip_in_an_alternative_is_found() {
    let text = "authorities: [{keycloack: a}]\nhosts: x\nratio: 1\nlisten: c\naddress: 127.0.0.1:1\n";
    let told = shapes(text).unwrap_err();
    assert!(
        told.contains("f:1: authorities[0].keycloack: unknown key `keycloack`, did you mean `keycloak`?"),
        "{told}"
    );
}
