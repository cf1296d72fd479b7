//! What a scan leaves out: sensible defaults, the settings, and `.shelflistignore` files (gitignore syntax).
//!
//! A rule says where not to look. What it hides is excluded, never missing (D5).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::model::RelPath;

/// The file that holds rules for its directory and everything below.
pub(super) const RULE_FILE: &[u8] = b".shelflistignore";

/// What operating systems and programs leave on disks for themselves.
const DEFAULTS: &[&str] = &[
    ".DS_Store",
    "._*",
    ".AppleDouble/",
    ".Spotlight-V100/",
    ".Trashes/",
    ".fseventsd/",
    ".TemporaryItems/",
    ".DocumentRevisions-V100/",
    ".VolumeIcon.icns",
    ".apdisk",
    "Thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "$RECYCLE.BIN/",
    "System Volume Information/",
    "@eaDir/",
    "#recycle/",
    ".Trash-*/",
    "lost+found/",
    ".fuse_hidden*",
    ".nfs[0-9a-f]*",
    ".~lock.*#",
    "~$*",
];

/// Rules of one directory and, through `above`, of all over it. The deepest that says anything wins.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    matcher: Gitignore,
    above: Option<Arc<Rules>>,
}

impl Rules {
    /// The defaults and the user's setting.
    pub(super) fn of_library(patterns: &str) -> Result<Arc<Self>, ignore::Error> {
        let mut builder = GitignoreBuilder::new("");
        for line in DEFAULTS.iter().copied().chain(patterns.lines()) {
            builder.add_line(None, line)?;
        }
        Ok(Arc::new(Rules { matcher: builder.build()?, above: None }))
    }

    /// These rules with those of a rule file in `dir` on top. Lines that are no patterns are left out and told.
    pub(super) fn with_file(
        self: &Arc<Self>,
        dir: &RelPath,
        text: &str,
    ) -> (Arc<Self>, Option<ignore::Error>) {
        let mut builder = GitignoreBuilder::new(Path::new(OsStr::from_bytes(dir.as_bytes())));
        let mut trouble = None;
        for line in text.lines() {
            if let Err(error) = builder.add_line(None, line) {
                trouble = Some(error);
            }
        }
        match builder.build() {
            Ok(matcher) => (Arc::new(Rules { matcher, above: Some(Arc::clone(self)) }), trouble),
            Err(error) => (Arc::clone(self), Some(error)),
        }
    }

    /// Whether the rules leave a path out.
    pub(super) fn exclude(&self, path: &RelPath, is_dir: bool) -> bool {
        let as_path = Path::new(OsStr::from_bytes(path.as_bytes()));
        let mut rules = Some(self);
        while let Some(level) = rules {
            match level.matcher.matched(as_path, is_dir) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => rules = level.above.as_deref(),
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // L11
    #[test]
    fn defaults_settings_and_rule_files_are_read_from_the_deepest_up() {
        let top = Rules::of_library("*.tmp\n/drafts/\n").unwrap();
        assert!(top.exclude(&".DS_Store".into(), false));
        assert!(top.exclude(&"a/b/x.tmp".into(), false));
        assert!(top.exclude(&"drafts".into(), true));
        assert!(!top.exclude(&"a/drafts".into(), true));
        assert!(!top.exclude(&"lost+found".into(), false), "only as a directory");
        let (below, trouble) = top.with_file(&"a".into(), "!keep.tmp\n/only-here\n");
        assert!(trouble.is_none());
        assert!(!below.exclude(&"a/keep.tmp".into(), false));
        assert!(below.exclude(&"a/other.tmp".into(), false));
        assert!(below.exclude(&"a/only-here".into(), false));
        assert!(!below.exclude(&"a/b/only-here".into(), false));
    }

    #[test]
    fn a_line_that_is_no_pattern_is_told_and_the_others_hold() {
        let top = Rules::of_library("").unwrap();
        let (rules, trouble) = top.with_file(&RelPath::root(), "a{\n*.bak\n");
        assert!(trouble.is_some());
        assert!(rules.exclude(&"x.bak".into(), false));
    }
}
