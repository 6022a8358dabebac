//! Keycloak and SPIRE without a broker, for people who want to look at them or try something.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Leave, Peers, Problem, StackFault, StackOptions, child::Child, folder::Folder, foundation::Foundation,
    identities::Identities, leftover::make_passage, start::Ground,
};
use crate::real::admin::Admin;

/// How often it is looked whether they still run.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A running Keycloak and SPIRE. Dropping it ends every process; [`PeersAlone::stop`] does so in order.
#[derive(Debug)]
pub struct PeersAlone {
    folder: Folder,
    children: Vec<Child>,
    addresses: BTreeMap<&'static str, String>,
}

impl PeersAlone {
    /// Starts both: 10 s on an idle machine.
    ///
    /// # Errors
    /// [`StackFault`].
    pub async fn start() -> Result<Self, StackFault> {
        let options = StackOptions { peers: Peers::Real, members: Vec::new(), ..StackOptions::story() };
        let ground = Ground::prepare(options)?;
        // Any user may ask the Workload API; attestation decides.
        let path = ground.folder.path();
        make_passage(path)
            .map_err(|source| StackFault::general(Problem::File { path: path.to_owned(), source }, None))?;
        let Foundation { children, identities, workload_api, issuer, admin } = ground.lay_foundation().await?;
        let (keys, node, admin_socket) = match &identities {
            Identities::Spire { spire, .. } => {
                (spire.keys_url(), spire.node(), format!("unix://{}", spire.admin_socket().display()))
            }
            Identities::Embedded(_) => Default::default(),
        };
        let addresses = BTreeMap::from([
            ("issuer", issuer),
            ("keycloak", admin.as_ref().map(Admin::base).unwrap_or_default().to_owned()),
            ("workload_api", workload_api),
            ("spire_server", admin_socket),
            ("spire_keys", keys),
            ("spire_node", node),
            ("logs", path.join("log").display().to_string()),
        ]);
        Ok(Self { folder: ground.folder, children, addresses })
    }

    /// Where they are: `issuer`, `keycloak`, `workload_api`, `spire_server` (the socket of its command line),
    /// `spire_keys`, `spire_node` (the parent of entries), `logs`.
    #[must_use]
    pub const fn addresses(&self) -> &BTreeMap<&'static str, String> {
        &self.addresses
    }

    /// Waits until one of them ended by itself.
    pub async fn first_ended(&mut self) -> StackFault {
        loop {
            let ended = self.children.iter_mut().find_map(|child| Some((child.name().to_owned(), child.ended()?)));
            if let Some((name, status)) = ended {
                return StackFault::of(&name, Problem::EndedLater(status), &self.folder);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Ends both in order, and removes everything.
    pub async fn stop(mut self) {
        for child in &mut self.children {
            child.tell_to_stop();
        }
        for child in self.children.iter_mut().rev() {
            child.stop().await;
        }
        self.folder.leave(Leave::Nothing);
    }
}
