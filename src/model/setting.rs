//! Settings that the catalogue keeps: their names, defaults and what they accept.

/// What a setting's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingKind {
    /// A whole number from the first to the second, both included.
    Integer(i64, i64),
    /// gitignore patterns, one a line.
    Patterns,
}

/// One setting of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its key, as `config set` takes it.
    pub key: &'static str,
    /// What it is without being set.
    pub default: &'static str,
    /// What it accepts.
    pub kind: SettingKind,
    /// One sentence for people, with its unit.
    pub about: &'static str,
}

macro_rules! settings {
    ($($constant:ident = $key:literal, $default:literal, $kind:expr, $about:literal;)+) => {
        $(#[doc = $about] pub const $constant: Setting = Setting { key: $key, default: $default, kind: $kind, about: $about };)+
        /// Every setting, by key.
        pub const ALL: &[Setting] = &[$($constant),+];
    };
}

settings! {
    SCAN_EXCLUDE = "scan.exclude", "", SettingKind::Patterns, "What a scan leaves out, in gitignore syntax, one pattern a line, beside .shelflistignore files.";
    PROBE_DEADLINE_MS = "probe.deadline_ms", "10000", SettingKind::Integer(100, 600_000), "How long a look at a library's root, and every single answer of its disk, may take, in milliseconds.";
    MISSING_GRACE_DAYS = "missing.grace_days", "7", SettingKind::Integer(0, 36_500), "How many days a file is missing before its remote objects are retired.";
    MISSING_GRACE_SCANS = "missing.grace_scans", "2", SettingKind::Integer(1, 1_000), "How many complete scans find a file missing before its remote objects are retired.";
    GUARD_MISSING_COUNT = "guard.missing_count", "20", SettingKind::Integer(0, 1_000_000_000), "Up to this many newly missing files are believed without asking.";
    GUARD_MISSING_PERCENT = "guard.missing_percent", "10", SettingKind::Integer(0, 100), "Up to this share of newly missing files, in per cent, is believed without asking.";
    GUARD_CHANGED_COUNT = "guard.changed_count", "20", SettingKind::Integer(0, 1_000_000_000), "Below this many changed files a scan never asks.";
    GUARD_CHANGED_PERCENT = "guard.changed_percent", "30", SettingKind::Integer(0, 100), "Above this share of changed files, in per cent, a scan asks.";
    ORPHAN_GRACE_DAYS = "orphans.grace_days", "7", SettingKind::Integer(0, 36_500), "How many days an orphan is kept before the clean-up may delete it.";
    SCHEDULE_EVERY_MINUTES = "schedule.every_minutes", "60", SettingKind::Integer(1, 10_080), "How often an installed schedule runs, in minutes.";
    EXTRACT_TIMEOUT_MS = "extract.timeout_ms", "60000", SettingKind::Integer(100, 3_600_000), "How long one file's extraction may take, in milliseconds.";
    EXTRACT_MEMORY_MB = "extract.memory_mb", "1024", SettingKind::Integer(64, 65_536), "How much memory one file's extraction may take, in MiB.";
    EXTRACT_TEXT_MB = "extract.text_mb", "16", SettingKind::Integer(1, 1_024), "How much text is kept of one document, in MiB.";
}

/// The setting of that key.
#[must_use]
pub fn by_key(key: &str) -> Option<&'static Setting> {
    ALL.iter().find(|setting| setting.key == key)
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
        key: &'static str,
        /// What it was given.
        value: String,
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
}

impl Setting {
    /// Whether the value is one of this setting's.
    ///
    /// # Errors
    /// What the setting accepts instead.
    pub fn check(&self, value: &str) -> Result<(), SettingError> {
        match self.kind {
            SettingKind::Patterns => Ok(()),
            SettingKind::Integer(min, max) => match value.trim().parse::<i64>() {
                Ok(number) if (min..=max).contains(&number) => Ok(()),
                _ => Err(SettingError::NotInRange { key: self.key, value: value.to_owned(), min, max }),
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
            setting.check(setting.default).expect(setting.key);
        }
    }
}
