//! Who may join: the workloads that the registry names, by short names. It decides nothing; the broker and the policies
//! do.

use std::collections::BTreeSet;

use identity::{SpiffeId, TrustDomain, workload_id};
use serde_json::Value;

/// Most names that are listed in an answer.
const LISTED_MAX: usize = 20;

/// The workloads of a registry.
#[derive(Clone, Debug, Default)]
pub struct Workloads {
    known: Vec<Workload>,
    /// Names of targets, and whose they are.
    targets: Vec<(String, SpiffeId)>,
}

/// A workload that runs here when somebody starts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// The last part of its SPIFFE ID; with more parts where two share it.
    pub name: String,
    /// Its SPIFFE ID.
    pub id: SpiffeId,
    /// Scopes of its edge; `None`: no users enter.
    pub edge: Option<Vec<String>>,
    /// Whether it is called by others.
    pub serves: bool,
}

impl Workloads {
    /// Those of `targets` and `edges`, as broker.yaml has them, that are in `trust_domain`. What is malformed is left
    /// out: the broker tells it, with everything else that is wrong.
    #[must_use]
    pub fn of(trust_domain: &TrustDomain, targets: &[Value], edges: &[Value]) -> Self {
        let mut workloads = Self::default();
        for edge in edges {
            let scopes = edge.get("scopes").and_then(Value::as_array).cloned().unwrap_or_default();
            let scopes = scopes.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            if let Some(id) = own_id(edge, trust_domain) {
                workloads.entry(&id).edge = Some(scopes);
            }
        }
        for target in targets.iter().filter(|target| is_mesh(target)) {
            let Some(id) = own_id(target, trust_domain) else { continue };
            workloads.entry(&id).serves = true;
            let name = target.get("name").and_then(Value::as_str).unwrap_or_default();
            workloads.targets.push((name.to_owned(), id));
        }
        let last = |workload: &Workload| last_part(&workload.id);
        let names: Vec<String> = workloads.known.iter().map(last).collect();
        for (workload, name) in workloads.known.iter_mut().zip(&names) {
            let shared = names.iter().filter(|other| *other == name).count() > 1;
            workload.name = if shared { whole_path(&workload.id) } else { name.clone() };
        }
        workloads
    }

    /// All of them, edges first.
    pub fn iter(&self) -> impl Iterator<Item = &Workload> {
        self.known.iter()
    }

    /// The scopes of all edges, each once.
    #[must_use]
    pub fn edge_scopes(&self) -> BTreeSet<String> {
        self.known.iter().filter_map(|workload| workload.edge.clone()).flatten().collect()
    }

    /// The workload that `text` means: its name, the name of its target, or its SPIFFE ID. An ID that the registry does
    /// not name may be a workload that only calls.
    ///
    /// # Errors
    /// A sentence that says what can be meant.
    pub fn find(&self, text: &str, trust_domain: &TrustDomain) -> Result<Workload, String> {
        if text.starts_with("spiffe:") {
            return self.by_id(text, trust_domain);
        }
        let target = self.targets.iter().find(|(name, _id)| name == text).map(|(_name, id)| id);
        let named = self.known.iter().find(|workload| workload.name == text);
        let of_target = || self.known.iter().find(|workload| Some(&workload.id) == target);
        named.or_else(of_target).cloned().ok_or_else(|| {
            let names: Vec<_> = self.known.iter().map(|workload| workload.name.as_str()).take(LISTED_MAX).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            format!(
                "the registry knows no workload of this name; it knows: {names}. Give one of these, or the SPIFFE ID of \
                 a workload of `{trust_domain}` that only calls others"
            )
        })
    }

    fn by_id(&self, text: &str, trust_domain: &TrustDomain) -> Result<Workload, String> {
        let id = workload_id(text).map_err(|fault| format!("that is {fault}"))?;
        if let Some(known) = self.known.iter().find(|workload| workload.id == id) {
            return Ok(known.clone());
        }
        if id.trust_domain() != trust_domain {
            return Err(format!("that SPIFFE ID is outside of the trust domain `{trust_domain}`"));
        }
        let last = last_part(&id);
        let taken = self.known.iter().any(|workload| workload.name == last);
        let name = if taken { whole_path(&id) } else { last };
        Ok(Workload { name, id, edge: None, serves: false })
    }

    fn entry(&mut self, id: &SpiffeId) -> &mut Workload {
        let place = self.known.iter().position(|workload| workload.id == *id).unwrap_or_else(|| {
            self.known.push(Workload { name: String::new(), id: id.clone(), edge: None, serves: false });
            self.known.len().saturating_sub(1)
        });
        #[expect(clippy::indexing_slicing, reason = "found or pushed just now")]
        &mut self.known[place]
    }
}

/// Whether a sidecar of ours stands before this target: the kind that has no other word for it.
pub(super) fn is_mesh(target: &Value) -> bool {
    target.get("kind").is_none_or(|kind| kind == "mesh")
}

/// The workload that an entry names, if it is one of this trust domain.
pub(super) fn own_id(entry: &Value, trust_domain: &TrustDomain) -> Option<SpiffeId> {
    let id = workload_id(entry.get("workload")?.as_str()?).ok()?;
    (id.trust_domain() == trust_domain).then_some(id)
}

fn last_part(id: &SpiffeId) -> String {
    id.path().rsplit('/').next().unwrap_or_default().to_owned()
}

/// Parts of a path hold letters, digits, `.`, `-` and `_` only (SPIFFE-ID §2.2), so this is a file's name too.
fn whole_path(id: &SpiffeId) -> String {
    id.path().trim_matches('/').replace('/', ".")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::stack::StackOptions;

    fn domain() -> TrustDomain {
        "corp.example".parse().expect("a trust domain")
    }

    fn story() -> Workloads {
        let options = StackOptions::story();
        Workloads::of(&domain(), &options.targets, &options.edges)
    }

    #[test]
    fn the_story_has_three_workloads_and_one_edge() {
        let names: Vec<_> = story().iter().map(|workload| (workload.name.clone(), workload.edge.is_some())).collect();
        assert_eq!(names, [("planner".into(), true), ("researcher".into(), false), ("tickets".into(), false)]);
        let planner = story().find("planner", &domain()).expect("known");
        assert_eq!(planner.edge.as_deref(), Some(&["tickets:read".to_owned(), "tickets:write".to_owned()][..]));
        assert_eq!(story().find("spiffe://corp.example/ns/agents/sa/planner", &domain()), Ok(planner));
    }

    #[test]
    fn two_workloads_that_share_their_last_part_have_long_names() {
        let target = |name: &str, id: &str| json!({ "name": name, "workload": id });
        let targets = [
            target("one", "spiffe://corp.example/ns/a/sa/tool"),
            target("two", "spiffe://corp.example/ns/b/sa/tool"),
            target("abroad", "spiffe://other.example/ns/b/sa/tool"),
            target("broken", "tool"),
        ];
        let workloads = Workloads::of(&domain(), &targets, &[]);
        let names: Vec<_> = workloads.iter().map(|workload| workload.name.as_str()).collect();
        assert_eq!(names, ["ns.a.sa.tool", "ns.b.sa.tool"]);
        assert_eq!(workloads.find("two", &domain()).map(|found| found.name).as_deref(), Ok("ns.b.sa.tool"));
        assert!(workloads.find("tool", &domain()).is_err());
    }

    #[test]
    fn who_is_unknown_is_told_who_is_known() {
        let told = story().find("plannr", &domain()).expect_err("unknown");
        assert!(told.contains("planner, researcher, tickets") && !told.contains("plannr"), "{told}");
        let caller = story().find("spiffe://corp.example/ns/jobs/sa/nightly", &domain()).expect("only calls");
        assert_eq!((caller.name.as_str(), caller.serves), ("nightly", false));
        let like_another = story().find("spiffe://corp.example/ns/jobs/sa/planner", &domain()).expect("only calls");
        assert_eq!(like_another.name, "ns.jobs.sa.planner");
        for text in ["spiffe://other.example/a", "spiffe://corp.example", "spiffe://CORP.example/a"] {
            assert!(story().find(text, &domain()).is_err(), "{text}");
        }
    }
}
