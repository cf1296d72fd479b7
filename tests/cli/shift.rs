//! All times of a disk have moved together, as they do on disks that store local time. The catalogue's are moved here, which
//! comes to the same.

use std::fs::File;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::desk::Desk;

const HOUR_NS: i64 = 3_600_000_000_000;

/// When the files were read: later than all their times, and long ago.
const READ_AT: i64 = 1_700_000_000_000;

/// Scanned until nothing of it is young any more.
fn desk(files: u64) -> Desk {
    desk_with(files, |n| format!("text {n:03}"))
}

fn desk_with(files: u64, text: fn(u64) -> String) -> Desk {
    let desk = Desk::new();
    for n in 0..files {
        let name = format!("{n:03}.txt");
        desk.write(&name, &text(n));
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000 + n * 61);
        let file = File::options().write(true).open(desk.library().join(name)).unwrap();
        file.set_modified(time).unwrap();
    }
    desk.run(&["init", desk.library().to_str().unwrap(), "--name", "books"]).expect(0);
    while desk.scan()["hashed_files"] != 0 {}
    desk
}

/// As if the disk showed all times later, change times as well.
fn move_times(desk: &Desk, minutes: i64, which: &str) {
    let by = minutes * 60_000_000_000;
    desk.execute(&format!(
        "UPDATE files SET mtime_ns = mtime_ns - {by}, ctime_ns = ctime_ns - {by}, hashed_at = {READ_AT} WHERE {which}"
    ));
}

#[track_caller]
fn expect_counts(report: &Value, hashed: u64, touched: u64, shift: &Value) {
    assert_eq!(
        (&report["hashed_files"], &report["touched"], &report["modified"], &report["time_shift_min"]),
        (&json!(hashed), &json!(touched), &json!(0), shift),
        "{report}"
    );
}

// L10, D6
#[test]
fn when_all_times_moved_by_an_hour_a_sample_is_read() {
    let desk = desk(200);
    let local = |desk: &Desk| desk.json(&["library", "show"])["libraries"][0]["profile"]["local_time"].take();
    assert_eq!(local(&desk), json!({ "value": false, "how": "assumed" }));
    move_times(&desk, 60, "true");
    expect_counts(&desk.scan(), 64, 200, &json!(60));
    let of_rest = format!(
        "SELECT count(*) FROM files WHERE hashed_at = {READ_AT} AND evidence = 'all times moved by 60 min, proved on a sample'"
    );
    assert_eq!(desk.sql::<i64>(&of_rest), 136, "nobody claims to have read them");
    assert_eq!(local(&desk), json!({ "value": true, "how": "measured" }));
    let after = desk.scan();
    expect_counts(&after, 0, 0, &Value::Null);
    assert_eq!(after["unchanged"], 200);
    // And back again in autumn, told to people.
    move_times(&desk, -60, "true");
    let told = desk.run(&["scan"]).expect(0);
    assert!(told.stdout.contains("moved by -60 minutes; a sample of the files was read"), "{told:?}");
}

// L10, D6
#[test]
fn where_the_sample_is_not_as_it_was_everything_is_read() {
    let desk = desk(100);
    move_times(&desk, 60, "true");
    for n in 0..100 {
        desk.write(&format!("{n:03}.txt"), &format!("TEXT {n:03}"));
    }
    // Written anew, and their times set as those of the others are.
    for n in 0..100_u64 {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000 + n * 61);
        let file = File::options().write(true).open(desk.library().join(format!("{n:03}.txt"))).unwrap();
        file.set_modified(time).unwrap();
    }
    // On a disk without change times nobody could tell; here the profile says that this is one.
    desk.execute("UPDATE volume_profiles SET profile = json_set(profile, '$.ctime.value', json('false'))");
    let report = desk.run(&["scan", "--json"]).expect(6).json()["libraries"][0].take();
    assert_eq!(
        (&report["modified"], &report["touched"], &report["time_shift_min"]),
        (&json!(100), &json!(0), &Value::Null)
    );
    assert!(report["decision"].is_number(), "and somebody is asked");
}

// D9: what writes all of a disk anew at the same time of every day, as an export to a stick does, leaves stamps that are as
// far apart as those of other time zones. A text that changed among hundreds that did not must not be believed unchanged.
#[test]
fn what_may_have_been_written_since_it_was_read_is_read_again() {
    let desk = desk(200);
    let day_ms = 86_400_000;
    // What was exported yesterday and read soon after was exported again today.
    let stamp_ns: i64 = 1_600_000_000_000_000_000;
    for n in 0..200 {
        let text = if n == 102 { "TEXT 102".to_owned() } else { format!("text {n:03}") };
        desk.write(&format!("{n:03}.txt"), &text);
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(stamp_ns.unsigned_abs());
        let file = File::options().write(true).open(desk.library().join(format!("{n:03}.txt"))).unwrap();
        file.set_modified(time).unwrap();
    }
    desk.execute(&format!(
        "UPDATE files SET mtime_ns = {stamp_ns} - {day_ms} * 1000000, hashed_at = {stamp_ns} / 1000000 - {day_ms} + 60000;
         UPDATE volume_profiles SET profile = json_set(profile, '$.ctime.value', json('false'))"
    ));
    let report = desk.scan();
    assert_eq!(
        (&report["hashed_files"], &report["modified"], &report["time_shift_min"]),
        (&json!(200), &json!(1), &Value::Null)
    );
}

// D9: what is empty is always as it was; a sample of it would prove nothing of the others.
#[test]
fn empty_files_are_no_sample() {
    let desk = desk_with(80, |n| if n % 2 == 0 { String::new() } else { format!("text {n:03}") });
    move_times(&desk, 60, "true");
    expect_counts(&desk.scan(), 80, 80, &Value::Null);
}

// L10
#[test]
fn a_touch_that_shows_in_the_change_time_is_no_shift() {
    let desk = desk(100);
    desk.execute(&format!("UPDATE files SET mtime_ns = mtime_ns - {HOUR_NS}"));
    expect_counts(&desk.scan(), 100, 100, &Value::Null);
}

// L10
#[test]
fn what_moved_otherwise_is_read() {
    let desk = desk(200);
    move_times(&desk, 60, "name < CAST('150.txt' AS BLOB)");
    move_times(&desk, 75, "name >= CAST('150.txt' AS BLOB) AND name < CAST('180.txt' AS BLOB)");
    move_times(&desk, 61, "name >= CAST('180.txt' AS BLOB)");
    expect_counts(&desk.scan(), 64 + 30 + 20, 200, &json!(60));
}

// L10
#[test]
fn of_a_few_files_all_have_to_have_moved_and_all_are_read() {
    let desk = desk(12);
    move_times(&desk, -480, "name < CAST('011.txt' AS BLOB)");
    expect_counts(&desk.scan(), 11, 11, &Value::Null);
    move_times(&desk, -480, "true");
    expect_counts(&desk.scan(), 12, 12, &json!(-480));
}

// L10, L12
#[test]
fn a_full_scan_takes_no_short_cut_and_a_dry_run_writes_nothing() {
    let desk = desk(100);
    move_times(&desk, 60, "true");
    let report = desk.json(&["scan", "--dry-run"])["libraries"][0].take();
    expect_counts(&report, 64, 100, &json!(60));
    assert_eq!(desk.sql::<i64>(&format!("SELECT count(*) FROM files WHERE hashed_at = {READ_AT}")), 100);
    let report = desk.json(&["scan", "--full"])["libraries"][0].take();
    expect_counts(&report, 100, 100, &Value::Null);
}
