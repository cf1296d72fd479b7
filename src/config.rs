//! Where things live: the one reader of the environment.
//!
//! `SHELFLIST_HOME` (or `--home`) holds catalogue, locks and backups in one directory; without it the platform's data
//! directory does. Settings of a library's behaviour are in the catalogue, see [`crate::model::setting`].

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

/// What the environment says.
#[derive(Debug, Clone)]
pub struct Config {
    /// Holds the catalogue.
    pub home: PathBuf,
    /// Set by `SHELFLIST_HOME` or `--home`, not the platform's default: a schedule must be told.
    pub home_is_set: bool,
    /// The user's home directory.
    pub user_home: PathBuf,
    /// `XDG_CONFIG_HOME`, where it is set.
    pub xdg_config_home: Option<PathBuf>,
    /// `SHELFLIST_LOG`: what developers want to see, in the words of `tracing-subscriber`.
    pub log: Option<String>,
    /// Whether `NO_COLOR` leaves us the choice of marking words on a terminal.
    pub colour: bool,
}

/// Why there is no place to live.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The user has no home directory.
    #[error("the home directory of this user is not known")]
    NoHome(#[source] etcetera::HomeDirError),
    /// A relative home would be another directory for every command.
    #[error("the current directory is not known")]
    NoCurrentDir(#[source] std::io::Error),
}

#[expect(clippy::disallowed_methods, reason = "this is the one reader of the environment")]
fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Reads the environment; `home` is what the command line says.
///
/// # Errors
/// See [`ConfigError`].
pub fn load(home: Option<&Path>) -> Result<Config, ConfigError> {
    let set = home.map(Path::to_owned).or_else(|| variable("SHELFLIST_HOME").map(PathBuf::from));
    let user_home = etcetera::home_dir();
    let home = match &set {
        Some(home) => std::path::absolute(home).map_err(ConfigError::NoCurrentDir)?,
        None => etcetera::base_strategy::choose_native_strategy()
            .map_err(ConfigError::NoHome)?
            .data_dir()
            .join("shelflist"),
    };
    Ok(Config {
        user_home: user_home.unwrap_or_else(|_| home.clone()),
        home,
        home_is_set: set.is_some(),
        xdg_config_home: variable("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute()),
        log: variable("SHELFLIST_LOG").and_then(|value| value.into_string().ok()),
        colour: variable("NO_COLOR").is_none(),
    })
}

impl Config {
    /// The catalogue's file.
    #[must_use]
    pub fn catalog(&self) -> PathBuf {
        self.home.join("catalog.db")
    }
}
