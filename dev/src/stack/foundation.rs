//! What broker and sidecars stand on: who gives identities, and who knows the users. Embedded or real.

use std::time::Duration;

use super::{
    IDENTITY, KEYCLOAK, PROVIDER, Peers, Problem, SPIRE_AGENT, SPIRE_KEYS, SPIRE_SERVER, StackFault,
    child::{Child, Recipe},
    identities::Identities,
    leftover::{make_passage, make_private},
    start::{CLI, Ground, words},
};
use crate::{
    identity::Registrar,
    real::{
        admin::Admin,
        keycloak, realm,
        spire::{self, Spire},
    },
};

/// Longest wait for a real peer to be ready. Keycloak takes 8 s on an idle machine.
pub(super) const READY_WITHIN: Duration = Duration::from_secs(180);

/// What runs before broker, apps and sidecars.
pub(super) struct Foundation {
    pub(super) children: Vec<Child>,
    pub(super) identities: Identities,
    pub(super) workload_api: String,
    pub(super) issuer: String,
    /// Of a real Keycloak.
    pub(super) admin: Option<Admin>,
}

impl Ground {
    pub(super) async fn lay_foundation(&self) -> Result<Foundation, StackFault> {
        match &self.options.peers {
            Peers::Embedded => self.embedded().await,
            Peers::Real => self.real(None).await,
            Peers::RealAt(base) => self.real(Some(base)).await,
        }
    }

    async fn embedded(&self) -> Result<Foundation, StackFault> {
        let (registrar, servers_end) =
            Registrar::pair().map_err(|fault| self.fault(IDENTITY, Problem::Spawn(fault)))?;
        let mut identity = self.spawn(self.identity(), Some(servers_end))?;
        self.ready(&mut identity, self.options.ready_within).await?;
        let workload_api = identity.address("socket").unwrap_or_default().to_owned();
        let identities = Identities::Embedded(registrar);

        let mut children = vec![identity];
        children.extend(self.bring_up(vec![self.provider(&workload_api)], &identities).await?);
        let issuer = children.last().and_then(|provider| provider.address("issuer")).unwrap_or_default().to_owned();
        Ok(Foundation { children, identities, workload_api, issuer, admin: None })
    }

    /// A SPIRE of our own, and a Keycloak of our own or a realm at `keycloak`.
    async fn real(&self, keycloak: Option<&str>) -> Result<Foundation, StackFault> {
        let (spire, provider) = tokio::try_join!(self.spire(), self.keycloak(keycloak))?;
        let ((spire, mut children), (admin, own)) = (spire, provider);
        children.extend(own);

        let told = async {
            admin.set_bundle_url(&spire.keys_url()).await?;
            let logout = format!("http://{}/backchannel-logout", self.address("broker.public").unwrap_or_default());
            admin.set_logout_url(&realm::LOGIN_CLIENTS, &logout).await
        };
        told.await.map_err(|fault| self.fault(KEYCLOAK, fault.into()))?;

        let (workload_api, issuer) = (spire.workload_api(), admin.issuer());
        let programs = self.folder.path().join("bin");
        let identities = Identities::Spire { spire, programs, lives: self.options.spire_lives };
        Ok(Foundation { children, identities, workload_api, issuer, admin: Some(admin) })
    }

    async fn spire(&self) -> Result<(Spire, Vec<Child>), StackFault> {
        let failed = |problem| self.fault(SPIRE_SERVER, problem);
        let programs = self.cache()?.spire().map_err(|missing| StackFault::general(missing.into(), None))?;
        let port = |name: &str| self.ports.get(&format!("spire.{name}")).map(super::Port::address);
        let (Some(server), Some(server_health), Some(agent_health), Some(keys)) =
            (port("server"), port("server_health"), port("agent_health"), port("keys"))
        else {
            return Err(failed(Problem::Unknown));
        };
        let ports = spire::Ports { server, server_health, agent_health, keys };
        let folder = self.folder.path().join("spire");
        // Workloads get through it to the Workload API.
        make_passage(&folder).map_err(|source| failed(Problem::File { path: folder.clone(), source }))?;
        let spire = Spire::prepare(programs, &folder, &self.options.trust_domain, ports);
        let spire = spire.map_err(|fault| failed(fault.into()))?;

        let health = |address| Some(format!("http://{address}/ready"));
        let server = self.tether(SPIRE_SERVER, health(server_health), spire.server_command());
        let mut server = self.spawn(server, None)?;
        self.ready(&mut server, READY_WITHIN).await?;
        spire.admit_node().await.map_err(|fault| failed(fault.into()))?;
        let others = [
            self.tether(SPIRE_AGENT, health(agent_health), spire.agent_command()),
            self.tether(SPIRE_KEYS, Some(spire.keys_url()), spire.keys_command()),
        ];
        let mut children = vec![server];
        for recipe in others {
            children.push(self.spawn(recipe, None)?);
        }
        for child in &mut children {
            self.ready(child, READY_WITHIN).await?;
        }
        Ok((spire, children))
    }

    /// The realm's administrator, and the process where it is ours.
    async fn keycloak(&self, running: Option<&str>) -> Result<(Admin, Option<Child>), StackFault> {
        let failed = |problem| self.fault(KEYCLOAK, problem);
        if let Some(base) = running {
            let admin = Admin::of(base, &realm::fresh_name());
            let file = realm::file(&admin, &self.options.trust_domain);
            admin.create_realm(&file).await.map_err(|fault| failed(fault.into()))?;
            return Ok((admin, None));
        }
        let (recipe, base) = self.own_keycloak()?;
        let mut child = self.spawn(recipe, None)?;
        self.ready(&mut child, READY_WITHIN).await?;
        Ok((Admin::of(&base, keycloak::REALM), Some(child)))
    }

    /// How a Keycloak of our own is started, and its base URL.
    pub(super) fn own_keycloak(&self) -> Result<(Recipe, String), StackFault> {
        let failed = |problem| self.fault(KEYCLOAK, problem);
        let built = self.cache()?.keycloak().map_err(|missing| StackFault::general(missing.into(), None))?;
        let port = |name: &str| self.ports.get(&format!("keycloak.{name}")).map(super::Port::address);
        let (Some(main), Some(management)) = (port("main"), port("management")) else {
            return Err(failed(Problem::Unknown));
        };
        let ports = keycloak::Ports { main, management };
        let home = self.folder.path().join("keycloak");
        // Its database holds the keys that sign users' tokens.
        let prepared = make_private(&home).and_then(|()| keycloak::prepare(&built, &home));
        prepared.map_err(|source| failed(Problem::File { path: home.clone(), source }))?;
        let command = keycloak::command(&home, &ports, self.options.keycloak_speed);
        let mut recipe = self.tether(KEYCLOAK, Some(ports.ready_url()), command);
        recipe.arguments.extend(words(&["--address", &format!("base={}", ports.base())]));
        Ok((recipe, ports.base()))
    }

    fn cache(&self) -> Result<peers::Cache, StackFault> {
        peers::Cache::of_user().map_err(|missing| StackFault::general(missing.into(), None))
    }

    fn identity(&self) -> Recipe {
        let socket = self.folder.socket().display().to_string();
        let mut arguments =
            words(&["dev", "identity", "--socket", &socket, "--trust-domain", &self.options.trust_domain]);
        arguments.extend(words(&["--log", &self.options.log]));
        arguments.extend(self.options.identity_arguments.iter().cloned());
        self.recipe(IDENTITY, CLI, arguments)
    }

    fn provider(&self, workload_api: &str) -> Recipe {
        let domain = &self.options.trust_domain;
        let mut arguments = words(&["dev", "provider", "--workload-api", workload_api, "--trust-domain", domain]);
        arguments.push("--exit-on-stdin-close".to_owned());
        if let Some(public) = self.address("broker.public") {
            let url = format!("console=http://{public}/backchannel-logout");
            arguments.extend(["--backchannel-logout-url".to_owned(), url]);
        }
        arguments.extend(self.options.provider_arguments.iter().cloned());
        let recipe = self.recipe(PROVIDER, CLI, arguments);
        Recipe { identities: vec![(self.options.agent_id(PROVIDER), String::new())], ..recipe }
    }

    /// A foreign program, ready once `ready_url` answers 200.
    fn tether(&self, name: &str, ready_url: Option<String>, held: Vec<String>) -> Recipe {
        let mut arguments = words(&["dev", "tether"]);
        arguments.extend(ready_url.into_iter().flat_map(|url| ["--ready-url".to_owned(), url]));
        Recipe { held, ..self.recipe(name, CLI, arguments) }
    }
}
