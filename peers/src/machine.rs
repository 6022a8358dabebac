//! Whether this machine has the programs that get and run the peers, each with the command that gets it on Debian.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use crate::{
    cache::{Cache, What},
    environment, pins,
};

/// A program that the machine lacks, or has in the wrong version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// What it is, and what was found instead.
    pub what: String,
    /// The command that gets it.
    pub remedy: String,
}

/// A program that we start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tool {
    Java,
    Maven,
    Tar,
    Go,
    C,
    Python,
}

/// Looks for every program that is needed to run these peers and, where they are not in the cache, to get them. What was
/// found is told in a few words.
#[must_use]
pub fn machine(cache: &Cache, what: &[What]) -> Vec<Result<String, Lacking>> {
    let missing = cache.missing(what);
    let mut tools: BTreeSet<Tool> = BTreeSet::new();
    for what in what {
        let get = missing.contains(what);
        tools.extend(match what {
            What::Keycloak if get => [Tool::Java, Tool::Maven, Tool::Tar, Tool::Python].as_slice(),
            What::Keycloak => &[Tool::Java],
            What::Spire if get => &[Tool::Go, Tool::C],
            What::Spire => &[],
            What::Python(_) => &[Tool::Python],
        });
    }
    tools.into_iter().map(|tool| tool.look(cache)).collect()
}

impl Tool {
    fn look(self, cache: &Cache) -> Result<String, Lacking> {
        match self {
            Self::Java => java(),
            Self::Maven => plain("mvn", "Maven", "maven"),
            Self::Tar => plain("tar", "tar", "tar"),
            Self::Go => go(&cache.spire_module()),
            Self::C => c_compiler(),
            Self::Python => python(),
        }
    }
}

fn java() -> Result<String, Lacking> {
    let said = answer(Command::new(environment::java()).arg("-version"));
    match said.as_deref().and_then(java_release) {
        Some(release) if pins::JAVA.contains(&release) => Ok(format!("Java {release}")),
        _other => Err(Lacking {
            what: format!("Java 17, 21 or 25 for Keycloak{}", found(said)),
            remedy: "sudo apt-get install -y default-jre-headless   (where JAVA_HOME is set, it decides)".to_owned(),
        }),
    }
}

fn plain(program: &str, name: &str, package: &str) -> Result<String, Lacking> {
    match answer(Command::new(program).arg("--version")) {
        Some(said) => Ok(said),
        None => {
            let what = format!("{name} (`{program} --version` does not answer)");
            Err(Lacking { what, remedy: format!("sudo apt-get install -y {package}") })
        }
    }
}

fn go(module: &Path) -> Result<String, Lacking> {
    let wanted = fs::read_to_string(module.join("go.mod")).ok().and_then(|text| go_of_module(&text));
    let wanted = wanted.unwrap_or((1, 0, 0));
    // In the module, because there Go may take the release that the module names.
    let said = answer(Command::new("go").arg("version").current_dir(module));
    match said.as_deref().and_then(go_release) {
        Some((major, minor, patch)) if (major, minor, patch) >= wanted => Ok(format!("Go {major}.{minor}.{patch}")),
        _other => {
            let (major, minor, patch) = wanted;
            let wanted = format!("{major}.{minor}.{patch}");
            let remedy = format!(
                "sudo apt-get install -y golang-go && go env -w GOTOOLCHAIN=go{wanted}+auto   (from 1.21 on, Go gets that release itself)"
            );
            Err(Lacking { what: format!("Go {wanted} or later, to build SPIRE{}", found(said)), remedy })
        }
    }
}

fn c_compiler() -> Result<String, Lacking> {
    // Go's own choice, with its arguments where it has some.
    let choice = answer(Command::new("go").args(["env", "CC"])).unwrap_or_else(|| "gcc".to_owned());
    let program = choice.split_whitespace().next().unwrap_or("gcc");
    plain(program, "a C compiler, to build SPIRE's SQLite", "gcc libc6-dev")
}

fn python() -> Result<String, Lacking> {
    let (major, minor) = pins::PYTHON_MIN;
    let said = answer(Command::new("python3").arg("--version"));
    let Some(release) = said.as_deref().and_then(python_release).filter(|release| *release >= pins::PYTHON_MIN) else {
        let what = format!("Python {major}.{minor} or later as `python3`{}", found(said));
        let remedy = "sudo apt-get install -y python3 python3-venv   (Debian 12 has 3.11)".to_owned();
        return Err(Lacking { what, remedy });
    };
    // Debian's python3 comes without what makes environments.
    match answer(Command::new("python3").args(["-c", "import ensurepip, venv; print(venv.__name__)"])) {
        Some(_name) => Ok(format!("Python {}.{} with venv", release.0, release.1)),
        None => Err(Lacking {
            what: "Python's modules `venv` and `ensurepip`".to_owned(),
            remedy: "sudo apt-get install -y python3-venv".to_owned(),
        }),
    }
}

fn found(said: Option<String>) -> String {
    said.map_or_else(|| " (none found)".to_owned(), |said| format!(" (found: {said})"))
}

/// The first line that a program says, where it runs and succeeds. Java says its version on standard error.
fn answer(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    let said = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    let text = String::from_utf8_lossy(&said);
    let plain = without_colours(text.lines().next()?);
    Some(plain.trim().to_owned()).filter(|line| !line.is_empty())
}

/// Without terminal sequences such as the ones around Maven's name.
fn without_colours(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or("", |(_sequence, rest)| rest))
}

/// `openjdk version "17.0.15" 2025-04-15` is 17.
fn java_release(said: &str) -> Option<u32> {
    let (_before, rest) = said.split_once("version \"")?;
    number(rest)
}

/// `go version go1.26.8 linux/amd64`.
fn go_release(said: &str) -> Option<(u32, u32, u32)> {
    three_numbers(said.strip_prefix("go version go")?)
}

/// The line `go 1.25.3` of a module.
fn go_of_module(text: &str) -> Option<(u32, u32, u32)> {
    text.lines().find_map(|line| three_numbers(line.strip_prefix("go ")?))
}

/// `Python 3.11.7`.
fn python_release(said: &str) -> Option<(u32, u32)> {
    let (major, minor, _patch) = three_numbers(said.strip_prefix("Python ")?)?;
    Some((major, minor))
}

/// Numbers with points between them; the third may be missing, and a word may follow at once, as in `1.27rc1`.
fn three_numbers(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.split_whitespace().next()?.split('.');
    let (major, minor) = (number(parts.next()?)?, number(parts.next()?)?);
    Some((major, minor, parts.next().and_then(number).unwrap_or_default()))
}

/// The digits that a text begins with.
fn number(text: &str) -> Option<u32> {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_java_says_is_understood() {
        assert_eq!(java_release("openjdk version \"17.0.15\" 2025-04-15"), Some(17));
        assert_eq!(java_release("java version \"25\" 2025-09-16 LTS"), Some(25));
        assert_eq!(java_release("openjdk version \"21-ea\" 2023-09-19"), Some(21));
        assert_eq!(java_release("java version \"1.8.0_302\""), Some(1));
        assert_eq!(java_release("no such thing"), None);
    }

    #[test]
    fn what_go_says_is_understood() {
        assert_eq!(go_release("go version go1.26.8 linux/amd64"), Some((1, 26, 8)));
        assert_eq!(go_release("go version go1.27rc1 linux/amd64"), Some((1, 27, 0)));
        assert_eq!(go_release("go version devel"), None);
        assert_eq!(go_of_module("module peers/spire\n\ngo 1.25.3\n\ntool (\n"), Some((1, 25, 3)));
        assert!(go_release("go version go1.9.7 linux/amd64") < go_of_module("go 1.25.3"));
    }

    #[test]
    fn what_python_says_is_understood() {
        assert_eq!(python_release("Python 3.11.7"), Some((3, 11)));
        assert_eq!(python_release("Python 3.14.0rc2"), Some((3, 14)));
        assert_eq!(python_release("Python 2.7.18"), Some((2, 7)));
        assert_eq!(python_release("python"), None);
        assert!((3, 9) < pins::PYTHON_MIN && (3, 10) >= pins::PYTHON_MIN);
    }

    #[test]
    fn colours_are_left_out() {
        assert_eq!(without_colours("\u{1b}[1mApache Maven 3.8.7\u{1b}[m"), "Apache Maven 3.8.7");
        assert_eq!(without_colours("plain"), "plain");
    }

    #[test]
    fn a_program_that_is_absent_is_told_with_the_command_that_gets_it() {
        let lacking = plain("/nonexistent/mvn", "Maven", "maven").expect_err("absent");
        assert_eq!(lacking.remedy, "sudo apt-get install -y maven");
        assert!(lacking.what.contains("/nonexistent/mvn"), "{}", lacking.what);
    }
}
