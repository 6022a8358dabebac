//! Who acts for the subject. A chain starts with one actor and grows at its current end; nothing else changes it.

use serde_json::{Map, Value};

use crate::{SpiffeId, TokenFault, workload_id};

/// Most actors in a chain (`protocol.md` §3).
pub const DEPTH_MAX: usize = 8;

/// The actors of a transaction, current first: the nesting of the `act` claim (RFC 8693 §4.1).
///
/// ```
/// # use identity::{ActorChain, SpiffeId};
/// # let id = |name: &str| SpiffeId::new(format!("spiffe://corp.example/{name}")).expect("an id");
/// let chain = ActorChain::of(id("planner")).then(id("researcher"))?;
/// assert_eq!(chain.current(), &id("researcher"));
/// # Ok::<(), identity::ChainRefusal>(())
/// ```
/// It cannot shrink:
/// ```compile_fail,E0599
/// # use identity::{ActorChain, SpiffeId};
/// # let id = |name: &str| SpiffeId::new(format!("spiffe://corp.example/{name}")).expect("an id");
/// let chain = ActorChain::of(id("planner")).then(id("researcher"))?.pop();
/// # Ok::<(), identity::ChainRefusal>(())
/// ```
/// nor be empty:
/// ```compile_fail,E0599
/// # use identity::ActorChain;
/// let chain = ActorChain::default();
/// ```
/// nor be built from a list, which could reorder it:
/// ```compile_fail,E0423
/// # use identity::{ActorChain, SpiffeId};
/// # let id = |name: &str| SpiffeId::new(format!("spiffe://corp.example/{name}")).expect("an id");
/// let chain = ActorChain(vec![id("planner"), id("researcher")]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ActorChain {
    current: SpiffeId,
    /// From the one before the current actor to the first.
    prior: Vec<SpiffeId>,
}

/// Why a chain may not grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainRefusal {
    /// The actor is in the chain already.
    #[error("the actor is in the chain already")]
    Loop,
    /// The chain would be longer than [`DEPTH_MAX`].
    #[error("the chain would be longer than {DEPTH_MAX} actors")]
    TooDeep,
}

impl ActorChain {
    /// A chain of one.
    #[must_use]
    pub const fn of(actor: SpiffeId) -> Self {
        Self { current: actor, prior: Vec::new() }
    }

    /// This chain with `actor` as the current one.
    ///
    /// # Errors
    /// [`ChainRefusal::Loop`] if the actor is in it, [`ChainRefusal::TooDeep`] beyond [`DEPTH_MAX`].
    pub fn then(mut self, actor: SpiffeId) -> Result<Self, ChainRefusal> {
        if self.contains(&actor) {
            return Err(ChainRefusal::Loop);
        }
        if self.depth() >= DEPTH_MAX {
            return Err(ChainRefusal::TooDeep);
        }
        let before = std::mem::replace(&mut self.current, actor);
        self.prior.insert(0, before);
        Ok(self)
    }

    /// The actor that acts now.
    #[must_use]
    pub const fn current(&self) -> &SpiffeId {
        &self.current
    }

    /// All actors, current first.
    pub fn iter(&self) -> impl Iterator<Item = &SpiffeId> {
        std::iter::once(&self.current).chain(&self.prior)
    }

    /// Whether `actor` is in the chain.
    #[must_use]
    pub fn contains(&self, actor: &SpiffeId) -> bool {
        self.iter().any(|known| known == actor)
    }

    /// How many actors.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.prior.len().saturating_add(1)
    }

    /// The `act` claim: `{"sub": current, "act": {…}}` (RFC 8693 §4.1).
    #[must_use]
    pub fn to_act(&self) -> Value {
        let nest = |inner: Option<Value>, actor: &SpiffeId| {
            let mut claim = Map::new();
            claim.insert("sub".into(), actor.to_string().into());
            inner.map(|act| claim.insert("act".into(), act));
            Some(Value::Object(claim))
        };
        let first_to_current = self.prior.iter().rev().chain(std::iter::once(&self.current));
        first_to_current.fold(None, nest).unwrap_or(Value::Null)
    }

    /// Reads an `act` claim whole: every level an object with a SPIFFE ID as `sub` and at most one `act`,
    /// no repeated actor, at most [`DEPTH_MAX`]. A malformed inner level is refused, never cut off (T6).
    pub(crate) fn from_act(act: &Value) -> Result<Self, TokenFault> {
        let mut actors = Vec::new();
        let mut level = Some(act);
        while let Some(value) = level {
            let claim = value.as_object().ok_or(TokenFault::Actors)?;
            if claim.keys().any(|key| key != "sub" && key != "act") || actors.len() >= DEPTH_MAX {
                return Err(TokenFault::Actors);
            }
            let sub = claim.get("sub").and_then(Value::as_str).ok_or(TokenFault::Actors)?;
            actors.push(workload_id(sub).map_err(|_malformed| TokenFault::Actors)?);
            level = claim.get("act");
        }
        let mut chain: Option<Self> = None;
        for actor in actors.into_iter().rev() {
            chain = Some(match chain {
                None => Self::of(actor),
                Some(chain) => chain.then(actor).map_err(|_loop| TokenFault::Actors)?,
            });
        }
        chain.ok_or(TokenFault::Actors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> SpiffeId {
        SpiffeId::new(format!("spiffe://corp.example/{name}")).expect("an id")
    }

    #[test]
    fn an_actor_twice_is_refused() {
        let chain = ActorChain::of(id("a")).then(id("b")).expect("grows");
        assert_eq!(chain.then(id("a")), Err(ChainRefusal::Loop));
    }

    #[test]
    fn a_ninth_actor_is_refused() {
        let eight = (1..DEPTH_MAX).try_fold(ActorChain::of(id("0")), |chain, n| chain.then(id(&n.to_string())));
        assert_eq!(eight.expect("eight are allowed").then(id("8")), Err(ChainRefusal::TooDeep));
    }

    #[test]
    fn act_nests_current_outermost_and_reads_back() {
        let chain = ActorChain::of(id("a")).then(id("b")).and_then(|chain| chain.then(id("c"))).expect("grows");
        let act = chain.to_act();
        assert_eq!(act["sub"], id("c").to_string());
        assert_eq!(act["act"]["act"]["sub"], id("a").to_string());
        assert_eq!(ActorChain::from_act(&act), Ok(chain));
    }

    #[test]
    fn malformed_act_is_refused_at_every_depth() {
        let good = id("a").to_string();
        for act in [
            serde_json::json!("x"),
            serde_json::json!([]),
            serde_json::json!({}),
            serde_json::json!({"sub": "not-spiffe"}),
            serde_json::json!({"sub": good, "act": "x"}),
            serde_json::json!({"sub": good, "act": {"sub": good}}),
            serde_json::json!({"sub": good, "exp": 1}),
        ] {
            assert_eq!(ActorChain::from_act(&act), Err(TokenFault::Actors), "{act}");
        }
    }
}
