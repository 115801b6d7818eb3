//! The key logs that the user names: in come paths, out come secrets and, at the end, what in the files was none.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::Error;
use crate::wire::tls::keylog::{Entry, Reader};

/// Open key logs. They stay open, so that what is appended can be read when nothing else can be opened any more.
pub struct KeyLogs {
    logs: Vec<KeyLog>,
    buffer: Vec<u8>,
}

struct KeyLog {
    path: PathBuf,
    file: File,
    /// Octets that were read.
    position: u64,
    reader: Reader,
    /// Why no more can be read.
    failure: Option<io::Error>,
}

impl KeyLogs {
    /// Opens all of them. `growing` ones must be files, since nothing may block on them.
    ///
    /// # Errors
    ///
    /// Where one cannot be opened.
    pub fn open(paths: &[PathBuf], growing: bool) -> Result<Self, Error> {
        let open = |path: &PathBuf| {
            let named = |cause| Error::from_io(&path.display().to_string(), cause);
            let file = File::open(path).map_err(named)?;
            let metadata = file.metadata().map_err(named)?;
            if metadata.is_dir() {
                return Err(named(io::ErrorKind::IsADirectory.into()));
            }
            if growing && !metadata.is_file() {
                return Err(Error::GrowingKeyLog { name: path.display().to_string() });
            }
            Ok(KeyLog { path: path.clone(), file, position: 0, reader: Reader::default(), failure: None })
        };
        let logs = paths.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { logs, buffer: if paths.is_empty() { Vec::new() } else { vec![0; READ_BYTES] } })
    }

    /// Gives what was not read yet, in parts; a last line without its end is waited for.
    pub fn read(&mut self, learn: &mut impl FnMut(&[Entry])) {
        let Self { logs, buffer } = self;
        for log in logs.iter_mut().filter(|log| log.failure.is_none()) {
            log.failure = log.read(buffer, learn).err();
        }
    }

    /// Gives what was not read yet, to the end of the files.
    pub fn finish(&mut self, learn: &mut impl FnMut(&[Entry])) {
        self.read(learn);
        self.logs.iter_mut().for_each(|log| log.reader.finish(&mut |entry| learn(&[entry])));
    }

    /// What in the files could not be used, in sentences.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.logs.iter().flat_map(KeyLog::notes).collect()
    }
}

impl KeyLog {
    fn read(&mut self, buffer: &mut [u8], learn: &mut impl FnMut(&[Entry])) -> io::Result<()> {
        let metadata = self.file.metadata()?;
        if metadata.is_file() && metadata.len() < self.position {
            // It was emptied and is written anew.
            self.position = self.file.seek(SeekFrom::Start(0))?;
        }
        let mut entries = Vec::new();
        loop {
            match self.file.read(buffer) {
                Ok(0) => return Ok(()),
                Ok(octets) => {
                    self.position += octets as u64;
                    self.reader.feed(buffer.get(..octets).unwrap_or_default(), &mut |entry| entries.push(entry));
                    learn(&entries);
                    entries.clear();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn notes(&self) -> Vec<String> {
        let name = Path::display(&self.path);
        let tally = self.reader.tally();
        let failure = self.failure.iter().map(|failure| format!("{name}: cannot be read to its end: {failure}"));
        let bad = tally.first_bad.map(|first| {
            let lines = if tally.bad == 1 { "1 line is" } else { &format!("{} lines are", tally.bad) };
            format!("{name}: {lines} not of a key log, the first is line {first}")
        });
        let unsupported = tally.first_unsupported.map(|first| {
            let secrets =
                if tally.unsupported == 1 { "1 line is" } else { &format!("{} lines are", tally.unsupported) };
            format!("{name}: {secrets} of a pre-master secret, which is not supported, the first is line {first}")
        });
        let none = (tally.secrets == 0).then(|| format!("{name}: has no secret that could be used"));
        failure.chain(bad).chain(unsupported).chain(none).collect()
    }
}

const READ_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    fn line(random: u8) -> String {
        format!("CLIENT_RANDOM {} {}\n", format!("{random:02x}").repeat(32), "ab".repeat(48))
    }

    fn read(logs: &mut KeyLogs) -> Vec<Entry> {
        let mut entries = Vec::new();
        logs.read(&mut |some| entries.extend_from_slice(some));
        entries
    }

    fn finish(logs: &mut KeyLogs) -> usize {
        let mut entries = 0;
        logs.finish(&mut |some| entries += some.len());
        entries
    }

    #[test]
    fn what_is_appended_is_read_once_its_line_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        let mut file = File::create(&path).unwrap();
        file.write_all(line(1).as_bytes()).unwrap();
        let mut logs = KeyLogs::open(std::slice::from_ref(&path), true).unwrap();
        assert_eq!((read(&mut logs).len(), read(&mut logs).len()), (1, 0));
        let two = line(2);
        let (begin, end) = two.split_at(100);
        file.write_all(begin.as_bytes()).unwrap();
        assert_eq!(read(&mut logs).len(), 0);
        file.write_all(end.as_bytes()).unwrap();
        assert_eq!(read(&mut logs).first().map(|entry| entry.random), Some([2; 32]));
        fs::write(&path, line(3)).unwrap();
        assert_eq!(read(&mut logs).first().map(|entry| entry.random), Some([3; 32]), "it was begun anew");
        assert_eq!(logs.notes(), Vec::<String>::new());
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        let text = format!("# keys\n{}nonsense\nRSA 00 00\n{}", line(1), line(2).trim_end());
        fs::write(&path, text).unwrap();
        let mut logs = KeyLogs::open(std::slice::from_ref(&path), false).unwrap();
        assert_eq!(finish(&mut logs), 2);
        let name = path.display();
        assert_eq!(
            logs.notes(),
            [
                format!("{name}: 1 line is not of a key log, the first is line 3"),
                format!("{name}: 1 line is of a pre-master secret, which is not supported, the first is line 4"),
            ]
        );
        fs::write(&path, "").unwrap();
        let mut logs = KeyLogs::open(std::slice::from_ref(&path), false).unwrap();
        assert_eq!(finish(&mut logs), 0);
        assert_eq!(logs.notes(), [format!("{name}: has no secret that could be used")]);
    }

    #[test]
    fn what_cannot_be_opened_is_an_error() {
        let error = |path: &str, growing| KeyLogs::open(&[path.into()], growing).map(|_| ()).unwrap_err().to_string();
        assert_eq!(error("/nowhere/keys", false), "/nowhere/keys: no such file");
        assert!(error("/dev/null", true).contains("must be a file"));
    }
}
