//! From a folder to rules. All problems of all files are told at once, and one problem is enough to load nothing:
//! a set that lacks one rule is another set.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use cedar_policy::{Schema, Validator};
use identity::UnixTime;

use crate::{PolicyProblem, request::Vocabulary, rule::Rule};

/// Largest policy file in bytes; one rule fits many times.
pub const FILE_LENGTH_MAX: u64 = 64 * 1024;
/// Most rules of a folder: sixty-four for each of sixty-four targets.
pub const RULES_MAX: usize = 4096;
const ENDING: &str = "cedar";

/// The schema and the rules of `folder` by id, as they are at `now`.
pub(crate) fn load(
    folder: &Path,
    words: &Vocabulary,
    now: UnixTime,
) -> Result<(Schema, BTreeMap<String, Rule>), Vec<PolicyProblem>> {
    let schema = schema().map_err(|problem| vec![problem])?;
    let Read { rules, problems } = read(folder, &schema, words, now);
    if problems.is_empty() { Ok((schema, rules)) } else { Err(problems) }
}

/// What a folder holds.
pub(crate) struct Read {
    /// Rules without a problem of their own; a set only where there is none at all.
    pub(crate) rules: BTreeMap<String, Rule>,
    pub(crate) problems: Vec<PolicyProblem>,
}

/// Reads everything that can be read.
pub(crate) fn read(folder: &Path, schema: &Schema, words: &Vocabulary, now: UnixTime) -> Read {
    let validator = Validator::new(schema.clone());
    let mut rules: BTreeMap<String, Rule> = BTreeMap::new();
    let files = match files(folder) {
        Ok(files) => files,
        Err(problem) => return Read { rules, problems: vec![problem] },
    };
    let mut problems = Vec::new();
    for file in files {
        let content = content(&file).map_err(|problem| vec![problem]);
        match content.and_then(|text| Rule::read(&file, &text, &validator, words, now)) {
            Ok(rule) => match rules.get(&rule.id) {
                Some(first) => {
                    let message = format!("the id `{}` stands in `{}` already", rule.id, first.file.display());
                    problems.push(PolicyProblem::at(&file, &rule.text, rule.id_offset, message));
                }
                None => {
                    rules.insert(rule.id.clone(), rule);
                }
            },
            Err(found) => problems.extend(found),
        }
    }
    Read { rules, problems }
}

pub(crate) fn schema() -> Result<Schema, PolicyProblem> {
    let name = Path::new("schema.cedarschema");
    let parsed = Schema::from_cedarschema_str(include_str!("../schema.cedarschema"));
    parsed.map(|(schema, _warnings)| schema).map_err(|error| PolicyProblem::of(name, error.to_string()))
}

/// The policy files of the folder by name. Folders within it are not entered.
fn files(folder: &Path) -> Result<Vec<PathBuf>, PolicyProblem> {
    let failed = |error: std::io::Error| PolicyProblem::of(folder, format!("the folder cannot be read: {error}"));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|ending| ending == ENDING) {
            files.push(path);
        }
        if files.len() > RULES_MAX {
            return Err(PolicyProblem::of(folder, format!("more than {RULES_MAX} policy files")));
        }
    }
    if files.is_empty() {
        return Err(PolicyProblem::of(folder, "no policy file (`*.cedar`): without a rule nothing is allowed"));
    }
    files.sort();
    Ok(files)
}

fn content(file: &Path) -> Result<String, PolicyProblem> {
    let failed = |error: std::io::Error| PolicyProblem::of(file, format!("the file cannot be read: {error}"));
    // Opening anything but a file, such as a pipe, could wait for ever.
    if !fs::metadata(file).map_err(failed)?.is_file() {
        return Err(PolicyProblem::of(file, "not a file"));
    }
    let mut text = String::new();
    File::open(file)
        .map_err(failed)?
        .take(FILE_LENGTH_MAX.saturating_add(1))
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.starts_with('\u{feff}') {
        return Err(PolicyProblem::of(file, "the file begins with a byte order mark: save it as UTF-8 without one"));
    }
    if u64::try_from(text.len()).map_or(true, |length| length > FILE_LENGTH_MAX) {
        return Err(PolicyProblem::of(file, format!("the file is larger than {FILE_LENGTH_MAX} bytes")));
    }
    Ok(text)
}
