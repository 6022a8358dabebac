//! How the processes of a stack get their identities: the development Workload API knows them by their process, SPIRE
//! by their user and the path of their program.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    str::FromStr as _,
    time::Duration,
};

use identity::SpiffeId;

use super::{
    Problem,
    child::{Child, Recipe},
    leftover::make_passage,
};
use crate::{
    identity::Registrar,
    real::spire::{Entry, Spire},
};

/// The bits of a program that everybody may run.
const RUNS_FOR_ALL: u32 = 0o005;

/// Who gives identities.
#[derive(Debug)]
pub(super) enum Identities {
    /// The development Workload API. Dropped, it ends.
    Embedded(Registrar),
    /// SPIRE.
    Spire {
        spire: Spire,
        /// Where each workload's program lies in a folder of its own.
        programs: PathBuf,
        lives: Option<(Duration, Duration)>,
    },
}

impl Identities {
    /// What must be done before the processes start. SPIRE's entries take a while to reach the agent, so all at once.
    pub(super) async fn expect(&self, recipes: &mut [Recipe]) -> Result<(), Problem> {
        let Self::Spire { spire, programs, lives } = self else { return Ok(()) };
        let mut entries = Vec::new();
        for recipe in recipes.iter_mut().filter(|recipe| !recipe.identities.is_empty()) {
            let folder = programs.join(&recipe.name);
            recipe.program = place(&recipe.program, &folder, recipe.user)
                .map_err(|source| Problem::File { path: folder.clone(), source })?;
            recipe.environment.extend(let_the_agent_look());
            entries.extend(recipe.identities.iter().map(|(id, hint)| Entry {
                id: id.clone(),
                hint: hint.clone(),
                program: recipe.program.clone(),
                uid: recipe.user.unwrap_or_else(own_user),
                lives: *lives,
            }));
        }
        Ok(spire.admit(&entries).await?)
    }

    /// What must be done once a process is there.
    pub(super) async fn register(&self, child: &Child) -> Result<(), Problem> {
        let Self::Embedded(registrar) = self else { return Ok(()) };
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

    /// Gives the process `pid` the identity `id`; the embedded Workload API alone knows workloads by that.
    pub(super) async fn give(&self, pid: u32, id: &SpiffeId) -> Result<(), Problem> {
        let Self::Embedded(registrar) = self else { return Err(Problem::Id(id.to_string())) };
        Ok(registrar.register(pid, &[(id.clone(), None)]).await?)
    }

    /// Gives this very process the identity `id`, told apart by `hint`.
    pub(super) async fn give_us(&self, id: &SpiffeId, hint: &str) -> Result<(), Problem> {
        match self {
            Self::Embedded(registrar) => {
                Ok(registrar.register(std::process::id(), &[(id.clone(), Some(hint))]).await?)
            }
            Self::Spire { spire, lives, .. } => {
                let program = fs::read_link("/proc/self/exe").map_err(Problem::Spawn)?;
                let (id, hint) = (id.to_string(), hint.to_owned());
                Ok(spire.admit(&[Entry { id, hint, program, uid: own_user(), lives: *lives }]).await?)
            }
        }
    }
}

/// Puts a program into a folder of its own, by a second name for the same file where the file system lets us, and
/// returns its path as `/proc/PID/exe` will say it. A user of its own must be able to run it.
fn place(program: &Path, folder: &Path, user: Option<u32>) -> io::Result<PathBuf> {
    let name = program.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    for folder in folder.parent().into_iter().chain([folder]) {
        make_passage(folder)?;
    }
    let placed = folder.join(name);
    if placed.exists() {
        return fs::canonicalize(placed);
    }
    let runs_for_all = fs::metadata(program)?.permissions().mode() & RUNS_FOR_ALL == RUNS_FOR_ALL;
    let may_link = user.is_none() || runs_for_all;
    if !may_link || fs::hard_link(program, &placed).is_err() {
        fs::copy(program, &placed)?;
        fs::set_permissions(&placed, fs::Permissions::from_mode(0o755))?;
    }
    fs::canonicalize(placed)
}

/// An agent that is not root reads the path of a program only where the process lets itself be looked into.
fn let_the_agent_look() -> Option<(String, String)> {
    let is_root = own_user() == 0;
    (!is_root).then(|| ("COUNTERSIGN_DANGER_DUMPABLE".to_owned(), "true".to_owned()))
}

fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}
