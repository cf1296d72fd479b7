//! What the volume under a library is like: measured, kept, corrected.

use crate::catalog::libraries::Library;
use crate::catalog::{Catalog, CatalogError, files, profiles};
use crate::clock::Clock;
use crate::volume::VerifiedRoot;
use crate::volume::marker::StampsSeen;
use crate::volume::profile::{self, Profile};

/// Known files that are looked at to find out what the volume has kept of their stats.
const PROFILE_SAMPLE: u32 = 64;

/// What the volume under a library is like: measured where it has not been yet or is another one now, corrected where it
/// was mounted anew, and else as it was. Costs next to nothing then.
///
/// # Errors
/// The catalogue's. A disk that does not answer meanwhile is as it was known, or assumed, to be.
pub fn measure(
    catalog: &mut Catalog,
    library: &Library,
    root: &VerifiedRoot,
    stamps: Option<StampsSeen>,
    clock: &dyn Clock,
) -> Result<Profile, CatalogError> {
    let kept = kept_profile(catalog, library, root)?;
    let before = kept.clone().unwrap_or_else(|| Profile::assumed(&root.mount().fs_type));
    let anew = kept.is_none() || before.is_remounted(profile::mounting(root).as_ref());
    let untold = before.case_sensitive.value.is_none() || before.normalisation_sensitive.value.is_none();
    let known = match anew {
        true => files::sample(catalog.read(), library.library_id, PROFILE_SAMPLE)?,
        false => Vec::new(),
    };
    let after = match profile::look(root, known, anew && untold, stamps) {
        Ok(seen) => before.clone().learn(&seen),
        Err(error) => {
            tracing::info!(library = library.name, %error, "the volume is not measured");
            return Ok(before);
        }
    };
    if kept.as_ref() != Some(&after) {
        keep_profile(catalog, library, root, &after, clock)?;
    }
    Ok(after)
}

/// What is kept of the very volume that carries a library now.
pub(super) fn kept_profile(
    catalog: &Catalog,
    library: &Library,
    root: &VerifiedRoot,
) -> Result<Option<Profile>, CatalogError> {
    let kept = profiles::get(catalog.read(), library.library_id)?;
    // One that another version wrote in other words is as good as none: it is measured again.
    Ok(kept
        .filter(|kept| kept.volume == profile::volume_key(root))
        .and_then(|kept| serde_json::from_str(&kept.profile).ok()))
}

fn keep_profile(
    catalog: &mut Catalog,
    library: &Library,
    root: &VerifiedRoot,
    profile: &Profile,
    clock: &dyn Clock,
) -> Result<(), CatalogError> {
    let (volume, text, now_ms) = (profile::volume_key(root), serde_json::to_string(profile)?, clock.now_ms());
    match catalog.change(|tx| profiles::put(tx, library.library_id, &volume, &text, now_ms)) {
        // Measured again next time.
        Err(error) if error.is_for_want_of_writing() => Ok(()),
        kept => kept,
    }
}
