//! The rules that can speak about a resource. Cedar looks at every rule that it is given, so a decision gets only those
//! whose resource head can match; by definition of `==` the others say nothing, and cannot fail either, because a head
//! that does not match ends the evaluation of its rule.

use std::collections::HashMap;

use cedar_policy::{EntityUid, Policy, PolicySet, PolicySetError, ResourceConstraint};

/// The rules by resource.
#[derive(Debug)]
pub(crate) struct Slices {
    by_resource: HashMap<EntityUid, PolicySet>,
    /// For every resource that no rule names.
    others: PolicySet,
}

impl Slices {
    /// Slices `rules`.
    ///
    /// # Errors
    /// Two rules with one id.
    pub(crate) fn of(rules: &[&Policy]) -> Result<Self, Box<PolicySetError>> {
        let mut named: HashMap<EntityUid, Vec<&Policy>> = HashMap::new();
        let mut everywhere: Vec<&Policy> = Vec::new();
        for rule in rules {
            match rule.resource_constraint() {
                ResourceConstraint::Eq(resource) => named.entry(resource).or_default().push(rule),
                ResourceConstraint::Any
                | ResourceConstraint::In(_)
                | ResourceConstraint::Is(_)
                | ResourceConstraint::IsIn(..) => everywhere.push(rule),
            }
        }
        let others = set(everywhere.iter().copied())?;
        let by_resource = named
            .into_iter()
            .map(|(resource, rules)| Ok((resource, set(rules.into_iter().chain(everywhere.iter().copied()))?)))
            .collect::<Result<_, Box<PolicySetError>>>()?;
        Ok(Self { by_resource, others })
    }

    pub(crate) fn about(&self, resource: &EntityUid) -> &PolicySet {
        self.by_resource.get(resource).unwrap_or(&self.others)
    }
}

fn set<'a>(rules: impl Iterator<Item = &'a Policy>) -> Result<PolicySet, Box<PolicySetError>> {
    PolicySet::from_policies(rules.cloned()).map_err(Box::new)
}
