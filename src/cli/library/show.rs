//! What is known of a library and of the volume that carries it.

use serde_json::{Value, json};

use crate::catalog::libraries::Library;
use crate::catalog::profiles;
use crate::catalog::{Catalog, CatalogError};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{local_time, rfc3339_or_null};
use crate::cli::scan::no_library;
use crate::library;
use crate::model::Availability;
use crate::volume::profile::{Fact, Profile};
use crate::volume::{Expected, Identity};

/// What is told of one library.
struct Told {
    library: Library,
    expected: Expected,
    availability: Availability,
    profile: Profile,
    /// None where all of it is assumed.
    measured_at: Option<i64>,
}

pub(super) fn run(context: &mut Context, named: Option<&str>) -> Result<Exit, Failure> {
    let catalog = context.open()?;
    let libraries = context.libraries(&catalog, named)?;
    if libraries.is_empty() {
        return Err(no_library());
    }
    let mut all = Vec::new();
    for library in libraries {
        let availability = context.availability(&library)?;
        all.push(told(&catalog, library, availability)?);
    }
    if context.json {
        let all: Vec<Value> = all.iter().map(as_json).collect();
        context.out.json(&json!({ "libraries": all }))?;
        return Ok(Exit::Done);
    }
    for told in &all {
        print(context, told)?;
    }
    Ok(Exit::Done)
}

fn told(catalog: &Catalog, library: Library, availability: Availability) -> Result<Told, CatalogError> {
    let expected = library::expected(&library)?;
    let kept = profiles::get(catalog.read(), library.library_id)?;
    let measured = kept.and_then(|kept| Some((serde_json::from_str(&kept.profile).ok()?, kept.measured_at)));
    let (profile, measured_at) = match measured {
        Some((profile, at)) => (profile, Some(at)),
        None => (Profile::assumed(&expected.identity.fs_type), None),
    };
    Ok(Told { library, expected, availability, profile, measured_at })
}

fn as_json(told: &Told) -> Value {
    let Told { library, expected, availability, profile, measured_at } = told;
    let identity = &expected.identity;
    json!({
        "library": library.name,
        "library_id": library.ulid.to_string(),
        "root": library.root.to_string_lossy(),
        "marker": library.has_marker,
        "marker_generation": library.marker_generation,
        "marked_scan": library.marked.map(|marked| marked.scan.to_string()),
        "availability": availability,
        "last_seen": rfc3339_or_null(library.last_seen),
        "last_complete_scan": rfc3339_or_null(library.last_complete_scan),
        "volume": {
            "label": identity.label,
            "mount_point": identity.mount_point.to_string_lossy(),
            "source": identity.source.to_string_lossy(),
            "fs_type": profile.fs_type,
            "uuid": identity.uuid,
        },
        "profile": {
            "measured_at": rfc3339_or_null(*measured_at),
            "granularity_ns": profile.granularity_ns,
            "clock_doubt_ns": profile.clock_doubt_ns,
            "local_time": profile.local_time,
            "stable_inodes": profile.stable_inodes,
            "ctime": profile.ctime,
            "case_sensitive": profile.case_sensitive,
            "normalisation_sensitive": profile.normalisation_sensitive,
            "rotational": profile.rotational,
            "removable": profile.removable,
            "read_only": profile.read_only,
        },
    })
}

fn print(context: &mut Context, told: &Told) -> std::io::Result<()> {
    let Told { library, expected, availability, profile, measured_at } = told;
    let out = &mut context.out;
    out.line(format!("{} at {}: {availability}", library.name, library.root.display()))?;
    out.line(format!("  id {}, {}", library.ulid, marker_words(library)))?;
    let when = |at: Option<i64>| at.map_or_else(|| "never".to_owned(), local_time);
    out.line(format!(
        "  last seen {}, last complete scan {}",
        when(library.last_seen),
        when(library.last_complete_scan)
    ))?;
    out.line(format!("  on {}", volume_words(&expected.identity, &profile.fs_type)))?;
    match measured_at {
        Some(at) => out.line(format!("  the volume, as measured on {}:", local_time(*at)))?,
        None => out.line("  the volume, not measured yet:")?,
    }
    out.table(&["    FACT", "VALUE", "KNOWN BY"], &facts(profile))
}

fn marker_words(library: &Library) -> String {
    match library.has_marker {
        true => format!("marker of generation {}", library.marker_generation),
        false => "without a marker".to_owned(),
    }
}

fn volume_words(identity: &Identity, fs_type: &str) -> String {
    let label = identity.label.as_deref().map_or_else(String::new, |label| format!("{label:?}, "));
    let (source, point) = (identity.source.display(), identity.mount_point.display());
    format!("{label}{fs_type}, {source} mounted at {point}")
}

fn facts(profile: &Profile) -> Vec<Vec<String>> {
    fn row<T: Copy>(name: &str, fact: Fact<T>, words: impl Fn(T) -> Option<String>) -> Vec<String> {
        let (value, how) = match words(fact.value) {
            Some(words) => (words, fact.how.to_string()),
            None => ("not known".to_owned(), String::new()),
        };
        vec![format!("    {name}"), value, how]
    }
    let time = |ns: i64| Some(duration(ns));
    let either =
        |yes: &'static str, no: &'static str| move |is: bool| Some((if is { yes } else { no }).into());
    let perhaps = |yes: &'static str, no: &'static str| move |is: Option<bool>| is.and_then(either(yes, no));
    vec![
        row("times are stored in steps of", profile.granularity_ns, time),
        row("times may lag behind the clock by", profile.clock_doubt_ns, time),
        row("times are stored as", profile.local_time, either("local time", "UTC")),
        row("change times", profile.ctime, either("are kept", "are not kept")),
        row("inode numbers", profile.stable_inodes, either("survive a remount", "are made up at each mount")),
        row("a name in other case", profile.case_sensitive, perhaps("is another name", "is the same name")),
        row(
            "a name in other normalisation",
            profile.normalisation_sensitive,
            perhaps("is another name", "is the same name"),
        ),
        row("the disk spins", profile.rotational, perhaps("yes, so it has one reader", "no")),
        row("the disk can be taken away", profile.removable, perhaps("yes", "no")),
        row("it is mounted read-only", profile.read_only, either("yes", "no")),
    ]
}

/// A short time for people, in its largest whole unit.
fn duration(ns: i64) -> String {
    match ns {
        ns if ns % 1_000_000_000 == 0 => format!("{} s", ns / 1_000_000_000),
        ns if ns % 1_000_000 == 0 => format!("{} ms", ns / 1_000_000),
        ns if ns % 1_000 == 0 => format!("{} µs", ns / 1_000),
        ns => format!("{ns} ns"),
    }
}
