//! `sftp:`: a store on any machine that one can log in to.
//!
//! The user's own `ssh` makes the connection (as rsync and git do it), so that keys, agents, known hosts, jump hosts and
//! `~/.ssh/config` are as everywhere else; it is run so that it asks nobody anything, and its words become our error's. SFTP
//! is spoken over its pipes. The storage library's own SFTP is not used: it makes the store's directory with every
//! connection (and so fills the mount point of a disk that is not mounted), ends the process at a name that is not UTF-8,
//! knows no time-outs, no durable writes and no way to give a name without taking it from another.
//!
//! A content is written to a name of its own under `.tmp/`, made durable where the server can (`fsync@openssh.com`), and
//! linked to its key, which fails where the key is taken (`hardlink@openssh.com`); where there are no links, it is looked
//! first and renamed then. A large one that is interrupted leaves what it has to the next ([`leftover`]).

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::io::{self, Read};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use jiff::Timestamp;
use openssh_sftp_client::error::SftpErrorKind;
use openssh_sftp_client::file::File;
use openssh_sftp_client::{Error, Sftp as Client, SftpOptions};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use super::cloud::is_ours;
use super::cut::Cut;
use super::tree::Entry;
use super::{Backend, Condition, Look, Names, PartSizes, Published, TEMPORARY_DIRECTORY, Unopened, tree};
use crate::remote::credentials::{self, Access};
use crate::remote::measured::Measured;
use crate::remote::runtime::Waiter;
use crate::remote::url::Sftp as Place;
use crate::remote::{AwayReason, Capabilities, StoreError, StoreUrl};

mod leftover;

use leftover::{Writing, is_interruption};

/// As much as OpenSSH takes in one request.
const PIECE_BYTES: usize = 255 << 10;
/// As much as OpenSSH gives in one answer.
const READ_BYTES: u32 = 256 << 10;
/// All share one connection, which answers in any order.
const PARALLEL: usize = 8;
/// What ssh said last is enough to know what is wrong.
const MAX_WORDS_BYTES: usize = 4096;

/// A store on an SFTP server.
#[derive(Debug)]
pub(in crate::remote) struct Sftp {
    place: Place,
    ssh: Vec<String>,
    waiter: Waiter,
    connect: Duration,
    idle: Duration,
    /// The store's canonical URL.
    store: String,
    conditional_put: bool,
    sizes: PartSizes,
    session: Mutex<Option<Arc<Session>>>,
    /// Directories that are known to be there.
    made: Mutex<BTreeSet<String>>,
}

/// A connection: ssh's process and what is spoken over its pipes. Dropping it ends both.
struct Session {
    client: Client,
    _ssh: Child,
    words: Arc<Mutex<String>>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// What the server said of the thing that was asked for.
type Said<T> = Result<T, SftpErrorKind>;

/// The store, not asked for yet.
pub(in crate::remote) fn unopened(place: &Place, access: &Access) -> Result<Box<dyn Unopened>, StoreError> {
    Ok(Box::new(Sftp::new(place, access)?))
}

impl Sftp {
    fn new(place: &Place, access: &Access) -> Result<Self, StoreError> {
        let store = StoreUrl::Sftp(place.clone()).to_string();
        let waiter = Waiter::new().map_err(|source| StoreError::Io {
            store: store.clone(),
            doing: "be opened".to_owned(),
            source,
        })?;
        Ok(Sftp {
            place: place.clone(),
            ssh: credentials::ssh_command(access, &store)?,
            waiter,
            connect: access.patience.connect,
            idle: access.patience.idle,
            store,
            conditional_put: access.found.is_some_and(|found| found.conditional_put),
            sizes: access.parts,
            session: Mutex::default(),
            made: Mutex::default(),
        })
    }

    fn path(&self, name: &str) -> String {
        let slash = if name.is_empty() { "" } else { "/" };
        format!("{}{slash}{name}", self.place.path)
    }

    fn lock_session(&self) -> MutexGuard<'_, Option<Arc<Session>>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_made(&self) -> MutexGuard<'_, BTreeSet<String>> {
        // A panic in between leaves a smaller set, which only means one request more.
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn away(&self, reason: AwayReason, source: Option<io::Error>) -> StoreError {
        StoreError::Away { store: self.store.clone(), reason, source }
    }

    /// The connection, made where there is none. Others wait for it meanwhile: they need it, too.
    fn session(&self) -> Result<Arc<Session>, StoreError> {
        let mut session = self.lock_session();
        if let Some(session) = &*session {
            return Ok(Arc::clone(session));
        }
        let made = Arc::new(self.waiter.wait(self.log_in())?);
        *session = Some(Arc::clone(&made));
        Ok(made)
    }

    async fn log_in(&self) -> Result<Session, StoreError> {
        let (program, first) = self.ssh.split_first().expect("never empty");
        let mut command = Command::new(program);
        command.args(first);
        let seconds = |name: &str, time: Duration| format!("{name}={}", time.as_secs().max(1));
        // Nobody is there to answer a question, and a connection that is dead is to be noticed.
        for option in [
            "BatchMode=yes".to_owned(),
            seconds("ConnectTimeout", self.connect),
            seconds("ServerAliveInterval", self.idle / 3),
            "ServerAliveCountMax=3".to_owned(),
        ] {
            command.arg("-o").arg(option);
        }
        if let Some(port) = self.place.port {
            command.arg("-p").arg(port.to_string());
        }
        if let Some(user) = &self.place.user {
            command.arg("-l").arg(user);
        }
        command.arg("-s").arg("--").arg(self.place.host.trim_matches(['[', ']'])).arg("sftp");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // Ctrl-C is for us: what is being sent is finished or given up in order.
        command.process_group(0);
        let mut ssh = command.spawn().map_err(|source| StoreError::Refused {
            store: self.store.clone(),
            doing: "be opened".to_owned(),
            reason: format!(
                "the program {program:?} cannot be run; install an ssh client, or set SHELFLIST_SSH_COMMAND"
            ),
            source: Some(source),
        })?;
        let words = Arc::new(Mutex::new(String::new()));
        let mut stderr = ssh.stderr.take().expect("it was asked for");
        let heard = tokio::spawn({
            let words = Arc::clone(&words);
            async move {
                let mut buffer = [0; 512];
                while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
                    let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
                    words.push_str(&String::from_utf8_lossy(&buffer[..read]));
                    let surplus = words.len().saturating_sub(MAX_WORDS_BYTES);
                    let cut = (surplus..=words.len()).find(|at| words.is_char_boundary(*at)).unwrap_or(0);
                    words.drain(..cut);
                }
            }
        });
        let stdin = ssh.stdin.take().expect("it was asked for");
        let stdout = ssh.stdout.take().expect("it was asked for");
        let began = Client::new(stdin, stdout, SftpOptions::default());
        match tokio::time::timeout(self.connect + self.idle, began).await {
            Ok(Ok(client)) => Ok(Session { client, _ssh: ssh, words }),
            Ok(Err(_)) => {
                // It ends; what it says last says why.
                let _ = tokio::time::timeout(Duration::from_secs(2), heard).await;
                let words = words.lock().unwrap_or_else(PoisonError::into_inner);
                Err(why_not(&self.store, &words))
            }
            Err(_) => Err(self.away(AwayReason::Unreachable, Some(io::ErrorKind::TimedOut.into()))),
        }
    }

    /// Does something over the connection. The inner error is about the thing, the outer one about the way to it.
    fn ask<T, W, F>(&self, work: W) -> Result<Said<T>, StoreError>
    where
        W: FnOnce(Arc<Session>) -> F,
        F: Future<Output = Result<T, Error>>,
    {
        let session = self.session()?;
        let done =
            self.waiter.wait(async { tokio::time::timeout(self.idle, work(Arc::clone(&session))).await });
        self.judge(&session, done)
    }

    fn judge<T>(
        &self,
        session: &Arc<Session>,
        done: Result<Result<T, Error>, tokio::time::error::Elapsed>,
    ) -> Result<Said<T>, StoreError> {
        let error = match done {
            Ok(Ok(done)) => return Ok(Ok(done)),
            Ok(Err(error)) => match kind_of(&error) {
                Some(kind) => return Ok(Err(kind)),
                None => io::Error::other(error.to_string()),
            },
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        // The next call makes another connection.
        let mut current = self.lock_session();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, session)) {
            *current = None;
        }
        let words = session.words.lock().unwrap_or_else(PoisonError::into_inner);
        tracing::debug!(store = self.store, words = %*words, "the connection is lost");
        Err(self.away(AwayReason::Unreachable, Some(error)))
    }

    /// What the server's word means for us.
    fn error(&self, kind: SftpErrorKind, doing: impl FnOnce() -> String) -> StoreError {
        let store = self.store.clone();
        match kind {
            SftpErrorKind::PermDenied => {
                StoreError::Denied { store, doing: doing(), source: io::ErrorKind::PermissionDenied.into() }
            }
            SftpErrorKind::OpUnsupported => StoreError::Refused {
                store,
                doing: doing(),
                reason: "the server cannot do that".to_owned(),
                source: None,
            },
            SftpErrorKind::NoSuchFile => {
                StoreError::Io { store, doing: doing(), source: io::ErrorKind::NotFound.into() }
            }
            // OpenSSH's word for everything else; for a full disk, too.
            _ => match self.is_full() {
                true => StoreError::Full { store, source: io::ErrorKind::StorageFull.into() },
                false => StoreError::Io {
                    store,
                    doing: doing(),
                    source: io::Error::other("the server says no more than \"failure\""),
                },
            },
        }
    }

    fn is_full(&self) -> bool {
        const LITTLE_BYTES: u64 = 1 << 20;
        let path = self.path("");
        let free = self.ask(|session| async move {
            if !session.client.support_statvfs() {
                return Ok(u64::MAX);
            }
            let found = session.client.fs().statvfs(Path::new(&path)).await?;
            Ok(found.bavail.saturating_mul(found.frsize))
        });
        matches!(free, Ok(Ok(free)) if free < LITTLE_BYTES)
    }

    fn metadata(&self, name: &str) -> Result<Said<(bool, u64)>, StoreError> {
        let path = self.path(name);
        self.ask(|session| async move {
            let found = session.client.fs().symlink_metadata(Path::new(&path)).await?;
            let is_file = found.file_type().is_none_or(|kind| kind.is_file());
            Ok((is_file, found.len().unwrap_or(0)))
        })
    }

    /// Makes one directory, unless it is there; whether its parent is there to make it in.
    fn make_directory(&self, name: &str) -> Result<bool, StoreError> {
        let path = self.path(name);
        let made =
            self.ask(|session| async move { session.client.fs().create_dir(Path::new(&path)).await })?;
        match made {
            Ok(()) => Ok(true),
            Err(SftpErrorKind::NoSuchFile) => Ok(false),
            // "Failure" is what a directory that is there answers.
            Err(kind) => match self.metadata(name)? {
                Ok(_) => Ok(true),
                Err(_) => Err(self.error(kind, || format!("make directory {name:?}"))),
            },
        }
    }

    fn make_directories_of(&self, name: &str) -> Result<(), StoreError> {
        let Some((directory, _)) = name.rsplit_once('/') else { return Ok(()) };
        if self.lock_made().contains(directory) {
            return Ok(());
        }
        let mut path = String::new();
        for part in directory.split('/') {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(part);
            if !self.lock_made().contains(&path) {
                if !self.make_directory(&path)? {
                    return Err(self.lost());
                }
                self.lock_made().insert(path.clone());
            }
        }
        Ok(())
    }

    /// The store's place is not what it was.
    fn lost(&self) -> StoreError {
        self.lock_made().clear();
        match self.absence() {
            Ok(reason) => self.away(reason.unwrap_or(AwayReason::NoStoreInRoot), None),
            Err(error) => error,
        }
    }

    /// Writes a content to a file under `.tmp/`, proves it and makes it durable.
    fn upload(
        &self,
        writing: &mut Writing,
        name: &str,
        content: &mut Measured<'_>,
        cut: Cut,
    ) -> Result<(), StoreError> {
        let path = self.path(&writing.temporary);
        let opened = self.ask(|session| async move {
            session.client.options().write(true).create_new(true).open(Path::new(&path)).await
        })?;
        let mut file = match opened {
            Ok(file) => file,
            Err(SftpErrorKind::NoSuchFile) => return Err(self.lost()),
            Err(kind) => return Err(self.error(kind, || format!("write {}", writing.temporary))),
        };
        if writing.is_recorded() {
            self.write_parts(writing, &mut file, name, content, cut)?;
        } else {
            while let Some(piece) = content.next(PIECE_BYTES)? {
                self.write_piece(writing, &mut file, &piece)?;
            }
        }
        let failed = |kind| self.error(kind, || format!("write {}", writing.temporary));
        let mut synced = file.clone();
        let done = self.ask(|session| async move {
            match session.client.support_fsync() {
                true => synced.sync_all().await,
                false => Ok(()),
            }
        })?;
        match done {
            // Some servers announce it and have it not, on some file systems.
            Ok(()) | Err(SftpErrorKind::OpUnsupported) => {}
            Err(kind) => return Err(failed(kind)),
        }
        // Some servers have all of it only then, and some say only then that it did not fit.
        self.ask(|_| file.close())?.map_err(failed)
    }

    /// One piece after the other: several on their way at once would be faster over a long line, but servers that have no files
    /// behind them (rclone) cannot put them in order. Several objects are on their way at once anyway.
    fn write_piece(&self, writing: &Writing, file: &mut File, piece: &Bytes) -> Result<(), StoreError> {
        self.ask(|_| async move { file.write_all(piece).await })?
            .map_err(|kind| self.error(kind, || format!("write {}", writing.temporary)))
    }

    /// Another goes on with what was begun here.
    fn is_another_ones(&self, name: &str) -> StoreError {
        let source = io::Error::other(format!("another goes on with object {name}"));
        StoreError::Busy { store: self.store.clone(), retry_after: None, source }
    }

    fn give_name(&self, temporary: &str, name: &str, condition: Condition) -> Result<Published, StoreError> {
        let doing = || format!("give object {name} its name");
        let (from, to) = (self.path(temporary), self.path(name));
        let linked = self.ask(|session| {
            let (from, to) = (from.clone(), to.clone());
            async move {
                if !session.client.support_hardlink() {
                    return Ok(None);
                }
                session.client.fs().hard_link(Path::new(&from), Path::new(&to)).await.map(Some)
            }
        })?;
        match linked {
            Ok(Some(())) => return Ok(Published::Created),
            Err(SftpErrorKind::NoSuchFile) if self.metadata(TEMPORARY_DIRECTORY)?.is_ok() => {
                // Its own file is what is not there: another went on with it, and has made the object, or is about to.
                return match (self.metadata(name)?, self.metadata(temporary)?) {
                    (Ok(_), _) => Ok(Published::Taken),
                    (Err(_), Err(SftpErrorKind::NoSuchFile)) => Err(self.is_another_ones(name)),
                    _ => Err(self.lost()),
                };
            }
            Err(SftpErrorKind::NoSuchFile) => return Err(self.lost()),
            // No links on this server, on its file system, or a name that is taken: a look tells.
            Ok(None) | Err(_) => {}
        }
        match self.metadata(name)? {
            Ok(_) => return Ok(Published::Taken),
            Err(SftpErrorKind::NoSuchFile) => {}
            Err(kind) => return Err(self.error(kind, doing)),
        }
        if condition == Condition::Proved {
            return Err(self.error(SftpErrorKind::OpUnsupported, doing));
        }
        let renamed =
            self.ask(
                |session| async move { session.client.fs().rename(Path::new(&from), Path::new(&to)).await },
            )?;
        match renamed {
            Ok(()) => Ok(Published::Created),
            Err(SftpErrorKind::NoSuchFile) => Err(self.lost()),
            Err(kind) => match self.metadata(name)? {
                Ok(_) => Ok(Published::Taken),
                Err(_) => Err(self.error(kind, doing)),
            },
        }
    }
}

/// What the server said of the thing; `None` where the connection is what is wrong.
fn kind_of(error: &Error) -> Option<SftpErrorKind> {
    match error {
        Error::SftpError(SftpErrorKind::BadMessage, _) => None,
        Error::SftpError(kind, _) => Some(*kind),
        Error::UnsupportedExtension(_) => Some(SftpErrorKind::OpUnsupported),
        _ => None,
    }
}

/// What ssh's last words mean.
fn why_not(store: &str, words: &str) -> StoreError {
    let store = store.to_owned();
    let line =
        words.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("ssh ended without a word");
    let source = Some(io::Error::other(line.to_owned()));
    let says = |text: &str| words.contains(text);
    if says("Permission denied") || says("Too many authentication failures") {
        let problem = "it takes none of the keys of your ssh agent and ~/.ssh".to_owned();
        return StoreError::Credentials { store, problem, source };
    }
    let reason = if says("Host key verification failed") || says("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        AwayReason::Untrusted
    } else if says("Could not resolve hostname") {
        AwayReason::NameUnknown
    } else {
        AwayReason::Unreachable
    };
    StoreError::Away { store, reason, source }
}

impl Sftp {
    fn read_from(&self, name: &str, start: u64) -> Result<Option<Box<dyn Read + Send>>, StoreError> {
        let path = self.path(name);
        let opened = self.ask(|session| async move {
            let mut file = session.client.open(Path::new(&path)).await?;
            if start > 0 {
                tokio::io::AsyncSeekExt::seek(&mut file, io::SeekFrom::Start(start)).await?;
            }
            // A directory opens on some servers and says so when it is read.
            let first = file.read(READ_BYTES, BytesMut::new()).await?;
            Ok((file, first.map(BytesMut::freeze).unwrap_or_default()))
        })?;
        match opened {
            Ok((file, current)) => {
                let (waiter, idle) = (self.waiter, self.idle);
                let session = self.session()?;
                Ok(Some(Box::new(Reader { waiter, idle, file, current, _session: session })))
            }
            Err(SftpErrorKind::NoSuchFile) => Ok(None),
            Err(SftpErrorKind::Failure) if matches!(self.metadata(name)?, Ok((false, _))) => Ok(None),
            Err(kind) => Err(self.error(kind, || format!("read object {name}"))),
        }
    }
}

impl Backend for Sftp {
    fn describe(&self) -> String {
        self.store.clone()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            client_names_objects: true,
            conditional_put: self.conditional_put,
            server_hash: false,
            needs_searchable: false,
            max_object_bytes: None,
            parallel: PARALLEL,
        }
    }

    fn may_replace(&self) -> bool {
        false
    }

    fn look(&self, name: &str) -> Result<Look, StoreError> {
        match self.metadata(name)? {
            Ok((true, bytes)) => Ok(Look::Bytes(bytes)),
            Ok((false, _)) | Err(SftpErrorKind::NoSuchFile) => Ok(Look::Absent),
            Err(kind) => Err(self.error(kind, || format!("look at object {name}"))),
        }
    }

    fn read(&self, name: &str) -> Result<Option<Box<dyn Read + Send>>, StoreError> {
        self.read_from(name, 0)
    }

    fn read_part(
        &self,
        name: &str,
        start: u64,
        bytes: u64,
    ) -> Result<Option<Box<dyn Read + Send>>, StoreError> {
        Ok(self.read_from(name, start)?.map(|reader| Box::new(reader.take(bytes)) as Box<dyn Read + Send>))
    }

    fn publish(
        &self,
        name: &str,
        content: &mut Measured<'_>,
        condition: Condition,
    ) -> Result<Published, StoreError> {
        let cut = Cut::of(content.expected_bytes(), self.sizes);
        let may_go_on = cut.bytes() > self.sizes.single_bytes && self.can_go_on()?;
        let mut writing = Writing::of(name, may_go_on);
        let published = self.upload(&mut writing, name, content, cut).and_then(|()| {
            self.make_directories_of(name)?;
            self.give_name(&writing.temporary, name, condition)
        });
        match &published {
            Err(error) if writing.has_parts() && is_interruption(error) => return published,
            // Nobody is asked to take anything away over a line that has just gone.
            Err(StoreError::Away { .. } | StoreError::Busy { .. }) if writing.is_recorded() => {
                return published;
            }
            // Also after a link, which leaves the old name.
            _ => self.discard(&writing),
        }
        let of_no_use = matches!(published, Ok(_) | Err(StoreError::ContentChanged { .. }));
        if may_go_on && of_no_use {
            self.clear_leftovers(name);
        }
        published
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name);
        let removed =
            self.ask(|session| async move { session.client.fs().remove_file(Path::new(&path)).await })?;
        match removed {
            Ok(()) | Err(SftpErrorKind::NoSuchFile) => Ok(()),
            Err(kind) => Err(self.error(kind, || format!("delete object {name}"))),
        }
    }

    fn names(&self, prefix: &str) -> Result<Names<'_>, StoreError> {
        Ok(tree::walk(prefix, |directory| self.entries(directory)))
    }

    fn make_place(&self) -> Result<(), StoreError> {
        if !self.make_directory("")? {
            return Err(self.away(AwayReason::RootMissing, None));
        }
        self.make_directory(TEMPORARY_DIRECTORY).map(drop)
    }

    fn stranger(&self) -> Result<Option<String>, StoreError> {
        Ok(self.entries("")?.into_iter().map(|entry| entry.name).find(|name| !is_ours(name)))
    }

    fn absence(&self) -> Result<Option<AwayReason>, StoreError> {
        // A disk that is not mounted there is an empty directory.
        Ok(Some(match self.metadata("")? {
            Ok(_) => AwayReason::NoStoreInRoot,
            Err(_) => AwayReason::RootMissing,
        }))
    }

    fn unfinished(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.entries(&format!("{TEMPORARY_DIRECTORY}/"))?.into_iter().map(|entry| entry.name).collect())
    }

    fn server_time(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(None) // SFTP does not say.
    }
}

impl Sftp {
    fn entries(&self, directory: &str) -> Result<Vec<Entry>, StoreError> {
        let path = self.path(directory.trim_end_matches('/'));
        let listed = self.ask(|session| async move {
            let mut reading = Box::pin(session.client.fs().open_dir(Path::new(&path)).await?.read_dir());
            let mut entries = Vec::new();
            while let Some(entry) = reading.next().await.transpose()? {
                // A name that is not UTF-8 is none of ours.
                let Some(name) = entry.filename().to_str() else { continue };
                let is_directory = entry.file_type().is_some_and(|kind| kind.is_dir());
                let is_file = entry.file_type().is_none_or(|kind| kind.is_file());
                if [".", ".."].contains(&name) || !(is_directory || is_file) {
                    continue;
                }
                let bytes = entry.metadata().len().unwrap_or(0);
                entries.push(Entry { name: name.to_owned(), is_directory, bytes });
            }
            Ok(entries)
        })?;
        match listed {
            Ok(entries) => Ok(entries),
            Err(SftpErrorKind::NoSuchFile) => Ok(Vec::new()), // gone since its name was read
            Err(kind) => Err(self.error(kind, || format!("list {directory:?}"))),
        }
    }
}

/// An object on its way to us.
struct Reader {
    waiter: Waiter,
    idle: Duration,
    file: File,
    current: Bytes,
    _session: Arc<Session>,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.current.is_empty() {
            let reading =
                async { tokio::time::timeout(self.idle, self.file.read(READ_BYTES, BytesMut::new())).await };
            match self.waiter.wait(reading) {
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(Err(error)) => {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, error.to_string()));
                }
                Ok(Ok(None)) => return Ok(0),
                Ok(Ok(Some(bytes))) => self.current = bytes.freeze(),
            }
        }
        let read = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_of_ssh_are_understood() {
        let of = |words: &str| why_not("sftp://host/x", words);
        assert!(matches!(
            of("Warning: added\r\nann@host: Permission denied (publickey,password).\r\n"),
            StoreError::Credentials { .. }
        ));
        for (words, expected) in [
            ("Host key verification failed.\r\n", AwayReason::Untrusted),
            ("ssh: Could not resolve hostname h: Name or service not known", AwayReason::NameUnknown),
            ("ssh: connect to host h port 22: Connection refused", AwayReason::Unreachable),
            ("", AwayReason::Unreachable),
        ] {
            assert!(matches!(of(words), StoreError::Away { reason, .. } if reason == expected), "{words}");
        }
    }
}
