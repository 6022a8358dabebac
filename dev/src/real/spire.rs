//! SPIRE: one server, one agent on the same machine (node attestation by a certificate, `x509pop`), and the server's
//! JWT keys over plain HTTP for Keycloak. Workloads are told apart by their user and by the path of their program.

mod config;
mod node;

use std::{
    fs::{DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

pub(crate) use self::config::Ports;

/// Longest run of one SPIRE command. They take under 0.1 s on an idle machine.
const COMMAND_MAX: Duration = Duration::from_secs(20);
/// Life of X509-SVIDs and JWT-SVIDs where nothing else is said.
const X509_LIFE: Duration = Duration::from_secs(300);
const JWT_LIFE: Duration = Duration::from_secs(60);

/// A SPIRE of a stack's own. It tells the running server what to do; the processes are the stack's.
#[derive(Clone, Debug)]
pub struct Spire {
    programs: peers::Spire,
    folder: PathBuf,
    trust_domain: String,
    ports: Ports,
}

/// A workload that SPIRE shall know.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its SPIFFE ID.
    pub id: String,
    /// Tells several identities of one program apart; may be empty.
    pub hint: String,
    /// Where its program lies, as `/proc/PID/exe` says it.
    pub program: PathBuf,
    /// The user that it runs as.
    pub uid: u32,
    /// Life of its X509-SVIDs and JWT-SVIDs; `None`: 5 minutes and 1 minute.
    pub lives: Option<(Duration, Duration)>,
}

/// Which of SPIRE's authorities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// Signs X509-SVIDs.
    X509,
    /// Signs JWT-SVIDs.
    Jwt,
}

/// Why SPIRE did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum SpireFault {
    /// A file could not be written.
    #[error("`{}` cannot be written", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The node's certificate could not be made.
    #[error("the node's certificate cannot be made")]
    Certificate(#[from] rcgen::Error),
    /// The command could not be run, or not in time.
    #[error("`spire-server {0}` cannot be run")]
    Run(String, #[source] io::Error),
    /// SPIRE said no.
    #[error("`spire-server {command}`: {told}")]
    Refused {
        /// The command's first words.
        command: String,
        /// What SPIRE said.
        told: String,
    },
    /// An answer is not what its version gives.
    #[error("`spire-server {0}` gave another answer than expected")]
    Answer(String),
}

impl Spire {
    /// Writes everything that server, agent and key server read into `folder`, which is there and short in name.
    pub(crate) fn prepare(
        programs: peers::Spire,
        folder: &Path,
        trust_domain: &str,
        ports: Ports,
    ) -> Result<Self, SpireFault> {
        let spire = Self { programs, folder: folder.to_owned(), trust_domain: trust_domain.to_owned(), ports };
        for name in ["server", "agent"] {
            let path = folder.join(name);
            let made = DirBuilder::new().mode(0o700).create(&path);
            made.map_err(|source| SpireFault::File { path, source })?;
        }
        for (name, text) in node::certificates()? {
            spire.write(name, &text)?;
        }
        spire.write("server.conf", &config::server(&spire))?;
        spire.write("agent.conf", &config::agent(&spire))?;
        spire.write("keys.conf", &config::keys(&spire))?;
        Ok(spire)
    }

    /// The command of the server.
    pub(crate) fn server_command(&self) -> Vec<String> {
        self.command(&self.programs.server, &["run", "-config"], "server.conf")
    }

    /// The command of the agent. [`Spire::admit_node`] comes before its first start.
    pub(crate) fn agent_command(&self) -> Vec<String> {
        self.command(&self.programs.agent, &["run", "-config"], "agent.conf")
    }

    /// The command of the server that publishes the JWT keys.
    pub(crate) fn keys_command(&self) -> Vec<String> {
        self.command(&self.programs.discovery, &["-config"], "keys.conf")
    }

    /// The Workload API: `unix:///…`.
    pub(crate) fn workload_api(&self) -> String {
        format!("unix://{}", self.folder.join("agent.sock").display())
    }

    /// Where the JWT keys are published, for Keycloak.
    #[must_use]
    pub fn keys_url(&self) -> String {
        format!("http://{}/keys", self.ports.keys)
    }

    /// Lets the agent in: its trust bundle, and the entry that gives its certificate the node's name. To be repeated
    /// before a first start of an agent after the X.509 authority was replaced.
    ///
    /// # Errors
    /// [`SpireFault`].
    pub async fn admit_node(&self) -> Result<(), SpireFault> {
        let bundle = self.run(&["bundle", "show"], None).await?;
        self.write("bundle.pem", &bundle)?;
        let (node, selector) = (self.node(), format!("x509pop:subject:cn:{}", node::NAME));
        self.run(&["entry", "create", "-node", "-spiffeID", &node, "-selector", &selector], None).await?;
        Ok(())
    }

    /// Lets workloads in. The agent gives them their SVIDs after 0.2–0.5 s.
    ///
    /// # Errors
    /// [`SpireFault`]; an entry that is there already is refused.
    pub async fn admit(&self, entries: &[Entry]) -> Result<(), SpireFault> {
        if entries.is_empty() {
            return Ok(());
        }
        let entries: Vec<_> = entries.iter().map(|entry| self.entry(entry)).collect();
        let text = json!({ "entries": entries }).to_string();
        self.run(&["entry", "create", "-data", "-"], Some(&text)).await?;
        Ok(())
    }

    /// Takes all entries of a SPIFFE ID away.
    ///
    /// # Errors
    /// [`SpireFault`].
    pub async fn expel(&self, id: &str) -> Result<(), SpireFault> {
        let shown = self.ask(&["entry", "show", "-spiffeID", id]).await?;
        let entries = shown.get("entries").and_then(Value::as_array).cloned().unwrap_or_default();
        for entry in entries.iter().filter_map(|entry| entry.get("id").and_then(Value::as_str)) {
            self.run(&["entry", "delete", "-entryID", entry], None).await?;
        }
        Ok(())
    }

    /// Makes the next authority: from now on workloads trust it, and nothing is signed by it yet. Returns its id.
    ///
    /// # Errors
    /// [`SpireFault`].
    pub async fn prepare_authority(&self, authority: Authority) -> Result<String, SpireFault> {
        self.authority_id(authority, "prepare", "/prepared_authority/authority_id", &[]).await
    }

    /// Signs with the prepared authority from now on. Returns the id of the one that this replaces.
    ///
    /// # Errors
    /// [`SpireFault`].
    pub async fn activate_authority(&self, authority: Authority, id: &str) -> Result<String, SpireFault> {
        self.ask(&["localauthority", authority.word(), "activate", "-authorityID", id]).await?;
        self.authority_id(authority, "show", "/old/authority_id", &[]).await
    }

    /// What the old authority signed is signed anew at once.
    ///
    /// # Errors
    /// [`SpireFault`].
    pub async fn taint_authority(&self, authority: Authority, id: &str) -> Result<(), SpireFault> {
        self.ask(&["localauthority", authority.word(), "taint", "-authorityID", id]).await.map(drop)
    }

    /// The tainted authority is believed by nobody any more.
    ///
    /// # Errors
    /// [`SpireFault`].
    pub async fn revoke_authority(&self, authority: Authority, id: &str) -> Result<(), SpireFault> {
        self.ask(&["localauthority", authority.word(), "revoke", "-authorityID", id]).await.map(drop)
    }

    async fn authority_id(
        &self,
        authority: Authority,
        verb: &str,
        pointer: &str,
        more: &[&str],
    ) -> Result<String, SpireFault> {
        let mut words = vec!["localauthority", authority.word(), verb];
        words.extend_from_slice(more);
        let answer = self.ask(&words).await?;
        let id = answer.pointer(pointer).and_then(Value::as_str);
        id.map(str::to_owned).ok_or_else(|| SpireFault::Answer(words.join(" ")))
    }

    fn entry(&self, entry: &Entry) -> Value {
        let (x509, jwt) = entry.lives.unwrap_or((X509_LIFE, JWT_LIFE));
        json!({
            "parent_id": self.node(),
            "spiffe_id": entry.id,
            "hint": entry.hint,
            "selectors": [
                { "type": "unix", "value": format!("uid:{}", entry.uid) },
                { "type": "unix", "value": format!("path:{}", entry.program.display()) },
            ],
            "x509_svid_ttl": x509.as_secs(),
            "jwt_svid_ttl": jwt.as_secs(),
        })
    }

    /// The agent's SPIFFE ID, the parent of every workload's entry.
    pub(crate) fn node(&self) -> String {
        format!("spiffe://{}/node", self.trust_domain)
    }

    fn command(&self, program: &Path, words: &[&str], file: &str) -> Vec<String> {
        let mut command = vec![program.display().to_string()];
        command.extend(words.iter().map(|word| (*word).to_owned()));
        command.push(self.folder.join(file).display().to_string());
        command
    }

    /// Whoever speaks to this socket decides who is who, so it lies in the server's folder, which is its owner's alone:
    /// SPIRE lets the owner's group speak to it.
    pub(crate) fn admin_socket(&self) -> PathBuf {
        self.folder.join("server/api.sock")
    }

    /// The folder lets others through to the Workload API, and the node's key would make any of them the node.
    fn write(&self, name: &str, text: &str) -> Result<(), SpireFault> {
        let path = self.folder.join(name);
        let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|source| SpireFault::File { path, source })
    }

    /// A command whose answer is JSON.
    async fn ask(&self, words: &[&str]) -> Result<Value, SpireFault> {
        let mut words = words.to_vec();
        words.extend(["-output", "json"]);
        let text = self.run(&words, None).await?;
        serde_json::from_str(&text).map_err(|_other| SpireFault::Answer(words.join(" ")))
    }

    /// Runs `spire-server`; returns what it printed.
    async fn run(&self, words: &[&str], input: Option<&str>) -> Result<String, SpireFault> {
        let name = words.iter().take(3).copied().collect::<Vec<_>>().join(" ");
        let ran = timeout(COMMAND_MAX, self.output(words, input))
            .await
            .unwrap_or_else(|_elapsed| Err(io::Error::new(io::ErrorKind::TimedOut, "it did not end in time")));
        let output = ran.map_err(|source| SpireFault::Run(name.clone(), source))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let told = [output.stdout, output.stderr].concat();
        Err(SpireFault::Refused { command: name, told: String::from_utf8_lossy(&told).trim().to_owned() })
    }

    async fn output(&self, words: &[&str], input: Option<&str>) -> io::Result<Output> {
        let mut child = Command::new(&self.programs.server)
            .args(words)
            .args(["-socketPath", &self.admin_socket().display().to_string()])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            stdin.write_all(input.as_bytes()).await?;
        }
        child.wait_with_output().await
    }
}

impl Authority {
    const fn word(self) -> &'static str {
        match self {
            Self::X509 => "x509",
            Self::Jwt => "jwt",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::up::tests::Scratch;

    #[test]
    fn nobody_else_reads_a_key_or_reaches_the_admin_socket() {
        let scratch = Scratch::new();
        let programs = peers::Spire { server: "/s".into(), agent: "/a".into(), discovery: "/d".into() };
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let ports = Ports { server: address, server_health: address, agent_health: address, keys: address };
        let folder = scratch.path("spire");
        std::fs::create_dir(&folder).expect("made");
        let spire = Spire::prepare(programs, &folder, "corp.example", ports).expect("prepared");
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        for entry in std::fs::read_dir(&folder).expect("read").map(|entry| entry.expect("an entry").path()) {
            assert_eq!(mode(&entry) & 0o077, 0, "{}", entry.display());
        }
        let socket = spire.admin_socket();
        assert_eq!(mode(socket.parent().expect("a folder")), 0o700, "SPIRE gives the socket to the group");
        assert!(config::server(&spire).contains(&format!("socket_path = \"{}\"", socket.display())));
    }
}
