//! The file of the record. Lines are appended whole or not at all: what a failed or interrupted write left is cut off.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

const FILE_NAME: &str = "record.jsonl";
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// Longest tail without a line's end that is looked at after a crash: more than a batch can be.
const TAIL_MAX: u64 = 2 * 1024 * 1024;

/// The open file and how much of it is good.
#[derive(Debug)]
pub(crate) struct RecordFile {
    file: File,
    length: u64,
}

impl RecordFile {
    /// Opens or makes `record.jsonl` in `folder`, for this process alone.
    ///
    /// # Errors
    /// The folder cannot be written, or another process writes to the file.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).mode(FILE_MODE).open(folder.join(FILE_NAME))?;
        file.try_lock().map_err(|fault| match fault {
            TryLockError::WouldBlock => {
                io::Error::other("another process writes the record: a broker runs, stop it first")
            }
            TryLockError::Error(fault) => fault,
        })?;
        let length = whole_lines(&mut file)?;
        file.set_len(length)?;
        file.sync_all()?;
        // The name of a new file must be as durable as its lines.
        File::open(folder)?.sync_all()?;
        Ok(Self { file, length })
    }

    /// Appends `lines` and returns when they are on disk. On a fault none of them counts as written.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.write_all(lines)?;
        self.file.sync_data()?;
        let written = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        self.length = self.length.saturating_add(written);
        Ok(())
    }
}

/// The length up to the last line's end.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let start = length.saturating_sub(TAIL_MAX);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let end = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last.saturating_add(1));
    if end == 0 && length > TAIL_MAX {
        return Err(io::Error::other("the record's end is no line; is it the right file?"));
    }
    Ok(start.saturating_add(u64::try_from(end).unwrap_or(u64::MAX)))
}

#[cfg(test)]
impl RecordFile {
    /// A file that takes nothing, as on a full disk.
    pub(super) fn that_takes_nothing() -> Self {
        Self { file: File::open("/dev/null").expect("opens"), length: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("broker-record-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        folder
    }

    #[test]
    fn a_torn_line_is_cut_off_at_the_next_start() {
        let folder = folder("torn");
        RecordFile::open(&folder).expect("opens").append(b"one\n").expect("appends");
        let path = folder.join(FILE_NAME);
        OpenOptions::new().append(true).open(&path).expect("opens").write_all(b"tor").expect("writes");
        RecordFile::open(&folder).expect("opens").append(b"two\n").expect("appends");
        assert_eq!(fs::read_to_string(&path).expect("reads"), "one\ntwo\n");
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn a_second_writer_is_refused() {
        let folder = folder("second");
        let first = RecordFile::open(&folder).expect("opens");
        assert!(RecordFile::open(&folder).is_err());
        drop(first);
        assert!(RecordFile::open(&folder).is_ok());
        fs::remove_dir_all(&folder).expect("removed");
    }
}
