//! Whether a workload may call a target in its own name, for no user (`protocol.md` §6). Policy alone says so; nothing is
//! issued here. The answer is recorded like a grant, because the caller's sidecar fetches a JWT-SVID on it.

use std::time::Duration;

use identity::{Entry, Kind, Lifetime, Refusal, SpiffeId, TrustDomain, UnixTime, WorkloadTarget, Would};
use policies::{Decision, Denial, Permitted, Policies, Use};

use crate::grant::not_evaluated;

/// Longest time for which an answer holds: that of an access token, so that a rule which is taken away ends both alike.
const HOLDS_MAX: Duration = Duration::from_secs(60);

/// What one decision of policy allows: that one workload calls one target in its own name. Made by [`decide`] alone.
#[derive(Debug)]
pub(crate) struct Leave {
    target: String,
    holds: Lifetime,
    permitted: Permitted,
}

impl Leave {
    /// Notes in the record what is allowed.
    pub(crate) fn describe(&self, entry: &mut Entry) {
        entry.kind = Some(Kind::Use);
        entry.target = Some(self.target.clone());
        entry.not_after = Some(self.holds.not_after());
        entry.rules = self.permitted.rules().to_vec();
        entry.rule_set = Some(self.permitted.set().to_owned());
    }

    /// Seconds for which the requester may rely on it; used up with it.
    pub(crate) fn expires_in(self, now: UnixTime) -> u64 {
        self.holds.remaining(now).as_secs()
    }
}

/// Asks policy whether `requester` may call `target` in its own name. Rules speak of the workloads of `trust_domain`: who
/// comes from another one that SPIRE federates with is meant by none, not even by a rule for `Workload`s of any name. What
/// rules on trial would have said is left in `would`.
///
/// # Errors
/// `policy.*`.
pub(crate) fn decide(
    policies: &Policies,
    trust_domain: &TrustDomain,
    (requester, target): (&SpiffeId, &WorkloadTarget),
    now: UnixTime,
    would: &mut Option<Would>,
) -> Result<Leave, Refusal> {
    if requester.trust_domain() != trust_domain {
        return Err(Refusal::PolicyNoRule);
    }
    let asked = Use { requester, target: target.name() };
    let decision = policies.decide_use(&asked);
    *would = policies.observe_use(&asked, &decision, now);
    let permitted = match decision {
        Decision::Permitted(permitted) => permitted,
        Decision::Denied(Denial::NoRule) => return Err(Refusal::PolicyNoRule),
        Decision::Denied(Denial::Forbidden(rule)) => return Err(Refusal::PolicyForbidden(rule)),
        Decision::Denied(Denial::Error(cause)) => return Err(not_evaluated(&cause)),
    };
    let holds = permitted.terms().max_life.map_or(HOLDS_MAX, |max| max.min(HOLDS_MAX));
    Ok(Leave { target: target.name().to_owned(), holds: Lifetime::until(now.plus(holds)), permitted })
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use identity::{Registry, Reserved, TargetKind, TargetSpec, workload_id};

    use super::*;

    const PERMIT: &str = r#"@id("uses") permit (principal == Workload::"spiffe://corp.example/planner", action == Action::"use", resource == Target::"inventory");"#;

    fn ruled(rules: &[&str]) -> Policies {
        let folder = std::env::temp_dir().join(format!("broker-use-{}", uuid::Uuid::now_v7()));
        fs::create_dir_all(&folder).expect("a folder");
        for (number, rule) in rules.iter().enumerate() {
            fs::write(folder.join(format!("{number}.cedar")), rule).expect("written");
        }
        let policies = Policies::load(&folder, runtime::clock::now()).expect("policies");
        fs::remove_dir_all(&folder).expect("removed");
        policies
    }

    fn inventory() -> Arc<WorkloadTarget> {
        let spec = TargetSpec {
            kind: TargetKind::Workload,
            name: "inventory".to_owned(),
            resource: "https://inventory.tools.svc".to_owned(),
            connect: "https://inventory.tools.svc".to_owned(),
            ..TargetSpec::default()
        };
        let registry = Registry::new(vec![spec], &Reserved::default()).expect("a registry");
        Arc::clone(registry.workload().by_name("inventory").expect("registered"))
    }

    fn ask(rules: &[&str], requester: &str) -> Result<Leave, Refusal> {
        let requester = workload_id(requester).expect("an id");
        let domain = TrustDomain::new("corp.example").expect("a trust domain");
        let now = UnixTime::from_secs(1000).expect("a time");
        decide(&ruled(rules), &domain, (&requester, &inventory()), now, &mut None)
    }

    #[test]
    fn a_rule_allows_for_a_minute_at_most_and_is_named() {
        let now = UnixTime::from_secs(1000).expect("a time");
        let leave = ask(&[PERMIT], "spiffe://corp.example/planner").expect("allowed");
        assert_eq!(leave.permitted.rules(), ["uses"]);
        assert_eq!(leave.expires_in(now), 60);
        for (life, holds) in [("10s", 10), ("30m", 60)] {
            let rule = PERMIT.replace("permit", &format!("@max_life(\"{life}\") permit"));
            assert_eq!(ask(&[&rule], "spiffe://corp.example/planner").expect("allowed").expires_in(now), holds);
        }
    }

    #[test]
    fn a_workload_of_another_trust_domain_is_none_of_those_that_a_rule_for_all_means() {
        let all = PERMIT.replace(r#"principal == Workload::"spiffe://corp.example/planner""#, "principal is Workload");
        assert!(ask(&[&all], "spiffe://corp.example/anybody").is_ok());
        for foreign in ["spiffe://partner.example/planner", "spiffe://sub.corp.example/planner"] {
            assert_eq!(ask(&[&all], foreign).err(), Some(Refusal::PolicyNoRule), "{foreign}");
        }
    }

    #[test]
    fn no_rule_a_forbid_and_a_broken_rule_refuse() {
        let forbid = |id: &str, when: &str| {
            format!(r#"@id("{id}") forbid (principal, action == Action::"use", resource) when {{ {when} }};"#)
        };
        assert_eq!(ask(&[PERMIT], "spiffe://corp.example/researcher").err(), Some(Refusal::PolicyNoRule));
        let frozen = ask(&[PERMIT, &forbid("frozen", "true")], "spiffe://corp.example/planner");
        assert_eq!(frozen.err(), Some(Refusal::PolicyForbidden("frozen".to_owned())));
        let broken = ask(&[PERMIT, &forbid("broken", "9223372036854775807 + 1 > 0")], "spiffe://corp.example/planner");
        assert_eq!(broken.err(), Some(Refusal::PolicyError));
    }
}
