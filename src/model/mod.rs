//! Plain data that the rooms hand to each other. Nothing here reads a disk, a clock or a database.

pub mod availability;
pub mod dates;
pub mod document;
pub mod family;
pub mod file;
pub mod filter;
pub mod grade;
pub mod name;
pub mod named;
pub mod operation;
pub mod path;
mod pattern;
pub mod privacy;
pub mod problem;
pub mod scope;
pub mod secret;
pub mod setting;
pub mod store;

pub use availability::{Availability, Reason};
pub use document::{Annotation, Field, Privacy, Source};
pub use file::{FileKind, FileStatus, LookCause, Presence, Stat};
pub use grade::Grade;
pub use operation::{ObjectState, OperationState, Payload};
pub use path::RelPath;
pub use problem::{Problem, ProblemKind};
pub use store::Found;

/// Declares an enum whose variants have one stable word each: the word stands in the catalogue and in `--json`.
macro_rules! words {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name { $($(#[$vmeta])* $variant),+ }

        impl $name {
            /// Every variant, in order of declaration.
            pub const ALL: &[$name] = &[$($name::$variant),+];

            /// The stable word for this variant.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.pad(self.as_str()) }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::model::UnknownWord;
            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word { $($word => Ok($name::$variant),)+ _ => Err($crate::model::UnknownWord { kind: stringify!($name), word: word.to_owned() }) }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <String as serde::Deserialize>::deserialize(deserializer)?;
                word.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use words;

/// A word that no variant of an enum has, for instance out of a catalogue that was edited by hand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is not a {kind}")]
pub struct UnknownWord {
    /// The enum that was asked.
    pub kind: &'static str,
    /// What it was asked for.
    pub word: String,
}
