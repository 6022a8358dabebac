//! The tickets and the open sessions, in memory.

use std::collections::VecDeque;

use aws_lc_rs::rand;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// Most sessions open at once; beyond it the oldest ends and its client initialises anew.
const SESSIONS_MAX: usize = 256;

/// What the tool server knows.
#[derive(Debug)]
pub(super) struct Desk {
    tickets: Vec<Ticket>,
    sessions: VecDeque<String>,
}

#[derive(Debug)]
struct Ticket {
    id: &'static str,
    title: &'static str,
    /// The user's `sub`.
    owner: String,
    open: bool,
}

impl Default for Desk {
    fn default() -> Self {
        Self::of(ALICE, BOB)
    }
}

impl Desk {
    /// The tickets of alice and bob, by what the provider calls them: the development provider by their names, Keycloak
    /// by ids that it makes.
    pub(super) fn of(alice: &str, bob: &str) -> Self {
        let ticket = |id, title, owner: &str| Ticket { id, title, owner: owner.to_owned(), open: true };
        Self {
            tickets: vec![
                ticket("T-1", "The printer on floor 3 prints only hearts", alice),
                ticket("T-2", "VPN drops whenever the kettle is on", alice),
                ticket("T-3", "Badge does not open the bicycle cellar", bob),
            ],
            sessions: VecDeque::new(),
        }
    }

    /// Opens a session and returns its id.
    pub(super) fn open_session(&mut self) -> String {
        let mut id = [0_u8; 16];
        // A failing random source would give a session id of zeros: no secret, since no right hangs on it here.
        if rand::fill(&mut id).is_err() {
            tracing::warn!("no random numbers");
        }
        if self.sessions.len() >= SESSIONS_MAX {
            self.sessions.pop_front();
        }
        let session = BASE64_URL_SAFE_NO_PAD.encode(id);
        self.sessions.push_back(session.clone());
        session
    }

    pub(super) fn knows_session(&self, session: &str) -> bool {
        self.sessions.iter().any(|known| known == session)
    }

    /// Whether there was such a session to end.
    pub(super) fn end_session(&mut self, session: &str) -> bool {
        let before = self.sessions.len();
        self.sessions.retain(|known| known != session);
        self.sessions.len() < before
    }

    pub(super) fn open_tickets_of(&self, subject: &str) -> Vec<Value> {
        let of_subject = self.tickets.iter().filter(|ticket| ticket.open && ticket.owner == subject);
        of_subject.map(|ticket| json!({ "id": ticket.id, "title": ticket.title })).collect()
    }

    /// Whether `subject` has such an open ticket; it is closed then.
    pub(super) fn close(&mut self, id: &str, subject: &str) -> bool {
        let found = self.tickets.iter_mut().find(|ticket| ticket.open && ticket.id == id && ticket.owner == subject);
        found.is_some_and(|ticket| std::mem::replace(&mut ticket.open, false))
    }
}

/// The `sub` of alice in the development provider's realm.
pub(in crate::apps) const ALICE: &str = "alice";
/// The `sub` of bob there.
pub(in crate::apps) const BOB: &str = "bob";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_sees_and_closes_own_tickets_only() {
        let mut desk = Desk::default();
        assert_eq!(desk.open_tickets_of(ALICE).len(), 2);
        assert_eq!(desk.open_tickets_of(BOB).len(), 1);
        assert!(desk.open_tickets_of("").is_empty());
        assert!(!desk.close("T-1", BOB));
        assert!(desk.close("T-1", ALICE));
        assert!(!desk.close("T-1", ALICE), "closed already");
        assert_eq!(desk.open_tickets_of(ALICE).len(), 1);
    }

    #[test]
    fn the_oldest_session_ends_beyond_the_limit() {
        let mut desk = Desk::default();
        let first = desk.open_session();
        for _more in 0..SESSIONS_MAX {
            desk.open_session();
        }
        assert!(!desk.knows_session(&first));
        assert_eq!(desk.sessions.len(), SESSIONS_MAX);
    }

    #[test]
    fn owners_are_the_realms_users() {
        let domain = identity::TrustDomain::new("corp.example").expect("a trust domain");
        let broker = crate::provider::Realm::demo_broker(&domain).expect("an id");
        let realm = crate::provider::Realm::demo(broker);
        let subjects: Vec<_> = realm.users.iter().map(|user| user.subject.as_str()).collect();
        assert_eq!(subjects, [ALICE, BOB]);
    }
}
