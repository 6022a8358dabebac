//! The database that every run of Keycloak starts from: the realm files imported, the administrator made. A second home
//! does it, so that the distribution stays as it was built.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
    process::{Command, ExitStatus},
    time::Duration,
};

use super::{http, keycloak, log};
use crate::{
    cache::{Cache, DATABASE, REALM_FILES},
    development::{ADMIN, VARIABLES},
    draft::Draft,
    fault::FetchFault,
    home,
    program::{Program, run},
    progress::Progress,
};

/// Longest import: 22 s on two cores.
const IMPORT: Duration = Duration::from_secs(5 * 60);
/// Longest start: 10 s on two cores.
const START: Duration = Duration::from_secs(5 * 60);
/// Keycloak warns of a misspelt scope, and imports the client without it.
const MISSPELT: &str = "Referenced client scope";

/// Makes it.
pub(super) fn make(cache: &Cache, progress: &mut Progress<'_>) -> Result<(), FetchFault> {
    let realm = cache.realm_folder();
    let name = cache.seed_name().map_err(FetchFault::at(&realm))?;
    let log = log(cache, &name)?;
    let draft = Draft::new(cache.folder(), &name).map_err(FetchFault::at(cache.folder()))?;
    // Never finished: it goes with everything that the database does not need.
    let scratch = Draft::new(cache.folder(), "keycloak-home").map_err(FetchFault::at(cache.folder()))?;
    let home = scratch.place();
    home::of_distribution(&cache.keycloak_home(), home).map_err(FetchFault::at(home))?;
    let joined = home.join("agents.json");
    fs::write(&joined, join(&realm)?).map_err(FetchFault::at(&joined))?;
    let mut import = keycloak::command(home);
    // The import makes the database, so the administrator must be named here already.
    import.env("KC_BOOTSTRAP_ADMIN_USERNAME", ADMIN.0).env("KC_BOOTSTRAP_ADMIN_PASSWORD", ADMIN.1);
    import.envs(VARIABLES).args(["import", "--optimized", "--file"]).arg(&joined);
    run(import, "importing the realm", IMPORT, &log, progress)?;
    nothing_misspelt(&log)?;
    start_once(home, &log, progress)?;
    let database = home.join("data/h2").join(DATABASE);
    fs::copy(&database, draft.place().join(DATABASE)).map_err(FetchFault::at(&database))?;
    draft.finish().map_err(FetchFault::at(cache.folder()))?;
    fs::remove_file(&log).map_err(FetchFault::at(&log))
}

/// The realm file to import, with every variable that it needs given.
fn join(folder: &Path) -> Result<Vec<u8>, FetchFault> {
    let files = REALM_FILES.map(|file| folder.join(file));
    output(Command::new("python3").arg(folder.join("check-variables")).args(&files).envs(VARIABLES))?;
    output(Command::new("python3").arg(folder.join("join")).args(&files))
}

/// A first start, which leaves the database as every later one finds it, and shows that its administrator can sign in.
fn start_once(home: &Path, log: &Path, progress: &mut Progress<'_>) -> Result<(), FetchFault> {
    let doing = "starting it once";
    progress.say(&format!("{doing} …"));
    let [port, management] = http::free_ports().map_err(FetchFault::at(home))?;
    let (user, password) = ADMIN;
    let mut start = command(home);
    start.args(["start", "--optimized", "--http-enabled=true", "--http-host=127.0.0.1", "--cache=local"]);
    start.args([format!("--http-port={port}"), format!("--http-management-port={management}")]);
    start.args([format!("--hostname=http://127.0.0.1:{port}"), "--log-level=info,io.smallrye.health:off".to_owned()]);
    let mut server = Program::start(&mut start, log)?;
    let ready = |server: &mut Program| look(server, management);
    if let Start::Ended(status) = server.wait_until(START, doing, progress, ready)? {
        return Err(server.failed(status));
    }
    let form = format!("grant_type=password&client_id=admin-cli&username={user}&password={password}");
    let signed_in = http::post(port, "/realms/master/protocol/openid-connect/token", &form);
    let realm = http::get(port, "/realms/agents");
    server.stop(progress)?;
    for (what, answer) in [("its administrator's sign-in", signed_in), ("its realm `agents`", realm)] {
        match answer {
            Ok(200) => {}
            Ok(status) => return Err(FetchFault::Wrong(format!("{what} answers {status}"))),
            Err(fault) => return Err(FetchFault::Wrong(format!("{what} does not answer: {fault}"))),
        }
    }
    Ok(())
}

/// `kc.sh` that makes the administrator where the database is new, which it is for the import alone.
fn command(home: &Path) -> Command {
    let (user, password) = ADMIN;
    let mut command = keycloak::command(home);
    command.env("KC_BOOTSTRAP_ADMIN_USERNAME", user).env("KC_BOOTSTRAP_ADMIN_PASSWORD", password);
    command
}

/// How a start went.
enum Start {
    Ready,
    Ended(ExitStatus),
}

/// The status alone counts: the body says `UP` earlier.
fn look(server: &mut Program, management: u16) -> io::Result<Option<Start>> {
    if let Some(status) = server.ended()? {
        return Ok(Some(Start::Ended(status)));
    }
    Ok(http::get(management, "/health/ready").is_ok_and(|status| status == 200).then_some(Start::Ready))
}

fn nothing_misspelt(log: &Path) -> Result<(), FetchFault> {
    let mut said = String::new();
    fs::File::open(log).and_then(|mut file| file.read_to_string(&mut said)).map_err(FetchFault::at(log))?;
    match said.lines().find(|line| line.contains(MISSPELT)) {
        Some(line) => Err(FetchFault::Wrong(format!("the realm files name a scope that they do not make: {line}"))),
        None => Ok(()),
    }
}

/// What one of our own small programs prints.
fn output(command: &mut Command) -> Result<Vec<u8>, FetchFault> {
    let shown = format!("{command:?}");
    let output = command.output().map_err(|source| FetchFault::Start { command: shown.clone(), source })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(FetchFault::Wrong(format!("{shown} failed: {}\n{}", output.status, said.trim_end())))
}
