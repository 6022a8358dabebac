//! Where things are: the checkout, the target folder, the tools. The only file here that reads the environment.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// The package of the end-to-end tests; its test target is a stage of its own.
const END_TO_END: &str = "e2e";

/// The checkout and its tools.
#[derive(Debug)]
pub(crate) struct Place {
    /// The workspace's folder.
    pub(crate) root: PathBuf,
    /// Where cargo builds to: `CARGO_TARGET_DIR`, cargo's configuration, or `target`.
    pub(crate) target: PathBuf,
    /// Names of the test targets under `tests/` of every crate but the end-to-end one.
    pub(crate) integration_tests: Vec<String>,
    /// The C compiler: `CC`, else `cc`.
    pub(crate) c_compiler: OsString,
    cargo: OsString,
}

impl Place {
    /// Asks cargo where it is.
    ///
    /// # Errors
    /// Cargo cannot be started, or does not accept the workspace.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut metadata = Command::new(&cargo);
        metadata.current_dir(here).args(["metadata", "--no-deps", "--format-version", "1"]);
        let output = metadata.output().with_context(|| format!("`{}` cannot be started", cargo.display()))?;
        if !output.status.success() {
            bail!("cargo does not accept the workspace: {}", String::from_utf8_lossy(&output.stderr).trim_end());
        }
        let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata is no JSON")?;
        let folder = |name: &str| {
            let path = metadata.get(name).and_then(Value::as_str).map(PathBuf::from);
            path.with_context(|| format!("cargo metadata holds no `{name}`"))
        };
        Ok(Self {
            root: folder("workspace_root")?,
            target: folder("target_directory")?,
            integration_tests: integration_tests(&metadata),
            c_compiler: env::var_os("CC").unwrap_or_else(|| "cc".into()),
            cargo,
        })
    }

    /// Where the development build of a program lies.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(name)
    }

    /// Cargo in the checkout, in the environment of somebody who types it: what `cargo run` set for this program itself
    /// is taken away, so that both find the same things built.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new(&self.cargo);
        cargo.current_dir(&self.root);
        let own = ["CARGO_BIN_NAME", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE"];
        for (name, _value) in env::vars_os() {
            let Some(text) = name.to_str() else { continue };
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || own.contains(&text) {
                cargo.env_remove(&name);
            }
        }
        cargo
    }
}

fn integration_tests(metadata: &Value) -> Vec<String> {
    let list = |value: &Value, name: &str| value.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let packages = list(metadata, "packages");
    let others = packages.iter().filter(|package| package.get("name").and_then(Value::as_str) != Some(END_TO_END));
    let targets = others.flat_map(|package| list(package, "targets"));
    let tests = targets.filter(|target| list(target, "kind").contains(&Value::from("test")));
    let mut names: Vec<String> =
        tests.filter_map(|target| target.get("name").and_then(Value::as_str).map(str::to_owned)).collect();
    names.sort();
    names.dedup();
    names
}
