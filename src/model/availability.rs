//! Whether a library can be looked at now, and if not, why not.

use serde::Serialize;

use super::words;

words! {
    /// Why a library is not plainly available.
    pub enum Reason {
        /// The volume that carries the library is not mounted; an empty mount point may have been left behind.
        NotMounted = "not-mounted",
        /// The volume is there, the root directory on it is not.
        RootMissing = "root-missing",
        /// Something is there, but its marker is another library's, or it has none where one is expected.
        WrongDisk = "wrong-disk",
        /// The marker is the expected one on a volume that is not the expected one: a copy of the disk.
        Cloned = "cloned",
        /// The operating system does not let us look.
        Permission = "permission",
        /// Looking ended in an input/output error.
        ReadError = "read-error",
        /// The volume is mounted read-only. Fine for scanning.
        ReadOnly = "read-only",
        /// It answers, but slowly. Fine for scanning.
        Slow = "slow",
        /// The probe did not come back within its deadline.
        Hung = "hung",
        /// The root is there and has nothing in it, not even the marker.
        Empty = "empty",
    }
}

/// Of a library, now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// The root was verified: the expected marker on the expected kind of mount.
    Available,
    /// Something is there, with a reservation.
    Degraded(Reason),
    /// There is nothing to look at.
    Unavailable(Reason),
}

impl Availability {
    /// `available`, `degraded` or `unavailable`.
    #[must_use]
    pub const fn state(self) -> &'static str {
        match self {
            Availability::Available => "available",
            Availability::Degraded(_) => "degraded",
            Availability::Unavailable(_) => "unavailable",
        }
    }

    /// The reason, where there is one.
    #[must_use]
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Availability::Available => None,
            Availability::Degraded(reason) | Availability::Unavailable(reason) => Some(reason),
        }
    }

    /// Whether the root was verified, so that its files may be read and conclusions drawn.
    #[must_use]
    pub const fn is_readable(self) -> bool {
        matches!(self, Availability::Available | Availability::Degraded(Reason::ReadOnly | Reason::Slow))
    }

    /// From the two words the catalogue keeps.
    ///
    /// # Errors
    /// A word that is no state or no reason.
    pub fn from_words(state: &str, reason: Option<&str>) -> Result<Self, super::UnknownWord> {
        let reason = reason.map(str::parse::<Reason>).transpose()?;
        match (state, reason) {
            ("available", _) => Ok(Availability::Available),
            ("degraded", Some(reason)) => Ok(Availability::Degraded(reason)),
            ("unavailable", Some(reason)) => Ok(Availability::Unavailable(reason)),
            _ => Err(super::UnknownWord { kind: "Availability", word: state.to_owned() }),
        }
    }
}

impl std::fmt::Display for Availability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.reason() {
            None => f.pad(self.state()),
            Some(reason) => f.pad(&format!("{}({reason})", self.state())),
        }
    }
}

impl Serialize for Availability {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut object = serializer.serialize_struct("Availability", 2)?;
        object.serialize_field("state", self.state())?;
        object.serialize_field("reason", &self.reason())?;
        object.end()
    }
}
