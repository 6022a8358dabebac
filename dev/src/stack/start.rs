//! Starts the parts of a stack in the order in which they need each other, and each again on its own.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::future::try_join_all;

use super::{
    App, BROKER, IDENTITY, KEYCLOAK, Leave, Member, Port, Problem, Stack, StackFault, StackOptions,
    child::{Child, Recipe, sidecar_name},
    files::{self, Facts},
    folder::Folder,
    foundation::{Foundation, READY_WITHIN},
    identities::Identities,
    users,
};
use crate::{identity::Registrar, real::admin::Admin};

pub(super) const CLI: &str = "countersign";
const BROKER_PROGRAM: &str = "countersign-broker";
pub(super) const SIDECAR_PROGRAM: &str = "countersign-sidecar";
const DEMO_APP: &str = "countersign-demo-app";

/// What is there before the first process.
pub(super) struct Ground {
    pub(super) options: StackOptions,
    binaries: PathBuf,
    pub(super) folder: Folder,
    pub(super) ports: BTreeMap<String, Port>,
}

/// What runs once all is started.
struct Running {
    children: Vec<Child>,
    identities: Identities,
    workload_api: String,
    issuer: String,
    admin: Option<Admin>,
}

/// Starts a stack. Dropped half-way, nothing stays; where something failed, the work folder does.
pub(super) async fn start(options: StackOptions) -> Result<Stack, StackFault> {
    let mut ground = Ground::prepare(options)?;
    match ground.start_all().await {
        Ok(Running { children, identities, workload_api, issuer, admin }) => {
            let Ground { options, folder, ports, .. } = ground;
            Ok(Stack { options, folder, children, identities, workload_api, issuer, admin, ports })
        }
        Err(fault) => {
            ground.folder.leave(Leave::Everything);
            Err(fault)
        }
    }
}

/// Starts a process again, in its old place.
pub(super) async fn revive(stack: &mut Stack, process: &str) -> Result<(), StackFault> {
    if process == IDENTITY {
        let revived = revive_identity(stack).await;
        return revived.map_err(|problem| stack.fault(process, problem));
    }
    let place = stack.children.iter().position(|child| child.name() == process);
    let recipe = place.and_then(|place| stack.children.get(place)).map(|child| child.recipe().clone());
    let (Some(place), Some(recipe)) = (place, recipe) else {
        return Err(stack.fault(process, Problem::Unknown));
    };
    let within = if recipe.held.is_empty() { stack.options.ready_within } else { READY_WITHIN };
    let started = async {
        let mut child = Child::start(recipe, None)?;
        stack.identities.register(&child).await?;
        child.ready(within).await?;
        Ok(child)
    };
    let child = started.await.map_err(|problem| stack.fault(process, problem))?;
    if let Some(held) = stack.children.get_mut(place) {
        *held = child;
    }
    Ok(())
}

/// A development Workload API with other keys, which knows all processes that run; our own must be given theirs again.
async fn revive_identity(stack: &mut Stack) -> Result<(), Problem> {
    let old = stack.children.iter_mut().find(|child| child.name() == IDENTITY).ok_or(Problem::Unknown)?;
    let (registrar, servers_end) = Registrar::pair().map_err(Problem::Spawn)?;
    let mut child = Child::start(old.recipe().clone(), Some(servers_end))?;
    child.ready(stack.options.ready_within).await?;
    *old = child;
    stack.identities = Identities::Embedded(registrar);
    for child in &stack.children {
        stack.identities.register(child).await?;
    }
    Ok(())
}

impl Ground {
    pub(super) fn prepare(options: StackOptions) -> Result<Self, StackFault> {
        let binaries = match options.binaries.clone() {
            Some(folder) => folder,
            None => binaries_beside_us().map_err(|fault| StackFault::general(Problem::Spawn(fault), None))?,
        };
        let missing = missing_programs(&binaries, &options);
        if !missing.is_empty() {
            return Err(StackFault::general(Problem::NoProgram(missing), None));
        }
        let folder = Folder::make()?;
        let mut ports = BTreeMap::new();
        for name in files::port_names(&options) {
            let port = Port::reserve().map_err(|fault| StackFault::general(Problem::Port(fault), None))?;
            ports.insert(name, port);
        }
        Ok(Self { options, binaries, folder, ports })
    }

    async fn start_all(&self) -> Result<Running, StackFault> {
        let Foundation { mut children, identities, workload_api, issuer, admin } = self.lay_foundation().await?;
        let users = self.names_of_users(admin.as_ref()).await?;
        let apps = self.options.members.iter().filter_map(|member| self.app(member, &workload_api));
        let mut apps: Vec<_> = apps.collect();
        for app in &mut apps {
            app.arguments.extend(users.iter().cloned());
        }
        children.extend(self.bring_up(apps, &identities).await?);

        let facts = Facts {
            options: &self.options,
            folder: &self.folder,
            ports: &self.ports,
            workload_api: &workload_api,
            issuer: &issuer,
        };
        let broker = self.broker(&facts.write_broker()?)?;
        let sidecars = self.options.members.iter().filter(|member| member.sidecar.is_some());
        let sidecar = |member| self.sidecar(member, &facts.write_sidecar(member)?);
        let sidecars: Vec<_> = sidecars.map(sidecar).collect::<Result<_, StackFault>>()?;
        children.extend(self.bring_up(vec![broker], &identities).await?);
        children.extend(self.bring_up(sidecars, &identities).await?);
        Ok(Running { children, identities, workload_api, issuer, admin })
    }

    /// What a real Keycloak calls alice and bob, for apps that keep something for them.
    async fn names_of_users(&self, admin: Option<&Admin>) -> Result<Vec<String>, StackFault> {
        let Some(admin) = admin else { return Ok(Vec::new()) };
        let mut arguments = Vec::new();
        for user in ["alice", "bob"] {
            let id = admin.user_id(user).await.map_err(|fault| self.fault(KEYCLOAK, fault.into()))?;
            arguments.extend([format!("--{user}"), id]);
        }
        Ok(arguments)
    }

    fn broker(&self, file: &Path) -> Result<Recipe, StackFault> {
        let identities = vec![(self.options.agent_id(BROKER), String::new())];
        let recipe = self.recipe(BROKER, BROKER_PROGRAM, configured(file));
        let mut owned = vec![file.to_owned()];
        owned.extend(["wrapping.key", "store", "ledger", "policies"].map(|name| self.folder.path().join(name)));
        let user = self.own_user(BROKER, &owned)?;
        Ok(Recipe { user, identities, has_admin: true, ..recipe })
    }

    fn sidecar(&self, member: &Member, file: &Path) -> Result<Recipe, StackFault> {
        let identities = member.sidecar.iter().map(|id| (id.clone(), String::new())).collect();
        let name = sidecar_name(&member.name);
        let recipe = self.recipe(&name, SIDECAR_PROGRAM, configured(file));
        let user = self.own_user(&name, &[file.to_owned()])?;
        Ok(Recipe { user, identities, has_admin: true, ..recipe })
    }

    /// On a real SPIRE, where we are root, each of our workloads is a user of its own, and owns its files.
    fn own_user(&self, name: &str, files: &[PathBuf]) -> Result<Option<u32>, StackFault> {
        users::own(&self.options.peers, name, &self.folder, files).map_err(|problem| self.fault(name, problem))
    }

    /// `None` where the app is somebody else's.
    fn app(&self, member: &Member, workload_api: &str) -> Option<Recipe> {
        let App::Plays(role) = member.app else { return None };
        let role = clap::ValueEnum::to_possible_value(&role)?;
        let listen = self.address(&format!("{}.app", member.name))?;
        let arguments =
            words(&[role.get_name(), "--listen", &listen, "--workload-api", workload_api, "--exit-on-stdin-close"]);
        let mut recipe = self.recipe(&member.name, DEMO_APP, arguments);
        recipe.identities.clone_from(&member.identities);
        // As a platform sets it for any program: that is all an app is told about its sidecar.
        if let Some(agent) = self.address(&format!("{}.agent", member.name)) {
            recipe.environment.push(("HTTP_PROXY".to_owned(), format!("http://{agent}")));
        }
        Some(recipe)
    }

    pub(super) fn recipe(&self, name: &str, program: &str, arguments: Vec<String>) -> Recipe {
        Recipe {
            name: name.to_owned(),
            program: self.binaries.join(program),
            arguments,
            held: Vec::new(),
            environment: Vec::new(),
            user: None,
            identities: Vec::new(),
            log: self.folder.log(name),
            ready_file: self.folder.ready(name),
            has_admin: false,
        }
    }

    /// Starts the processes, gives each its identities at once, and waits until all are ready.
    pub(super) async fn bring_up(
        &self,
        mut recipes: Vec<Recipe>,
        identities: &Identities,
    ) -> Result<Vec<Child>, StackFault> {
        identities.expect(&mut recipes).await.map_err(|problem| self.fault(IDENTITY, problem))?;
        try_join_all(recipes.into_iter().map(async |mut recipe| {
            if program_takes_log(&recipe) {
                recipe.arguments.extend(words(&["--log", &self.options.log]));
            }
            let mut child = self.spawn(recipe, None)?;
            identities.register(&child).await.map_err(|problem| self.fault(child.name(), problem))?;
            self.ready(&mut child, self.options.ready_within).await?;
            Ok(child)
        }))
        .await
    }

    pub(super) fn spawn(&self, recipe: Recipe, stdin: Option<std::os::fd::OwnedFd>) -> Result<Child, StackFault> {
        let name = recipe.name.clone();
        Child::start(recipe, stdin).map_err(|problem| self.fault(&name, problem))
    }

    pub(super) async fn ready(&self, child: &mut Child, within: Duration) -> Result<(), StackFault> {
        let ready = child.ready(within).await;
        ready.map_err(|problem| self.fault(child.name(), problem))
    }

    pub(super) fn address(&self, port: &str) -> Option<String> {
        self.ports.get(port).map(|port| port.address().to_string())
    }

    pub(super) fn fault(&self, process: &str, problem: Problem) -> StackFault {
        StackFault::of(process, problem, &self.folder)
    }
}

/// The folder of the running program; tests run one folder deeper, in `deps`.
pub(super) fn binaries_beside_us() -> std::io::Result<PathBuf> {
    let program = env::current_exe()?;
    let folder = program.parent().unwrap_or(&program);
    let beside = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    Ok(beside.to_owned())
}

/// The programs that will be started and are not there; all of them, so that one build is enough.
fn missing_programs(binaries: &Path, options: &StackOptions) -> Vec<PathBuf> {
    let plays = options.members.iter().any(|member| matches!(member.app, App::Plays(_)));
    let guarded = options.members.iter().any(|member| member.sidecar.is_some());
    let wanted = [(true, CLI), (true, BROKER_PROGRAM), (plays, DEMO_APP), (guarded, SIDECAR_PROGRAM)];
    let programs =
        wanted.into_iter().filter(|(is_wanted, _name)| *is_wanted).map(|(_wanted, name)| binaries.join(name));
    programs.filter(|program| !program.is_file()).collect()
}

fn configured(file: &Path) -> Vec<String> {
    words(&["--config", &file.display().to_string(), "--exit-on-stdin-close"])
}

fn program_takes_log(recipe: &Recipe) -> bool {
    !recipe.program.ends_with(DEMO_APP)
}

pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
