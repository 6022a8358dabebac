//! Keycloak's distribution: from Maven, verified, unpacked, built with the options that cannot change later.

use std::{ffi::OsString, fs, path::Path, process::Command, time::Duration};

use super::log;
use crate::{
    cache::{Cache, keycloak_name},
    draft::Draft,
    environment,
    fault::FetchFault,
    pins,
    program::{self, run},
    progress::Progress,
};

/// Longest download: 170 MiB.
const DOWNLOAD: Duration = Duration::from_secs(15 * 60);
/// Longest unpacking.
const UNPACK: Duration = Duration::from_secs(3 * 60);
/// Longest build: half a minute on two cores.
const BUILD: Duration = Duration::from_secs(10 * 60);
/// Build options: a server started with `--optimized` can change none of them.
const OPTIONS: [&str; 4] = ["build", "--features=spiffe", "--db=dev-file", "--health-enabled=true"];
/// A small JVM that starts fast. Set whole: Keycloak's own choice of garbage collector does not go with another.
const JVM: &str = "-XX:MetaspaceSize=96M -XX:MaxMetaspaceSize=256m -Dfile.encoding=UTF-8 -XX:+ExitOnOutOfMemoryError \
    -Djava.security.egd=file:/dev/urandom -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xms64m -Xmx384m";

/// Gets and builds it.
pub(super) fn fetch(cache: &Cache, progress: &mut Progress<'_>) -> Result<(), FetchFault> {
    let name = keycloak_name();
    let log = log(cache, &name)?;
    let draft = Draft::new(cache.folder(), &name).map_err(FetchFault::at(cache.folder()))?;
    let archive = download(cache, &log, progress)?;
    let mut unpack = program::command("tar");
    unpack.args(["--extract", "--gzip", "--no-same-owner", "--strip-components=1", "--file"]);
    unpack.arg(archive.place().join(archive_name())).arg("--directory").arg(draft.place());
    run(unpack, "unpacking", UNPACK, &log, progress)?;
    drop(archive);
    let mut build = command(draft.place());
    build.args(OPTIONS);
    run(build, "building with the feature `spiffe`", BUILD, &log, progress)?;
    draft.finish().map_err(FetchFault::at(cache.folder()))?;
    fs::remove_file(&log).map_err(FetchFault::at(&log))
}

/// `kc.sh` of this home, in an environment that changes nothing.
pub(super) fn command(home: &Path) -> Command {
    let mut command = program::command(home.join("bin/kc.sh"));
    command.env_clear().envs(environment::for_keycloak()).env("JAVA_OPTS", JVM).current_dir(home);
    command
}

fn archive_name() -> String {
    format!("keycloak-quarkus-dist-{}.tar.gz", pins::KEYCLOAK)
}

/// The archive, verified, in a draft that is never finished.
fn download(cache: &Cache, log: &Path, progress: &mut Progress<'_>) -> Result<Draft, FetchFault> {
    let draft = Draft::new(cache.folder(), "keycloak-archive").map_err(FetchFault::at(cache.folder()))?;
    let mut output = OsString::from("-DoutputDirectory=");
    output.push(draft.place());
    let artifact = format!("-Dartifact=org.keycloak:keycloak-quarkus-dist:{}:tar.gz", pins::KEYCLOAK);
    let mut maven = program::command("mvn");
    // In a folder without a project, so that none has a say.
    maven.current_dir(draft.place()).args(["-q", "-B", "dependency:copy"]).arg(artifact).arg(output);
    run(maven, "getting the distribution, 170 MiB", DOWNLOAD, log, progress)?;
    let archive = draft.place().join(archive_name());
    let mut sum = Command::new("sha256sum");
    let output = sum.arg(&archive).output();
    let output = output.map_err(|source| FetchFault::Start { command: "sha256sum".to_owned(), source })?;
    let said = String::from_utf8_lossy(&output.stdout);
    match said.split_whitespace().next() {
        Some(pins::KEYCLOAK_SHA256) => Ok(draft),
        other => Err(FetchFault::Wrong(format!(
            "what came as Keycloak {} has the SHA-256 `{}`, not the pinned `{}`",
            pins::KEYCLOAK,
            other.unwrap_or("none"),
            pins::KEYCLOAK_SHA256
        ))),
    }
}
