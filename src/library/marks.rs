//! What a scan leaves in the marker, so that an older copy of the disk is told from it.

use super::measured::{kept_profile, measure};
use crate::catalog::libraries::{self, Library, MarkedScan};
use crate::catalog::{Catalog, CatalogError, Ids};
use crate::clock::Clock;
use crate::model::{Availability, Reason};
use crate::volume::profile::How;
use crate::volume::{LastScan, Marker, VerifiedRoot};

/// This catalogue's next entry in a library's marker: greater than what it knows and what stands there, also when the clock
/// was set back or the catalogue comes out of a backup.
pub(super) fn next_entry(library: &Library, marker: Option<&Marker>, now_ms: i64) -> LastScan {
    let mut ids = Ids::default();
    let catalog = library.marked.map_or_else(|| ids.next(now_ms), |marked| marked.catalog);
    let there = marker.and_then(|marker| marker.last_scan_of(catalog));
    let before = library.marked.map(|marked| marked.scan).max(there);
    let scan = before.map_or(ids, Ids::after).next(now_ms);
    LastScan { catalog, scan }
}

/// Leaves in the marker that a scan has come to its conclusions, so that an older copy of the disk is told from it (L9). A
/// scan of a part counts, and one that could not list everything: the catalogue knows more than a copy made before.
///
/// A scan that found nothing changed leaves the marker alone, and the disk unwritten: a copy of what was there before is
/// as good as the disk. One that follows a scan that was killed may find unchanged what that one has written down.
///
/// Only on disks of their own: what lies on the system disk is not copied apart from this catalogue, and what is reached
/// over a network is not copied bit by bit. A marker that cannot be written (a read-only disk, a full one) is no trouble of
/// the scan: nothing is expected of it then that is not in it.
///
/// # Errors
/// The catalogue's.
pub fn mark_scan(
    catalog: &mut Catalog,
    library: &Library,
    root: &VerifiedRoot,
    found_changes: bool,
    clock: &dyn Clock,
) -> Result<(), CatalogError> {
    let stands =
        library.marked.is_some() && !libraries::knows_more_than_marked(catalog.read(), library.library_id)?;
    if stands && !found_changes {
        return Ok(());
    }
    let read_only = root.availability() == Availability::Degraded(Reason::ReadOnly);
    if !library.has_marker
        || read_only
        || root.mount().is_network()
        || !root.expected().identity.separate_mount
    {
        return Ok(());
    }
    let (of_library, now_ms) = (library.clone(), clock.now_ms());
    let written = root.rewrite_marker(move |marker| {
        let entry = next_entry(&of_library, Some(marker), now_ms);
        marker.put_last_scan(entry);
    });
    match written {
        Ok((marker, stamps)) => {
            if stamps.is_some()
                && kept_profile(catalog, library, root)?
                    .is_some_and(|kept| kept.granularity_ns.how == How::Assumed)
            {
                measure(catalog, library, root, stamps, clock)?;
            }
            let LastScan { catalog: key, scan } = *marker.last_scans.first().expect("it was put in front");
            let marked = MarkedScan { catalog: key, scan };
            match catalog.change(|tx| libraries::set_marked(tx, library.library_id, marked, now_ms)) {
                // A marker that knows more than the catalogue is no copy's.
                Err(error) if error.is_for_want_of_writing() => Ok(()),
                kept => kept,
            }
        }
        Err(error) => {
            tracing::info!(library = library.name, %error, "the scan is not left in the marker");
            Ok(())
        }
    }
}
