//! The ledger held against a store, and a store that moves (S12).

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::desk::Desk;

fn desk() -> Desk {
    let desk = Desk::with_files(&[("a.txt", "alpha"), ("b.txt", "beta"), ("c.txt", "gamma")]);
    desk.add_mirror("original");
    desk.run(&["sync"]).expect(0);
    desk
}

#[track_caller]
fn check(desk: &Desk, args: &[&str], code: i32) -> Value {
    let ran = desk.run(&[&["store", "check", "mirror", "--json"], args].concat());
    ran.expect(code).json()["stores"][0].take()
}

/// The object that has this content.
fn object(desk: &Desk, content: &str) -> PathBuf {
    let all = desk.objects();
    let (key, _) = all.iter().find(|(_, held)| *held == content.as_bytes()).unwrap();
    desk.mirror().join(key)
}

// S12
#[test]
fn a_store_that_has_what_it_should_is_as_it_should_be() {
    let desk = desk();
    let same = check(&desk, &["--read"], 0);
    assert_eq!(
        (&same["state"], &same["objects"], &same["current"], &same["left"], &same["read"]),
        (&json!("compared"), &json!(3), &json!(3), &json!(0), &json!(3))
    );
    let text = desk.run(&["store", "check"]).expect(0).stdout;
    assert!(text.contains("mirror: 3 objects there, as they should be"), "{text}");
    let wrong = desk.run(&["store", "check", "mirrow"]).expect(2);
    assert!(wrong.stderr.contains("store list"), "{wrong:?}");
}

// S12: deleted and cut behind our back
#[test]
fn what_is_missing_or_damaged_is_found_and_sent_again() {
    let desk = desk();
    let before = desk.objects();
    fs::remove_file(object(&desk, "alpha")).unwrap();
    fs::write(object(&desk, "beta"), "bet").unwrap();
    fs::write(object(&desk, "gamma"), "GAMMA").unwrap();
    let found = check(&desk, &[], 3);
    assert_eq!(
        found["counts"],
        json!({ "missing": 1, "size": 1, "bytes": 0, "unsearchable": 0, "strangers": 0 }),
        "the bytes are not read"
    );
    let paths: Vec<&str> =
        found["differences"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
    assert!(paths.contains(&"a.txt") && paths.contains(&"b.txt"), "{paths:?}");
    assert_eq!(found["in_line"], 0);
    desk.run(&["sync"]).expect(0);
    assert_ne!(desk.objects(), before, "nobody has asked for a repair");

    let repaired = check(&desk, &["--read", "--repair"], 0);
    assert_eq!((&repaired["counts"]["bytes"], &repaired["in_line"]), (&json!(1), &json!(3)));
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.objects(), before);
    check(&desk, &["--read"], 0);
}

// S12: what nobody knows of is never deleted by itself
#[test]
fn objects_of_ours_that_nobody_knows_become_orphans() {
    let desk = desk();
    let stranger = |text: &str, kind: &str| {
        let hex = blake3::hash(text.as_bytes()).to_hex();
        let dir = desk.mirror().join(kind).join(&hex[..2]);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(hex.as_str()), text).unwrap();
    };
    stranger("from another time", "original");
    stranger("and its text", "enriched");
    fs::write(desk.mirror().join("readme.txt"), "somebody else's").unwrap();
    fs::create_dir_all(desk.mirror().join("original/zz")).unwrap();
    fs::write(desk.mirror().join("original/zz/abc"), "no key of ours").unwrap();
    let found = check(&desk, &[], 3);
    assert_eq!((&found["counts"]["strangers"], &found["foreign"]), (&json!(2), &json!(2)));
    let adopted = check(&desk, &["--repair"], 0);
    assert_eq!((&adopted["adopted"], &adopted["left"]), (&json!(2), &json!(0)));
    assert_eq!(desk.objects().len(), 6, "nothing was deleted");
    check(&desk, &[], 0);
    let orphans = desk.json(&["orphans"]);
    assert_eq!(orphans["orphans"].as_array().unwrap().len(), 2);
    assert_eq!(orphans["orphans"][0]["cause"], "found by store check");
    // Nobody's documents are shown to nobody.
    assert_eq!(desk.json(&["list"])["total"], 3);
    assert_eq!(desk.json(&["find", "another"])["total"], 0);
    let clean = desk.run(&["orphans", "clean", "--json"]).expect(0).json();
    assert_eq!((&clean["in_grace"], &clean["deleted"]), (&json!(2), &json!(0)));
    desk.execute("UPDATE remote_objects SET orphaned_at = 0 WHERE state = 'orphaned'");
    desk.run(&["orphans", "clean"]).expect(0);
    assert_eq!(desk.objects().len(), 4);
    desk.run(&["sync"]).expect(0);
    check(&desk, &[], 0);
}

// S12: an object that is wanted and was forgotten by the catalogue is not sent again
#[test]
fn an_adopted_original_that_is_wanted_again_is_kept() {
    let desk = desk();
    let before = desk.objects();
    // As a catalogue that was put back to an earlier day.
    desk.execute("DELETE FROM outbox; DELETE FROM remote_objects");
    assert_eq!(check(&desk, &["--repair"], 0)["adopted"], 3);
    desk.execute("INSERT INTO outbox (op_id, channel_id, document_id, kind, created_at, updated_at) SELECT ulid, 1, document_id, 'mirror', 0, 0 FROM documents WHERE content_hash IS NOT NULL");
    let sent = desk.json(&["sync"]);
    assert_eq!(sent["uploaded_objects"], 0);
    assert_eq!(desk.objects(), before);
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM remote_objects WHERE state = 'current'"), 3);
}

// S12, S8: what was taken back comes back with a store of yesterday
#[test]
fn a_store_of_yesterday_gives_up_what_was_taken_back_since() {
    let desk = desk();
    let copy = desk.path("yesterday");
    assert!(
        std::process::Command::new("cp")
            .arg("-r")
            .args([desk.mirror(), copy.clone()])
            .status()
            .unwrap()
            .success()
    );
    desk.run(&["edit", "a.txt", "--privacy", "local_only"]).expect(0);
    desk.write("new.txt", "delta");
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.objects().len(), 3);
    fs::remove_dir_all(desk.mirror()).unwrap();
    fs::rename(copy, desk.mirror()).unwrap();
    let found = check(&desk, &["--repair"], 0);
    assert_eq!((&found["counts"]["missing"], &found["counts"]["strangers"]), (&json!(1), &json!(1)));
    desk.run(&["sync"]).expect(0);
    let mut texts: Vec<Vec<u8>> = desk.objects().into_values().collect();
    texts.sort();
    assert_eq!(texts, [b"beta".to_vec(), b"delta".to_vec(), b"gamma".to_vec()]);
    check(&desk, &["--read"], 0);
}

// S12, T7: an empty place is no wiped store until a person says so
#[test]
fn an_empty_place_is_begun_anew_only_on_a_persons_word() {
    let desk = desk();
    let before = desk.objects();
    fs::rename(desk.mirror(), desk.path("elsewhere")).unwrap();
    fs::create_dir(desk.mirror()).unwrap();
    for args in [&[][..], &["--repair"]] {
        let away = check(&desk, args, 5);
        assert_eq!((&away["state"], &away["code"]), (&json!("away"), &json!("SHELF-SYNC-001")), "{args:?}");
        assert_eq!(desk.objects().len(), 0);
    }
    desk.run(&["store", "check", "--repair", "--anew"]).expect(2);
    let anew = check(&desk, &["--repair", "--anew"], 0);
    assert_eq!(anew["state"], "begun_anew");
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.objects(), before);
    check(&desk, &["--read"], 0);
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM remote_objects WHERE state = 'orphaned'"), 0);
}

// S12: a budget of reading is gone on with
#[test]
fn reading_back_goes_on_where_it_stopped() {
    let desk = desk();
    fs::write(object(&desk, "gamma"), "GAMMA").unwrap();
    let none = check(&desk, &["--read", "--max-time", "0s"], 0);
    assert_eq!((&none["read"], &none["unread"]), (&json!(0), &json!(3)));
    desk.execute("INSERT INTO settings VALUES ('check.read_until.1', '2', 0) ON CONFLICT (key) DO UPDATE SET value = '2'");
    let rest = check(&desk, &["--read"], 3);
    assert_eq!((&rest["read"], &rest["counts"]["bytes"]), (&json!(3), &json!(1)));
    desk.run(&["store", "check", "mirror", "--max-time", "1m"]).expect(2);
}

// S12, T3
#[cfg(feature = "failpoints")]
#[test]
fn a_repair_that_is_cut_off_is_done_by_the_next() {
    for point in ["check-in-line", "check-adopted"] {
        let desk = desk();
        let before = desk.objects();
        fs::remove_file(object(&desk, "alpha")).unwrap();
        let hex = blake3::hash(b"stranger").to_hex();
        fs::create_dir_all(desk.mirror().join("original").join(&hex[..2])).unwrap();
        fs::write(desk.mirror().join("original").join(&hex[..2]).join(hex.as_str()), "stranger").unwrap();
        let ran = desk
            .command(&["store", "check", "--repair"])
            .env("FAILPOINTS", format!("{point}=return"))
            .output()
            .unwrap();
        assert_eq!(ran.status.code(), Some(128 + 9), "{point}: {ran:?}");
        check(&desk, &["--repair"], 0);
        desk.run(&["sync"]).expect(0);
        assert_eq!(desk.objects().len(), before.len() + 1, "{point}");
        check(&desk, &["--read"], 0);
        assert_eq!(desk.json(&["orphans"])["orphans"].as_array().unwrap().len(), 1, "{point}: once");
    }
}

// S12, T3, T7: begun, and not written down
#[cfg(feature = "failpoints")]
#[test]
fn a_store_that_was_begun_anew_when_the_power_was_cut_is_taken_up() {
    let desk = desk();
    let before = desk.objects();
    fs::remove_dir_all(desk.mirror()).unwrap();
    fs::create_dir(desk.mirror()).unwrap();
    let ran = desk
        .command(&["store", "check", "mirror", "--repair", "--anew"])
        .env("FAILPOINTS", "check-begun=return")
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(128 + 9), "{ran:?}");
    let text = desk.run(&["store", "check", "mirror"]).expect(5).stdout;
    assert!(text.contains("another store is at this place") && text.contains("--anew"), "{text}");
    assert_eq!(check(&desk, &["--repair", "--anew"], 0)["state"], "begun_anew");
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.objects(), before);
    check(&desk, &["--read"], 0);
}

// S12, T7: another store is somebody's
#[test]
fn another_store_with_objects_in_it_is_never_taken_for_a_wiped_one() {
    let desk = desk();
    let marker = desk.mirror().join(".shelflist-store.json");
    let other = fs::read_to_string(&marker).unwrap().replace("\"store_id\": \"0", "\"store_id\": \"1");
    fs::write(&marker, other).unwrap();
    assert_eq!(check(&desk, &["--repair", "--anew"], 5)["state"], "away");
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM remote_objects WHERE state = 'current'"), 3);
}

// S1
#[test]
fn a_store_that_moved_is_the_same_store() {
    let desk = desk();
    let before = desk.objects();
    fs::rename(desk.mirror(), desk.path("elsewhere")).unwrap();
    let there = format!("dir:{}", desk.path("elsewhere").display());
    let moved = desk.json(&["store", "relocate", "mirror", &there]);
    assert_eq!((&moved["store"], &moved["url"]), (&json!("mirror"), &json!(there)));
    desk.write("d.txt", "delta");
    desk.run(&["sync"]).expect(0);
    let synced = desk.json(&["sync"]);
    assert_eq!(synced["uploaded_objects"], 0);
    assert!(!desk.mirror().exists());
    fs::rename(desk.path("elsewhere"), desk.mirror()).unwrap();
    assert_eq!(desk.objects().len(), before.len() + 1);
}

// S1: the address of another store is no address of this one
#[test]
fn a_store_is_relocated_to_itself_only() {
    let desk = desk();
    let other = format!("dir:{}", desk.path("other").display());
    desk.run(&["store", "add", &other, "--name", "other"]).expect(0);
    let taken = desk.run(&["store", "relocate", "mirror", &other]).expect(2);
    assert!(taken.stderr.contains("store other is at"), "{taken:?}");
    desk.run(&["store", "remove", "other"]).expect(0);
    let another = desk.run(&["store", "relocate", "mirror", &other]).expect(1);
    assert!(another.stderr.contains("another store is at") && another.stderr.contains("nothing was changed"));
    let nowhere = format!("dir:{}", desk.path("nowhere").display());
    desk.run(&["store", "relocate", "mirror", &nowhere]).expect(5);
    assert!(!desk.path("nowhere").exists());
    let url: String = desk.sql("SELECT url FROM stores");
    assert_eq!(url, format!("dir:{}", desk.mirror().display()));
}
