//! What the broker knows: targets and rules, generated, as plain data and in the words that are loaded.

use std::{fmt::Write as _, fs, path::Path};

use identity::{McpSpec, Registry, Reserved, RouteSpec, TargetSpec};
use policies::Policies;
use proptest::prelude::*;

/// A set of [`SCOPES`]: bit n is the n-th.
pub(super) type Mask = u8;

/// Every scope of a setting.
pub(super) const SCOPES: [&str; 6] = ["a:read", "b:write", "c:read", "d:write", "e:list", "f:admin"];
pub(super) const ALL: Mask = 0b11_1111;
/// One more than a chain may hold, and one.
pub(super) const WORKLOADS: usize = 10;
pub(super) const TRUST_DOMAIN: &str = "corp.example";
/// Users with groups and roles.
pub(super) const USERS: [(&str, &[&str], &[&str]); 3] =
    [("alice", &["support"], &["reader"]), ("bob", &[], &["reader", "writer"]), ("carol", &["support", "staff"], &[])];
const GROUPS: [&str; 2] = ["support", "staff"];
const ROLES: [&str; 2] = ["reader", "writer"];
const TARGETS_MAX: usize = 12;

#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) targets: Vec<Place>,
    pub(super) rules: Vec<Rule>,
}

/// A target.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) workload: usize,
    pub(super) mapping: Mapping,
    pub(super) passes_on: Option<Mask>,
}

#[derive(Clone, Debug)]
pub(super) enum Mapping {
    Mcp(Mask),
    Routes(Mask),
    None,
}

#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) permits: bool,
    /// `None`: both actions.
    pub(super) begins: Option<bool>,
    pub(super) principal: Option<usize>,
    pub(super) target: Option<usize>,
    /// Conditions, each with whether it must hold or must not.
    pub(super) conditions: Vec<(bool, Condition)>,
    pub(super) max_life: Option<u64>,
    pub(super) long_work: Option<u64>,
    pub(super) strict: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Condition {
    Within(Mask),
    Holds(usize),
    PassesWithin(Mask),
    Actor(usize),
    Group(&'static str),
    Role(&'static str),
    User(usize),
}

impl Place {
    /// Every scope that it knows.
    pub(super) const fn scopes(&self) -> Mask {
        let passes_on = match self.passes_on {
            Some(passes_on) => passes_on,
            None => 0,
        };
        match self.mapping {
            Mapping::Mcp(mask) | Mapping::Routes(mask) => mask | passes_on,
            Mapping::None => passes_on,
        }
    }
}

impl Setting {
    /// Nothing exists, and nobody may anything: what is in force until the first setting.
    pub(super) fn closed() -> Self {
        let rule = Rule {
            permits: false,
            begins: None,
            principal: None,
            target: None,
            conditions: Vec::new(),
            max_life: None,
            long_work: None,
            strict: false,
        };
        Self { targets: Vec::new(), rules: vec![rule] }
    }

    pub(super) fn registry(&self) -> Registry {
        let specs = self.targets.iter().enumerate().map(|(index, place)| {
            let (mut mcp, mut routes) = (None, Vec::new());
            match place.mapping {
                Mapping::Mcp(mask) => {
                    let tools = listed(mask).map(|scope| (format!("tool-{scope}"), scope.to_owned())).collect();
                    mcp = Some(McpSpec { tools, ..McpSpec::default() });
                }
                Mapping::Routes(mask) => routes.extend(listed(mask).enumerate().map(|(n, scope)| RouteSpec {
                    methods: vec!["GET".to_owned()],
                    path: format!("/items/{n}"),
                    scope: scope.to_owned(),
                })),
                Mapping::None => {}
            }
            TargetSpec {
                name: target(index),
                resource: resource(index),
                workload: workload(place.workload),
                connect: format!("{}:8443", target(index)),
                passes_on: place.passes_on.map(words),
                mcp,
                routes,
                ..TargetSpec::default()
            }
        });
        Registry::new(specs.collect(), &Reserved::default()).expect("a registry")
    }

    /// Writes the rules into `folder`, which is emptied, and loads them.
    pub(super) fn policies(&self, folder: &Path) -> Policies {
        drop(fs::remove_dir_all(folder));
        fs::create_dir_all(folder).expect("a folder");
        for (index, rule) in self.rules.iter().enumerate() {
            fs::write(folder.join(format!("r{index}.cedar")), rule.text(index)).expect("written");
        }
        Policies::load(folder, runtime::clock::now()).expect("rules without a problem")
    }
}

impl Rule {
    fn text(&self, index: usize) -> String {
        let mut text = format!("@id(\"r{index}\")");
        for (name, life) in [("max_life", self.max_life), ("long_work", self.long_work)] {
            if let Some(life) = life {
                write!(text, " @{name}(\"{life}s\")").expect("a string");
            }
        }
        if self.strict {
            text.push_str(" @liveness(\"strict\")");
        }
        let (effect, any) = if self.permits { ("permit", "principal is Workload") } else { ("forbid", "principal") };
        let principal = self.principal.map_or(any.to_owned(), |n| format!("principal == {}", entity(n)));
        let (action, resource) = match (self.begins, self.target) {
            (Some(true), _) => {
                (r#"action == Action::"begin""#, format!(r#"resource == TrustDomain::"{TRUST_DOMAIN}""#))
            }
            (Some(false), None) => (r#"action == Action::"exchange""#, "resource is Target".to_owned()),
            (Some(false), Some(n)) => {
                (r#"action == Action::"exchange""#, format!(r#"resource == Target::"{}""#, target(n)))
            }
            (None, _) => (r#"action in [Action::"begin", Action::"exchange"]"#, "resource".to_owned()),
        };
        write!(text, " {effect} ({principal}, {action}, {resource})").expect("a string");
        for (holds, condition) in &self.conditions {
            let word = if *holds { "when" } else { "unless" };
            write!(text, " {word} {{ {} }}", condition.text()).expect("a string");
        }
        text.push(';');
        text
    }
}

impl Condition {
    fn text(&self) -> String {
        let set =
            |mask: Mask| format!("[{}]", listed(mask).map(|scope| format!("{scope:?}")).collect::<Vec<_>>().join(", "));
        match self {
            Self::Within(mask) => format!("{}.containsAll(context.scopes)", set(*mask)),
            Self::Holds(n) => format!("context.scopes.contains({:?})", SCOPES[*n]),
            Self::PassesWithin(mask) => format!("{}.containsAll(context.passes_on)", set(*mask)),
            Self::Actor(n) => format!("context.actors.contains({})", entity(*n)),
            Self::Group(name) => format!("context.subject in Group::\"{name}\""),
            Self::Role(name) => format!("context.subject in Role::\"{name}\""),
            Self::User(n) => format!("context.subject == User::\"{}\"", USERS[*n].0),
        }
    }
}

pub(super) fn listed(mask: Mask) -> impl Iterator<Item = &'static str> {
    SCOPES.into_iter().enumerate().filter(move |(n, _scope)| mask & (1 << n) != 0).map(|(_n, scope)| scope)
}

pub(super) fn words(mask: Mask) -> String {
    listed(mask).collect::<Vec<_>>().join(" ")
}

pub(super) fn workload(n: usize) -> String {
    format!("spiffe://{TRUST_DOMAIN}/w{n}")
}

pub(super) fn target(n: usize) -> String {
    format!("t{n}")
}

pub(super) fn resource(n: usize) -> String {
    format!("https://t{n}.svc")
}

fn entity(n: usize) -> String {
    format!("Workload::\"{}\"", workload(n))
}

pub(super) fn generated() -> impl Strategy<Value = Setting> {
    let targets = proptest::collection::vec(place(), 2..=TARGETS_MAX);
    let rules = proptest::collection::vec(rule(), 1..8);
    // Without rules for everybody hardly a chain gets long; with them alone hardly a condition counts.
    // And without a target of every workload no chain gets full.
    let (is_open, is_full) = (prop::bool::weighted(0.7), prop::bool::weighted(0.3));
    (targets, rules, is_open, is_full).prop_map(|(mut targets, mut rules, is_open, is_full)| {
        if is_full {
            targets.clear();
            targets.extend((0..WORKLOADS).map(|workload| Place {
                workload,
                mapping: Mapping::Mcp(ALL),
                passes_on: Some(ALL),
            }));
            rules.truncate(2);
        }
        if is_open || is_full {
            rules.extend([true, false].map(|begins| Rule {
                permits: true,
                begins: Some(begins),
                principal: None,
                target: None,
                conditions: Vec::new(),
                max_life: None,
                long_work: None,
                strict: false,
            }));
        }
        Setting { targets, rules }
    })
}

fn place() -> impl Strategy<Value = Place> {
    let mapping = (0..3_u8, 1..=ALL).prop_map(|(kind, mask)| match kind {
        0 => Mapping::Mcp(mask),
        1 => Mapping::Routes(mask),
        _none => Mapping::None,
    });
    (0..WORKLOADS, mapping, prop::option::weighted(0.7, prop_oneof![Just(ALL), 0..=ALL]))
        .prop_map(|(workload, mapping, passes_on)| Place { workload, mapping, passes_on })
}

fn rule() -> impl Strategy<Value = Rule> {
    let life = || prop::option::weighted(0.3, prop::sample::select(vec![20_u64, 90, 600, 3600]));
    let heads = (
        prop::option::weighted(0.8, any::<bool>()),
        prop::option::weighted(0.5, 0..WORKLOADS),
        prop::option::weighted(0.5, 0..TARGETS_MAX),
    );
    let conditions = proptest::collection::vec((prop::bool::weighted(0.8), condition()), 0..3);
    let one = (prop::bool::weighted(0.8), condition());
    (prop::bool::weighted(0.7), heads, (conditions, one), (life(), life(), prop::bool::weighted(0.25))).prop_map(
        |(permits, (begins, principal, target), (mut conditions, one), (max_life, long_work, strict))| {
            // A permit must name an action's kind of resource; a forbid of everything leaves nothing to try.
            let begins = if permits { Some(begins.unwrap_or_default()) } else { begins };
            if !permits {
                conditions.push(one);
            }
            let annotated = |life: Option<u64>| life.filter(|_life| permits);
            let (max_life, long_work) = (annotated(max_life), annotated(long_work));
            Rule { permits, begins, principal, target, conditions, max_life, long_work, strict: strict && permits }
        },
    )
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        3 => (1..=ALL).prop_map(Condition::Within),
        2 => (0..SCOPES.len()).prop_map(Condition::Holds),
        2 => (1..=ALL).prop_map(Condition::PassesWithin),
        1 => (0..WORKLOADS).prop_map(Condition::Actor),
        1 => prop::sample::select(GROUPS.to_vec()).prop_map(Condition::Group),
        1 => prop::sample::select(ROLES.to_vec()).prop_map(Condition::Role),
        1 => (0..USERS.len()).prop_map(Condition::User),
    ]
}
