//! DEVELOPMENT ONLY. A guest of a running stack: a workload whose sidecar and app somebody else starts
//! (`countersign run`). The stack says how, writes the sidecar's file, and gives the process its identity.
//! A guest's process is never the stack's child, and a guest never gets more than one identity.

use std::{
    fs::{self, File},
    io::Read as _,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use identity::SpiffeId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    BROKER, IDENTITY, Problem, Stack, StackFault,
    child::{Child, Recipe, sidecar_name},
    files::ISSUER,
    start::{SIDECAR_PROGRAM, binaries_beside_us},
    users,
    yaml::to_yaml,
};

/// Longest file of certificate authorities: ten times those of a system.
const OUTSIDE_LENGTH_MAX: u64 = 4 * 1024 * 1024;

/// A workload that may join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Name: of its files and of its log.
    pub name: String,
    /// Its SPIFFE ID.
    pub id: SpiffeId,
}

/// Where a guest's sidecar listens, and where its app does.
#[derive(Clone, Copy, Debug)]
pub struct GuestDoors {
    /// The app.
    pub app: SocketAddr,
    /// For other sidecars.
    pub mesh: SocketAddr,
    /// For the app's calls inside a transaction.
    pub agent: SocketAddr,
    /// For users; `None`: closed.
    pub edge: Option<SocketAddr>,
    /// For the app's calls in the workload's own name; `None`: closed.
    pub own: Option<SocketAddr>,
}

/// All that is needed to start a guest's sidecar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SidecarRecipe {
    /// Name of the process.
    pub name: String,
    /// The program; SPIRE may know the workload by this very path.
    pub program: PathBuf,
    /// Its arguments, less `--ready-file`.
    pub arguments: Vec<String>,
    /// The whole of its environment.
    pub environment: Vec<(String, String)>,
    /// Where its output goes.
    pub log: PathBuf,
    /// Where it tells its addresses.
    pub ready_file: PathBuf,
    /// The user that it runs as; `None`: whoever starts it.
    pub user: Option<u32>,
}

/// A guest's sidecar, started by whoever got the recipe. It ends with its starter, however that ends.
#[derive(Debug)]
pub struct GuestSidecar(Child);

impl Stack {
    /// The broker's issuer.
    #[must_use]
    pub fn broker_issuer(&self) -> &str {
        self.options.broker.get("issuer").and_then(Value::as_str).unwrap_or(ISSUER)
    }

    /// Makes ready for `guest`, whose file was written: where identities go by the path of the program, it gets a program
    /// and an entry of its own, and a user of its own where members have one. To be called once for a guest; the recipe
    /// serves for every start of its sidecar.
    ///
    /// # Errors
    /// SPIRE refuses, or the program is missing or cannot be placed.
    pub async fn expect_guest(&self, guest: &Guest) -> Result<SidecarRecipe, StackFault> {
        let name = sidecar_name(&guest.name);
        let programs = self.options.binaries.clone().map_or_else(binaries_beside_us, Ok);
        let programs = programs.map_err(|fault| self.fault(&name, Problem::Spawn(fault)))?;
        let log = format!("--log={}", self.options.log);
        let arguments = ["--config", &self.guest_file(guest), "--exit-on-stdin-close", &log];
        let files = [self.folder.path().join(file_name(guest))];
        let user = users::own(&self.options.peers, &name, &self.folder, &files);
        let recipe = Recipe {
            user: user.map_err(|problem| self.fault(&name, problem))?,
            program: programs.join(SIDECAR_PROGRAM),
            arguments: arguments.map(str::to_owned).to_vec(),
            held: Vec::new(),
            environment: Vec::new(),
            identities: vec![(guest.id.to_string(), String::new())],
            log: self.folder.log(&name),
            ready_file: self.folder.ready(&name),
            has_admin: true,
            name,
        };
        if !recipe.program.is_file() {
            return Err(self.fault(&recipe.name, Problem::NoProgram(vec![recipe.program.clone()])));
        }
        let mut recipes = [recipe];
        let expected = self.identities.expect(&mut recipes).await;
        let [Recipe { name, program, arguments, environment, log, ready_file, user, .. }] = recipes;
        expected.map_err(|problem| self.fault(&name, problem))?;
        Ok(SidecarRecipe { name, program, arguments, environment, log, ready_file, user })
    }

    /// Writes the file of `guest`'s sidecar. `outside`: who vouches for services at `https://`.
    ///
    /// # Errors
    /// The file cannot be written, or that of `outside` not be read.
    pub fn write_guest(&self, guest: &Guest, doors: &GuestDoors, outside: Option<&Path>) -> Result<(), StackFault> {
        let mut file = json!({
            "workload_api": self.workload_api,
            "broker": {
                "url": format!("https://{}", self.broker_token_address()),
                "id": self.options.agent_id(BROKER),
            },
            "app": format!("http://{}", doors.app),
            "mesh": { "listen": doors.mesh.to_string() },
            "agent": { "listen": doors.agent.to_string() },
            "admin": { "listen": "127.0.0.1:0" },
        });
        let outside = outside.map(|authorities| self.readable(guest, authorities)).transpose()?;
        if let Some(members) = file.as_object_mut() {
            let edge = doors.edge.map(|edge| json!({ "listen": edge.to_string(), "danger_plain": true }));
            members.extend(edge.map(|edge| ("edge".to_owned(), edge)));
            let own = doors.own.map(|own| json!({ "listen": own.to_string() }));
            members.extend(own.map(|own| ("self".to_owned(), own)));
            let outside = outside.map(|authorities| json!({ "ca": authorities.display().to_string() }));
            members.extend(outside.map(|outside| ("outside".to_owned(), outside)));
        }
        self.folder.write(&file_name(guest), to_yaml(&file).as_bytes()).map(drop)
    }

    /// Gives the process with `pid`, which was started by a recipe, the identity of `guest`. It ends with the process.
    ///
    /// # Errors
    /// [`Problem::Register`]: there is no such process.
    pub async fn admit_guest(&self, guest: &Guest, pid: u32) -> Result<(), StackFault> {
        // SPIRE knows it by the path of its program.
        let Some(registrar) = self.registrar() else { return Ok(()) };
        let registered = registrar.register(pid, &[(guest.id.clone(), None)]).await;
        registered.map_err(|fault| self.fault(IDENTITY, fault.into()))
    }

    /// A file of the user's as the sidecar can read it: where it runs as somebody else, by a copy.
    fn readable(&self, guest: &Guest, file: &Path) -> Result<PathBuf, StackFault> {
        if !users::are_own(&self.options.peers) {
            return Ok(file.to_owned());
        }
        let name = sidecar_name(&guest.name);
        let failed = |path: &Path, source| self.fault(&name, Problem::File { path: path.to_owned(), source });
        let copy = self.folder.path().join(format!("{name}-outside.pem"));
        let mut authorities = Vec::new();
        let read = File::open(file).and_then(|opened| opened.take(OUTSIDE_LENGTH_MAX).read_to_end(&mut authorities));
        read.map_err(|source| failed(file, source))?;
        // Certificates are no secret.
        let written = fs::write(&copy, authorities);
        written
            .and_then(|()| fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)))
            .map_err(|source| failed(&copy, source))?;
        Ok(copy)
    }

    fn guest_file(&self, guest: &Guest) -> String {
        self.folder.path().join(file_name(guest)).display().to_string()
    }
}

impl GuestSidecar {
    /// Starts the sidecar.
    ///
    /// # Errors
    /// The program or a file that it needs is missing.
    pub fn start(recipe: &SidecarRecipe) -> Result<Self, Problem> {
        let SidecarRecipe { name, program, arguments, environment, log, ready_file, user } = recipe.clone();
        let (held, identities) = (Vec::new(), Vec::new());
        let has_admin = true;
        let recipe =
            Recipe { name, program, arguments, held, environment, user, identities, log, ready_file, has_admin };
        Child::start(recipe, None).map(Self)
    }

    /// Waits until it serves, at most `within`. It can be asked again.
    ///
    /// # Errors
    /// [`Problem::Ended`], [`Problem::NotReady`] with what it waits for.
    pub async fn ready(&mut self, within: Duration) -> Result<(), Problem> {
        self.0.ready(within).await
    }

    /// Process id; `None` once it ended.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.0.pid()
    }

    /// `host:port` of a door, once it is ready.
    #[must_use]
    pub fn address(&self, door: &str) -> Option<&str> {
        self.0.address(door)
    }

    /// How it ended, if it did and was not told to.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.0.ended()
    }

    /// Ends it in order. Dropped half-way, it is killed with this value.
    pub async fn stop(&mut self) {
        self.0.stop().await;
    }
}

fn file_name(guest: &Guest) -> String {
    format!("{}.yaml", sidecar_name(&guest.name))
}
