//! Every pinned version of a real peer. Whoever changes one changes nothing else here or elsewhere, but for `spire/go.mod`
//! and `spire/go.sum` (a test holds them to this file) and for the Python environments in `python/`, which pin their own.

/// Keycloak: `org.keycloak:keycloak-quarkus-dist`.
pub const KEYCLOAK: &str = "26.7.3";
/// SHA-256 of Keycloak's distribution, `tar.gz`, in hexadecimal.
pub const KEYCLOAK_SHA256: &str = "77657f30b7e90d70f727712ce1c967f430fd6a5e9f458d32d8c6df0635345f47";
/// The Java releases that this Keycloak is made for.
pub const JAVA: [u32; 3] = [17, 21, 25];
/// SPIRE: server, agent and OIDC discovery provider. The Go that builds it stands in `spire/go.mod`.
pub const SPIRE: &str = "1.13.3";
/// The oldest Python that the environments in `python/` accept: major and minor.
pub const PYTHON_MIN: (u32, u32) = (3, 10);

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn the_go_module_builds_the_pinned_spire() {
        let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("spire/go.mod");
        let module = fs::read_to_string(module).expect("the module");
        let line = format!("github.com/spiffe/spire v{SPIRE}");
        assert!(module.lines().any(|found| found.trim().starts_with(&line)), "no `{line}`");
    }

    #[test]
    fn every_python_environment_is_pinned_line_by_line() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
        let files = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("a file").path());
        for file in files.filter(|file| file.extension().is_some_and(|ending| ending == "txt")) {
            let text = fs::read_to_string(&file).expect("text");
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            for line in lines {
                assert!(line.contains("=="), "{}: `{line}` is not pinned", file.display());
            }
        }
    }
}
