//! Opens the file to be read, and keeps apart what is the disk's doing from what is the content's.
//!
//! Parsers report a failed read as a broken file, and some swallow it. A disk that is pulled in the middle of a PDF would
//! so brand the document "damaged" for good. Here every error of the file itself is remembered, and wins over whatever a
//! parser makes of it. Most extractors only ever see bytes that were read completely beforehand; the others read
//! [`Parts`](super::parts::Parts).

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::extract::Appetite;
use crate::content;

/// Why a file could not be read. Never says anything about its content.
#[derive(Debug)]
pub(super) enum Unread {
    /// The operating system says so.
    Io(io::Error),
    /// A directory, symbolic link, socket, FIFO or device.
    NotRegular,
    /// Its size or time changed while it was read.
    Changed,
    /// It is larger than may be read: size and limit, in bytes.
    OverLimit { size: u64, limit: u64 },
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Unread::Io(error)
    }
}

/// What must stay the same while a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    size: u64,
    modified: Option<SystemTime>,
}

impl Look {
    fn at(metadata: &Metadata) -> Self {
        Look { size: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// An open file that remembers the first error of the disk.
#[derive(Debug)]
pub(super) struct Input {
    file: File,
    look: Look,
    error: Option<io::Error>,
}

impl Input {
    /// Opens a regular file. Follows no symbolic link and never waits for the other end of a FIFO.
    pub(super) fn open(path: &Path) -> Result<Self, Unread> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = match content::open(path, flags) {
            Ok(descriptor) => File::from(descriptor),
            Err(error) => match Errno::from_io_error(&error) {
                // ELOOP is NOFOLLOW's answer to a link, ENXIO the answer of a socket or of a FIFO without a writer.
                Some(Errno::LOOP | Errno::NXIO) => return Err(Unread::NotRegular),
                _ => return Err(Unread::Io(error)),
            },
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Unread::NotRegular);
        }
        Ok(Input { look: Look::at(&metadata), file, error: None })
    }

    /// Fails where an earlier read failed, whatever the reader made of it.
    pub(super) fn check(&mut self) -> Result<(), Unread> {
        self.error.take().map_or(Ok(()), |error| Err(Unread::Io(error)))
    }

    /// Reads as much as the appetite wants, from the beginning, and proves that the file held still meanwhile.
    /// Also says whether a rest was left unread. `progress` is called again and again.
    pub(super) fn read(
        &mut self,
        appetite: Appetite,
        mut progress: impl FnMut() -> io::Result<()>,
    ) -> Result<(Vec<u8>, bool), Unread> {
        let size = self.look.size;
        let wanted = match appetite {
            Appetite::Head(most) => size.min(most),
            Appetite::Whole(limit) if size > limit => return Err(Unread::OverLimit { size, limit }),
            Appetite::Whole(_) => size,
            // Who wants parts is given them by `parts`; asked all the same, the whole within that limit is what there is.
            Appetite::Parts(limit) => size.min(limit),
        };
        let mut bytes = Vec::new();
        let room = usize::try_from(wanted).ok().filter(|&room| bytes.try_reserve_exact(room).is_ok());
        if room.is_none() {
            return Err(Unread::OverLimit { size, limit: 0 });
        }
        self.file.seek(SeekFrom::Start(0))?;
        while (bytes.len() as u64) < wanted {
            let left = wanted - bytes.len() as u64;
            let read = (&mut self.file).take(left.min(CHUNK)).read_to_end(&mut bytes)?;
            if read == 0 {
                return Err(Unread::Changed);
            }
            progress()?;
        }
        self.prove_still()?;
        Ok((bytes, wanted < size))
    }

    /// How large it was when it was opened, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.look.size
    }

    /// Reads just these bytes. Nothing of it is remembered.
    pub(super) fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, at)
    }

    /// Fails where the file is not any more what it was when it was opened.
    pub(super) fn prove_still(&self) -> Result<(), Unread> {
        if Look::at(&self.file.metadata()?) == self.look { Ok(()) } else { Err(Unread::Changed) }
    }
}

/// An input for a parser that may die of an error of the disk: `failed` is called before it meets one.
pub(super) struct Watched<'a> {
    pub(super) input: &'a mut Input,
    pub(super) failed: &'a mut dyn FnMut(),
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Read::read(self.input, buffer).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                (self.failed)();
            }
        })
    }
}

impl Seek for Watched<'_> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.input.seek(position)
    }
}

/// After so many bytes the parent hears that the disk still answers.
const CHUNK: u64 = 4 * 1024 * 1024;

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted && self.error.is_none() {
                self.error = Some(copy(error));
            }
        })
    }
}

impl Seek for Input {
    // An error of seeking is not remembered: it comes of a parser's bad arithmetic, no disk is touched.
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
    }
}

fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| io::Error::from(error.kind()), io::Error::from_raw_os_error)
}

#[cfg(test)]
impl Input {
    /// A file that claims to be larger than it is: reading where there is nothing fails.
    pub(super) fn claiming(path: &Path, size: u64) -> Self {
        let mut input = Input::open(path).expect("it opens");
        input.look.size = size;
        input
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // D1
    #[cfg(target_os = "linux")]
    #[test]
    fn an_error_of_the_disk_wins_over_a_parser_that_swallows_it() {
        // A read at address 0 of a process fails with EIO.
        let mut input = Input::open(Path::new("/proc/self/mem")).expect("it opens");
        _ = std::io::copy(&mut input, &mut std::io::sink());
        let Err(Unread::Io(error)) = input.check() else { panic!("the error was forgotten") };
        assert_eq!(error.raw_os_error(), Some(5));
    }

    #[test]
    fn an_error_of_a_parsers_arithmetic_is_not_the_disks() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let mut input = Input::open(file.path()).expect("it opens");
        assert!(input.seek(SeekFrom::Current(-1)).is_err());
        assert!(input.check().is_ok());
    }

    // D9
    #[test]
    fn a_file_that_changes_while_it_is_read_is_not_believed() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), "before").expect("written");
        let mut input = Input::open(file.path()).expect("it opens");
        let changed = input.read(Appetite::Whole(100), || std::fs::write(file.path(), "after all"));
        assert!(matches!(changed, Err(Unread::Changed)));
        let mut input = Input::open(file.path()).expect("it opens");
        std::fs::write(file.path(), "less").expect("written");
        assert!(matches!(input.read(Appetite::Whole(100), || Ok(())), Err(Unread::Changed)));
    }

    #[test]
    fn the_appetite_bounds_what_is_read() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), "0123456789").expect("written");
        let read = |appetite| Input::open(file.path()).expect("it opens").read(appetite, || Ok(()));
        assert!(matches!(read(Appetite::Head(4)), Ok((bytes, true)) if bytes == b"0123"));
        assert!(matches!(read(Appetite::Head(10)), Ok((bytes, false)) if bytes.len() == 10));
        assert!(matches!(read(Appetite::Whole(9)), Err(Unread::OverLimit { size: 10, limit: 9 })));
    }
}
