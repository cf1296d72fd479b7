use super::*;
use crate::model::Availability::{Available, Degraded, Unavailable};
use crate::model::{Availability, Reason};
use crate::volume::Identity;

fn expected() -> Expected {
    Expected {
        library_id: ulid::Ulid::from_parts(1, 1),
        name: "Lectures".into(),
        root: "/media/disk/lib".into(),
        marker: true,
        identity: Identity {
            mount_point: "/media/disk".into(),
            fs_type: "ext4".into(),
            source: "/dev/sda1".into(),
            label: Some("SHELF".into()),
            fs_id: None,
            uuid: None,
            root_inode: 12,
            separate_mount: true,
        },
        last_seen_ms: Some(at("2026-11-17T09:00:00Z").as_millisecond()),
        marker_generation: 1,
        last_scan: None,
    }
}

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

fn advise(platform: Platform, expected: &Expected, availability: Availability) -> String {
    let probe = Probe { availability, mount: None, detail: String::new() };
    advice_for(platform, expected, &probe, at("2026-11-20T10:00:00Z"))
}

/// Every reason, each in the state in which it is reported.
fn every_reason() -> impl Iterator<Item = Availability> {
    Reason::ALL.iter().map(|&reason| match reason {
        Reason::NotMounted | Reason::RootMissing => Unavailable(reason),
        _ => Degraded(reason),
    })
}

// L3
#[test]
fn every_reason_has_its_advice() {
    let advice: Vec<String> = every_reason()
        .map(|availability| format!("{availability}: {}", advise(Platform::Other, &expected(), availability)))
        .collect();
    insta::assert_snapshot!(advice.join("\n"), @r#"
unavailable(not-mounted): Connect the disk "SHELF" (last seen 3 days ago, on 2026-11-17) so that it is mounted at /media/disk, then run `shelflist scan Lectures` again. If it is mounted elsewhere now, run `shelflist library relocate Lectures`: it is found by its marker.
unavailable(root-missing): If the directory was moved or renamed on the disk "SHELF" (last seen 3 days ago, on 2026-11-17), run `shelflist library relocate Lectures NEW_ROOT`; else put it back at /media/disk/lib and run `shelflist scan Lectures` again. No file counts as missing meanwhile.
degraded(wrong-disk): Connect the disk "SHELF" (last seen 3 days ago, on 2026-11-17) in place of what is at /media/disk now, then run `shelflist scan Lectures` again. If this is the library all the same and only its marker was lost, run `shelflist library adopt Lectures /media/disk/lib`.
degraded(cloned): Connect the original alone, the disk "SHELF" (last seen 3 days ago, on 2026-11-17), at /media/disk and run `shelflist scan Lectures` again; or, if this one has taken its place, say so with `shelflist library adopt Lectures /media/disk/lib`.
degraded(permission): Give the user who runs shelflist the right to list and read /media/disk/lib and the directories above it (`ls -ld /media/disk/lib` shows who may), then run `shelflist scan Lectures` again.
degraded(read-error): Check the disk "SHELF" (last seen 3 days ago, on 2026-11-17): its cable, the system's log, its health. Then mount it anew at /media/disk and run `shelflist scan Lectures` again; no file counts as missing meanwhile.
degraded(read-only): Nothing needs to be done: a library that cannot be written is scanned and read like any other.
degraded(slow): Nothing needs to be done. If it gets slower, check the disk "SHELF", or give it longer with `shelflist config set probe.deadline_ms 60000`.
degraded(hung): Check the disk "SHELF" (last seen 3 days ago, on 2026-11-17): its cable, or the network it is reached by. When `ls /media/disk/lib` answers again, run `shelflist scan Lectures` again; if it is only slow, give it longer with `shelflist config set probe.deadline_ms 60000`.
degraded(empty): If the files were moved elsewhere, run `shelflist library relocate Lectures NEW_ROOT`; else check that /media/disk/lib is the directory you mean on the disk "SHELF" (last seen 3 days ago, on 2026-11-17), and run `shelflist scan Lectures` again. No file counts as missing meanwhile.
"#);
}

// L3
#[test]
fn on_macos_the_exact_setting_is_named() {
    let advice = advise(Platform::MacOs, &expected(), Degraded(Reason::Permission));
    insta::assert_snapshot!(advice, @r#"Open System Settings > Privacy & Security > Files and Folders, allow the program that runs shelflist (your terminal, or shelflist itself when it is scheduled) Removable Volumes, or give it Full Disk Access there; then run `shelflist scan Lectures` again."#);
}

#[test]
fn every_advice_for_what_stops_a_scan_names_a_command_to_run() {
    for availability in every_reason().filter(|availability| !availability.is_readable()) {
        for platform in [Platform::MacOs, Platform::Other] {
            let advice = advise(platform, &expected(), availability);
            assert!(advice.contains("`shelflist scan Lectures`"), "{availability}: {advice}");
        }
    }
    assert_eq!(advise(Platform::Other, &expected(), Available), "");
}

#[test]
fn the_disk_goes_by_the_name_that_people_know_it_by() {
    let mut network = expected();
    network.identity.fs_type = "nfs4".into();
    network.identity.source = "nas:/export".into();
    let mut unlabelled = expected();
    unlabelled.identity.label = None;
    unlabelled.last_seen_ms = None;
    let mut system = expected();
    system.identity.separate_mount = false;
    let mut unmarked = expected();
    unmarked.marker = false;
    unmarked.name = "My mother's films".into();
    let said = [
        advise(Platform::Other, &network, Unavailable(Reason::NotMounted)),
        advise(Platform::Other, &unlabelled, Unavailable(Reason::NotMounted)),
        advise(Platform::Other, &system, Unavailable(Reason::RootMissing)),
        advise(Platform::Other, &unmarked, Degraded(Reason::WrongDisk)),
    ];
    insta::assert_snapshot!(said.join("\n"), @r#"
Mount the network volume nas:/export (last seen 3 days ago, on 2026-11-17) at /media/disk, then run `shelflist scan Lectures` again. If it is mounted elsewhere now, run `shelflist library relocate Lectures NEW_ROOT`.
Connect the disk /dev/sda1 so that it is mounted at /media/disk, then run `shelflist scan Lectures` again. If it is mounted elsewhere now, run `shelflist library relocate Lectures`: it is found by its marker.
If the directory was moved or renamed on the system disk (last seen 3 days ago, on 2026-11-17), run `shelflist library relocate Lectures NEW_ROOT`; else put it back at /media/disk/lib and run `shelflist scan Lectures` again. No file counts as missing meanwhile.
Connect the disk "SHELF" (last seen 3 days ago, on 2026-11-17) in place of what is at /media/disk now, then run `shelflist scan 'My mother'\''s films'` again. If this is the library all the same, run `shelflist library adopt 'My mother'\''s films' /media/disk/lib`.
"#);
}

#[test]
fn when_it_was_last_seen_is_told_in_days_and_as_a_date() {
    let seen = |time: &str| {
        let mut expected = expected();
        expected.last_seen_ms = Some(at(time).as_millisecond());
        last_seen(&expected, at("2026-11-20T10:00:00Z"))
    };
    assert_eq!(seen("2026-11-20T09:00:00Z"), " (last seen less than a day ago, on 2026-11-20)");
    assert_eq!(seen("2026-11-19T09:00:00Z"), " (last seen 1 day ago, on 2026-11-19)");
    assert_eq!(seen("2025-11-20T10:00:00Z"), " (last seen 365 days ago, on 2025-11-20)");
    assert_eq!(seen("2026-12-24T10:00:00Z"), " (last seen on 2026-12-24)");
}
