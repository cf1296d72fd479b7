//! What a scan leaves out: sensible defaults, the settings, and `.shelflistignore` files (gitignore syntax).
//!
//! A rule says where not to look. What it hides is excluded, never missing (D5).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::model::{RelPath, words};

/// The file that holds rules for its directory and everything below.
pub const RULE_FILE: &[u8] = b".shelflistignore";

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
    ".shelflist/",
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

words! {
    /// Where a rule stands that needs no disk to be read.
    pub enum RuleOrigin {
        /// Built in.
        Default = "default",
        /// In the setting `scan.exclude`.
        Setting = "setting",
    }
}

/// Which rule leaves a path out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// What the rule is about: the path itself, or a directory above it.
    pub path: RelPath,
    /// As it was written.
    pub pattern: String,
    /// Where it stands.
    pub origin: RuleOrigin,
}

/// Which of the defaults and the lines of the setting leaves a path out, as far as that can be told without the disk: a
/// rule file on it may say otherwise.
///
/// # Errors
/// A line that is no pattern.
pub fn left_out_by(patterns: &str, path: &RelPath, is_dir: bool) -> Result<Option<LeftOut>, ignore::Error> {
    let mut builder = GitignoreBuilder::new("");
    let defaults = DEFAULTS.iter().copied().map(|line| (RuleOrigin::Default, line));
    let setting = patterns.lines().map(|line| (RuleOrigin::Setting, line));
    for (origin, line) in defaults.chain(setting) {
        builder.add_line(Some(origin.as_str().into()), line)?;
    }
    let matcher = builder.build()?;
    // From the root down: what leaves a directory out leaves out everything in it.
    let mut above = RelPath::root();
    for name in path.as_bytes().split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
        above = above.join(name);
        let above_is_dir = is_dir || above != *path;
        if let Match::Ignore(rule) =
            matcher.matched(Path::new(OsStr::from_bytes(above.as_bytes())), above_is_dir)
        {
            let of_setting = rule.from().is_some_and(|from| from == Path::new(RuleOrigin::Setting.as_str()));
            let origin = if of_setting { RuleOrigin::Setting } else { RuleOrigin::Default };
            return Ok(Some(LeftOut { path: above, pattern: rule.original().to_owned(), origin }));
        }
    }
    Ok(None)
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

    // L11: a library in the library, of another catalogue: its marker is written anew after every scan of it.
    #[test]
    fn what_shelflist_leaves_on_disks_for_itself_is_left_out_as_well() {
        let top = Rules::of_library("").unwrap();
        assert!(top.exclude(&"sub/.shelflist".into(), true));
        assert!(!top.exclude(&"sub/.shelflist".into(), false), "only as a directory");
        assert!(!top.exclude(&".shelflistignore".into(), false));
    }

    // L13
    #[test]
    fn the_rule_that_leaves_a_path_out_is_named() {
        let of = |path: &str, is_dir| {
            left_out_by("*.tmp\n/drafts/\n", &path.into(), is_dir)
                .unwrap()
                .map(|rule| (rule.path.display(), rule.pattern, rule.origin))
        };
        assert_eq!(of("a/x.tmp", false), Some(("a/x.tmp".into(), "*.tmp".into(), RuleOrigin::Setting)));
        assert_eq!(
            of("drafts/1/b.txt", false),
            Some(("drafts".into(), "/drafts/".into(), RuleOrigin::Setting))
        );
        assert_eq!(of("@eaDir/b", false), Some(("@eaDir".into(), "@eaDir/".into(), RuleOrigin::Default)));
        assert_eq!(of("drafts", false), None, "only as a directory");
        assert_eq!(of("a/b.txt", false), None);
    }

    #[test]
    fn a_line_that_is_no_pattern_is_told_and_the_others_hold() {
        let top = Rules::of_library("").unwrap();
        let (rules, trouble) = top.with_file(&RelPath::root(), "a{\n*.bak\n");
        assert!(trouble.is_some());
        assert!(rules.exclude(&"x.bak".into(), false));
    }
}
