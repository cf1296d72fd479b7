//! Each family holds the contract of every store, on a server of its own kind.

use shelflist::remote::{self, AwayReason, Found, StoreError};

use super::place;
use super::store_contract::{holds_the_contract, key, list, now, put, read};

// S1
macro_rules! family {
    ($family:ident) => {
        holds_the_contract!($family, {
            let (place, peer) = place::$family();
            (place.store(), peer)
        });
    };
}

family!(rclone_s3);
family!(moto);
family!(azurite);
family!(webdav);
family!(sftp);
family!(openssh);

#[track_caller]
fn found(place: &place::Place) -> Found {
    place.store();
    remote::try_out(&place.url(), &place.access, now()).unwrap().unwrap()
}

// A server that takes a condition and ignores it is found out.
#[test]
fn what_a_server_really_does_is_found_out_by_trying() {
    assert!(!found(&place::rclone_s3().0).conditional_put, "it takes the condition and replaces");
    assert!(found(&place::moto().0).conditional_put);
    assert!(found(&place::azurite().0).conditional_put);
    assert!(found(&place::webdav().0).conditional_put, "MOVE with Overwrite: F");
    assert!(found(&place::openssh().0).conditional_put, "a link");
    for place in [place::rclone_s3().0, place::moto().0, place::azurite().0, place::webdav().0] {
        let ahead_ms = found(&place).clock_ahead_ms.expect("HTTP says the time");
        // `now` of these tests is a day of its own.
        let days = ahead_ms / (24 * 60 * 60 * 1_000);
        assert!(days.abs() < 100_000, "{days}");
    }
}

#[test]
fn trying_out_leaves_nothing_behind() {
    for place in [place::rclone_s3().0, place::moto().0, place::webdav().0, place::openssh().0] {
        assert_eq!(list(&*place.store(), ""), [], "{}", place.url);
    }
}
