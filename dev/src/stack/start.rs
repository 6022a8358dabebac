//! Starts the parts of a stack in the order in which they need each other, and each again on its own.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    str::FromStr as _,
};

use futures_util::future::try_join_all;
use identity::SpiffeId;

use super::{
    App, BROKER, IDENTITY, Leave, Member, PROVIDER, Port, Problem, Stack, StackFault, StackOptions,
    child::{Child, Recipe, sidecar_name},
    files::{self, Facts},
    folder::Folder,
};
use crate::identity::Registrar;

const CLI: &str = "countersign";
const BROKER_PROGRAM: &str = "countersign-broker";
const SIDECAR_PROGRAM: &str = "countersign-sidecar";
const DEMO_APP: &str = "countersign-demo-app";

/// What is there before the first process.
struct Ground {
    options: StackOptions,
    binaries: PathBuf,
    folder: Folder,
    ports: BTreeMap<String, Port>,
}

/// What runs once all is started.
struct Running {
    children: Vec<Child>,
    registrar: Registrar,
    workload_api: String,
    issuer: String,
}

/// Starts a stack. Dropped half-way, nothing stays; where something failed, the work folder does.
pub(super) async fn start(options: StackOptions) -> Result<Stack, StackFault> {
    let mut ground = Ground::prepare(options)?;
    match ground.start_all().await {
        Ok(Running { children, registrar, workload_api, issuer }) => {
            let Ground { options, folder, ports, .. } = ground;
            Ok(Stack { options, folder, children, registrar, workload_api, issuer, ports })
        }
        Err(fault) => {
            ground.folder.leave(Leave::Everything);
            Err(fault)
        }
    }
}

/// Starts a process again, in its old place.
pub(super) async fn revive(stack: &mut Stack, process: &str) -> Result<(), StackFault> {
    let place = stack.children.iter().position(|child| child.name() == process);
    let recipe = place.and_then(|place| stack.children.get(place)).map(|child| child.recipe().clone());
    let (Some(place), Some(recipe)) = (place, recipe.filter(|recipe| recipe.name != IDENTITY)) else {
        return Err(stack.fault(process, Problem::Unknown));
    };
    let started = async {
        let mut child = Child::start(recipe, None)?;
        register(&child, &stack.registrar).await?;
        child.ready(stack.options.ready_within).await?;
        Ok(child)
    };
    let child = started.await.map_err(|problem| stack.fault(process, problem))?;
    if let Some(held) = stack.children.get_mut(place) {
        *held = child;
    }
    Ok(())
}

impl Ground {
    fn prepare(options: StackOptions) -> Result<Self, StackFault> {
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
        let (registrar, servers_end) =
            Registrar::pair().map_err(|fault| self.fault(IDENTITY, Problem::Spawn(fault)))?;
        let mut identity = self.spawn(self.identity(), Some(servers_end))?;
        self.ready(&mut identity).await?;
        let workload_api = identity.address("socket").unwrap_or_default().to_owned();

        let mut first = vec![self.provider(&workload_api)];
        first.extend(self.options.members.iter().filter_map(|member| self.app(member, &workload_api)));
        let first = self.bring_up(first, &registrar).await?;
        let issuer = first.first().and_then(|provider| provider.address("issuer")).unwrap_or_default().to_owned();

        let facts = Facts {
            options: &self.options,
            folder: &self.folder,
            ports: &self.ports,
            workload_api: &workload_api,
            issuer: &issuer,
        };
        let broker = self.broker(&facts.write_broker()?);
        let sidecars = self.options.members.iter().filter(|member| member.sidecar.is_some());
        let sidecar = |member| Ok(self.sidecar(member, &facts.write_sidecar(member)?));
        let sidecars: Vec<_> = sidecars.map(sidecar).collect::<Result<_, StackFault>>()?;
        let broker = self.bring_up(vec![broker], &registrar).await?;
        let sidecars = self.bring_up(sidecars, &registrar).await?;

        let children = std::iter::once(identity).chain(first).chain(broker).chain(sidecars).collect();
        Ok(Running { children, registrar, workload_api, issuer })
    }

    fn identity(&self) -> Recipe {
        let socket = self.folder.socket().display().to_string();
        let mut arguments =
            words(&["dev", "identity", "--socket", &socket, "--trust-domain", &self.options.trust_domain]);
        arguments.extend(self.options.identity_arguments.iter().cloned());
        self.recipe(IDENTITY, CLI, arguments)
    }

    fn provider(&self, workload_api: &str) -> Recipe {
        let domain = &self.options.trust_domain;
        let mut arguments = words(&["dev", "provider", "--workload-api", workload_api, "--trust-domain", domain]);
        arguments.push("--exit-on-stdin-close".to_owned());
        arguments.extend(self.options.provider_arguments.iter().cloned());
        let recipe = self.recipe(PROVIDER, CLI, arguments);
        Recipe { identities: vec![(self.options.agent_id(PROVIDER), String::new())], ..recipe }
    }

    fn broker(&self, file: &Path) -> Recipe {
        let identities = vec![(self.options.agent_id(BROKER), String::new())];
        Recipe { identities, has_admin: true, ..self.recipe(BROKER, BROKER_PROGRAM, configured(file)) }
    }

    fn sidecar(&self, member: &Member, file: &Path) -> Recipe {
        let identities = member.sidecar.iter().map(|id| (id.clone(), String::new())).collect();
        let name = sidecar_name(&member.name);
        Recipe { identities, has_admin: true, ..self.recipe(&name, SIDECAR_PROGRAM, configured(file)) }
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

    fn recipe(&self, name: &str, program: &str, arguments: Vec<String>) -> Recipe {
        Recipe {
            name: name.to_owned(),
            program: self.binaries.join(program),
            arguments,
            environment: Vec::new(),
            identities: Vec::new(),
            log: self.folder.log(name),
            ready_file: self.folder.ready(name),
            has_admin: false,
        }
    }

    /// Starts the processes, gives each its identities at once, and waits until all are ready.
    async fn bring_up(&self, recipes: Vec<Recipe>, registrar: &Registrar) -> Result<Vec<Child>, StackFault> {
        try_join_all(recipes.into_iter().map(async |mut recipe| {
            if program_takes_log(&recipe) {
                recipe.arguments.extend(words(&["--log", &self.options.log]));
            }
            let mut child = self.spawn(recipe, None)?;
            register(&child, registrar).await.map_err(|problem| self.fault(child.name(), problem))?;
            self.ready(&mut child).await?;
            Ok(child)
        }))
        .await
    }

    fn spawn(&self, recipe: Recipe, stdin: Option<std::os::fd::OwnedFd>) -> Result<Child, StackFault> {
        let name = recipe.name.clone();
        Child::start(recipe, stdin).map_err(|problem| self.fault(&name, problem))
    }

    async fn ready(&self, child: &mut Child) -> Result<(), StackFault> {
        let ready = child.ready(self.options.ready_within).await;
        ready.map_err(|problem| self.fault(child.name(), problem))
    }

    fn address(&self, port: &str) -> Option<String> {
        self.ports.get(port).map(|port| port.address().to_string())
    }

    fn fault(&self, process: &str, problem: Problem) -> StackFault {
        StackFault::of(process, problem, &self.folder)
    }
}

async fn register(child: &Child, registrar: &Registrar) -> Result<(), Problem> {
    let identities = child.recipe().identities.iter().map(|(id, hint)| {
        let parsed = SpiffeId::from_str(id).map_err(|_malformed| Problem::Id(id.clone()))?;
        Ok((parsed, Some(hint.as_str()).filter(|hint| !hint.is_empty())))
    });
    let identities: Vec<_> = identities.collect::<Result<_, Problem>>()?;
    match child.pid() {
        Some(pid) if !identities.is_empty() => Ok(registrar.register(pid, &identities).await?),
        Some(_) | None => Ok(()),
    }
}

/// The folder of the running program; tests run one folder deeper, in `deps`.
fn binaries_beside_us() -> std::io::Result<PathBuf> {
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

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
