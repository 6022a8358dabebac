//! Who has joined: each workload once at a time, over one connection. Ports and recipes stay from one time to the next.

use std::{collections::BTreeMap, io, net::SocketAddr};

use identity::SpiffeId;

use super::super::{ports::Ports, workloads::Workloads};
use crate::stack::{Guest, SidecarRecipe};

/// Most workloads that only call, for each of which ports are reserved when it first joins.
const UNNAMED_MAX: usize = 64;

/// The workloads that have joined, and the ports of all that may.
#[derive(Debug)]
pub(super) struct Members {
    known: BTreeMap<String, Member>,
    unnamed: usize,
}

/// A workload with its ports.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) guest: Guest,
    pub(super) ports: Ports,
    /// How its sidecar is started, once that was asked.
    pub(super) recipe: Option<SidecarRecipe>,
    /// Whether its sidecar runs.
    pub(super) started: bool,
    /// The connection over which it joined.
    lease: Option<u64>,
}

impl Members {
    /// Reserves the ports of all of them.
    pub(super) fn reserve(workloads: &Workloads) -> io::Result<Self> {
        let member = |workload: &super::super::Workload| {
            let guest = Guest { name: workload.name.clone(), id: workload.id.clone() };
            Ok((workload.id.to_string(), Member::new(guest)?))
        };
        let known = workloads.iter().map(member).collect::<io::Result<_>>()?;
        Ok(Self { known, unnamed: 0 })
    }

    /// Where the mesh door of a workload listens.
    pub(super) fn mesh(&self, id: &SpiffeId) -> Option<SocketAddr> {
        self.known.get(&id.to_string()).map(|member| member.ports.mesh())
    }

    /// Gives the place of `guest` to a connection.
    ///
    /// # Errors
    /// A sentence: it runs already.
    pub(super) fn join(&mut self, lease: u64, guest: &Guest) -> Result<&mut Member, String> {
        if let Some(member) = self.of(lease) {
            return Err(format!("`{}` joined over this connection already", member.guest.name));
        }
        let id = guest.id.to_string();
        if !self.known.contains_key(&id) {
            if self.unnamed >= UNNAMED_MAX {
                return Err("too many workloads that the registry does not name".to_owned());
            }
            let member = Member::new(guest.clone()).map_err(|fault| format!("no port can be reserved: {fault}"))?;
            self.unnamed = self.unnamed.saturating_add(1);
            self.known.insert(id.clone(), member);
        }
        let member = self.known.get_mut(&id).ok_or("nobody of this name")?;
        if member.lease.is_some() {
            return Err("it runs already; a workload runs once at a time, so end the other one first".to_owned());
        }
        member.lease = Some(lease);
        member.started = false;
        Ok(member)
    }

    /// Who joined over a connection.
    pub(super) fn of(&mut self, lease: u64) -> Option<&mut Member> {
        self.known.values_mut().find(|member| member.lease == Some(lease))
    }

    /// Takes the place back; tells whose it was, and whether its sidecar ran.
    pub(super) fn leave(&mut self, lease: u64) -> Option<(String, bool)> {
        let member = self.of(lease)?;
        member.lease = None;
        Some((member.guest.name.clone(), std::mem::take(&mut member.started)))
    }

    pub(super) fn has_joined(&self, id: &SpiffeId) -> bool {
        self.known.get(&id.to_string()).is_some_and(|member| member.lease.is_some())
    }
}

impl Member {
    fn new(guest: Guest) -> io::Result<Self> {
        Ok(Self { guest, ports: Ports::reserve()?, recipe: None, started: false, lease: None })
    }
}

#[cfg(test)]
mod tests {
    use identity::workload_id;

    use super::*;
    use crate::stack::StackOptions;

    fn members() -> Members {
        let options = StackOptions::story();
        let domain = options.trust_domain.parse().expect("a trust domain");
        Members::reserve(&Workloads::of(&domain, &options.targets, &options.edges)).expect("reserved")
    }

    fn guest(name: &str) -> Guest {
        Guest {
            name: name.to_owned(),
            id: workload_id(&format!("spiffe://corp.example/ns/agents/sa/{name}")).expect("an id"),
        }
    }

    #[test]
    fn a_workload_runs_once_at_a_time_at_the_same_address() {
        let mut members = members();
        let planner = guest("planner");
        let mesh = members.mesh(&planner.id).expect("reserved");
        assert_eq!(members.join(1, &planner).expect("joined").ports.mesh(), mesh);
        assert!(members.join(2, &planner).is_err_and(|why| why.contains("runs already")));
        assert!(members.join(1, &guest("researcher")).is_err(), "one workload a connection");
        assert!(members.has_joined(&planner.id));
        assert_eq!(members.leave(1), Some(("planner".to_owned(), false)));
        assert_eq!(members.leave(1), None);
        assert!(!members.has_joined(&planner.id));
        assert_eq!(members.join(2, &planner).expect("joined again").ports.mesh(), mesh);
    }

    #[test]
    fn workloads_that_only_call_get_ports_when_they_join_and_not_without_end() {
        let mut members = members();
        for number in 0..UNNAMED_MAX {
            let lease = u64::try_from(number).expect("fits");
            members.join(lease, &guest(&format!("job-{number}"))).expect("joined");
        }
        assert!(members.join(u64::MAX, &guest("one-more")).is_err_and(|why| why.contains("too many")));
        assert!(members.join(u64::MAX, &guest("planner")).is_ok(), "who is named has a place");
    }
}
