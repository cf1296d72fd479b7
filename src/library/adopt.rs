//! A copy takes the place of its disk, because a person says so and what lies there bears it out.

use std::path::Path;

use super::marks::next_entry;
use super::{LibraryError, canonical, deadline, expected, overlap, settle};
use crate::catalog::libraries::{self, Library, MarkedScan};
use crate::catalog::{Catalog, CatalogError, files, profiles};
use crate::clock::Clock;
use crate::volume::marker::{self, Marker};
use crate::volume::{self, Expected, Identity, LastScan, VerifiedRoot};

/// Files that are compared before a directory without a marker is believed to be a library.
const SAMPLE: u32 = 64;

/// A person says that what lies at `root` is the library from now on (L9): a copy of its disk that takes its place, or the
/// library itself that lost its marker. The word alone is not enough: the marker is the library's, or nine of ten of a
/// sample of its files are there with the size they had.
///
/// From then on its marker is told from the one it was copied from, by its generation. Where another catalogue has
/// raised that already, this one takes it over: each raising it in its turn would never come to an end. A disk that cannot
/// be written is taken as it is.
///
/// # Errors
/// See [`LibraryError`]; nothing is changed then.
pub fn adopt(
    catalog: &mut Catalog,
    library: &Library,
    root: &Path,
    clock: &dyn Clock,
) -> Result<Library, LibraryError> {
    let root = canonical(root, deadline(catalog)?)?;
    for other in
        libraries::all(catalog.read())?.into_iter().filter(|other| other.library_id != library.library_id)
    {
        if overlap(&other.root, &root) {
            return Err(LibraryError::Nested { root, name: other.name, other: other.root });
        }
    }
    let deadline = deadline(catalog)?;
    let identity = volume::identify(&root, None, deadline)?;
    let mut marked = None;
    let mut generation = library.marker_generation;
    match marker::read(&root)? {
        Some(found) if found.library_id != library.ulid => {
            return Err(LibraryError::ForeignMarker { root, name: found.name, id: found.library_id });
        }
        Some(found) => generation = found.generation,
        None => {
            let sample = files::sample(catalog.read(), library.library_id, SAMPLE)?;
            let there = sample.iter().filter(|(path, stat)| is_there(&path.under(&root), stat.size)).count();
            if sample.is_empty() || there * 10 < sample.len() * 9 {
                return Err(LibraryError::NotAlike {
                    root,
                    name: library.name.clone(),
                    there,
                    of: sample.len(),
                });
            }
            if library.has_marker {
                // It says from the first that it is not the marker that was lost.
                let entry = next_entry(library, None, clock.now_ms());
                let marker = Marker {
                    library_id: library.ulid,
                    name: library.name.clone(),
                    generation,
                    created: clock.now(),
                    last_scans: vec![entry],
                };
                marker::create(&root, &marker)?;
                marked = Some(entry);
            }
        }
    }
    let expected = Expected {
        root: root.clone(),
        // A copy beside it is no hindrance: which of the two is meant is being said just now.
        identity: Identity { separate_mount: false, ..identity.clone() },
        marker_generation: generation,
        last_scan: None,
        ..expected(library)?
    };
    let verified = match volume::verify(&expected, deadline) {
        Ok(verified) => verified,
        Err(probe) => {
            return Err(LibraryError::NotTheLibrary {
                root,
                name: library.name.clone(),
                probe: Box::new(probe),
            });
        }
    };
    if library.has_marker && marked.is_none() {
        (generation, marked) = tell_from_the_original(library, &verified, clock);
    }
    catalog.change::<_, CatalogError>(|tx| {
        libraries::set_marker_generation(tx, library.library_id, generation, clock.now_ms())?;
        profiles::forget(tx, library.library_id)?;
        libraries::forget_marked(tx, library.library_id)?;
        match marked {
            Some(LastScan { catalog, scan }) => {
                let marked = MarkedScan { catalog, scan };
                libraries::set_marked(tx, library.library_id, marked, clock.now_ms())
            }
            None => Ok(()),
        }
    })?;
    settle(catalog, library, &root, &identity, clock)
}

/// Raises the generation in the marker of what takes a disk's place. What the marker holds then: its generation, and this
/// catalogue's entry, where it could be written.
fn tell_from_the_original(
    library: &Library,
    root: &VerifiedRoot,
    clock: &dyn Clock,
) -> (u64, Option<LastScan>) {
    let (found, known) = (root.expected().marker_generation, library.marker_generation);
    let generation = if found > known { found } else { known + 1 };
    let (of_library, now_ms) = (library.clone(), clock.now_ms());
    let written = root.rewrite_marker(move |marker| {
        marker.generation = generation;
        let entry = next_entry(&of_library, Some(marker), now_ms);
        marker.put_last_scan(entry);
    });
    match written {
        Ok((marker, _)) => (generation, marker.last_scans.first().copied()),
        Err(error) => {
            tracing::info!(library = library.name, %error, "the marker stays as it is");
            (found, None)
        }
    }
}

fn is_there(path: &Path, size: u64) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() == size)
}
