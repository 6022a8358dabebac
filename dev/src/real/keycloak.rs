//! Keycloak: a copy of the built distribution with the restored database, and the command that starts it.

use std::{fs, io, net::SocketAddr, path::Path};

use crate::stack::KeycloakSpeed;

/// The realm of the restored database.
pub(crate) const REALM: &str = "agents";

/// What every JVM of ours is told, as `kc.sh` does.
const JVM: [&str; 6] = [
    "-XX:MetaspaceSize=96M",
    "-XX:MaxMetaspaceSize=256m",
    "-Dfile.encoding=UTF-8",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.security.egd=file:/dev/urandom",
    "-Xms64m",
];
/// A small JVM that starts fast. It is not for measuring: no C2.
const STARTS_FAST: [&str; 3] = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx384m"];
/// Keycloak's own defaults.
const RUNS_FAST: [&str; 2] = ["-XX:+UseG1GC", "-Xmx512m"];
/// What `kc.sh` adds. It is not used itself: it would stand between us and the program.
const AS_KC_SH: [&str; 10] = [
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
    "--add-opens=java.base/java.security=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "-Duser.language=en",
    "-Duser.country=US",
    "-Djava.util.concurrent.ForkJoinPool.common.threadFactory=io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory",
    "-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
    "-Dpicocli.disable.closures=true",
    "-Dquarkus-log-max-startup-records=10000",
];

/// Where a Keycloak listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) main: SocketAddr,
    pub(crate) management: SocketAddr,
}

impl Ports {
    /// Base URL: the issuer without the realm.
    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.main)
    }

    /// Answers 200 once Keycloak is ready; the body says `UP` earlier.
    pub(crate) fn ready_url(&self) -> String {
        format!("http://{}/health/ready", self.management)
    }
}

/// Makes a home of its own in `home`, with the database as it was after the import.
pub(crate) fn prepare(keycloak: &peers::Keycloak, home: &Path) -> io::Result<()> {
    peers::second_home(keycloak, home)?;
    let data = home.join("data/h2");
    fs::create_dir_all(&data)?;
    fs::copy(&keycloak.seed, data.join("keycloakdb.mv.db"))?;
    Ok(())
}

/// The command that runs the Keycloak of `home`.
pub(crate) fn command(home: &Path, ports: &Ports, speed: KeycloakSpeed) -> Vec<String> {
    let at = |name: &str| home.join(name).display().to_string();
    let mut command = vec![peers::java().display().to_string()];
    let tuned: &[&str] = match speed {
        KeycloakSpeed::StartsFast => &STARTS_FAST,
        KeycloakSpeed::RunsFast => &RUNS_FAST,
    };
    command.extend(JVM.iter().chain(tuned).chain(&AS_KC_SH).map(|word| (*word).to_owned()));
    command.extend([
        format!("-Dkc.home.dir={}", home.display()),
        format!("-Djboss.server.config.dir={}", at("conf")),
        "-cp".to_owned(),
        at("lib/quarkus-run.jar"),
        "io.quarkus.bootstrap.runner.QuarkusEntryPoint".to_owned(),
        "start".to_owned(),
        "--optimized".to_owned(),
        "--http-enabled=true".to_owned(),
        format!("--http-host={}", ports.main.ip()),
        format!("--http-port={}", ports.main.port()),
        format!("--http-management-port={}", ports.management.port()),
        // Without it nodes would find each other through the network.
        "--cache=local".to_owned(),
        // Pinned, so that the issuer does not follow the Host header.
        format!("--hostname={}", ports.base()),
        "--log-level=info,io.smallrye.health:off".to_owned(),
    ]);
    command
}
