//! Follows the sidecar's log. The sidecar writes to a file and never waits for whoever reads here.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

/// Longest line that is looked at; a longer one is skipped.
const LINE_LENGTH_MAX: usize = 64 * 1024;
/// How much is read at once.
const CHUNK: u64 = 64 * 1024;
/// How much of the end is read for the last lines.
const TAIL_BYTES: u64 = 64 * 1024;

/// A log that is being written.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    /// What is here was read already, or was there before us.
    read: u64,
    /// Begin of ours in the file.
    begin: u64,
    /// Read, not yet given out.
    pending: Vec<u8>,
    /// Within a line that is too long.
    skipping: bool,
}

impl Log {
    /// What is appended to `path` from now on; it need not be there yet.
    pub(super) fn from_its_end(path: &Path) -> Self {
        let begin = std::fs::metadata(path).map_or(0, |file| file.len());
        Self { path: path.to_owned(), read: begin, begin, pending: Vec::new(), skipping: false }
    }

    /// The next whole line; `None` for now.
    pub(super) fn next_line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let rest = self.pending.split_off(end.saturating_add(1));
                let line = std::mem::replace(&mut self.pending, rest);
                if std::mem::take(&mut self.skipping) {
                    continue;
                }
                return Some(String::from_utf8_lossy(line.trim_ascii_end()).into_owned());
            }
            if self.pending.len() > LINE_LENGTH_MAX {
                self.pending.clear();
                self.skipping = true;
            }
            // A file that cannot be read has no line; the sidecar's state is looked at by itself.
            if self.read_more().is_none_or(|read| read == 0) {
                return None;
            }
        }
    }

    /// The last lines of what was written since we began, at most `count`.
    pub(super) fn last_lines(&self, count: usize) -> Vec<String> {
        let text = self.tail().unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().to_vec()
    }

    fn tail(&self) -> Option<Vec<u8>> {
        let mut file = File::open(&self.path).ok()?;
        let length = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES).max(self.begin))).ok()?;
        let mut text = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut text).ok()?;
        Some(text)
    }

    fn read_more(&mut self) -> Option<usize> {
        let mut file = File::open(&self.path).ok()?;
        file.seek(SeekFrom::Start(self.read)).ok()?;
        let read = file.take(CHUNK).read_to_end(&mut self.pending).ok()?;
        self.read = self.read.saturating_add(u64::try_from(read).ok()?);
        Some(read)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::OpenOptions, io::Write as _};

    use super::*;

    struct Written(PathBuf);

    impl Written {
        fn new(name: &str, text: &str) -> Self {
            let path = std::env::temp_dir().join(format!("cli-log-{name}-{}", std::process::id()));
            std::fs::write(&path, text).expect("written");
            Self(path)
        }

        fn append(&self, text: &str) {
            let mut file = OpenOptions::new().append(true).open(&self.0).expect("there");
            file.write_all(text.as_bytes()).expect("written");
        }
    }

    impl Drop for Written {
        fn drop(&mut self) {
            // Clutter in the temporary folder at worst.
            let _left = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn lines_come_whole_and_only_those_that_are_new() {
        let written = Written::new("lines", "before\n");
        let mut log = Log::from_its_end(&written.0);
        assert_eq!(log.next_line(), None);
        written.append("one\ntw");
        assert_eq!((log.next_line().as_deref(), log.next_line()), (Some("one"), None));
        written.append("o\n");
        assert_eq!((log.next_line().as_deref(), log.next_line()), (Some("two"), None));
        assert_eq!(log.last_lines(1), ["two"]);
        assert_eq!(log.last_lines(9), ["one", "two"], "what was before is not ours");
    }

    #[test]
    fn an_endless_line_is_skipped_and_the_next_is_read() {
        let written = Written::new("endless", "");
        let mut log = Log::from_its_end(&written.0);
        written.append(&"x".repeat(LINE_LENGTH_MAX * 3));
        assert_eq!(log.next_line(), None);
        written.append("x\nnext\n");
        assert_eq!((log.next_line().as_deref(), log.next_line()), (Some("next"), None));
    }

    #[test]
    fn a_log_that_is_not_there_has_no_lines() {
        let mut log = Log::from_its_end(Path::new("/nowhere/x.log"));
        assert_eq!(log.next_line(), None);
        assert!(log.last_lines(3).is_empty());
    }
}
