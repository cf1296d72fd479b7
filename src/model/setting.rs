//! Settings that the catalogue keeps: their names, defaults and what they accept.
//!
//! Most are known by name. Those of enrichment commands are made by whoever names a command: `enrich.command.NAME` is its
//! command line, and what is about it stands under that key (`enrich.command.NAME.timeout_ms`).

use std::borrow::Cow;

use super::privacy::{RuleError, Rules};
use super::secret::{masked, secret_in};
use super::words;

/// What a setting's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingKind {
    /// A whole number from the first to the second, both included.
    Integer(i64, i64),
    /// gitignore patterns, one a line.
    Patterns,
    /// A number from 0 to 1.
    Share,
    /// A command with its arguments.
    CommandLine,
    /// Kinds of content, separated by commas or blanks.
    Kinds,
    /// A word or a few, at most 100 bytes.
    Label,
    /// Rules about privacy, one a line.
    PrivacyRules,
}

/// One setting of the catalogue.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Its key, as `config set` takes it.
    pub key: Cow<'static, str>,
    /// What it is without being set.
    pub default: &'static str,
    /// What it accepts.
    pub kind: SettingKind,
    /// One sentence for people, with its unit.
    pub about: &'static str,
}

macro_rules! settings {
    ($($constant:ident = $key:literal, $default:literal, $kind:expr, $about:literal;)+) => {
        $(#[doc = $about] pub const $constant: Setting = Setting { key: Cow::Borrowed($key), default: $default, kind: $kind, about: $about };)+
        /// Every setting, by key.
        pub const ALL: &[Setting] = &[$($constant),+];
    };
}

settings! {
    SCAN_EXCLUDE = "scan.exclude", "", SettingKind::Patterns, "What a scan leaves out, in gitignore syntax, one pattern a line, beside .shelflistignore files.";
    CONNECTIVITY_INTERVAL_MS = "connectivity.interval_ms", "30000", SettingKind::Integer(1_000, 86_400_000), "A store of which nothing was heard for so long is asked whether it is there, in milliseconds.";
    CONNECTIVITY_TIMEOUT_MS = "connectivity.timeout_ms", "5000", SettingKind::Integer(100, 600_000), "How long a store may take to say that it is there, in milliseconds.";
    CONNECTIVITY_FAILURES = "connectivity.failures", "3", SettingKind::Integer(1, 100), "So many of these questions without an answer in a row make a store offline.";
    PRIVACY_RULES = "privacy.rules", "", SettingKind::PrivacyRules, "What may leave this computer, one rule a line: local_only, redacted or full, then a gitignore pattern or type:WORD; the last that fits a path counts, the strictest of a document's copies.";
    PROBE_DEADLINE_MS = "probe.deadline_ms", "10000", SettingKind::Integer(100, 600_000), "How long a look at a library's root, and every single answer of its disk, may take, in milliseconds.";
    MISSING_GRACE_DAYS = "missing.grace_days", "7", SettingKind::Integer(0, 36_500), "How many days a file is missing before its remote objects are retired.";
    MISSING_GRACE_SCANS = "missing.grace_scans", "2", SettingKind::Integer(1, 1_000), "How many complete scans find a file missing before its remote objects are retired.";
    GUARD_MISSING_COUNT = "guard.missing_count", "20", SettingKind::Integer(0, 1_000_000_000), "Up to this many newly missing files are believed without asking.";
    GUARD_MISSING_PERCENT = "guard.missing_percent", "10", SettingKind::Integer(0, 100), "Up to this share of newly missing files, in per cent, is believed without asking.";
    GUARD_CHANGED_COUNT = "guard.changed_count", "20", SettingKind::Integer(0, 1_000_000_000), "Below this many changed files a scan never asks.";
    GUARD_CHANGED_PERCENT = "guard.changed_percent", "30", SettingKind::Integer(0, 100), "Above this share of changed files, in per cent, a scan asks.";
    GUARD_RECALL_COUNT = "guard.recall_count", "20", SettingKind::Integer(0, 1_000_000_000), "Of up to this many documents a privacy rule takes back from stores what they have without asking.";
    GUARD_RECALL_PERCENT = "guard.recall_percent", "10", SettingKind::Integer(0, 100), "Of up to this share of a library's documents, in per cent, a privacy rule takes back from stores what they have without asking.";
    ORPHAN_GRACE_DAYS = "orphans.grace_days", "7", SettingKind::Integer(0, 36_500), "How many days an orphan is kept before the clean-up may delete it.";
    SYNC_BATCH = "sync.batch", "50", SettingKind::Integer(1, 10_000), "How many operations are leased at once, to begin with.";
    SYNC_BATCH_MAX = "sync.batch_max", "500", SettingKind::Integer(1, 10_000), "How many operations are leased at once while there is a backlog.";
    SYNC_ROOM_KB = "sync.room_kb", "8192", SettingKind::Integer(64, 4_194_304), "How much rendered content is in memory at once on its way to a store, in KiB; one document may pass it.";
    SYNC_POLL_MS = "sync.poll_ms", "5000", SettingKind::Integer(100, 3_600_000), "How often who waits for a queue to drain looks whether something else has changed it, in milliseconds.";
    SYNC_VERDICTS = "sync.verdicts", "5", SettingKind::Integer(1, 1_000), "How often a store may refuse an operation before it is given up.";
    SCHEDULE_EVERY_MINUTES = "schedule.every_minutes", "60", SettingKind::Integer(1, 10_080), "How often an installed schedule runs, in minutes.";
    EXTRACT_TIMEOUT_MS = "extract.timeout_ms", "60000", SettingKind::Integer(100, 3_600_000), "How long one file's extraction may take, in milliseconds.";
    EXTRACT_MEMORY_MB = "extract.memory_mb", "1024", SettingKind::Integer(64, 65_536), "How much memory one file's extraction may take, in MiB.";
    EXTRACT_TEXT_MB = "extract.text_mb", "16", SettingKind::Integer(1, 1_024), "How much text is kept of one document, in MiB.";
    COMMAND_TEXT_KB = "enrich.command_text_kb", "64", SettingKind::Integer(0, 16_384), "How much of a document's text an enrichment command is given, in KiB.";
    REVIEW_CONFIDENCE = "review.confidence", "0.8", SettingKind::Share, "A field that somebody is less sure of than this, from 0 to 1, is listed by review.";
}

words! {
    /// What can be said about an enrichment command beside its command line.
    pub enum CommandPart {
        /// How long an answer may take.
        TimeoutMs = "timeout_ms",
        /// Which kinds it is asked about.
        Kinds = "kinds",
        /// Which version of it that is, for the user.
        Version = "version",
    }
}

/// What every key of an enrichment command begins with.
pub const COMMANDS: &str = "enrich.command.";

/// How long an answer of a command may take, where nothing else was said.
pub const COMMAND_TIMEOUT_MS: &str = "60000";

/// The setting of an enrichment command: of its command line, or of something about it.
#[must_use]
pub fn of_command(name: &str, part: Option<CommandPart>) -> Setting {
    let key = match part {
        None => format!("{COMMANDS}{name}"),
        Some(part) => format!("{COMMANDS}{name}.{part}"),
    };
    let (default, kind, about) = match part {
        None => {
            ("", SettingKind::CommandLine, "The command line of an enrichment command, run without a shell.")
        }
        Some(CommandPart::TimeoutMs) => (
            COMMAND_TIMEOUT_MS,
            SettingKind::Integer(100, 3_600_000),
            "How long an answer of this command may take, its start included, in milliseconds.",
        ),
        Some(CommandPart::Kinds) => (
            "",
            SettingKind::Kinds,
            "Which kinds of content this command is asked about; without it those that have a text.",
        ),
        Some(CommandPart::Version) => (
            "",
            SettingKind::Label,
            "The version of this command; with another one everything is asked again.",
        ),
    };
    Setting { key: Cow::Owned(key), default, kind, about }
}

/// The name of the command that a key is about, and what about it.
#[must_use]
pub fn command_of(key: &str) -> Option<(&str, Option<CommandPart>)> {
    let rest = key.strip_prefix(COMMANDS)?;
    let (name, part) = match rest.split_once('.') {
        None => (rest, None),
        Some((name, part)) => (name, Some(part.parse().ok()?)),
    };
    let is_name = (1..=32).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
        && name.parse::<CommandPart>().is_err();
    is_name.then_some((name, part))
}

/// The setting of that key.
#[must_use]
pub fn by_key(key: &str) -> Option<Setting> {
    let known = ALL.iter().find(|setting| setting.key == key).cloned();
    known.or_else(|| command_of(key).map(|(name, part)| of_command(name, part)))
}

/// A command line, split as a shell would: the program, then its arguments. Nothing is expanded.
///
/// # Errors
/// What is wrong with it, for people.
pub fn split_command(line: &str) -> Result<Vec<String>, &'static str> {
    let words = shell_words::split(line).map_err(|_| "a quote is not closed")?;
    match words.first().map(String::as_str) {
        None | Some("") => Err("it names no program"),
        // A command stands in the root directory, so that it keeps no disk from being ejected.
        Some(program) if program.contains('/') && !program.starts_with('/') => {
            Err("give the program's whole path, or a name that is on the PATH")
        }
        Some(_) => Ok(words),
    }
}

/// Why a value was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// No setting has that key.
    #[error("there is no setting {0:?}")]
    Unknown(String),
    /// The value is not of the setting's kind.
    #[error("{key} takes a whole number from {min} to {max}, not {value:?}")]
    NotInRange {
        /// Which setting.
        key: String,
        /// What it was given.
        value: String,
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// The value is not of the setting's kind.
    #[error("{key} takes {wanted}, not {value:?}")]
    NotOfKind {
        /// Which setting.
        key: String,
        /// What it was given.
        value: String,
        /// What it takes.
        wanted: &'static str,
    },
    /// The value is no command line.
    #[error("{key} takes a command line: {why}")]
    NotACommand {
        /// Which setting.
        key: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The value holds a secret, which the catalogue is no place for.
    #[error("{place} in {key} looks like a secret, and the catalogue keeps none")]
    Secret {
        /// Which setting.
        key: String,
        /// Where the secret is.
        place: String,
    },
    /// A line is no rule.
    #[error("{key}: {source}")]
    NotARule {
        /// Which setting.
        key: String,
        /// Which line, and what is wrong with it.
        source: RuleError,
    },
    /// Something is said about a command that there is not.
    #[error("there is no enrichment command {0:?} yet")]
    NoCommand(String),
}

impl Setting {
    /// A value as it may be shown: a command line that was kept by an earlier version may hold a secret.
    #[must_use]
    pub fn shown(&self, value: &str) -> String {
        if self.kind == SettingKind::CommandLine { masked(value) } else { value.to_owned() }
    }

    /// Whether the value is one of this setting's.
    ///
    /// # Errors
    /// What the setting accepts instead.
    pub fn check(&self, value: &str) -> Result<(), SettingError> {
        let key = || self.key.clone().into_owned();
        let not = |wanted| SettingError::NotOfKind { key: key(), value: value.to_owned(), wanted };
        match self.kind {
            // What kinds there are is known to whoever reads files.
            SettingKind::Patterns | SettingKind::Kinds => Ok(()),
            SettingKind::Share => match value.trim().parse::<f64>() {
                Ok(number) if (0.0..=1.0).contains(&number) => Ok(()),
                _ => Err(not("a number from 0 to 1")),
            },
            SettingKind::Label if value.len() > 100 || value.chars().any(char::is_control) => {
                Err(not("a few words"))
            }
            SettingKind::Label => Ok(()),
            SettingKind::PrivacyRules => Rules::parse(value)
                .map(|_| ())
                .map_err(|source| SettingError::NotARule { key: key(), source }),
            SettingKind::CommandLine => {
                split_command(value).map_err(|why| SettingError::NotACommand { key: key(), why })?;
                secret_in(value).map_or(Ok(()), |place| Err(SettingError::Secret { key: key(), place }))
            }
            SettingKind::Integer(min, max) => match value.trim().parse::<i64>() {
                Ok(number) if (min..=max).contains(&number) => Ok(()),
                _ => Err(SettingError::NotInRange { key: key(), value: value.to_owned(), min, max }),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_accepted_by_its_own_setting() {
        for setting in ALL {
            setting.check(setting.default).expect(&setting.key);
        }
        for part in CommandPart::ALL {
            let setting = of_command("x", Some(*part));
            setting.check(setting.default).expect(&setting.key);
        }
    }

    // E3, L14
    #[test]
    fn a_command_has_a_key_and_keys_about_it() {
        assert_eq!(command_of("enrich.command.my-tagger_2"), Some(("my-tagger_2", None)));
        assert_eq!(command_of("enrich.command.x.timeout_ms"), Some(("x", Some(CommandPart::TimeoutMs))));
        for key in [
            "enrich.command.",
            "enrich.command.X",
            "enrich.command.x.y",
            "enrich.command.x.kinds.y",
            "enrich.command.kinds",
            "enrich.commands",
        ] {
            assert!(by_key(key).is_none(), "{key}");
        }
    }

    // E3
    #[test]
    fn a_command_line_is_split_as_a_shell_would_and_not_run_by_one() {
        assert_eq!(split_command("tagger --say 'a b' $HOME").unwrap(), ["tagger", "--say", "a b", "$HOME"]);
        for wrong in ["", "  ", "''", "a 'b", "./tagger", "bin/tagger"] {
            assert!(of_command("x", None).check(wrong).is_err(), "{wrong:?}");
        }
    }
}
