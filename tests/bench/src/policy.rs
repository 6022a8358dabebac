//! What a decision of policy costs, in a set of 1,000 rules: where ten of them are about a target, and where a hundred are.

use std::{fs, hint::black_box, path::PathBuf};

use anyhow::bail;
use identity::{ActorChain, Scopes, SpiffeId, Subject, workload_id};
use policies::{Action, Decision, Policies, Question};
use runtime::clock;
use rustix::time::{ClockId, clock_gettime};

use crate::{
    anchors::PLANNER,
    figure::{self, Bound},
    load::count,
    progress::note,
};

const RULES: usize = 1000;
/// Decisions of a round.
const DECISIONS: usize = 500;
const ROUNDS: usize = 15;
const MICROS: f64 = 1e6;

/// Rules in a folder of their own, which is removed when this is dropped.
struct Rules(PathBuf);

/// Measures.
pub(crate) fn measure() -> anyhow::Result<()> {
    note(format_args!("Policy decisions of {RULES} rules …"));
    for (for_each, must, aim) in [(10, 30.0, 12.0), (100, 250.0, 190.0)] {
        let name = format!("policy decision, {RULES} rules, {for_each} a target");
        figure::alone(&name, "µs", &decide(for_each)?, Bound::AtMost { must, aim })?;
    }
    Ok(())
}

/// Microseconds of CPU for each decision, round by round.
fn decide(for_each: usize) -> anyhow::Result<Vec<f64>> {
    let rules = Rules::write(for_each)?;
    let policies = match Policies::load(&rules.0, clock::now()) {
        Ok(policies) => policies,
        Err(problems) => bail!("{problems:?}"),
    };
    let (requester, subject): (SpiffeId, Subject) = (workload_id(PLANNER)?, "alice".parse()?);
    let (scopes, none): (Scopes, Scopes) = ("tickets:read".parse()?, Scopes::none());
    let actors = ActorChain::of(requester.clone());
    let groups = ["group-3", "staff", "night-shift"].map(str::to_owned);
    let roles = ["tickets-reader", "offline_access"].map(str::to_owned);
    let question = Question {
        requester: &requester,
        action: Action::Exchange { target: "target-3" },
        subject: &subject,
        groups: &groups,
        roles: &roles,
        actors: &actors,
        scopes: &scopes,
        passes_on: &none,
    };
    if !matches!(policies.decide(&question), Decision::Permitted(_)) {
        bail!("the rules do not allow what is measured");
    }
    let mut rounds = Vec::new();
    for _round in 0..ROUNDS {
        let start = cpu();
        for _decision in 0..DECISIONS {
            black_box(policies.decide(black_box(&question)));
        }
        rounds.push((cpu() - start) * MICROS / count(DECISIONS));
    }
    Ok(rounds)
}

/// CPU time of this thread in seconds.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "some seconds, far below 2^52 ns")]
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

impl Rules {
    /// [`RULES`] rules, `for_each` of them about each target and all of them about one caller, so that none is passed over
    /// for its head: each condition is evaluated, and one holds.
    fn write(for_each: usize) -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("countersign-bench-{}-{for_each}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let rules = Self(folder);
        for number in 0..RULES {
            let (target, group) = (number.checked_div(for_each), number.checked_rem(for_each));
            let (target, group) = (target.unwrap_or_default(), group.unwrap_or_default());
            let text = format!(
                r#"@id("rule-{number}")
permit (principal == Workload::"{PLANNER}", action == Action::"exchange", resource == Target::"target-{target}")
when {{ ["tickets:read"].containsAll(context.scopes) && context.subject in Group::"group-{group}" }};
"#
            );
            fs::write(rules.0.join(format!("rule-{number}.cedar")), text)?;
        }
        Ok(rules)
    }
}

impl Drop for Rules {
    fn drop(&mut self) {
        // What stays lies among temporary files.
        drop(fs::remove_dir_all(&self.0));
    }
}
