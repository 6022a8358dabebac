//! Who holds which identity, and the SVIDs that were issued for it. A process is found by its pidfd, never by pid alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use identity::{KeySet, SpiffeId, TrustDomain, UnixTime};
use runtime::shutdown::Shutdown;
use serde_json::{Map, Value};
use tokio::{sync::watch, time};

use super::{
    authority::{Authority, AuthorityFault, OddX509, Old, X509},
    lives::Lives,
    process::Process,
    wire::Identity,
};

/// Most registered processes: a development stack has some tens.
const REGISTRATIONS_MAX: usize = 256;
/// Most identities of one process.
const IDENTITIES_MAX: usize = 16;

/// Everything that changes, and the revision that tells streams of it.
#[derive(Debug)]
pub(super) struct Book {
    trust_domain: TrustDomain,
    contents: Mutex<Contents>,
    revision: watch::Sender<u64>,
    lives: watch::Sender<Lives>,
}

#[derive(Debug)]
struct Contents {
    authority: Authority,
    registrations: Vec<Registration>,
}

#[derive(Debug)]
struct Registration {
    pid: u32,
    process: Arc<Process>,
    identities: Vec<Identity>,
    /// Issued when first asked for; emptied at renewal.
    issued: Vec<HeldX509>,
}

/// An identity with its X509-SVID.
#[derive(Clone, Debug)]
pub(super) struct HeldX509 {
    pub(super) identity: Identity,
    pub(super) svid: Arc<X509>,
}

/// Why the book refuses.
#[derive(Debug, thiserror::Error)]
pub(super) enum BookFault {
    #[error("no identity issued")]
    NoIdentity,
    #[error("process {0} cannot be pinned")]
    NoProcess(u32, #[source] std::io::Error),
    #[error("process {0} is not registered")]
    NotRegistered(u32),
    #[error("`{0}` is not in this trust domain, or has no path")]
    Foreign(SpiffeId),
    #[error("`{0}` is no other trust domain")]
    NoOtherDomain(String),
    #[error("a process holds 1 to {IDENTITIES_MAX} identities")]
    Identities,
    #[error("more than {REGISTRATIONS_MAX} processes")]
    Full,
    #[error(transparent)]
    Authority(#[from] AuthorityFault),
}

impl Book {
    pub(super) fn new(trust_domain: TrustDomain, lives: Lives, now: UnixTime) -> Result<Self, AuthorityFault> {
        let authority = Authority::new(trust_domain.clone(), now)?;
        Ok(Self {
            trust_domain,
            contents: Mutex::new(Contents { authority, registrations: Vec::new() }),
            revision: watch::Sender::new(0),
            lives: watch::Sender::new(lives),
        })
    }

    pub(super) const fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Changes with every registration, removal, renewal and rotation.
    pub(super) fn revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Pins the process and gives it `identities`, after those that it holds already. Returns the pin, for [`Book::forget`].
    pub(super) fn register(&self, pid: u32, identities: Vec<Identity>) -> Result<Arc<Process>, BookFault> {
        if let Some(foreign) = identities.iter().find(|identity| !self.gives(&identity.spiffe_id)) {
            return Err(BookFault::Foreign(foreign.spiffe_id.clone()));
        }
        let process = Arc::new(Process::open(pid).map_err(|error| BookFault::NoProcess(pid, error))?);
        let mut contents = self.contents();
        let held = contents.registrations.iter_mut().find(|held| held.pid == pid && held.process.is(&process));
        let process = if let Some(held) = held {
            held.add(identities)?;
            Arc::clone(&held.process)
        } else {
            contents.registrations.retain(|held| held.process.alive());
            if contents.registrations.len() >= REGISTRATIONS_MAX {
                return Err(BookFault::Full);
            }
            let mut registration = Registration { pid, process, identities: Vec::new(), issued: Vec::new() };
            registration.add(identities)?;
            let pin = Arc::clone(&registration.process);
            contents.registrations.push(registration);
            pin
        };
        self.changed(contents);
        Ok(process)
    }

    /// Takes all identities from the process registered with `pid`.
    pub(super) fn remove(&self, pid: u32) -> Result<(), BookFault> {
        let mut contents = self.contents();
        let before = contents.registrations.len();
        contents.registrations.retain(|held| held.pid != pid);
        if contents.registrations.len() == before {
            return Err(BookFault::NotRegistered(pid));
        }
        self.changed(contents);
        Ok(())
    }

    /// Drops the registration of a process that ended.
    pub(super) fn forget(&self, process: &Arc<Process>) {
        let mut contents = self.contents();
        contents.registrations.retain(|held| !Arc::ptr_eq(&held.process, process));
        self.changed(contents);
    }

    /// The identities of `caller`, in order of registration.
    pub(super) fn identities(&self, caller: &Process) -> Result<Vec<Identity>, BookFault> {
        Ok(self.contents().find(caller)?.1.identities.clone())
    }

    /// The X509-SVIDs of `caller` and the bundle that verifies them.
    pub(super) fn x509(&self, caller: &Process, now: UnixTime) -> Result<(Vec<HeldX509>, Vec<u8>), BookFault> {
        let life = self.lives.borrow().x509;
        let mut contents = self.contents();
        let (authority, held) = contents.find(caller)?;
        for identity in held.identities.iter().skip(held.issued.len()) {
            let svid = Arc::new(authority.x509(&identity.spiffe_id, life, now)?);
            held.issued.push(HeldX509 { identity: identity.clone(), svid });
        }
        Ok((held.issued.clone(), authority.x509_bundle()))
    }

    /// A JWT-SVID for an identity that [`Book::identities`] gave.
    pub(super) fn jwt(&self, id: &SpiffeId, audience: &[String], now: UnixTime) -> Result<String, BookFault> {
        let expires = now.plus(self.lives.borrow().jwt);
        Ok(self.contents().authority.jwt(id, audience, (now, expires))?)
    }

    pub(super) fn x509_bundle(&self) -> Vec<u8> {
        self.contents().authority.x509_bundle()
    }

    pub(super) fn jwt_bundle(&self) -> Vec<u8> {
        self.contents().authority.jwt_bundle()
    }

    pub(super) fn jwt_keys(&self) -> KeySet {
        self.contents().authority.jwt_keys()
    }

    /// Makes a new X.509 authority and issues every X509-SVID anew.
    pub(super) fn rotate_ca(&self, old: Old, now: UnixTime) -> Result<(), BookFault> {
        let mut contents = self.contents();
        contents.authority.rotate_ca(old, now)?;
        contents.expire();
        self.changed(contents);
        Ok(())
    }

    /// Makes a new JWT key.
    pub(super) fn rotate_jwt_key(&self, old: Old) -> Result<(), BookFault> {
        let mut contents = self.contents();
        contents.authority.rotate_jwt_key(old)?;
        self.changed(contents);
        Ok(())
    }

    /// Sets the lives from now on and issues every X509-SVID anew.
    pub(super) fn set_lives(&self, lives: Lives) {
        self.lives.send_replace(lives);
        self.renew();
    }

    /// Publishes the keys of another trust domain, too.
    pub(super) fn federate(&self, domain: &str) -> Result<(), BookFault> {
        let other = TrustDomain::new(domain).ok().filter(|other| *other != self.trust_domain);
        let other = other.ok_or_else(|| BookFault::NoOtherDomain(domain.to_owned()))?;
        let mut contents = self.contents();
        contents.authority.federate(other)?;
        self.changed(contents);
        Ok(())
    }

    /// The JWK set of the other trust domain.
    pub(super) fn federated_bundle(&self) -> Option<(String, Vec<u8>)> {
        self.contents().authority.federated_bundle()
    }

    /// See [`Authority::forge_jwt`].
    pub(super) fn forge_jwt(
        &self,
        federated: bool,
        header: Map<String, Value>,
        claims: &Value,
    ) -> Result<String, BookFault> {
        Ok(self.contents().authority.forge_jwt(federated, header, claims)?)
    }

    /// See [`Authority::forge_x509`].
    pub(super) fn forge_x509(&self, id: &SpiffeId, odd: OddX509, now: UnixTime) -> Result<X509, BookFault> {
        Ok(self.contents().authority.forge_x509(id, odd, now)?)
    }

    fn renew(&self) {
        let mut contents = self.contents();
        contents.expire();
        self.changed(contents);
    }

    fn gives(&self, id: &SpiffeId) -> bool {
        id.is_member_of(&self.trust_domain) && !id.path().is_empty()
    }

    fn changed(&self, contents: MutexGuard<'_, Contents>) {
        drop(contents);
        self.revision.send_modify(|revision| *revision = revision.wrapping_add(1));
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        // A panic elsewhere leaves whole values behind: every change is one push, retain or assignment.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn find(&mut self, caller: &Process) -> Result<(&Authority, &mut Registration), BookFault> {
        let pid = caller.pid().ok_or(BookFault::NoIdentity)?;
        let mut registrations = self.registrations.iter_mut();
        let held =
            registrations.find(|held| held.pid == pid && held.process.is(caller)).ok_or(BookFault::NoIdentity)?;
        Ok((&self.authority, held))
    }

    fn expire(&mut self) {
        self.registrations.iter_mut().for_each(|held| held.issued.clear());
    }
}

impl Registration {
    fn add(&mut self, identities: Vec<Identity>) -> Result<(), BookFault> {
        let known = |identity: &Identity| self.identities.iter().any(|held| held.spiffe_id == identity.spiffe_id);
        let fresh: Vec<_> = identities.into_iter().filter(|identity| !known(identity)).collect();
        let total = self.identities.len().saturating_add(fresh.len());
        if !(1..=IDENTITIES_MAX).contains(&total) {
            return Err(BookFault::Identities);
        }
        self.identities.extend(fresh);
        Ok(())
    }
}

/// Issues every X509-SVID anew at half of its life, until `shutdown`.
pub(super) async fn renew(book: Arc<Book>, shutdown: Shutdown) {
    let mut lives = book.lives.subscribe();
    loop {
        let x509 = lives.borrow_and_update().x509;
        tokio::select! {
            () = time::sleep(x509.checked_div(2).unwrap_or(x509)) => book.renew(),
            Ok(()) = lives.changed() => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// Drops the registration when its process ends, or ends itself at `shutdown`.
pub(super) async fn outlive(book: Arc<Book>, process: Arc<Process>, shutdown: Shutdown) {
    tokio::select! {
        ended = process.ended() => {
            if let Err(error) = ended {
                tracing::warn!(%error, "a registered process cannot be watched; it is dropped");
            }
            book.forget(&process);
        }
        () = shutdown.cancelled() => {}
    }
}
