//! A process that is spoken to through pipes, a line at a time: how it is started, heard and buried. The workers that read
//! files and the commands of the user are such.

use std::io::{self, BufRead, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};

/// One that was started.
#[derive(Debug)]
pub(super) struct Piped {
    pub(super) child: Child,
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

/// Starts it, in a process group of its own: Ctrl-C in the terminal is for us, and one that died of it would look crashed.
pub(super) fn start(command: &mut Command) -> io::Result<Piped> {
    let mut child = command
        // Where it stands it keeps no disk from being ejected.
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
        (Some(stdin), Some(stdout), Some(stderr)) => Ok(Piped { child, stdin, stdout, stderr }),
        _ => Err(io::Error::other("no pipes")),
    }
}

/// What the thread that listens to a process heard.
#[derive(Debug)]
pub(super) enum Line {
    Reply(Vec<u8>),
    TooLong,
}

pub(super) fn next_line(from: &mut impl BufRead, longest: u64) -> Option<Line> {
    let mut line = Vec::new();
    // An error of the pipe is an end like any other.
    from.take(longest).read_until(b'\n', &mut line).ok()?;
    match line.last() {
        Some(b'\n') => Some(Line::Reply(line)),
        Some(_) if line.len() as u64 >= longest => Some(Line::TooLong),
        // Half a line is what a dying worker leaves.
        _ => None,
    }
}

/// Reads to the end and keeps the last few kilobytes: a crash says why at the end.
pub(super) fn tail_of(mut from: impl Read) -> Vec<u8> {
    const KEPT: usize = 4096;
    let mut tail = Vec::new();
    let mut buffer = [0; KEPT];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return tail,
            Ok(read) => {
                tail.extend_from_slice(&buffer[..read]);
                tail.drain(..tail.len().saturating_sub(KEPT));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return tail,
        }
    }
}

/// Waits for a process where nobody waits for the waiting.
pub(super) fn reap(wait: impl FnOnce() + Send + 'static) {
    // Without a thread the process stays as a zombie until this one ends: untidy, not wrong.
    _ = std::thread::Builder::new().name("extractor reaper".to_owned()).spawn(wait);
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn a_line_over_the_limit_is_not_read_to_its_end() {
        let mut long = BufReader::new(&b"0123456789\n"[..]);
        assert!(matches!(next_line(&mut long, 5), Some(Line::TooLong)));
        let mut half = BufReader::new(&b"{\"half"[..]);
        assert!(next_line(&mut half, 100).is_none());
    }

    #[test]
    fn the_tail_is_what_was_said_last() {
        let said = [vec![b'x'; 10_000], b"last".to_vec()].concat();
        let tail = tail_of(&said[..]);
        assert_eq!(tail.len(), 4096);
        assert!(tail.ends_with(b"last"));
    }
}
