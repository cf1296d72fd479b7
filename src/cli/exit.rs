//! Errors become messages, hints and exit codes, here and nowhere else.

use std::process::ExitCode;

use crate::catalog::CatalogError;
use crate::config::ConfigError;
use crate::daemon::schedule::ScheduleError;
use crate::enrich::UnknownKind;
use crate::enrich::run::EnrichError;
use crate::fetch::FetchError;
use crate::library::LibraryError;
use crate::model::path::display_name;
use crate::model::setting::SettingError;
use crate::remote::{AwayReason, StoreError, UrlError};
use crate::scan::ScanError;
use crate::sync::{Away, SyncError};

/// How the program ends. Design section 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Problems = 3,
    Locked = 4,
    Offline = 5,
    Decision = 6,
    Unavailable = 7,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

impl Exit {
    /// Of several ends of one run, the one that a script must hear of first.
    pub(super) fn worst(exits: impl IntoIterator<Item = Exit>) -> Exit {
        const ORDER: [Exit; 7] = [
            Exit::Interrupted,
            Exit::Failed,
            Exit::Unavailable,
            Exit::Decision,
            Exit::Offline,
            Exit::Problems,
            Exit::Done,
        ];
        let exits: Vec<Exit> = exits.into_iter().collect();
        ORDER.into_iter().find(|exit| exits.contains(exit)).unwrap_or(Exit::Done)
    }
}

/// A command that could not be done: what happened, to which thing, and what to do next.
#[derive(Debug)]
pub(super) struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Failure {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Failure { exit, message: message.into(), hint: None }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Failure::new(Exit::Usage, message)
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn exit(&self) -> Exit {
        self.exit
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn said_hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    fn of(exit: Exit, error: &dyn std::error::Error, hint: Option<&str>) -> Self {
        Failure { exit, message: chain(error), hint: hint.map(str::to_owned) }
    }

    /// Tells people on standard error; with `--json` scripts on standard output, too.
    pub(super) fn report(&self, json: bool) -> Exit {
        // Messages hold names out of files and command lines.
        eprintln!("error: {}", display_name(self.message.as_bytes()));
        if let Some(hint) = &self.hint {
            eprintln!("hint: {}", display_name(hint.as_bytes()));
        }
        if json {
            let object = serde_json::json!({
                "error": { "message": self.message, "hint": self.hint, "exit_code": self.exit as u8 }
            });
            println!("{object}");
        }
        self.exit
    }
}

/// An error with its causes, in one line; a cause that says the same again is left out.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = cause.source();
    }
    text
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::of(Exit::Failed, &error, None)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Failure::of(Exit::Failed, &error, Some("set SHELFLIST_HOME to a directory, or give --home DIR"))
    }
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        let (exit, hint) = match &error {
            CatalogError::Absent(_) => (Exit::Failed, "make one with: shelflist init ROOT"),
            CatalogError::Corrupt(_) | CatalogError::Dangling(_) => (
                Exit::Failed,
                "nothing was changed; move the file catalog.db (with -wal and -shm) aside and put the newest file of the \
                 directory backups beside it in its place; without one, shelflist init and scan make a new catalogue",
            ),
            CatalogError::Newer { .. } => (
                Exit::Failed,
                "nothing was changed; install the newest shelflist, or give --home with another catalogue",
            ),
            CatalogError::Foreign(_) => {
                (Exit::Failed, "nothing was changed; give --home with another directory")
            }
            CatalogError::Full(_) => {
                (Exit::Failed, "nothing is lost; make room on that disk and run the command again")
            }
            CatalogError::File { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                (Exit::Failed, "nothing is lost; make room on that disk and run the command again")
            }
            CatalogError::Denied(_) | CatalogError::File { .. } => {
                (Exit::Failed, "check that this user may read and write the directory of the catalogue")
            }
            CatalogError::Busy(_) => {
                (Exit::Locked, "wait for the other shelflist, then run the command again")
            }
            CatalogError::Locked(_) => {
                (Exit::Locked, "wait for the other scan or sync to end; status and find work meanwhile")
            }
            CatalogError::Migration(_) => (
                Exit::Failed,
                "the copy made before is in the directory backups beside the catalogue; please report this",
            ),
            CatalogError::Rules(_) => (
                Exit::Failed,
                "nothing is sent until they are; set them anew with: shelflist config set privacy.rules RULES",
            ),
            CatalogError::Scope(_) => (
                Exit::Failed,
                "nothing is sent there until it is; say it anew with: shelflist store scope STORE",
            ),
            CatalogError::Word(_) | CatalogError::Json(_) | CatalogError::Sqlite(_) => {
                (Exit::Failed, "run the command again with -vv for the details; the catalogue is as it was")
            }
        };
        Failure::of(exit, &error, Some(hint))
    }
}

impl From<LibraryError> for Failure {
    fn from(error: LibraryError) -> Self {
        let error = match error {
            LibraryError::Catalog(error) => return error.into(),
            error => error,
        };
        let hint = match &error {
            LibraryError::Catalog(_) => unreachable!("returned above"),
            LibraryError::NoRoot(_) => {
                "is the disk plugged in and mounted? shelflist never makes a root itself"
            }
            LibraryError::NotADirectory(_) => "a library is a directory; give the one that holds the files",
            LibraryError::Unreadable { source, .. } if source.kind() == std::io::ErrorKind::TimedOut => {
                "check that disk: its cable, or the network it is reached by; then run the command again"
            }
            LibraryError::Unreadable { .. } => "check that this user may list the directory",
            LibraryError::AlreadyALibrary { .. } => "scan it with: shelflist scan",
            LibraryError::Nested { .. } => {
                "make a library of the outer one only, or of two that lie side by side"
            }
            LibraryError::StoreInside { .. } => "put the store on another place, best on another disk",
            LibraryError::CatalogInside(_) => "give --home with a directory outside the library",
            LibraryError::NameTaken(_) => "give it another one with --name",
            LibraryError::BadName(_) => "give it a name without slashes and control characters with --name",
            LibraryError::ForeignMarker { .. } => {
                "if the library was moved here, run: shelflist library relocate NAME ROOT; if this is a copy of the disk, \
                 unplug one of the two"
            }
            LibraryError::Marker(_) => {
                "shelflist writes only .shelflist/library.json there; make the disk writable, or use --no-marker"
            }
            LibraryError::Identify(_) => "mount the disk, or give the right place with --mount-point",
            LibraryError::NowhereMounted(_) => {
                "plug the disk in and mount it, or say where it is: shelflist library relocate NAME ROOT"
            }
            LibraryError::SeveralPlaces { .. } => {
                "unplug the copy, or say which one: shelflist library relocate NAME ROOT"
            }
            LibraryError::NotAlike { .. } => {
                "nothing was changed; give the root of the library itself, as it was catalogued"
            }
            LibraryError::NotTheLibrary { probe, .. }
                if probe.availability.reason() == Some(crate::model::Reason::Cloned) =>
            {
                "nothing was changed; if this copy is to take the disk's place, run: shelflist library adopt NAME ROOT"
            }
            LibraryError::NotTheLibrary { .. } => {
                "nothing was changed; give the directory that holds .shelflist/library.json"
            }
        };
        let exit = match error {
            LibraryError::NowhereMounted(_) => Exit::Unavailable,
            LibraryError::BadName(_) => Exit::Usage,
            _ => Exit::Failed,
        };
        Failure::of(exit, &error, Some(hint))
    }
}

impl From<ScanError> for Failure {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Catalog(error) => error.into(),
            ScanError::Rules(_) => Failure::of(
                Exit::Failed,
                &error,
                Some("mend it with: shelflist config set scan.exclude PATTERNS"),
            ),
            ScanError::NoSuchScope(_) => Failure::of(
                Exit::Usage,
                &error,
                Some("give a directory that is there, or scan without --path"),
            ),
            ScanError::ScopeLeftOut(_) => Failure::of(
                Exit::Usage,
                &error,
                Some(
                    "change the rule (.shelflistignore, or the setting scan.exclude), or scan another directory",
                ),
            ),
            ScanError::RulesUnread { .. } => Failure::of(
                Exit::Failed,
                &error,
                Some("nothing was changed; check that this user may read the file .shelflistignore there"),
            ),
            ScanError::Threads(_) => Failure::of(Exit::Failed, &error, None),
        }
    }
}

impl From<EnrichError> for Failure {
    fn from(error: EnrichError) -> Self {
        match error {
            EnrichError::Catalog(error) => error.into(),
            EnrichError::Extractor(_) => Failure::of(
                Exit::Failed,
                &error,
                Some("the scan is kept; check that this program can start itself"),
            ),
        }
    }
}

impl From<SyncError> for Failure {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::Catalog(error) => error.into(),
            SyncError::TakenOver => Failure::of(
                Exit::Locked,
                &error,
                Some("nothing is lost, the other one goes on; see how far it is with: shelflist sync status"),
            ),
            SyncError::Url { .. } => Failure::of(
                Exit::Failed,
                &error,
                Some(
                    "remove the store and add it again: shelflist store remove NAME; shelflist store add URL",
                ),
            ),
        }
    }
}

impl From<UrlError> for Failure {
    fn from(error: UrlError) -> Self {
        let hint = match &error {
            UrlError::HasSecret { belongs, .. } => format!("it belongs into {belongs}"),
            UrlError::Malformed { .. } => "see docs/stores.md for every kind of store".to_owned(),
            _ => "for example: shelflist store add dir:/mnt/backup/mirror".to_owned(),
        };
        Failure::of(Exit::Usage, &error, Some(&hint))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let (exit, hint) = what_to_do(&error);
        Failure::of(exit, &error, Some(hint))
    }
}

/// How a command ends that needs the store, and what a person can do about it.
fn what_to_do(error: &StoreError) -> (Exit, &'static str) {
    match error {
        StoreError::Away { reason, .. } => match reason {
            AwayReason::RootMissing | AwayReason::NoStoreInRoot => {
                (Exit::Offline, "mount its disk, then run the command again")
            }
            AwayReason::NoBucket => (
                Exit::Failed,
                "make the bucket with the provider's own tools (shelflist never does, buckets are paid for), or mend its name",
            ),
            AwayReason::NoneOfThatName => (
                Exit::Offline,
                "was it deleted, or is the key another project's? where it is to be filled again: shelflist store remove NAME; \
                 shelflist store add URL",
            ),
            AwayReason::NoEmbedder => {
                (Exit::Offline, "start the server that embed= names in its URL, then run the command again")
            }
            AwayReason::NameUnknown => {
                (Exit::Offline, "check the name in its URL, and that this computer has a network")
            }
            AwayReason::Untrusted => (
                Exit::Failed,
                "for HTTPS, let this computer trust the server's certificate (SSL_CERT_FILE names one); for sftp:, log in once \
                 with ssh and check the host's key",
            ),
            AwayReason::Unreachable => {
                (Exit::Offline, "check the network and the server, then run the command again")
            }
        },
        StoreError::Full { .. } => (Exit::Offline, "make room there, then run the command again"),
        StoreError::Busy { .. } => (Exit::Offline, "wait a while, then run the command again"),
        StoreError::Credentials { .. } => (
            Exit::Failed,
            "where keys and passwords are looked for stands in docs/stores.md; --password-command names a command that prints one",
        ),
        StoreError::ClockSkew { .. } => {
            (Exit::Failed, "set this computer's clock (or let it be set: timedatectl set-ntp true)")
        }
        StoreError::Denied { .. } => {
            (Exit::Failed, "check that this user, or this key, has the permission to write and delete there")
        }
        _ => (Exit::Failed, "look at what is at that place, then run the command again"),
    }
}

/// What a person can do about a store that what waits cannot be sent to. Nothing where there is nothing to do but wait: a disk
/// that is elsewhere and a network that is away are normal.
pub(super) fn hint_of_away(away: &Away) -> Option<&'static str> {
    match away {
        Away::AskedToWait { .. }
        | Away::Store(
            StoreError::Busy { .. }
            | StoreError::Io { .. }
            | StoreError::Away {
                reason: AwayReason::RootMissing | AwayReason::NoStoreInRoot | AwayReason::Unreachable,
                ..
            },
        ) => None,
        Away::Store(error) => Some(what_to_do(error).1),
        Away::OtherStore { .. } => {
            Some("was its disk swapped? where the store has moved: shelflist store relocate STORE URL")
        }
        Away::NotAStore => {
            Some("where it was emptied and is to be filled again: shelflist store check STORE --repair")
        }
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Catalog(error) => error.into(),
            FetchError::Target(target) => {
                let hint = super::fetch::hint_of(&target);
                Failure::of(Exit::Failed, &target, Some(hint))
            }
            FetchError::NoAnswer(..) => Failure::of(Exit::Failed, &error, Some(super::fetch::TARGET_SILENT)),
        }
    }
}

impl From<SettingError> for Failure {
    fn from(error: SettingError) -> Self {
        let hint = match &error {
            SettingError::NotACommand { .. } => {
                "for example: shelflist config set enrich.command.tagger 'python3 /home/me/tagger.py --model small'"
            }
            SettingError::Secret { .. } => {
                "put it into the environment, which the command is given, or a file that the command reads (--token-file PATH), or a script around the command"
            }
            SettingError::NoCommand(_) => {
                "set its command line first: shelflist config set enrich.command.NAME LINE"
            }
            _ => "see all with: shelflist config list",
        };
        Failure::of(Exit::Usage, &error, Some(hint))
    }
}

impl From<UnknownKind> for Failure {
    fn from(error: UnknownKind) -> Self {
        Failure::of(Exit::Usage, &error, None)
    }
}

impl From<ScheduleError> for Failure {
    fn from(error: ScheduleError) -> Self {
        let hint = match &error {
            ScheduleError::NotTold { run, .. } => {
                Some(format!("where that session is, run: {}", run.join("; ")))
            }
            ScheduleError::TooOften(_) => Some("give a longer time with --every".to_owned()),
            _ => None,
        };
        Failure::of(Exit::Failed, &error, hint.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_end_is_the_one_told() {
        assert_eq!(Exit::worst([]), Exit::Done);
        assert_eq!(Exit::worst([Exit::Problems, Exit::Done, Exit::Offline]), Exit::Offline);
        assert_eq!(Exit::worst([Exit::Decision, Exit::Interrupted]), Exit::Interrupted);
    }
}
