//! WHO MAY. Cedar rules from a folder, one a file, checked against a schema when they are loaded; a decision names the
//! rules that made it. It must never permit on an error: not of a rule that fails to load, not of one that fails to
//! evaluate, also where Cedar itself would skip that rule.
//!
//! ```no_run
//! # use identity::{ActorChain, Scopes, Subject, workload_id};
//! use policies::{Action, Decision, Policies, Question};
//!
//! # let now = identity::UnixTime::from_secs(1_795_500_000).expect("a time");
//! let policies = Policies::load("/etc/countersign/policies".as_ref(), now).expect("rules without a problem");
//! let planner = workload_id("spiffe://corp.example/ns/agents/sa/planner")?;
//! let decision = policies.decide(&Question {
//!     requester: &planner,
//!     action: Action::Exchange { target: "tickets" },
//!     subject: &"alice".parse::<Subject>()?,
//!     groups: &["support".to_owned()],
//!     roles: &[],
//!     actors: &ActorChain::of(planner.clone()),
//!     scopes: &"tickets:read".parse()?,
//!     passes_on: &Scopes::none(),
//! });
//! assert!(matches!(decision, Decision::Permitted(permitted) if permitted.rules() == ["planner-may-read-tickets"]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod administer;
mod compare;
mod decision;
mod engine;
mod explain;
#[cfg(test)]
mod laws;
mod load;
mod nesting;
mod observed;
mod problem;
mod question;
mod request;
mod rule;
mod slices;
mod terms;

pub use administer::{Administer, Operation, What};
pub use compare::{Checked, Known};
pub use decision::{Decision, Denial, MayAsk, Permitted};
pub use engine::Policies;
pub use explain::{Considered, Explanation, Named};
pub use load::{FILE_LENGTH_MAX, RULES_MAX};
pub use observed::{OBSERVED_DAYS_MAX, Observed};
pub use problem::PolicyProblem;
pub use question::{Action, Question, Use};
pub use terms::{LIFE_MAX, Terms};
