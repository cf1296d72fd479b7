//! Large uploads that were interrupted go on where they were, and nothing is believed of what they left.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;

use jiff::{SignedDuration, Timestamp};
use md5::{Digest, Md5};
use rustix::process::{Pid, Signal, kill_process_group};
use shelflist::remote::{self, Access, ErrorClass, Expect, Login, PartSizes, Put, Secret, Store, StoreError};

use super::desk::{Desk, Ran};
use super::peers::proxy::{Fault, Proxy};
use super::peers::stub::Stub;
use super::peers::{self, PASSWORD, Peer, USER};
use super::place::{self, Place};
use super::store_contract::{key, list, read};
use super::wait;

const AWS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", USER), ("AWS_SECRET_ACCESS_KEY", PASSWORD)];

const PART: usize = 64 << 10;
const PARTS: usize = 20;
const SIZES: PartSizes = PartSizes { single_bytes: PART as u64, part_bytes: PART as u64 };
/// More than the heads of all requests of one upload.
const HEADS: u64 = 60_000;
const NAME: &str = "original/ab/large";

fn content() -> Vec<u8> {
    let mut stream = blake3::Hasher::new().update(b"a large content").finalize_xof();
    let mut content = vec![0; PART * PARTS - 1_000];
    stream.fill(&mut content);
    content
}

/// A content that something happens to at a place in it.
struct Until<'a, F> {
    content: &'a [u8],
    left: usize,
    happens: Option<F>,
}

fn until<F: FnOnce() -> io::Result<()>>(content: &[u8], parts: usize, happens: F) -> Until<'_, F> {
    Until { content, left: parts * PART, happens: Some(happens) }
}

impl<F: FnOnce() -> io::Result<()>> Read for Until<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            if let Some(happens) = self.happens.take() {
                happens()?;
            }
            return self.content.read(buffer);
        }
        let most = buffer.len().min(self.left);
        let read = self.content.read(&mut buffer[..most])?;
        self.left -= read;
        Ok(read)
    }
}

/// As the engine says that the user wants the run to end.
fn ended() -> io::Result<()> {
    Err(io::Error::other("the run is ended"))
}

fn small(mut place: Place) -> Place {
    place.access.parts = SIZES;
    place
}

fn places() -> [(Place, &'static Peer); 3] {
    [place::moto(), place::rclone_s3(), place::azurite()].map(|(place, peer)| (small(place), peer))
}

/// Behind a proxy, each time as another process: with a handle of its own.
struct Line {
    proxy: Proxy,
    place: Place,
}

impl Line {
    fn to(place: &Place, peer: &Peer) -> Line {
        place.store();
        let proxy = Proxy::before(peer.port);
        Line { place: place.through(peer.port, proxy.port), proxy }
    }

    fn open(&self) -> Box<dyn Store> {
        self.place.open().unwrap()
    }

    /// What it costs to put the content now, in bytes on the wire.
    #[track_caller]
    fn finish(&self, content: &[u8]) -> (Put, u64) {
        let store = self.open();
        let before = self.proxy.asked_bytes();
        let put = store.put_if_absent(&key(NAME), &mut &*content, &Expect::of(content)).unwrap();
        let sent = self.proxy.asked_bytes() - before;
        assert!(read(&*store, NAME) == content, "{}", self.place.url);
        assert_eq!(list(&*store, "").len(), 1);
        (put, sent)
    }

    /// Puts it and is interrupted after so many parts were read.
    #[track_caller]
    fn interrupted(&self, content: &[u8], expect: &Expect, parts: usize) {
        let store = self.open();
        let error = store.put_if_absent(&key(NAME), &mut until(content, parts, ended), expect).unwrap_err();
        assert!(matches!(error, StoreError::Source { .. }), "{error:?}");
        assert_eq!(store.stat(&key(NAME)).unwrap(), None);
    }
}

/// The uploads that a bucket of moto's has under names that have this in them.
fn unfinished(peer: &Peer, with: &str) -> usize {
    let answer = peers::request(
        peer.port,
        "GET /bucket?uploads HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: AWS4-HMAC-SHA256 \
         Credential=x/20261121/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0\r\n\r\n",
    );
    answer.split("<Key>").skip(1).filter(|key| key.split('<').next().unwrap().contains(with)).count()
}

/// What all names of a place begin with: no other test's do.
fn ours(place: &Place) -> String {
    place.url.split('/').nth(3).unwrap().to_owned()
}

#[track_caller]
fn assert_at_most(sent: u64, parts: usize, place: &Place) {
    let most = (parts * PART) as u64 + HEADS;
    assert!(sent < most, "{}: {sent} bytes were sent, {most} would be too many", place.url);
}

// S2
#[test]
fn an_upload_that_was_ended_goes_on_where_it_was() {
    let content = content();
    for (place, peer) in places() {
        let line = Line::to(&place, peer);
        line.interrupted(&content, &Expect::of(&content), 12);
        // Two were on their way.
        let (put, sent) = line.finish(&content);
        assert!(put.made_it());
        assert_at_most(sent, PARTS - 12 + 2, &place);
        if place.url.starts_with("s3://") {
            assert_eq!(put, Put::Proved, "{}", place.url);
        }
    }
}

#[test]
fn an_upload_whose_line_went_goes_on_where_it_was() {
    let content = content();
    for (place, peer) in places() {
        let line = Line::to(&place, peer);
        let store = line.open();
        let gone = || {
            line.proxy.always(Some(Fault::Refuse));
            Ok(())
        };
        let mut source = until(&content, 12, gone);
        let error = store.put_if_absent(&key(NAME), &mut source, &Expect::of(&content)).unwrap_err();
        assert!(matches!(error, StoreError::Away { .. }), "{error:?}");
        line.proxy.always(None);
        let (put, sent) = line.finish(&content);
        assert!(put.made_it());
        assert_at_most(sent, PARTS - 12 + 3, &place);
    }
}

// S2, D9: what is found there proves itself, or is sent again.
#[test]
fn a_part_of_other_bytes_is_not_believed() {
    let content = content();
    let mut other = content.clone();
    other[3 * PART + 17] ^= 1;
    for (place, peer) in places() {
        let line = Line::to(&place, peer);
        let expect = Expect::of(&content);
        line.interrupted(&other, &expect, 12);
        let replaces_no_part = peer.port == place::rclone_s3().1.port;
        if replaces_no_part {
            // The content is not to blame for that.
            let error = line.open().put_if_absent(&key(NAME), &mut &*content, &expect).unwrap_err();
            assert!(matches!(error, StoreError::Busy { .. }), "{error:?}");
        }
        let (_, sent) = line.finish(&content);
        if !replaces_no_part {
            assert_at_most(sent, PARTS - 12 + 3, &place);
            assert!(sent > ((PARTS - 12) * PART) as u64, "{}: {sent}", place.url);
        }
    }
}

// S2, D9
#[test]
fn a_source_that_changes_meanwhile_publishes_nothing_and_leaves_nothing() {
    let content = content();
    let mut changed = content.clone();
    changed[18 * PART] ^= 1;
    for (place, peer) in places() {
        let line = Line::to(&place, peer);
        let expect = Expect::of(&content);
        line.interrupted(&content, &expect, 12);
        let store = line.open();
        let error = store.put_if_absent(&key(NAME), &mut &*changed, &expect).unwrap_err();
        assert!(matches!(error, StoreError::ContentChanged { .. }), "{error:?}");
        assert_eq!(list(&*store, ""), []);
        if place.url.starts_with("s3://bucket") && peer.port == place::moto().1.port {
            assert_eq!(unfinished(peer, &ours(&place)), 0);
        }
        // And what the source should have been arrives.
        line.finish(&content);
    }
}

#[test]
fn an_upload_that_was_cut_in_another_way_is_begun_anew() {
    let content = content();
    let (place, peer) = place::moto();
    let mut place = small(place);
    let line = Line::to(&place, peer);
    line.interrupted(&content, &Expect::of(&content), 12);
    assert_eq!(unfinished(peer, &ours(&place)), 1);
    place.access.parts.part_bytes += 4_096;
    let line = Line::to(&place, peer);
    let (put, sent) = line.finish(&content);
    assert_eq!(put, Put::Proved);
    assert!(sent > content.len() as u64);
    assert_eq!(unfinished(peer, &ours(&place)), 0);
}

// T3: the work was done, the answer was lost.
#[test]
fn of_an_upload_whose_last_answer_was_lost_nothing_is_sent_twice() {
    let content = content();
    for (place, peer) in places() {
        let line = Line::to(&place, peer);
        let store = line.open();
        // What puts the object together is the only request that has this kind of body.
        line.proxy.on_text("application/xml", Fault::DropAnswer);
        let expect = Expect::of(&content);
        let error = store.put_if_absent(&key(NAME), &mut &*content, &expect).unwrap_err();
        assert!(matches!(error, StoreError::Away { .. }), "{error:?}");
        let (put, sent) = line.finish(&content);
        assert_eq!(put, Put::AlreadyThere);
        assert_at_most(sent, 0, &place);
    }
}

#[test]
fn of_an_upload_whose_last_question_was_lost_only_that_is_asked_again() {
    let content = content();
    for (place, peer) in places() {
        let line = Line::to(&place, peer);
        let store = line.open();
        line.proxy.on_text("application/xml", Fault::CutQuestion(100));
        let expect = Expect::of(&content);
        store.put_if_absent(&key(NAME), &mut &*content, &expect).unwrap_err();
        assert_eq!(store.stat(&key(NAME)).unwrap(), None);
        let (put, sent) = line.finish(&content);
        assert!(put.made_it());
        assert_at_most(sent, 0, &place);
    }
}

/// S3 says "200" before it has put the object together, and then that it could not.
#[test]
fn an_ok_with_an_error_in_it_is_an_error() {
    let content = content();
    let (place, peer) = place::moto();
    let place = small(place);
    let line = Line::to(&place, peer);
    let store = line.open();
    let said = "\n\n<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>InternalError</Code><Message>We encountered an \
                internal error. Please try again.</Message></Error>";
    line.proxy.on_text("application/xml", Fault::Say("200 OK", said));
    let error = store.put_if_absent(&key(NAME), &mut &*content, &Expect::of(&content)).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Channel, "{error:?}");
    assert!(format!("{error:?}").contains("InternalError"), "{error:?}");
    let (put, sent) = line.finish(&content);
    assert_eq!(put, Put::Proved);
    assert_at_most(sent, 0, &place);
}

#[test]
fn a_server_that_does_not_tell_of_uploads_gets_everything_again() {
    let content = content();
    let not_there = "<Error><Code>NotImplemented</Code></Error>";
    for (status, body) in [
        ("501 Not Implemented", not_there),
        ("405 Method Not Allowed", ""),
        ("404 Not Found", ""),
        ("200 OK", "<ListMultipartUploadsResult></ListMultipartUploadsResult>"),
        ("200 OK", "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>"),
        ("200 OK", "<html>"),
    ] {
        let (place, peer) = place::moto();
        let place = small(place);
        let line = Line::to(&place, peer);
        line.interrupted(&content, &Expect::of(&content), 4);
        line.proxy.each("?uploads&prefix=", Fault::Say(status, body));
        let (put, sent) = line.finish(&content);
        assert_eq!(put, Put::Proved, "{status} {body}");
        assert!(sent > content.len() as u64, "{status} {body}");
    }
}

/// Somebody else completed it, or took it away; or the list is older than that.
#[test]
fn an_upload_that_is_over_is_no_verdict_and_is_begun_anew() {
    let content = content();
    let (place, peer) = place::moto();
    let place = small(place);
    let line = Line::to(&place, peer);
    let expect = Expect::of(&content);
    line.interrupted(&content, &expect, 4);
    let store = line.open();
    let over = "<Error><Code>NoSuchUpload</Code></Error>";
    line.proxy.on_text("partNumber=7", Fault::Say("404 Not Found", over));
    let error = store.put_if_absent(&key(NAME), &mut &*content, &expect).unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }), "{error:?}");
    // The server still lists it.
    assert_eq!(unfinished(peer, &ours(&place)), 1);
    let before = line.proxy.asked_bytes();
    assert_eq!(store.put_if_absent(&key(NAME), &mut &*content, &expect).unwrap(), Put::Proved);
    assert!(line.proxy.asked_bytes() - before > content.len() as u64);
    assert!(read(&*store, NAME) == content);
}

/// A server that is asked too much says so; beginning anew would be more of it.
#[test]
fn a_busy_server_is_not_sent_everything_again() {
    let content = content();
    let (place, peer) = place::moto();
    let place = small(place);
    let line = Line::to(&place, peer);
    let expect = Expect::of(&content);
    line.interrupted(&content, &expect, 12);
    let store = line.open();
    line.proxy
        .on_text("?uploads&prefix=", Fault::Say("503 Slow Down", "<Error><Code>SlowDown</Code></Error>"));
    let error = store.put_if_absent(&key(NAME), &mut &*content, &expect).unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }), "{error:?}");
    let (_, sent) = line.finish(&content);
    assert_at_most(sent, PARTS - 12 + 2, &place);
}

/// Two devices send one content: into one upload, where they can.
#[test]
fn two_that_work_on_one_upload_make_one_object() {
    let content = content();
    for (place, peer) in [place::moto(), place::azurite()].map(|(place, peer)| (small(place), peer)) {
        let line = Line::to(&place, peer);
        let expect = Expect::of(&content);
        line.interrupted(&content, &expect, 6);
        let devices = [place.store(), place.store()];
        let put = std::thread::scope(|scope| {
            devices
                .each_ref()
                .map(|device| scope.spawn(|| device.put_if_absent(&key(NAME), &mut &*content, &expect)))
                .map(|device| device.join().unwrap())
        });
        // Who comes second finds it taken, or is told that it is over; moto may say 500 then.
        assert!(put.iter().any(|put| matches!(put, Ok(put) if put.made_it())), "{put:?}");
        for error in put.iter().filter_map(|put| put.as_ref().err()) {
            assert_eq!(error.class(), ErrorClass::Channel, "{error:?}");
        }
        assert!(read(&*devices[0], NAME) == content);
        assert_eq!(list(&*devices[0], "").len(), 1);
    }
}

// T3's sister: what nobody takes up is taken away.
#[test]
fn an_upload_that_nobody_goes_on_with_is_cleared_after_a_week_and_not_before() {
    let content = content();
    let (place, peer) = place::moto();
    let place = small(place);
    let line = Line::to(&place, peer);
    line.interrupted(&content, &Expect::of(&content), 12);
    // Not ours: a name that no store gives, in its place, and ours outside of it.
    let store = line.open();
    let strange = key("thesis/original");
    store.put_if_absent(&strange, &mut until(&content, 12, ended), &Expect::of(&content)).unwrap_err();
    let (elsewhere, _) = place::moto();
    let elsewhere = small(elsewhere);
    Line::to(&elsewhere, peer).interrupted(&content, &Expect::of(&content), 12);

    let open_after = |days: i64| {
        #[expect(clippy::disallowed_methods, reason = "the server's clock is this machine's")]
        let today = Timestamp::try_from(std::time::SystemTime::now()).unwrap();
        let then = today.checked_add(SignedDuration::from_hours(24 * days)).unwrap();
        remote::open(&place.url(), &place.access, then).unwrap();
    };
    open_after(6);
    assert_eq!(unfinished(peer, &ours(&place)), 2);
    open_after(8);
    assert_eq!(unfinished(peer, &ours(&place)), 1, "that of the strange name");
    assert_eq!(unfinished(peer, &ours(&elsewhere)), 1);
}

/// The program itself, ended by a signal once so many bytes were passed on.
fn end_by(signal: Signal, desk: &Desk, proxy: &Proxy, sent_bytes: u64) {
    let until = proxy.asked_bytes() + sent_bytes;
    let mut syncing = desk.command(&["sync", "now"]).envs(AWS).process_group(0).spawn().unwrap();
    wait::until("enough to be sent", || {
        assert!(syncing.try_wait().unwrap().is_none(), "it has ended by itself");
        proxy.asked_bytes() >= until
    });
    kill_process_group(Pid::from_child(&syncing), signal).unwrap();
    let code = wait::until_ended(&mut syncing).code();
    assert_eq!(code, if signal == Signal::INT { Some(130) } else { None });
}

// S2, with parts as they are for everybody
#[test]
fn a_sync_that_was_killed_and_one_that_was_ended_are_gone_on_with_by_the_next() {
    const BYTES: usize = 44_000_000;
    let (place, peer) = place::moto();
    let proxy = Proxy::before(peer.port);
    let desk = Desk::with_files(&[]);
    let mut film = vec![0; BYTES];
    blake3::Hasher::new().update(b"film").finalize_xof().fill(&mut film);
    std::fs::write(desk.library().join("film.mkv"), &film).unwrap();
    desk.run(&["scan"]).expect(0);
    let url = place.through(peer.port, proxy.port).url;
    let run = |args: &[&str]| Ran::from(desk.command(args).envs(AWS).output().unwrap());
    run(&["store", "add", &url, "--name", "far", "--payload", "original"]).expect(0);

    // So that it does not have all before it is killed.
    proxy.always(Some(Fault::Throttle(40_000_000)));
    end_by(Signal::KILL, &desk, &proxy, 17_500_000);
    end_by(Signal::INT, &desk, &proxy, 17_500_000);
    proxy.always(None);
    let before = proxy.asked_bytes();
    let report = run(&["sync", "now", "--json"]).expect(0).json();
    assert_eq!(report["uploaded_objects"], 1, "{report}");
    let sent = proxy.asked_bytes() - before;
    // Of two times 17.5 MB what was on its way is lost: two parts each time, where both began at once.
    assert!(sent < 44_000_000 - (8 << 20), "{sent} bytes");
    let back = desk.path("back");
    std::fs::create_dir(&back).unwrap();
    std::fs::remove_file(desk.library().join("film.mkv")).unwrap();
    run(&["fetch", "film.mkv", "--to", back.to_str().unwrap()]).expect(0);
    assert!(std::fs::read(back.join("film.mkv")).unwrap() == film);
    assert_eq!(unfinished(peer, &ours(&place)), 0);
}

/// OpenSSH's server, with everything that it is told written down, and who it is.
struct Ssh {
    place: Place,
    dir: tempfile::TempDir,
}

impl Ssh {
    fn new() -> Ssh {
        let (place, dir) = place::openssh();
        let mut place = small(place);
        let ssh = place.access.ssh.as_mut().unwrap();
        let (wire, who) = (dir.path().join("wire"), dir.path().join("who"));
        ssh[2] = ssh[2].replace("exec ", &format!("tee -a {} | exec ", wire.display()));
        ssh[2] = format!("echo $$ >{}; {}", who.display(), ssh[2]);
        place.store();
        Ssh { place, dir }
    }

    fn sent(&self) -> u64 {
        std::fs::metadata(self.dir.path().join("wire")).unwrap().len()
    }

    /// What stands under `.tmp/`.
    fn left(&self) -> Vec<std::path::PathBuf> {
        let place = self.dir.path().join("dir å").join("b c+d%e?f#g").join(".tmp");
        let mut left: Vec<_> = std::fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()).collect();
        left.sort();
        left
    }

    #[track_caller]
    fn interrupted(&self, content: &[u8], expect: &Expect, parts: usize) {
        let store = self.place.open().unwrap();
        let error = store.put_if_absent(&key(NAME), &mut until(content, parts, ended), expect).unwrap_err();
        assert!(matches!(error, StoreError::Source { .. }), "{error:?}");
    }

    /// What it costs to put the content now, in bytes on the wire.
    #[track_caller]
    fn finish(&self, content: &[u8]) -> u64 {
        let store = self.place.open().unwrap();
        let before = self.sent();
        let put = store.put_if_absent(&key(NAME), &mut &*content, &Expect::of(content)).unwrap();
        assert_eq!(put, Put::Created);
        let sent = self.sent() - before;
        assert!(read(&*store, NAME) == content);
        assert_eq!(self.left(), <[&std::path::Path; 0]>::default(), "nothing stays behind");
        sent
    }
}

// S2
#[test]
fn over_ssh_an_upload_that_was_ended_goes_on_where_it_was() {
    let content = content();
    let ssh = Ssh::new();
    ssh.interrupted(&content, &Expect::of(&content), 5);
    ssh.interrupted(&content, &Expect::of(&content), 12);
    assert_eq!(ssh.left().len(), 2, "a file and its record; what the first left was copied and is gone");
    assert_at_most(ssh.finish(&content), PARTS - 12 + 1, &ssh.place);
}

// S2: what nobody can go on with is not left there for a week
#[test]
fn over_ssh_an_upload_that_was_ended_before_its_first_part_leaves_nothing() {
    let content = content();
    let ssh = Ssh::new();
    ssh.interrupted(&content, &Expect::of(&content), 0);
    assert_eq!(ssh.left().len(), 0);
    ssh.interrupted(&content, &Expect::of(&content), 12);
    ssh.interrupted(&content, &Expect::of(&content), 0);
    assert_eq!(ssh.left().len(), 2, "what was there before");
    assert_at_most(ssh.finish(&content), PARTS - 12 + 1, &ssh.place);
}

#[test]
fn over_ssh_an_upload_whose_line_went_goes_on_where_it_was() {
    let content = content();
    let ssh = Ssh::new();
    let store = ssh.place.open().unwrap();
    let gone = || {
        let who = std::fs::read_to_string(ssh.dir.path().join("who")).unwrap();
        let who = Pid::from_raw(who.trim().parse().unwrap()).unwrap();
        kill_process_group(who, Signal::KILL).unwrap();
        Ok(())
    };
    let expect = Expect::of(&content);
    let error = store.put_if_absent(&key(NAME), &mut until(&content, 12, gone), &expect).unwrap_err();
    assert!(matches!(error, StoreError::Away { .. }), "{error:?}");
    assert_at_most(ssh.finish(&content), PARTS - 12 + 1, &ssh.place);
}

// D9
#[test]
fn over_ssh_only_proved_parts_are_copied() {
    let content = content();
    let expect = Expect::of(&content);
    let mut other = content.clone();
    other[3 * PART + 17] ^= 1;
    let ssh = Ssh::new();
    ssh.interrupted(&other, &expect, 12);
    assert_at_most(ssh.finish(&content), PARTS - 12 + 2, &ssh.place);

    // A record of parts that the file has not, and a file that has less than its record.
    for (keep, parts) in [(5 * PART + 100, 5), (0, 0)] {
        let ssh = Ssh::new();
        ssh.interrupted(&content, &expect, 12);
        let file = std::fs::OpenOptions::new().write(true).open(&ssh.left()[0]).unwrap();
        file.set_len(keep as u64).unwrap();
        let sent = ssh.finish(&content);
        assert!(sent > ((PARTS - parts - 1) * PART) as u64, "{sent}");
    }

    let ssh = Ssh::new();
    ssh.interrupted(&content, &expect, 12);
    // Shorter than it should be: seen before all that was left is copied.
    let store = ssh.place.open().unwrap();
    let error = store.put_if_absent(&key(NAME), &mut &content[..5 * PART], &expect).unwrap_err();
    assert!(matches!(error, StoreError::ContentChanged { .. }), "{error:?}");
    assert_eq!(store.stat(&key(NAME)).unwrap(), None);
    assert_eq!(ssh.left().len(), 0);
}

// D9: a laptop that was closed in the middle wakes up when another has sent the same content.
#[test]
fn over_ssh_who_wakes_up_later_writes_into_nobodys_file() {
    let content = content();
    let expect = Expect::of(&content);
    let mut changed = content.clone();
    changed[13 * PART..].fill(b'x');
    for (rest, is_ours) in [(&content, true), (&changed, false)] {
        let ssh = Ssh::new();
        let sleeper = ssh.place.open().unwrap();
        let (asleep, sleeps) = std::sync::mpsc::channel();
        let (wake, woken) = std::sync::mpsc::channel();
        let put = std::thread::scope(|scope| {
            let sleeps_on = scope.spawn(|| {
                let falls_asleep = move || {
                    asleep.send(()).unwrap();
                    woken.recv().unwrap();
                    Ok(())
                };
                sleeper.put_if_absent(&key(NAME), &mut until(rest, 12, falls_asleep), &expect)
            });
            sleeps.recv().unwrap();
            // Beside this thread: who sleeps is woken, whatever becomes of it.
            let finished = scope.spawn(|| ssh.finish(&content)).join();
            wake.send(()).unwrap();
            assert_at_most(finished.unwrap(), PARTS - 12 + 1, &ssh.place);
            sleeps_on.join().unwrap()
        });
        match put {
            Ok(put) => assert!(is_ours && put == Put::AlreadyThere, "{put:?}"),
            Err(error) => {
                assert!(!is_ours && matches!(error, StoreError::ContentChanged { .. }), "{error:?}");
            }
        }
        assert!(read(&*sleeper, NAME) == content);
        assert_eq!(ssh.left().len(), 0);
    }
}

#[test]
fn over_ssh_a_server_that_cannot_copy_is_left_nothing_and_sent_everything() {
    let content = content();
    let expect = Expect::of(&content);
    let (place, peer) = place::sftp();
    let place = small(place);
    let store = place.store();
    let error = store.put_if_absent(&key(NAME), &mut until(&content, 12, ended), &expect).unwrap_err();
    assert!(matches!(error, StoreError::Source { .. }), "{error:?}");
    let name =
        place.url.rsplit('/').next().unwrap().replace("%25", "%").replace("%3F", "?").replace("%23", "#");
    let place_dir = peer.data().join("bucket").join(name);
    assert_eq!(std::fs::read_dir(place_dir.join(".tmp")).unwrap().count(), 0);
    assert_eq!(store.put_if_absent(&key(NAME), &mut &*content, &expect).unwrap(), Put::Created);
    assert!(read(&*store, NAME) == content);
}

const GENERATION: &str = r#"{"format":1,"store_id":"01K00000000000000000000000","generation":"01K00000000000000000000000","created":"2026-11-21T09:00:00Z"}"#;

fn at_stub(stub: &Stub) -> Place {
    let url = format!("s3://bucket?endpoint=http://127.0.0.1:{}&region=r", stub.port);
    let login = Login { user: USER.to_owned(), secret: Secret::new(PASSWORD) };
    Place { url, access: Access { login: Some(login), parts: SIZES, ..Access::default() } }
}

/// An upload that takes longer than a week is still being sent.
#[test]
fn an_upload_that_got_a_part_this_week_is_not_cleared() {
    let stub = Stub::saying("200 OK", "", GENERATION);
    let uploads = "<ListMultipartUploadsResult><Upload><Key>original/ab/c</Key><UploadId>one</UploadId>\
                   <Initiated>2026-11-01T00:00:00.000Z</Initiated></Upload></ListMultipartUploadsResult>";
    stub.say_to("GET /bucket?uploads&prefix= ", "200 OK", "", uploads);
    let part = |number: u32, day: &str| {
        format!(
            "<Part><PartNumber>{number}</PartNumber><LastModified>2026-11-{day}T00:00:00.000Z</LastModified>\
             <ETag>&quot;x&quot;</ETag><Size>7</Size></Part>"
        )
    };
    let parts = format!("<ListPartsResult>{}{}</ListPartsResult>", part(1, "02"), part(2, "19"));
    stub.say_to("GET /bucket/original/ab/c?uploadId=one ", "200 OK", "", &parts);
    let deleted = |then: &str| {
        let place = at_stub(&stub);
        remote::open(&place.url(), &place.access, then.parse().unwrap()).unwrap();
        stub.asked().iter().any(|line| line.starts_with("DELETE /bucket/original/ab/c?uploadId=one "))
    };
    assert!(!deleted("2026-11-25T00:00:00Z"));
    assert!(deleted("2026-11-27T00:00:00Z"));
}

/// Lists have a thousand parts a page.
#[test]
fn of_an_upload_all_pages_are_read() {
    let content = &content()[..PART * 3];
    let stub = Stub::saying("200 OK", "", GENERATION);
    stub.say_to("HEAD", "404 Not Found", "", "");
    let md5_of_part = |number: usize| {
        let mut hasher = Md5::new();
        hasher.update(&content[(number - 1) * PART..number * PART]);
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let upload =
        |id: &str, name: &str| format!("<Upload><Key>{name}</Key><UploadId>{id}</UploadId></Upload>");
    let page = |uploads: &str, more: &str| {
        format!("<ListMultipartUploadsResult>{uploads}{more}</ListMultipartUploadsResult>")
    };
    let second = page(&upload("one", NAME), "<IsTruncated>false</IsTruncated>");
    stub.say_to(
        "GET /bucket?uploads&prefix=original/ab/large&key-marker=x&upload-id-marker=a%2Bb ",
        "200 OK",
        "",
        &second,
    );
    let more = "<IsTruncated>true</IsTruncated><NextKeyMarker>x</NextKeyMarker><NextUploadIdMarker>a+b</NextUploadIdMarker>";
    let first = page(&upload("other", "original/ab/large-and-other"), more);
    stub.say_to("GET /bucket?uploads&prefix=original/ab/large ", "200 OK", "", &first);
    let parts = |number: usize, more: &str| {
        let etag = md5_of_part(number);
        format!(
            "<ListPartsResult><Part><PartNumber>{number}</PartNumber><ETag>&quot;{etag}&quot;</ETag><Size>{PART}</Size></Part>{more}</ListPartsResult>"
        )
    };
    let list = "GET /bucket/original/ab/large?uploadId=one";
    stub.say_to(&format!("{list}&part-number-marker=1 "), "200 OK", "", &parts(3, ""));
    let more = "<IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker>";
    stub.say_to(&format!("{list} "), "200 OK", "", &parts(1, more));
    stub.say_to("PUT", "200 OK", "ETag: \"two\"\r\n", "");
    stub.say_to(
        "POST",
        "200 OK",
        "",
        "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>",
    );
    let store = at_stub(&stub).open().unwrap();
    let put = store.put_if_absent(&key(NAME), &mut &*content, &Expect::of(content)).unwrap();
    assert_eq!(put, Put::Created);
    let sent: Vec<String> = stub
        .asked()
        .into_iter()
        .filter(|line| line.starts_with("PUT ") || line.starts_with("POST "))
        .collect();
    assert_eq!(
        sent,
        [
            "PUT /bucket/original/ab/large?partNumber=2&uploadId=one HTTP/1.1",
            "POST /bucket/original/ab/large?uploadId=one HTTP/1.1"
        ]
    );
}
