//! A file of which an extractor reads parts: the directory at the end of a large archive, the tags of a recording.
//!
//! Two things must stay apart here that get mixed up when a parser reads by itself. The time: before every real read the
//! parent is told that it is the disk's turn, and after it that it is the content's, so that a slow disk is never taken for
//! a slow parser, and what the parser takes in all is bounded. And the errors: a parser does what it likes with an error
//! that it meets, and may even die of it. So the first thing that goes wrong ends all reading, and from then on it stays
//! the disk's turn: whatever happens to the worker until [`Parts::end`] is not held against the content.

use std::io::{self, Read, Seek, SeekFrom};

use super::input::{Input, Unread};

/// On whose account the time runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// A read was begun.
    Disk,
    /// The bytes are there, and the parser goes on.
    Content,
}

/// Why nothing more is read.
#[derive(Debug)]
enum Stop {
    /// The disk says so.
    Io(io::Error),
    /// The file is shorter than it was.
    Changed,
    /// The parent does not listen any more.
    Talk(io::Error),
    /// The extractor has read too much.
    Limit,
}

/// How reading parts ended, whatever the extractor made of it.
#[derive(Debug)]
pub(super) enum Ended {
    /// Nothing came between: the extractor's word counts.
    Well,
    /// The extractor wanted more than it may read, which is the content's doing.
    OverLimit,
    /// No word about the content counts.
    Unread(Unread),
}

/// A part that is read next to the last one is made larger, because more is likely to follow; after a leap it is small
/// again. A listing leaps through an archive from head to head and wants 512 bytes each time.
const WINDOW_LEAST: u64 = 4 * 1024;
const WINDOW_MOST: u64 = 1024 * 1024;

/// Such a file.
pub(super) struct Parts<'a> {
    input: &'a Input,
    turn: &'a mut dyn FnMut(Turn) -> io::Result<()>,
    /// Where the extractor believes to be; may lie behind the end.
    at: u64,
    window: Vec<u8>,
    window_at: u64,
    /// How much the next window holds if it follows this one.
    grown: u64,
    /// How many bytes may still be read.
    left: u64,
    stop: Option<Stop>,
}

impl<'a> Parts<'a> {
    /// At most `limit` bytes will be read in all. `turn` hears whose turn it is.
    pub(super) fn of(input: &'a Input, limit: u64, turn: &'a mut dyn FnMut(Turn) -> io::Result<()>) -> Self {
        Parts {
            input,
            turn,
            at: 0,
            window: Vec::new(),
            window_at: 0,
            grown: WINDOW_LEAST,
            left: limit,
            stop: None,
        }
    }

    /// To be asked when the extractor is done, however it ended. Proves that the file held still meanwhile.
    pub(super) fn end(self) -> io::Result<Ended> {
        match self.stop {
            Some(Stop::Io(error)) => return Ok(Ended::Unread(Unread::Io(error))),
            Some(Stop::Changed) => return Ok(Ended::Unread(Unread::Changed)),
            Some(Stop::Talk(error)) => return Err(error),
            Some(Stop::Limit) | None => {}
        }
        // Asking for its stat may take the disk as long as a read.
        (self.turn)(Turn::Disk)?;
        if let Err(unread) = self.input.prove_still() {
            return Ok(Ended::Unread(unread));
        }
        Ok(if self.stop.is_some() { Ended::OverLimit } else { Ended::Well })
    }

    /// Makes the window hold what stands at `self.at`, which lies before the end.
    fn fill(&mut self) -> Result<(), Stop> {
        let size = self.input.size();
        let follows = self.at == self.window_at + self.window.len() as u64;
        self.grown = if follows { (self.grown * 4).min(WINDOW_MOST) } else { WINDOW_LEAST };
        let wanted = self.grown.min(size - self.at);
        self.left = self.left.checked_sub(wanted).ok_or(Stop::Limit)?;
        self.window.clear();
        self.window.resize(usize::try_from(wanted).expect("a window is small"), 0);
        self.window_at = self.at;
        (self.turn)(Turn::Disk).map_err(Stop::Talk)?;
        self.input.read_exact_at(&mut self.window, self.at).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Stop::Changed,
            _ => Stop::Io(error),
        })?;
        (self.turn)(Turn::Content).map_err(Stop::Talk)
    }
}

impl Read for Parts<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_some() {
            return Err(io::Error::other("nothing more is read of it"));
        }
        if buffer.is_empty() || self.at >= self.input.size() {
            return Ok(0);
        }
        let within = self.at.checked_sub(self.window_at).filter(|&within| within < self.window.len() as u64);
        let within = match within {
            Some(within) => usize::try_from(within).expect("a window is small"),
            None => match self.fill() {
                Ok(()) => 0,
                Err(stop) => {
                    self.stop = Some(stop);
                    return Err(io::Error::other("it could not be read"));
                }
            },
        };
        let there = &self.window[within..];
        let most = there.len().min(buffer.len());
        buffer[..most].copy_from_slice(&there[..most]);
        self.at += most as u64;
        Ok(most)
    }
}

impl Seek for Parts<'_> {
    // Touches no disk: it only says where the next read begins.
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        let sought = match position {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.input.size().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = sought.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), content).expect("written");
        file
    }

    fn open(path: &Path) -> Input {
        Input::open(path).expect("it opens")
    }

    #[test]
    fn what_is_read_is_what_stands_there_and_the_turns_alternate() {
        let content: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
        let file = file(&content);
        let (input, mut turns) = (open(file.path()), Vec::new());
        let mut turn = |turn| -> io::Result<()> {
            turns.push(turn);
            Ok(())
        };
        let mut parts = Parts::of(&input, 1 << 20, &mut turn);
        let mut read = Vec::new();
        parts.read_to_end(&mut read).expect("read");
        assert!(read == content);
        parts.seek(SeekFrom::End(-3)).expect("sought");
        let mut tail = Vec::new();
        parts.read_to_end(&mut tail).expect("read");
        assert_eq!(tail, content[content.len() - 3..]);
        parts.seek(SeekFrom::Start(1 << 40)).expect("as a file lets one");
        assert_eq!(parts.read(&mut [0; 8]).expect("read"), 0, "behind the end is nothing");
        assert!(parts.seek(SeekFrom::Current(-(1 << 41))).is_err());
        assert!(matches!(parts.end(), Ok(Ended::Well)));
        // Windows of 16, 64 and 120 KiB; the tail is still in the last one.
        assert_eq!(
            turns,
            [Turn::Disk, Turn::Content].repeat(3).into_iter().chain([Turn::Disk]).collect::<Vec<_>>()
        );
    }

    // D1
    #[cfg(target_os = "linux")]
    #[test]
    fn an_error_of_the_disk_wins_over_a_parser_that_swallows_it_and_the_turn_stays_the_disks() {
        // A read at address 0 of a process fails with EIO.
        let input = Input::claiming(Path::new("/proc/self/mem"), 1 << 20);
        let mut turns = Vec::new();
        let mut turn = |turn| -> io::Result<()> {
            turns.push(turn);
            Ok(())
        };
        let mut parts = Parts::of(&input, 1 << 20, &mut turn);
        _ = parts.read_to_end(&mut Vec::new());
        _ = parts.seek(SeekFrom::Start(4096));
        assert!(parts.read(&mut [0; 8]).is_err(), "it is not asked again");
        let Ok(Ended::Unread(Unread::Io(error))) = parts.end() else { panic!("the error was forgotten") };
        assert_eq!(error.raw_os_error(), Some(5));
        assert_eq!(turns, [Turn::Disk]);
    }

    // D9
    #[test]
    fn a_file_that_changes_while_parts_of_it_are_read_is_not_believed() {
        let file = file(b"before");
        let input = open(file.path());
        let mut turn = |_| Ok(());
        let mut parts = Parts::of(&input, 100, &mut turn);
        parts.read_exact(&mut [0; 3]).expect("read");
        std::fs::write(file.path(), "after all").expect("written");
        assert!(matches!(parts.end(), Ok(Ended::Unread(Unread::Changed))));

        let input = open(file.path());
        let mut parts = Parts::of(&input, 100, &mut turn);
        std::fs::write(file.path(), "short").expect("written");
        assert!(parts.read(&mut [0; 9]).is_err(), "its end is not taken for the content's");
        assert!(matches!(parts.end(), Ok(Ended::Unread(Unread::Changed))));
    }

    // E1
    #[test]
    fn a_parser_that_reads_for_ever_is_stopped_whatever_it_says() {
        let file = file(&[7; 100_000]);
        let (input, mut reads) = (open(file.path()), 0);
        let mut turn = |turn| -> io::Result<()> {
            reads += usize::from(turn == Turn::Disk);
            Ok(())
        };
        let mut parts = Parts::of(&input, 1_000_000, &mut turn);
        for leap in 0..1_000_000 {
            _ = parts.seek(SeekFrom::Start(leap * 50_021 % 100_000));
            _ = parts.read(&mut [0]);
        }
        assert!(matches!(parts.end(), Ok(Ended::OverLimit)));
        assert!(reads <= 1 + 1_000_000 / 4096, "{reads} reads of 4 KiB at least");
    }

    #[test]
    fn a_parent_that_is_gone_ends_it() {
        let file = file(b"content");
        let input = open(file.path());
        let mut turn = |_| Err(io::Error::from(io::ErrorKind::BrokenPipe));
        let mut parts = Parts::of(&input, 100, &mut turn);
        assert!(parts.read(&mut [0]).is_err());
        assert!(parts.end().is_err());
    }
}
