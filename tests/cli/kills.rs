//! `kill -9` at any moment, again and again, while the library is worked on: at the end nothing is lost and nothing is there twice.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::desk::Desk;

/// How often the power is cut.
const KILLS: u32 = 200;
/// More runs than that many kills can need.
const RUNS: u32 = 2_000;

/// Numbers without a pattern that are the same in every run.
struct Numbers(blake3::OutputReader);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes) % limit
    }
}

// T3, T2, S3: two hundred random kills under a load as a daemon has it
#[test]
fn two_hundred_kills_at_random_moments_lose_nothing_and_double_nothing() {
    let mut numbers = Numbers(blake3::Hasher::new().update(b"kills").finalize_xof());
    let desk = Desk::with_files(&[]);
    let mut library: BTreeMap<String, String> = BTreeMap::new();
    for n in 0..40 {
        let (name, content) = (format!("{n:02}.txt"), format!("text {n} of the first day"));
        desk.write(&name, &content);
        library.insert(name, content);
    }
    desk.add_mirror("both");
    // Scans that were killed leave their changes to the next: many at once are no matter for a person here.
    desk.run(&["config", "set", "guard.changed_count", "1000"]).expect(0);
    // How long a run takes that is not killed: some are to get through.
    let begun = Instant::now();
    desk.run(&["sync"]).expect(0);
    let longest_ms = u64::try_from(begun.elapsed().as_millis()).unwrap();
    let mut killed = 0;
    for round in 0..RUNS {
        if killed == KILLS {
            break;
        }
        // A few edits, a new file and a card now and then, as on any day.
        for _ in 0..1 + numbers.below(3) {
            let n = numbers.below(40);
            let (name, content) = (format!("{n:02}.txt"), format!("text {n} of round {round}"));
            desk.write(&name, &content);
            library.insert(name, content);
        }
        if numbers.below(10) == 0 {
            desk.run(&["tag", "01.txt", &format!("round-{round}")]).expect(0);
        }
        let command = if numbers.below(4) == 0 { vec!["sync", "now"] } else { vec!["sync"] };
        let mut run = desk.command(&command);
        let run = run.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
        let mut run = run.spawn().unwrap();
        let group = Pid::from_raw(i32::try_from(run.id()).unwrap()).unwrap();
        std::thread::park_timeout(Duration::from_millis(numbers.below(longest_ms)));
        if run.try_wait().unwrap().is_none() {
            let _ = kill_process_group(group, Signal::KILL);
            killed += 1;
        }
        run.wait().unwrap();
    }
    assert_eq!(killed, KILLS);

    // What was written a moment ago is looked at again until it is of age (D9).
    super::wait::until_of_age(&desk.path("probe"));
    desk.run(&["sync"]).expect(0);
    let again = desk.run(&["sync", "--json"]).expect(0).json();
    assert_eq!((&again["queued"], &again["uploaded_objects"]), (&0.into(), &0.into()), "{again}");
    assert_eq!(desk.sql::<i64>("SELECT max(attempts) FROM outbox"), 0);
    assert_eq!(
        desk.sql::<i64>("SELECT count(*) FROM outbox WHERE state IN ('pending', 'leased', 'dead')"),
        0
    );
    // Each file has its two objects, current and whole; each object of the ledger is there, and no other.
    let current: i64 = desk.sql("SELECT count(*) FROM remote_objects WHERE state = 'current'");
    assert_eq!(current, 80);
    let objects = desk.objects();
    for (name, content) in &library {
        let hash = blake3::hash(content.as_bytes()).to_hex();
        let original = objects.get(&format!("original/{}/{hash}", &hash[..2]));
        assert_eq!(original.map(Vec::as_slice), Some(content.as_bytes()), "{name}");
    }
    desk.run(&["store", "check", "--read"]).expect(0);
}
