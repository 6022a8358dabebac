//! The rules that can speak about a question. Cedar looks at every rule that it is given, so a decision gets only those
//! whose resource and principal heads can match; by definition of `==` the others say nothing, and cannot fail either,
//! because a head that does not match ends the evaluation of its rule.

use std::collections::HashMap;

use cedar_policy::{EntityUid, Policy, PolicySet, PolicySetError, PrincipalConstraint, ResourceConstraint};

/// Sets of rules by the resource that they name. Each rule stands in one set only, so that their sum does not grow with
/// what the rules name.
#[derive(Debug, Default)]
pub(crate) struct Slices {
    by_resource: HashMap<EntityUid, ByPrincipal>,
    /// Of rules that name no single resource.
    everywhere: ByPrincipal,
}

#[derive(Debug, Default)]
struct ByPrincipal {
    by_principal: HashMap<EntityUid, PolicySet>,
    /// Rules that name no single principal.
    everybody: Option<PolicySet>,
}

impl Slices {
    /// Slices `rules`.
    ///
    /// # Errors
    /// Two rules with one id.
    pub(crate) fn of<'a>(rules: impl IntoIterator<Item = &'a Policy>) -> Result<Self, Box<PolicySetError>> {
        let mut slices = Self::default();
        for rule in rules {
            let about = match rule.resource_constraint() {
                ResourceConstraint::Eq(resource) => slices.by_resource.entry(resource).or_default(),
                ResourceConstraint::Any
                | ResourceConstraint::In(_)
                | ResourceConstraint::Is(_)
                | ResourceConstraint::IsIn(..) => &mut slices.everywhere,
            };
            let set = match rule.principal_constraint() {
                PrincipalConstraint::Eq(principal) => about.by_principal.entry(principal).or_default(),
                PrincipalConstraint::Any
                | PrincipalConstraint::In(_)
                | PrincipalConstraint::Is(_)
                | PrincipalConstraint::IsIn(..) => about.everybody.get_or_insert_default(),
            };
            set.add(rule.clone())?;
        }
        Ok(slices)
    }

    /// Whether there is no rule at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_resource.is_empty() && self.everywhere.is_empty()
    }

    /// At most four sets, which hold each rule that can match once.
    pub(crate) fn about(&self, principal: &EntityUid, resource: &EntityUid) -> Vec<&PolicySet> {
        let places = [self.by_resource.get(resource), Some(&self.everywhere)];
        places.into_iter().flatten().flat_map(|about| about.of(principal)).collect()
    }
}

impl ByPrincipal {
    fn is_empty(&self) -> bool {
        self.by_principal.is_empty() && self.everybody.is_none()
    }

    fn of(&self, principal: &EntityUid) -> impl Iterator<Item = &PolicySet> {
        self.by_principal.get(principal).into_iter().chain(&self.everybody)
    }
}
