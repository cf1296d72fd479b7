//! The scan itself, as a function, for tests that watch it from inside.

use shelflist::catalog::{Catalog, RunLock, libraries};
use shelflist::clock::{Clock, SystemClock};
use shelflist::library;
use shelflist::scan::{Options, Report, ScanError};

use super::desk::Desk;
use super::lent;
use super::saboteur::Saboteur;

/// Scans the desk's one library, with somebody who acts in between.
pub(crate) fn scan(desk: &Desk, saboteur: &Saboteur<'_>) -> Result<Report, ScanError> {
    let mut catalog = Catalog::open(&desk.home().join("catalog.db"), SystemClock.now())?;
    let lock = RunLock::take(catalog.path())?;
    let library = libraries::all(catalog.read())?.remove(0);
    let root = library::look(&mut catalog, &library, &SystemClock)?.expect("its disk is there");
    lent::scan(&mut catalog, &lock, &library, &root, &Options::default(), saboteur, saboteur)
}
