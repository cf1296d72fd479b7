//! Which collections are a store's, and which of them bears its name. Pure.
//!
//! A store is all collections of one database that are called NAME or `NAME.MANNER` and say in their metadata that they belong
//! to it. Embeddings of one manner lie in one collection; NAME is the one that other people's programs ask. A new manner begins
//! as `NAME.MANNER` beside it, and takes the name when it has every document that the former has (decision 29).

use serde_json::{Map, Value, json};

use super::api::Collection;
use crate::remote::{Generation, Identity};

/// The form of these metadata.
const FORMAT: u64 = 1;

/// What a collection of ours says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plate {
    pub(super) identity: Identity,
    /// When the store's present life began.
    created: String,
    pub(super) manner: String,
    pub(super) model: String,
    pub(super) dimension: u64,
    /// Manners count up: the later one takes the name from the earlier.
    pub(super) turn: u64,
}

/// A collection of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ours {
    /// Its UUID.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) plate: Plate,
    /// By what it compares embeddings; ours is `cosine`.
    pub(super) space: String,
}

impl Plate {
    /// Of a store that begins.
    pub(super) fn first(generation: Generation, manner: &str, model: &str, dimension: u64) -> Self {
        Plate {
            identity: generation.into(),
            created: generation.created.to_string(),
            manner: manner.to_owned(),
            model: model.to_owned(),
            dimension,
            turn: 1,
        }
    }

    /// Of another manner of the same store.
    pub(super) fn next(of: &[Ours], manner: &str, model: &str, dimension: u64) -> Option<Self> {
        let latest = of.iter().map(|ours| &ours.plate).max_by_key(|plate| plate.turn)?;
        Some(Plate {
            manner: manner.to_owned(),
            model: model.to_owned(),
            dimension,
            turn: latest.turn + 1,
            ..latest.clone()
        })
    }

    pub(super) fn metadata(&self) -> Map<String, Value> {
        let Plate { identity, created, manner, model, dimension, turn } = self;
        let Value::Object(map) = json!({
            "shelflist_format": FORMAT,
            "shelflist_store": identity.store,
            "shelflist_generation": identity.generation,
            "shelflist_created": created,
            "shelflist_manner": manner,
            "shelflist_model": model,
            "shelflist_dimension": dimension,
            "shelflist_turn": turn,
        }) else {
            unreachable!("braces make an object")
        };
        map
    }

    /// What metadata say; none where they are not ours, or of a form that a later version writes.
    pub(super) fn read(metadata: Option<&Map<String, Value>>) -> Option<Self> {
        let metadata = metadata?;
        let text = |key: &str| Some(metadata.get(key)?.as_str()?.to_owned());
        let number = |key: &str| metadata.get(key)?.as_u64();
        if number("shelflist_format")? != FORMAT {
            return None;
        }
        Some(Plate {
            identity: Identity { store: text("shelflist_store")?, generation: text("shelflist_generation")? },
            created: text("shelflist_created")?,
            manner: text("shelflist_manner")?,
            model: text("shelflist_model")?,
            dimension: number("shelflist_dimension")?,
            turn: number("shelflist_turn")?,
        })
    }
}

/// What a collection of a manner is called while it does not bear the store's name.
pub(super) fn beside(name: &str, manner: &str) -> String {
    format!("{name}.{manner}")
}

/// A collection as one of ours; none where it is somebody else's.
pub(super) fn ours(collection: &Collection) -> Option<Ours> {
    let plate = Plate::read(collection.metadata.as_ref())?;
    let space = collection.space().unwrap_or("something unknown").to_owned();
    Some(Ours { id: collection.id.clone(), name: collection.name.clone(), plate, space })
}

/// The collections of the store that is called `name`, the one that bears the name first; which store that is where none
/// bears it. Nothing at all where there is no store.
///
/// No collection bears the name only in the middle of a switch, and then there are two at least. One that is left alone is
/// what remained of a store whose named collection somebody deleted: no store (T7).
pub(super) fn of_store(name: &str, all: Vec<Ours>) -> Vec<Ours> {
    let mut all: Vec<Ours> =
        all.into_iter().filter(|it| it.name == name || it.name == beside(name, &it.plate.manner)).collect();
    all.sort_by_key(|it| (it.name != name, std::cmp::Reverse(it.plate.turn), it.plate.manner.clone()));
    let Some(first) = all.first() else { return all };
    let named = first.name == name;
    let identity = first.plate.identity.clone();
    all.retain(|it| it.plate.identity == identity);
    if !named && all.len() < 2 {
        all.clear();
    }
    all
}

/// What is to be done for the name to lead to the right collection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn<'a> {
    /// Nothing: it does, or this device's manner is not begun.
    Nothing,
    /// This one takes the name, which nobody has.
    Take(&'a Ours),
    /// This one takes the name from that one, once it has every document of it.
    TakeOver {
        /// This device's.
        mine: &'a Ours,
        /// The one that has it.
        from: &'a Ours,
        /// A later manner does not give way to an earlier one, unless it is empty.
        only_if_empty: bool,
    },
}

/// Of a store's collections, what becomes of the name.
pub(super) fn turn<'a>(name: &str, all: &'a [Ours], manner: &str) -> Turn<'a> {
    let of_manner = |it: &&Ours| it.plate.manner == manner;
    let named = all.iter().find(|it| it.name == name);
    // Of two of one manner the one that has the name is the one that counts.
    let mine = named.filter(of_manner).or_else(|| all.iter().find(of_manner));
    match (mine, named) {
        // A switch that was begun is ended, by whomsoever.
        (_, None) => {
            let latest = all.iter().max_by_key(|it| (it.plate.turn, &it.plate.manner));
            latest.map_or(Turn::Nothing, Turn::Take)
        }
        (None, _) => Turn::Nothing,
        (Some(mine), Some(named)) if mine == named => Turn::Nothing,
        (Some(mine), Some(from)) => {
            let later = (mine.plate.turn, &mine.plate.manner) > (from.plate.turn, &from.plate.manner);
            Turn::TakeOver { mine, from, only_if_empty: !later }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, manner: &str, turn: u64) -> Ours {
        let identity = Identity { store: "S".to_owned(), generation: "G".to_owned() };
        let plate = Plate {
            identity,
            created: "then".to_owned(),
            manner: manner.to_owned(),
            model: "m".to_owned(),
            dimension: 3,
            turn,
        };
        Ours { id: format!("{name} {manner}"), name: name.to_owned(), plate, space: "cosine".to_owned() }
    }

    fn names(all: &[Ours]) -> Vec<&str> {
        all.iter().map(|it| it.name.as_str()).collect()
    }

    // S10, T7
    #[test]
    fn a_store_is_what_bears_its_name_or_is_in_the_middle_of_a_switch() {
        let both = vec![of("docs.aaaaaaaa", "aaaaaaaa", 1), of("docs.bbbbbbbb", "bbbbbbbb", 2)];
        assert_eq!(names(&of_store("docs", both.clone())), ["docs.bbbbbbbb", "docs.aaaaaaaa"]);
        assert!(of_store("docs", both[..1].to_vec()).is_empty(), "its named collection was deleted");
        let named = vec![both[0].clone(), of("docs", "bbbbbbbb", 2)];
        assert_eq!(names(&of_store("docs", named)), ["docs", "docs.aaaaaaaa"]);
        // Others, of whatever name.
        let mut other = of("docs.cccccccc", "cccccccc", 3);
        other.plate.identity.generation = "another life".to_owned();
        let all =
            vec![of("docs", "bbbbbbbb", 2), other, of("docs.x", "bbbbbbbb", 1), of("docsy", "dddddddd", 1)];
        assert_eq!(names(&of_store("docs", all)), ["docs"]);
    }

    // S10
    #[test]
    fn the_later_manner_takes_the_name_and_never_gives_it_back() {
        let (old, new) = (of("docs", "ffffffff", 1), of("docs.aaaaaaaa", "aaaaaaaa", 2));
        let all = [old.clone(), new.clone()];
        let take_over = |only_if_empty| Turn::TakeOver { mine: &new, from: &old, only_if_empty };
        assert_eq!(turn("docs", &all, "aaaaaaaa"), take_over(false));
        assert_eq!(turn("docs", &all, "ffffffff"), Turn::Nothing);
        assert_eq!(turn("docs", &all, "cccccccc"), Turn::Nothing, "it is not begun");

        // Another device has the former model still.
        let (named, beside) = (of("docs", "aaaaaaaa", 2), of("docs.ffffffff", "ffffffff", 1));
        let all = [named.clone(), beside.clone()];
        assert_eq!(
            turn("docs", &all, "ffffffff"),
            Turn::TakeOver { mine: &beside, from: &named, only_if_empty: true }
        );
        // A crash between the two renamings.
        let all = [new.clone(), beside.clone()];
        assert_eq!(turn("docs", &all, "aaaaaaaa"), Turn::Take(&new));
        assert_eq!(turn("docs", &all, "ffffffff"), Turn::Take(&new), "whoever finds it ends it");
    }

    #[test]
    fn what_a_collection_says_of_itself_is_read_back() {
        let plate = of("docs", "aaaaaaaa", 7).plate;
        assert_eq!(Plate::read(Some(&plate.metadata())), Some(plate.clone()));
        let mut other = plate.metadata();
        other.insert("shelflist_format".to_owned(), json!(2));
        assert_eq!(Plate::read(Some(&other)), None);
        assert_eq!(Plate::read(None), None);
        let next = Plate::next(&[of("docs", "aaaaaaaa", 7)], "bbbbbbbb", "n", 4).unwrap();
        assert_eq!((next.turn, next.identity), (8, plate.identity));
    }
}
