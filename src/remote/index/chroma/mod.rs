//! Chroma as a store: `chroma+http(s)://HOST:PORT/COLLECTION?embed=..`.
//!
//! A document is cut into pieces ([`cut`]), each is embedded here ([`super::embed`]) and becomes a record that says which
//! document and content it is of ([`record`]). Record 0 of a content is written last and is what everything else looks for:
//! half a document is no document. Chroma has what it was given at once, searchable, and a record's name is ours to choose, so
//! giving a content twice changes nothing.
//!
//! Embeddings of another model, or of texts cut in another way, have nothing to do with each other, so each such manner has a
//! collection of its own, and which of them bears the store's name is decided in [`collections`]. Nothing is ever renamed or
//! deleted that does not say in its metadata that it is this store's.
//!
//! The failure that shaped it: `get_or_create` answers the collection that there is and ignores what was asked for. A program
//! that did not look wrote its embeddings into somebody else's collection, of another space, which answered every question.

mod api;
mod collections;
mod cut;
mod question;
mod record;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Mutex, OnceLock, PoisonError};

use jiff::Timestamp;
use serde_json::{Value, json};

use self::api::{Api, Limits, Renamed, Upsert, embedding};
use self::collections::{Ours, Plate, Turn, beside, of_store, ours, turn};
use self::record::{Model, Prefix, apart, metadata, name_of, parts_of, pieces, reserved};
use super::embed::{self, Embedder};
use super::{Entry, Index, IndexListing, Indexed, Readiness, RemoteName, Standing};
use crate::power::point;
use crate::remote::url::Chroma as Address;
use crate::remote::{
    Access, AwayReason, Capabilities, Deleted, Generation, Identity, ObjectKey, StoreError, StoreUrl,
};

/// Records a request: a fraction of what the server takes, so that none is long.
const MAX_RECORDS: usize = 256;
/// Bytes a request, unless one record alone is larger: what proxies pass on by their own settings, with room.
const MAX_REQUEST_BYTES: usize = 768 << 10;
/// Records asked for at once by name: SQLite's limit of variables is 32,766.
const PAGE: usize = 500;

/// A Chroma store.
#[derive(Debug)]
pub(super) struct Chroma {
    url: String,
    name: String,
    api: Api,
    embedder: Box<dyn Embedder>,
    manner: String,
    /// The collection of our manner, once it is known.
    ours: Mutex<Option<Ours>>,
    limits: OnceLock<Limits>,
}

/// What a search for a lost collection came to.
type Found<T> = Result<Option<T>, StoreError>;

impl Chroma {
    /// A way to it. The server is asked nothing yet; a folder with a model is read.
    pub(super) fn open(url: &StoreUrl, address: &Address, access: &Access) -> Result<Self, StoreError> {
        let text = url.to_string();
        let Some(embed) = &address.embed else {
            return Err(StoreError::Refused {
                store: text,
                doing: "be opened".to_owned(),
                reason: "its URL does not say what makes embeddings: add embed=FOLDER (a static model), or embed=URL&model=NAME"
                    .to_owned(),
                source: None,
            });
        };
        let api = Api::new(address, access, &text)?;
        let embedder = embed::open(embed, address.model.as_deref(), access, &text)?;
        let manner = manner(&*embedder);
        Ok(Chroma {
            url: text,
            name: address.collection.clone(),
            api,
            embedder,
            manner,
            ours: Mutex::default(),
            limits: OnceLock::new(),
        })
    }

    fn refused(&self, doing: &str, reason: String) -> StoreError {
        StoreError::Refused { store: self.url.clone(), doing: doing.to_owned(), reason, source: None }
    }

    fn away(&self) -> StoreError {
        StoreError::Away { store: self.url.clone(), reason: AwayReason::NoneOfThatName, source: None }
    }

    /// The store's collections, the one that bears its name first; none where there is no store.
    fn all(&self) -> Result<Vec<Ours>, StoreError> {
        let all = self.api.collections(&self.name)?;
        if all.iter().any(|it| it.name == self.name && ours(it).is_none()) {
            return Err(self.not_ours(&self.name));
        }
        Ok(of_store(&self.name, all.iter().filter_map(ours).collect()))
    }

    fn not_ours(&self, name: &str) -> StoreError {
        let reason = format!(
            "the collection {name} was not made by shelflist for this store; nothing of it was touched; give the store another name"
        );
        self.refused("work there", reason)
    }

    /// The collection that bears the store's name; the cheapest way to see that the store is there.
    fn named(&self) -> Found<Ours> {
        let Some(collection) = self.api.collection(&self.name)? else { return Ok(None) };
        ours(&collection).map(Some).ok_or_else(|| self.not_ours(&self.name))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Ours>> {
        // Plain data, written in one go: right also after a panic.
        self.ours.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The collection of our manner, where it was begun.
    fn of_our_manner(&self) -> Found<Ours> {
        if let Some(known) = &*self.known() {
            return Ok(Some(known.clone()));
        }
        let found = match self.named()? {
            Some(named) if named.plate.manner == self.manner => Some(named),
            // The store is there or in the middle of a switch; else it is away.
            _ => {
                let all = self.all()?;
                if all.is_empty() {
                    return Err(self.away());
                }
                all.into_iter().find(|it| it.plate.manner == self.manner)
            }
        };
        if let Some(found) = &found {
            self.by_angle(found)?;
        }
        self.known().clone_from(&found);
        Ok(found)
    }

    /// The collection of our manner, begun where it was not. The store itself is begun only by [`Index::begin`].
    fn place(&self, dimension: usize) -> Result<Ours, StoreError> {
        let found = match self.of_our_manner()? {
            Some(found) => found,
            None => {
                let all = self.all()?;
                let plate = Plate::next(&all, &self.manner, self.embedder.name(), dimension as u64)
                    .ok_or_else(|| self.away())?;
                let made = self.make(&beside(&self.name, &self.manner), &plate)?;
                point("chroma-manner-begun");
                // Another device may have begun the same manner, and given it the name, between our two looks.
                match self.named()? {
                    Some(named) if named.plate.manner == self.manner && named.id != made.id => {
                        self.drop_if_empty(&made)?;
                        named
                    }
                    _ => made,
                }
            }
        };
        if found.plate.dimension != dimension as u64 {
            let reason = format!(
                "model {} made embeddings of {} numbers when the store was begun and makes {dimension} now: it is another model, \
                 and needs another name",
                self.embedder.name(),
                found.plate.dimension
            );
            return Err(self.refused("take such embeddings", reason));
        }
        *self.known() = Some(found.clone());
        Ok(found)
    }

    /// Makes a collection, and makes sure that it is the one that was asked for.
    fn make(&self, name: &str, plate: &Plate) -> Result<Ours, StoreError> {
        let made = self.api.get_or_create(name, &plate.metadata())?;
        let Some(found) = ours(&made) else { return Err(self.not_ours(name)) };
        let same_store = found.plate.identity == plate.identity || name == self.name;
        if made.name != name || !same_store || (name != self.name && found.plate.manner != plate.manner) {
            return Err(self.not_ours(name));
        }
        self.by_angle(&found)?;
        Ok(found)
    }

    /// What compares embeddings by anything but their angle would answer every question, wrongly.
    fn by_angle(&self, collection: &Ours) -> Result<(), StoreError> {
        let Ours { name, space, .. } = collection;
        if space == "cosine" {
            return Ok(());
        }
        let reason =
            format!("the collection {name} compares embeddings by {space}, not by their angle (cosine)");
        Err(self.refused("work there", reason))
    }

    /// Deletes a collection of ours that has no record. The server deletes by name, so the name is looked up just before.
    fn drop_if_empty(&self, collection: &Ours) -> Result<bool, StoreError> {
        if self.api.count(&collection.id)? != Some(0) {
            return Ok(false);
        }
        match self.api.collection(&collection.name)? {
            Some(found) if found.id == collection.id && ours(&found).is_some() => {
                self.api.delete_collection(&collection.name)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn limits(&self) -> Result<Limits, StoreError> {
        if let Some(limits) = self.limits.get() {
            return Ok(*limits);
        }
        let limits = self.api.limits()?;
        Ok(*self.limits.get_or_init(|| limits))
    }

    /// A collection did not know what it was asked of it: whether the store is there all the same.
    fn make_sure_of_the_store(&self) -> Result<(), StoreError> {
        *self.known() = None;
        if self.named()?.is_none() && self.all()?.is_empty() { Err(self.away()) } else { Ok(()) }
    }

    /// Gives some of a document's pieces.
    fn give(
        &self,
        entry: &Entry<'_>,
        prefix: &Prefix,
        texts: &[&str],
        range: Range<usize>,
        place: &mut Option<Ours>,
    ) -> Found<()> {
        let vectors = self.embedder.embed(&texts[range.clone()])?;
        let dimension = vectors.first().map_or(0, Vec::len);
        let wrong = vectors.len() != range.len()
            || dimension == 0
            || vectors
                .iter()
                .any(|vector| vector.len() != dimension || !vector.iter().all(|number| number.is_finite()));
        if wrong {
            return Err(self.refused("take such embeddings", "they are not all of one length".to_owned()));
        }
        let id = match place {
            Some(place) if place.plate.dimension == dimension as u64 => place.id.clone(),
            _ => place.insert(self.place(dimension)?).id.clone(),
        };
        let limits = self.limits()?;
        let model = Model { name: self.embedder.name(), dimension };
        let mut batch = Upsert::default();
        for (part, vector) in range.zip(vectors) {
            let said = metadata(entry, prefix, model, part, texts.len());
            if let Some(key) = reserved(&said) {
                return Err(self.refused("take a document", format!("{key:?} means something else there")));
            }
            let id = prefix.record(part);
            batch.embeddings.push(embedding(&apart(vector, &id), limits));
            batch.ids.push(id);
            batch.documents.push(texts[part].to_owned());
            batch.metadatas.push(said);
        }
        self.api.upsert(&id, &batch)
    }

    /// Gives a whole document; `None` where the collection vanished meanwhile.
    fn give_all(&self, entry: &Entry<'_>, prefix: &Prefix, texts: &[&str]) -> Found<RemoteName> {
        let said =
            metadata(entry, prefix, Model { name: self.embedder.name(), dimension: 0 }, 0, texts.len());
        let card_bytes = Value::Object(said).to_string().len();
        let dimension = self.embedder.dimension().unwrap_or(1_536);
        let records = self.limits()?.max_batch_size.clamp(1, MAX_RECORDS);
        let ranges = batches(texts, card_bytes + dimension * 8, records, MAX_REQUEST_BYTES);
        let mut place = None;
        // The first batch last: record 0 says that all the others are there.
        for range in ranges.into_iter().rev() {
            let last = range.start == 0;
            if last {
                point("chroma-before-the-last");
            }
            if self.give(entry, prefix, texts, range, &mut place)?.is_none() {
                return Ok(None);
            }
            if !last {
                point("chroma-in-the-middle");
            }
        }
        Ok(place.map(|place| name_of(&place.id, prefix.as_str())))
    }

    /// What a collection has under keys: whole documents, or records of any number. `None` where there is no such collection.
    fn named_by_keys(
        &self,
        collection: &str,
        keys: &[&ObjectKey],
        whole: bool,
    ) -> Found<HashMap<String, BTreeSet<Prefix>>> {
        let mut found: HashMap<String, BTreeSet<Prefix>> = HashMap::new();
        for page in keys.chunks(PAGE) {
            let names: Vec<&str> = page.iter().map(|key| key.as_str()).collect();
            let by_key = json!({ "shelf_key": { "$in": names } });
            let which = if whole { json!({ "$and": [by_key, { "shelf_part": 0 }] }) } else { by_key };
            let asked = json!({ "where": which, "include": ["metadatas"] });
            let Some(records) = self.api.get(collection, &asked)? else { return Ok(None) };
            for (id, said) in records.ids.iter().zip(records.metadatas.unwrap_or_default()) {
                let key = said.as_ref().and_then(|said| said.get("shelf_key")?.as_str());
                if let (Some((prefix, _)), Some(key)) = (Prefix::of_record(id), key) {
                    found.entry(key.to_owned()).or_default().insert(prefix);
                }
            }
        }
        Ok(Some(found))
    }

    /// Documents of which a collection has the whole.
    fn documents(&self, id: &str) -> Result<BTreeSet<ulid::Ulid>, StoreError> {
        let records = self.api.get(id, &json!({ "include": [] }))?;
        let ids = records.map(|records| records.ids).unwrap_or_default();
        let whole = ids.iter().filter_map(|id| Prefix::of_record(id)).filter(|(_, part)| *part == 0);
        Ok(whole.map(|(prefix, _)| prefix.document()).collect())
    }

    /// The objects of one collection.
    fn list_collection<'a>(
        &'a self,
        id: String,
    ) -> Result<impl Iterator<Item = Result<Indexed, StoreError>> + Send + 'a, StoreError> {
        // All names at once: pages would shift under deletions, and leave some out.
        let ids = self.api.get(&id, &json!({ "include": [] }))?.map(|it| it.ids).unwrap_or_default();
        let mut objects: BTreeMap<Prefix, usize> = BTreeMap::new();
        let mut others = Vec::new();
        for record in ids {
            match Prefix::of_record(&record) {
                Some((prefix, part)) => {
                    let first = objects.entry(prefix).or_insert(part);
                    *first = part.min(*first);
                }
                None => others.push(record),
            }
        }
        let others = {
            let id = id.clone();
            others.into_iter().map(move |record| {
                Ok(Indexed { name: name_of(&id, &record), key: None, readiness: Readiness::Searchable })
            })
        };
        let objects: Vec<(Prefix, usize)> = objects.into_iter().collect();
        let pages: Vec<Vec<(Prefix, usize)>> = objects.chunks(PAGE).map(<[_]>::to_vec).collect();
        let mut failed = false;
        let objects = pages.into_iter().flat_map(move |page| {
            if failed {
                return Vec::new();
            }
            let listed = self.list_page(&id, &page);
            failed = listed.is_err();
            match listed {
                Ok(listed) => listed.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            }
        });
        Ok(objects.chain(others))
    }

    fn list_page(&self, id: &str, page: &[(Prefix, usize)]) -> Result<Vec<Indexed>, StoreError> {
        let ids: Vec<String> = page.iter().map(|(prefix, first)| prefix.record(*first)).collect();
        let records = self.api.get(id, &json!({ "ids": ids, "include": ["metadatas"] }))?;
        let keys: HashMap<String, Option<ObjectKey>> = records
            .map(|records| {
                let metadatas = records.metadatas.unwrap_or_default();
                let key = |said: Option<serde_json::Map<String, Value>>| {
                    said?.get("shelf_key")?.as_str()?.parse::<ObjectKey>().ok()
                };
                records.ids.into_iter().zip(metadatas.into_iter().map(key)).collect()
            })
            .unwrap_or_default();
        // One that is not there any more was deleted since.
        let there =
            page.iter().zip(ids).filter_map(|((prefix, first), id)| Some((prefix, first, keys.get(&id)?)));
        Ok(there
            .map(|(prefix, first, key)| Indexed {
                name: name_of(id, prefix.as_str()),
                key: key.clone(),
                readiness: match first {
                    0 => Readiness::Searchable,
                    _ => Readiness::Failed("it was not given whole".to_owned()),
                },
            })
            .collect())
    }
}

/// Eight hex digits of the model and of how texts are cut. Of an endpoint's model the name alone counts, since its dimension is
/// known only when it was asked; the collection keeps it, and refuses another.
fn manner(embedder: &dyn Embedder) -> String {
    let dimension = embedder.dimension().unwrap_or(0);
    let said = format!("{}\n{dimension}\n{}", embedder.name(), cut::VERSION);
    blake3::hash(said.as_bytes()).to_hex()[..8].to_owned()
}

/// Runs of pieces that make one request each: `beside` bytes come with each of them.
fn batches(texts: &[&str], beside: usize, max_records: usize, max_bytes: usize) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let (mut begin, mut bytes) = (0, 0);
    for (at, text) in texts.iter().enumerate() {
        // Control characters take six bytes in JSON; such texts are rare, and the limit has room.
        let escaped = text.bytes().map(|byte| if byte < b' ' { 6 } else { 1 }).sum::<usize>();
        let more = escaped + beside;
        if at > begin && (at - begin == max_records || bytes + more > max_bytes) {
            ranges.push(begin..at);
            (begin, bytes) = (at, 0);
        }
        bytes += more;
    }
    if begin < texts.len() {
        ranges.push(begin..texts.len());
    }
    ranges
}

impl Index for Chroma {
    fn describe(&self) -> String {
        self.url.clone()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            client_names_objects: false,
            conditional_put: false,
            server_hash: false,
            needs_searchable: false,
            max_object_bytes: None,
            // The server writes one after the other; the next is cut and embedded meanwhile.
            parallel: 4,
        }
    }

    fn manner(&self) -> Option<String> {
        Some(self.manner.clone())
    }

    fn identity(&self) -> Result<Option<Identity>, StoreError> {
        if let Some(named) = self.named()? {
            return Ok(Some(named.plate.identity));
        }
        Ok(self.all()?.first().map(|it| it.plate.identity.clone()))
    }

    fn begin(&self, now: Timestamp) -> Result<Identity, StoreError> {
        // Whoever begins a store wants to hear now that its model does not answer, not at the first sync.
        let vectors = self.embedder.embed(&["a shelf of books"])?;
        let dimension = vectors.first().map_or(0, Vec::len) as u64;
        let found = match self.identity()? {
            Some(identity) => identity,
            None => {
                let plate =
                    Plate::first(Generation::begin(now), &self.manner, self.embedder.name(), dimension);
                // Where two devices begin it at once, one's mark is on it, and both belong to that.
                self.make(&self.name, &plate)?.plate.identity
            }
        };
        Ok(found)
    }

    fn put(&self, entry: &Entry<'_>) -> Result<RemoteName, StoreError> {
        let pieces = pieces(entry);
        let texts: Vec<&str> = pieces.iter().map(|piece| &**piece).collect();
        let prefix = Prefix::of(entry.document, entry.key.as_str());
        if let Some(name) = self.give_all(entry, &prefix, &texts)? {
            return Ok(name);
        }
        // The collection that we knew is gone: deleted, or made anew under another UUID. It is looked up once.
        self.make_sure_of_the_store()?;
        self.give_all(entry, &prefix, &texts)?.ok_or_else(|| self.away())
    }

    fn locate_while(
        &self,
        keys: &[&ObjectKey],
        _: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Vec<RemoteName>>>, StoreError> {
        // Nothing is listed: a few answers.
        let none = || vec![Vec::new(); keys.len()];
        let Some(place) = self.of_our_manner()? else { return Ok(Some(none())) };
        // A name follows from document and key, so there is one for each key, and what was given twice is there once. What is
        // there by half is found, too: it has to be taken away by somebody.
        let Some(mut found) = self.named_by_keys(&place.id, keys, true)? else {
            self.make_sure_of_the_store()?;
            return Ok(Some(none()));
        };
        let missing: Vec<&ObjectKey> =
            keys.iter().filter(|key| !found.contains_key(key.as_str())).copied().collect();
        found.extend(self.named_by_keys(&place.id, &missing, false)?.unwrap_or_default());
        let names = |key: &&ObjectKey| {
            let prefixes = found.get(key.as_str()).into_iter().flatten();
            prefixes.map(|prefix| name_of(&place.id, prefix.as_str())).collect()
        };
        Ok(Some(keys.iter().map(names).collect()))
    }

    fn prove(&self, name: &RemoteName, entry: &Entry<'_>) -> Result<Option<Standing>, StoreError> {
        let prefix = Prefix::of(entry.document, entry.key.as_str());
        let Some((collection, _)) = parts_of(name).filter(|(_, in_it)| *in_it == prefix.as_str()) else {
            return Ok(None);
        };
        let pieces = pieces(entry);
        let numbers: Vec<usize> = (0..pieces.len()).collect();
        for page in numbers.chunks(PAGE) {
            let ids: Vec<String> = page.iter().map(|part| prefix.record(*part)).collect();
            let asked = json!({ "ids": ids, "include": ["documents", "metadatas"] });
            let Some(records) = self.api.get(collection, &asked)? else {
                self.make_sure_of_the_store()?;
                return Ok(None);
            };
            let texts = records.documents.unwrap_or_default();
            let metadatas = records.metadatas.unwrap_or_default();
            let there: HashMap<&str, _> = (records.ids.iter().zip(texts.iter().zip(&metadatas)))
                .map(|(id, (text, said))| (id.as_str(), (text.as_deref(), said.as_ref())))
                .collect();
            let whole = page.iter().zip(&ids).all(|(part, id)| {
                let Some((Some(text), Some(said))) = there.get(id.as_str()) else { return false };
                *text == pieces[*part]
                    && said.get("shelf_key").and_then(Value::as_str) == Some(entry.key.as_str())
                    && said.get("shelf_parts").and_then(Value::as_u64) == Some(pieces.len() as u64)
            });
            if !whole {
                return Ok(None);
            }
        }
        // All of it is there: it can be found.
        Ok(Some(Standing { readiness: Readiness::Searchable, expires_at: None }))
    }

    fn standing(&self, name: &RemoteName) -> Result<Standing, StoreError> {
        let standing = |readiness| Ok(Standing { readiness, expires_at: None });
        let Some((collection, in_it)) = parts_of(name) else { return standing(Readiness::Gone) };
        let id = Prefix::parse(in_it).map_or_else(|| in_it.to_owned(), |prefix| prefix.record(0));
        match self.api.get(collection, &json!({ "ids": [id], "include": [] }))? {
            Some(records) if !records.ids.is_empty() => standing(Readiness::Searchable),
            Some(_) => standing(Readiness::Gone),
            None => {
                self.make_sure_of_the_store()?;
                standing(Readiness::Gone)
            }
        }
    }

    fn remove(&self, name: &RemoteName) -> Result<Deleted, StoreError> {
        let Some((collection, in_it)) = parts_of(name) else { return Ok(Deleted::WasAbsent) };
        // Asked by name the server says how many were asked for, not how many there were.
        let deleted = if Prefix::parse(in_it).is_some() {
            self.api.delete(collection, &json!({ "where": { "shelf_object": in_it } }))?
        } else {
            let ids = json!([in_it]);
            let there = self.api.get(collection, &json!({ "ids": ids, "include": [] }))?;
            match there.map(|there| there.ids.len()) {
                Some(1..) => self.api.delete(collection, &json!({ "ids": ids }))?,
                Some(0) => Some(0),
                None => None,
            }
        };
        match deleted {
            Some(1..) => Ok(Deleted::Deleted),
            Some(0) => Ok(Deleted::WasAbsent),
            None => {
                self.make_sure_of_the_store()?;
                Ok(Deleted::WasAbsent)
            }
        }
    }

    fn list(&self) -> Result<IndexListing<'_>, StoreError> {
        let all = self.all()?;
        if all.is_empty() {
            return Err(self.away());
        }
        let mut failed = false;
        let objects = all.into_iter().flat_map(move |collection| -> IndexListing<'_> {
            match self.list_collection(collection.id) {
                _ if failed => Box::new(std::iter::empty()),
                Ok(objects) => Box::new(objects),
                Err(error) => {
                    failed = true;
                    Box::new(std::iter::once(Err(error)))
                }
            }
        });
        Ok(Box::new(until_an_error(objects)))
    }

    fn settle(&self) -> Result<(), StoreError> {
        let all = self.all()?;
        match turn(&self.name, &all, &self.manner) {
            Turn::Nothing => {}
            Turn::Take(mine) => _ = self.api.rename(&mine.id, &self.name)?,
            Turn::TakeOver { mine, from, only_if_empty } => {
                let empty = self.api.count(&from.id)? == Some(0);
                if !empty && (only_if_empty || !self.has_all_of(mine, from)?) {
                    return Ok(());
                }
                // Its own name may be taken by what a race left; then it is as it was, and the next time comes.
                if self.api.rename(&from.id, &beside(&self.name, &from.plate.manner))? == Renamed::Taken {
                    return Ok(());
                }
                point("chroma-nobody-has-the-name");
                self.api.rename(&mine.id, &self.name)?;
                point("chroma-switched");
            }
        }
        *self.known() = None;
        // Of those that were before the one that has the name now, the ones that are done with go. A later one is only just
        // being filled.
        let all = self.all()?;
        let Some(named) = all.iter().find(|it| it.name == self.name) else { return Ok(()) };
        let is_former = |it: &&Ours| {
            it.id != named.id && (it.plate.turn < named.plate.turn || it.plate.manner == named.plate.manner)
        };
        for former in all.iter().filter(is_former) {
            self.drop_if_empty(former)?;
        }
        Ok(())
    }
}

impl Chroma {
    fn has_all_of(&self, mine: &Ours, from: &Ours) -> Result<bool, StoreError> {
        let mine = self.documents(&mine.id)?;
        Ok(self.documents(&from.id)?.is_subset(&mine))
    }
}

/// A list, up to its first error.
fn until_an_error<T>(
    items: impl Iterator<Item = Result<T, StoreError>>,
) -> impl Iterator<Item = Result<T, StoreError>> {
    let mut failed = false;
    items.take_while(move |item| {
        let go_on = !failed;
        failed |= item.is_err();
        go_on
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // S10: a request is never larger than a proxy passes on, and none is empty.
    #[test]
    fn pieces_are_given_in_requests_that_are_not_too_large() {
        let text = "x".repeat(900);
        let texts = vec![text.as_str(); 700];
        let ranges = batches(&texts, 100, 256, 100_000);
        assert_eq!(ranges.first(), Some(&(0..100)));
        assert_eq!(ranges.last(), Some(&(600..700)));
        assert_eq!(batches(&texts, 0, 256, usize::MAX).len(), 3);
        assert_eq!(batches(&texts[..2], 1_000_000, 256, 100), [0..1, 1..2]);
        assert!(batches(&[], 0, 1, 1).is_empty());
    }
}
