//! A disk that breaks on command: a read-only FUSE file system served by the test itself, which answers, refuses,
//! fails or hangs. What the program sees is a real mount of a real kernel, only that the test holds the disk's heart.
//!
//! It hangs in two ways. It may not even read what it is asked: who asked can be killed. Or it reads and does not answer:
//! then the kernel lets go of nobody, and a process that was killed stays. Only another process must get to feel that, or
//! this one would hold its own disk open for ever.
//!
//! Speaks just enough of the kernel's protocol (`linux/fuse.h`, 7.31 or later) to be mounted and read. Nothing is
//! cached by the kernel, so a change of behaviour is felt by the very next call.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};

/// What the disk does when it is asked for anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Works.
    Answers,
    /// Says nothing, until it behaves otherwise; then what it was asked meanwhile gets the answer of that behaviour.
    Hangs,
    /// Takes what it is asked, and says nothing either.
    Swallows,
    /// Works, but swallows this.
    SwallowsAt(Call, u64),
    /// Works, and takes so long for each name that it is asked for.
    LooksUpSlowly(Duration),
    /// Fails with this error number.
    Fails(i32),
    /// Can be looked up and opened; listing and reading fail with this error number.
    FailsToRead(i32),
    /// Works, but for the listing of this directory: it gives so many entries, then fails with `EIO`.
    BreaksOffListing {
        /// Of [`BrokenDisk::number_of`].
        dir: u64,
        /// How many names it gives.
        after: usize,
    },
    /// Works, but that every name is listed twice, as by a damaged directory.
    ListsTwice,
    /// Works, but for reading this file, which fails with `EIO`.
    FailsToReadFile(u64),
    /// Works, but for one thing that is asked of one file or directory, which fails with this error number.
    FailsAt {
        /// What is asked.
        question: Question,
        /// Of [`BrokenDisk::number_of`].
        of: u64,
        /// Error number.
        error: i32,
    },
}

/// What a disk can be asked about one file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// What it is, how large, how old.
    Stat,
    /// To open it, to read it or to list it.
    Open,
    /// What is in it.
    Read,
}

/// What can be asked of one file or directory, [`BrokenDisk::number_of`] which stands beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// Listing a directory.
    List,
    /// Opening a file.
    Open,
    /// Reading a file.
    Read,
    /// Looking for a name in a directory.
    Lookup,
}

impl Call {
    fn opcode(self) -> u32 {
        match self {
            Call::List => READDIR,
            Call::Open => OPEN,
            Call::Read => READ,
            Call::Lookup => LOOKUP,
        }
    }
}

/// `EIO`.
pub(crate) const EIO: i32 = 5;
/// `EACCES`.
pub(crate) const EACCES: i32 = 13;
const ENOENT: i32 = 2;
const ENOSYS: i32 = 38;

/// The disk, mounted.
#[derive(Debug)]
pub(crate) struct BrokenDisk {
    mounted_at: PathBuf,
    tree: Arc<Mutex<Tree>>,
    shared: Arc<Shared>,
    kernel: File,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    behaviour: Behaviour,
    /// After so many more listings and readings it behaves otherwise.
    then: Option<(u64, Behaviour)>,
    /// What was swallowed.
    held: Vec<Vec<u8>>,
    /// How much it was asked.
    asked: u64,
}

impl BrokenDisk {
    /// Mounts a disk with these files, each a path relative to its top, and its content. It answers at first.
    pub(crate) fn mount_at(dir: &Path, files: &[(&str, &[u8])]) -> Self {
        BrokenDisk::mount_as("fuse.broken", dir, files)
    }

    /// The same under another type, which begins with `fuse.`: `fuse.sshfs` passes for a network mount.
    pub(crate) fn mount_as(fs_type: &str, dir: &Path, files: &[(&str, &[u8])]) -> Self {
        let kernel = File::options().read(true).write(true).open("/dev/fuse").expect("FUSE in this kernel");
        let state = State { behaviour: Behaviour::Answers, then: None, held: Vec::new(), asked: 0 };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let tree = Arc::new(Mutex::new(Tree::of(files)));
        // mount(8) passes its standard input on as the connection.
        super::disk::run(
            Command::new("mount")
                .args(["-i", "-t", fs_type, "-o", "ro,fd=0,rootmode=40000,user_id=0,group_id=0,allow_other"])
                .arg("broken-disk")
                .arg(dir)
                .stdin(kernel.try_clone().expect("another descriptor")),
        );
        // Only now: before the mount there is nothing to serve, and the kernel says so with an error. It ends when the
        // file system does, again with an error.
        let (served, server) = (Arc::clone(&tree), Arc::clone(&shared));
        let serving = kernel.try_clone().expect("another descriptor");
        std::thread::spawn(move || serve(serving, &served, &server));
        BrokenDisk { mounted_at: dir.to_owned(), tree, shared, kernel }
    }

    /// From now on it does this.
    pub(crate) fn set(&self, behaviour: Behaviour) {
        self.behave(behaviour, None);
    }

    /// It answers so many more listings and readings; from then on it does this.
    pub(crate) fn set_after(&self, reads: u64, behaviour: Behaviour) {
        self.behave(Behaviour::Answers, Some((reads, behaviour)));
    }

    /// It answers until it was listed to the end and its marker was read, which is how a look at a root ends; from then on
    /// it does this.
    pub(crate) fn set_once_verified(&self, behaviour: Behaviour) {
        // The one that is counted last is met by it.
        self.set_after(4, behaviour);
    }

    fn behave(&self, behaviour: Behaviour, then: Option<(u64, Behaviour)>) {
        let mut state = self.shared.lock();
        (state.behaviour, state.then) = (behaviour, then);
        for request in std::mem::take(&mut state.held) {
            answer_or_hold(&self.kernel, &self.tree, &mut state, &request);
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// How much it was asked so far.
    pub(crate) fn asked(&self) -> u64 {
        self.shared.lock().asked
    }

    /// How many wait for an answer that they do not get.
    pub(crate) fn swallowed(&self) -> usize {
        self.shared.lock().held.len()
    }

    /// What it does now.
    pub(crate) fn behaviour(&self) -> Behaviour {
        self.shared.lock().behaviour
    }

    /// The number of a file or directory, by its path relative to the top.
    pub(crate) fn number_of(&self, path: &str) -> u64 {
        lock(&self.tree).number_of(path)
    }

    /// Writes a file, as somebody else does who has the disk: to mount it is not to write to it.
    pub(crate) fn put(&self, path: &str, content: &[u8]) {
        lock(&self.tree).put(path, content);
    }

    /// Deletes a file, or a directory with what is in it.
    pub(crate) fn remove(&self, path: &str) {
        lock(&self.tree).remove(path);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while he holds this")
    }
}

impl Drop for BrokenDisk {
    fn drop(&mut self) {
        self.set(Behaviour::Fails(EIO));
        let _ = Command::new("umount").arg("--lazy").arg(&self.mounted_at).output();
    }
}

/// One file or directory; its number is its place in the tree plus one.
#[derive(Debug)]
enum Node {
    Directory(BTreeMap<String, u64>),
    File { content: Vec<u8>, mtime_s: u64 },
}

#[derive(Debug)]
struct Tree(Vec<Node>);

fn lock(tree: &Mutex<Tree>) -> MutexGuard<'_, Tree> {
    tree.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Tree {
    fn of(files: &[(&str, &[u8])]) -> Self {
        let mut tree = Tree(vec![Node::Directory(BTreeMap::new())]);
        for (path, content) in files {
            tree.put(path, content);
        }
        tree
    }

    fn put(&mut self, path: &str, content: &[u8]) {
        let mut dir = 1;
        let mut names = path.split('/').peekable();
        while let Some(name) = names.next() {
            let is_last = names.peek().is_none();
            let next = self.0.len() as u64 + 1;
            let Node::Directory(entries) = self.node_mut(dir) else { panic!("{path} lies in a file") };
            let number = *entries.entry(name.to_owned()).or_insert(next);
            // Long ago, and no two files at the same time.
            let file = Node::File { content: content.to_vec(), mtime_s: next };
            if number == next {
                self.0.push(if is_last { file } else { Node::Directory(BTreeMap::new()) });
            } else if is_last {
                let Node::File { mtime_s, .. } = self.node(number).expect("it has a number") else {
                    panic!("{path} is a directory")
                };
                let mtime_s = *mtime_s + 1_000_000;
                *self.node_mut(number) = Node::File { content: content.to_vec(), mtime_s };
            }
            dir = number;
        }
    }

    fn remove(&mut self, path: &str) {
        let (dir, name) = path.rsplit_once('/').expect("nobody removes the top");
        let dir = self.number_of(dir);
        let Node::Directory(entries) = self.node_mut(dir) else { panic!("{path} lies in a file") };
        entries.remove(name).expect("it was there");
    }

    fn number_of(&self, path: &str) -> u64 {
        path.split('/').fold(1, |dir, name| match self.node(dir) {
            Some(Node::Directory(entries)) => entries[name],
            _ => panic!("{path} is not on the disk"),
        })
    }

    fn node(&self, number: u64) -> Option<&Node> {
        self.0.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }

    fn node_mut(&mut self, number: u64) -> &mut Node {
        &mut self.0[usize::try_from(number).expect("a small number") - 1]
    }
}

fn serve(mut kernel: File, tree: &Mutex<Tree>, shared: &Shared) {
    let mut buffer = vec![0; 1024 * 1024 + 4096];
    loop {
        let asked = rustix::event::poll(&mut [PollFd::new(&kernel, PollFlags::IN)], None);
        let state = shared.lock();
        // Held on to while the request is read and answered: who sets it knows that it holds from then on.
        let mut state = shared
            .changed
            .wait_while(state, |state| state.behaviour == Behaviour::Hangs)
            .expect("nobody panics while he holds this");
        let Ok(length) = kernel.read(&mut buffer) else { return };
        asked.expect("poll works, or reading would have failed");
        let request = Request(&buffer[..length]);
        let opcode = request.u32_at(4);
        // FORGET, BATCH_FORGET and INTERRUPT want no answer.
        if matches!(opcode, 2 | 42 | 36) {
            continue;
        }
        state.asked += 1;
        if let Behaviour::LooksUpSlowly(time) = state.behaviour
            && opcode == LOOKUP
        {
            std::thread::park_timeout(time);
        }
        if matches!(opcode, READ | READDIR)
            && let Some((left, then)) = state.then
        {
            state.then = (left > 1).then_some((left.saturating_sub(1), then));
            if left <= 1 {
                state.behaviour = then;
            }
        }
        answer_or_hold(&kernel, tree, &mut state, request.0);
    }
}

fn answer_or_hold(kernel: &File, tree: &Mutex<Tree>, state: &mut State, request: &[u8]) {
    let held = request;
    let request = Request(request);
    let opcode = request.u32_at(4);
    let reads = matches!(opcode, READ | READDIR);
    let tree = &*lock(tree);
    let outcome = match state.behaviour {
        // The handshake is not what breaks.
        _ if opcode == INIT => Ok(init()),
        // Who closes a file is not the one who waits.
        Behaviour::Swallows if !matches!(opcode, RELEASE | RELEASEDIR) => {
            return state.held.push(held.to_vec());
        }
        Behaviour::SwallowsAt(call, number) if opcode == call.opcode() && request.node() == number => {
            return state.held.push(held.to_vec());
        }
        Behaviour::Fails(error) => Err(error),
        Behaviour::FailsToRead(error) if reads => Err(error),
        Behaviour::FailsToReadFile(number) if opcode == READ && request.node() == number => Err(EIO),
        Behaviour::ListsTwice if opcode == READDIR => match tree.node(request.node()) {
            Some(Node::Directory(entries)) => {
                let twice = entries.iter().flat_map(|entry| [entry, entry]);
                Ok(listing(twice, request.u64_at(48), request.u32_at(56)))
            }
            _ => Err(EIO),
        },
        Behaviour::BreaksOffListing { dir, after } if opcode == READDIR && request.node() == dir => {
            match tree.node(dir) {
                Some(Node::Directory(entries)) if (request.u64_at(48) as usize) < after => {
                    Ok(listing(entries.iter().take(after), request.u64_at(48), request.u32_at(56)))
                }
                _ => Err(EIO),
            }
        }
        Behaviour::FailsAt { question, of, error } if asks(tree, &request, opcode, question, of) => {
            Err(error)
        }
        _ => answer(tree, opcode, &request),
    };
    reply(kernel, request.unique(), outcome);
}

/// Whether this request is that question about that file or directory.
fn asks(tree: &Tree, request: &Request<'_>, opcode: u32, question: Question, of: u64) -> bool {
    match (question, opcode) {
        // By its name in its directory, mostly.
        (Question::Stat, LOOKUP) => {
            matches!(tree.node(request.node()), Some(Node::Directory(entries)) if entries.get(&request.name()) == Some(&of))
        }
        (Question::Stat, GETATTR) | (Question::Open, OPEN | OPENDIR) | (Question::Read, READ | READDIR) => {
            request.node() == of
        }
        _ => false,
    }
}

const LOOKUP: u32 = 1;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const READ: u32 = 15;
const STATFS: u32 = 17;
const RELEASE: u32 = 18;
const INIT: u32 = 26;
const OPENDIR: u32 = 27;
const READDIR: u32 = 28;
const RELEASEDIR: u32 = 29;

struct Request<'buffer>(&'buffer [u8]);

impl Request<'_> {
    fn u32_at(&self, at: usize) -> u32 {
        u32::from_ne_bytes(self.0[at..at + 4].try_into().expect("four bytes"))
    }

    fn u64_at(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.0[at..at + 8].try_into().expect("eight bytes"))
    }

    fn unique(&self) -> u64 {
        self.u64_at(8)
    }

    fn node(&self) -> u64 {
        self.u64_at(16)
    }

    /// What follows the header, up to its NUL.
    fn name(&self) -> String {
        let name = self.0[40..].split(|&byte| byte == 0).next().expect("split gives one part at least");
        String::from_utf8_lossy(name).into_owned()
    }
}

fn reply(mut kernel: &File, unique: u64, outcome: Result<Vec<u8>, i32>) {
    let (error, body) = match outcome {
        Ok(body) => (0, body),
        Err(error) => (-error, Vec::new()),
    };
    let length = u32::try_from(16 + body.len()).expect("short answers");
    let mut message = Vec::with_capacity(16 + body.len());
    message.extend_from_slice(&length.to_ne_bytes());
    message.extend_from_slice(&error.to_ne_bytes());
    message.extend_from_slice(&unique.to_ne_bytes());
    message.extend_from_slice(&body);
    // Who asked may have been killed meanwhile; the kernel then does not want the answer.
    let _ = kernel.write(&message);
}

fn answer(tree: &Tree, opcode: u32, request: &Request<'_>) -> Result<Vec<u8>, i32> {
    let node = tree.node(request.node()).ok_or(ENOENT)?;
    match (opcode, node) {
        (LOOKUP, Node::Directory(entries)) => {
            let number = *entries.get(&request.name()).ok_or(ENOENT)?;
            let mut entry = words64(&[number, 0, 0, 0, 0]);
            entry.extend(attributes(number, tree.node(number).ok_or(ENOENT)?));
            Ok(entry)
        }
        (GETATTR, node) => {
            let mut out = words64(&[0, 0]);
            out.extend(attributes(request.node(), node));
            Ok(out)
        }
        (OPEN | OPENDIR, _) => {
            let mut out = words64(&[0]);
            // FOPEN_DIRECT_IO, so that every read comes here.
            out.extend([1_u32, 0].iter().flat_map(|word| word.to_ne_bytes()));
            Ok(out)
        }
        (READ, Node::File { content, .. }) => {
            let from = usize::try_from(request.u64_at(48)).unwrap_or(usize::MAX).min(content.len());
            let length = request.u32_at(56) as usize;
            Ok(content[from..content.len().min(from + length)].to_vec())
        }
        (READDIR, Node::Directory(entries)) => Ok(listing(entries, request.u64_at(48), request.u32_at(56))),
        (STATFS, _) => {
            let mut out = words64(&[1024, 512, 512, 100, 50]);
            out.extend([4096_u32, 255, 4096, 0].iter().flat_map(|word| word.to_ne_bytes()));
            out.extend([0; 24]);
            Ok(out)
        }
        (RELEASE | RELEASEDIR, _) => Ok(Vec::new()),
        // FLUSH among others. Having it would have the kernel wait for its answer whenever a file is closed, also by a
        // process that was killed: one that dies while the disk hangs would never be gone.
        _ => Err(ENOSYS),
    }
}

/// The entries from number `offset` on, as many as fit.
fn listing<'a>(entries: impl IntoIterator<Item = (&'a String, &'a u64)>, offset: u64, size: u32) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, (name, &number)) in (1_u64..).zip(entries) {
        let padded = (24 + name.len()).next_multiple_of(8);
        if index <= offset {
            continue;
        }
        if out.len() + padded > size as usize {
            break;
        }
        let end = out.len() + padded;
        out.extend(words64(&[number, index]));
        out.extend(u32::try_from(name.len()).expect("short names").to_ne_bytes());
        out.extend(0_u32.to_ne_bytes());
        out.extend(name.as_bytes());
        out.resize(end, 0);
    }
    out
}

/// `struct fuse_attr`.
fn attributes(number: u64, node: &Node) -> Vec<u8> {
    let (mode, size, mtime_s) = match node {
        Node::Directory(_) => (0o040_755_u32, 0, 0),
        Node::File { content, mtime_s } => (0o100_644, content.len() as u64, *mtime_s),
    };
    // blocks, atime, mtime, ctime
    let mut out = words64(&[number, size, 1, 0, mtime_s, mtime_s]);
    out.extend([0, 0, 0, mode, 1, 0, 0, 0, 4096, 0].iter().flat_map(|word| word.to_ne_bytes()));
    out
}

/// `struct fuse_init_out`, version 7.31, no options.
fn init() -> Vec<u8> {
    let mut out = Vec::new();
    out.extend([7_u32, 31, 65536, 0].iter().flat_map(|word| word.to_ne_bytes()));
    out.extend([12_u16, 10].iter().flat_map(|word| word.to_ne_bytes()));
    out.extend([4096_u32, 1].iter().flat_map(|word| word.to_ne_bytes()));
    out.extend([32_u16, 0].iter().flat_map(|word| word.to_ne_bytes()));
    out.resize(64, 0);
    out
}

fn words64(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}
