//! A Keycloak that the stacks of one program share, each with a realm of its own.

use super::{
    Peers, StackFault, StackOptions,
    child::Child,
    foundation::READY_WITHIN,
    start::{Ground, words},
};

/// A running Keycloak. It ends, and leaves nothing behind, when this is dropped or the program ends, however it ends:
/// so it may stand in a `static`, which is never dropped.
#[derive(Debug)]
pub struct SharedKeycloak {
    base: String,
    #[expect(dead_code, reason = "held, not read: its standard input closes with us")]
    child: Child,
}

impl SharedKeycloak {
    /// Starts it and waits until it is ready: 8 s on an idle machine.
    ///
    /// # Errors
    /// [`StackFault`].
    pub async fn start() -> Result<Self, StackFault> {
        let options = StackOptions { peers: Peers::Real, members: Vec::new(), ..StackOptions::story() };
        let mut ground = Ground::prepare(options)?;
        let (mut recipe, base) = ground.own_keycloak()?;
        recipe.arguments.extend(words(&["--scratch", &ground.folder.path().display().to_string()]));
        let mut child = ground.spawn(recipe, None)?;
        ground.ready(&mut child, READY_WITHIN).await?;
        // From here on it is the process's to remove.
        ground.folder.hand_over();
        Ok(Self { base, child })
    }

    /// Base URL: `http://host:port`.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }
}
