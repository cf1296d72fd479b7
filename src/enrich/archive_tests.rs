use std::io::Write;

use super::*;
use crate::model::ProblemKind;

const BUDGET: Budget = Budget { memory: 64 * MIB, text: 1024 * 1024 };

fn list(bytes: &[u8]) -> Result<Raw, Failure> {
    Archive.extract(bytes, BUDGET)
}

fn extent(raw: &Raw) -> Option<&str> {
    raw.fields.iter().find(|(field, _)| *field == Field::Extent).map(|(_, value)| value.as_str())
}

fn head(name: &str, size: u64) -> tar::Header {
    let mut head = tar::Header::new_gnu();
    head.set_path(name).expect("short");
    head.set_size(size);
    head.set_cksum();
    head
}

/// So many empty members, by the directory alone: nothing else of them is there.
fn directory(count: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0..count {
        let name = format!("{number:05}");
        bytes.extend(b"PK\x01\x02\x14\x03\x14\0\0\0\0\0");
        bytes.extend([0; 16]);
        bytes.extend([5, 0]);
        bytes.extend([0; 16]);
        bytes.extend(name.as_bytes());
    }
    let size = u32::try_from(bytes.len()).expect("small").to_le_bytes();
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend(count.to_le_bytes());
    bytes.extend(count.to_le_bytes());
    bytes.extend(size);
    bytes.extend([0; 6]);
    bytes
}

// E1
#[test]
fn an_archive_of_more_members_than_fit_the_text_is_cut_and_says_so() {
    let bytes = directory(60_000);
    let raw = list(&bytes).expect("a directory");
    assert_eq!((extent(&raw), raw.cut), (Some("60000 files"), false));
    let raw = Archive.extract(&bytes, Budget { memory: 64 * MIB, text: 600 }).expect("a directory");
    assert_eq!((extent(&raw), raw.cut), (None, true));
    assert!(raw.text.len() <= 1200, "{}", raw.text.len());
}

// E1
#[test]
fn a_directory_is_found_behind_a_program_that_unpacks_it_and_not_in_its_own_comment() {
    let mut bytes = b"MZ the program".to_vec();
    bytes.extend(directory(3));
    assert_eq!(extent(&list(&bytes).expect("a directory")), Some("3 files"));
    // A comment that looks like the end of another archive.
    let mut bytes = directory(3);
    let comment = b"PK\x05\x06 and more than twenty-two bytes";
    let at = bytes.len() - 2;
    bytes[at] = u8::try_from(comment.len()).expect("short");
    bytes.extend(comment);
    assert_eq!(extent(&list(&bytes).expect("a directory")), Some("3 files"));
}

// E1
#[test]
fn large_archives_have_a_record_of_their_own() {
    let mut bytes = directory(2);
    let end = bytes.split_off(bytes.len() - 22);
    let (size, place) = (bytes.len() as u64, bytes.len() as u64);
    bytes.extend(b"PK\x06\x06");
    bytes.extend(44_u64.to_le_bytes());
    bytes.extend([0; 12]);
    bytes.extend(2_u64.to_le_bytes());
    bytes.extend(2_u64.to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes.extend(0_u64.to_le_bytes());
    bytes.extend(b"PK\x06\x07\0\0\0\0");
    bytes.extend(place.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(end);
    assert_eq!(extent(&list(&bytes).expect("a directory")), Some("2 files"));
}

// E1
#[test]
fn a_name_in_utf8_counts_only_while_it_is_of_the_name_that_stands_there() {
    let extra = |of: &[u8]| {
        let mut sum = flate2::Crc::new();
        sum.update(of);
        let mut body = vec![1];
        body.extend(sum.sum().to_le_bytes());
        body.extend("zwölf".as_bytes());
        let mut bytes = directory(1);
        let end = bytes.split_off(bytes.len() - 22);
        bytes[30] = u8::try_from(body.len() + 4).expect("short");
        bytes.extend([0x75, 0x70, u8::try_from(body.len()).expect("short"), 0]);
        bytes.extend(body);
        let size = u32::try_from(bytes.len()).expect("small");
        bytes.extend(end);
        let at = bytes.len() - 10;
        bytes[at..at + 4].copy_from_slice(&size.to_le_bytes());
        list(&bytes).expect("a directory").text
    };
    assert_eq!(extra(b"00000"), "zwölf\n");
    assert_eq!(extra(b"renamed"), "00000\n");
}

// E1
#[test]
fn members_are_leapt_over_and_never_read() {
    // Forty gigabytes, of which two blocks are there.
    struct Sparse {
        heads: Vec<(u64, [u8; 512])>,
        size: u64,
        at: u64,
        read: u64,
    }
    impl Read for Sparse {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let head = self.heads.iter().find(|(place, _)| (*place..*place + 512).contains(&self.at));
            let within = head.map_or(0, |(place, _)| usize::try_from(self.at - place).expect("small"));
            let here = &head.map_or([0; 512], |(_, head)| *head)[within..];
            let left = usize::try_from(self.size - self.at).unwrap_or(usize::MAX);
            let most = left.min(buffer.len()).min(here.len());
            buffer[..most].copy_from_slice(&here[..most]);
            self.at += most as u64;
            self.read += most as u64;
            Ok(most)
        }
    }
    impl io::Seek for Sparse {
        fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
            self.at = match position {
                SeekFrom::Start(at) => at,
                SeekFrom::Current(by) => self.at.checked_add_signed(by).expect("in range"),
                SeekFrom::End(by) => self.size.checked_add_signed(by).expect("in range"),
            };
            Ok(self.at)
        }
    }
    const EACH: u64 = 7 << 30;
    let heads = (0..5).map(|number| (number * (EACH + 512), *head("film.mkv", EACH).as_bytes())).collect();
    let mut source = Sparse { heads, size: 5 * (EACH + 512) + 1024, at: 0, read: 0 };
    let raw = Archive.extract_parts(&mut source, BUDGET).expect("an archive");
    assert_eq!(extent(&raw), Some("5 files"));
    assert!(source.read < 16 * 1024, "{} bytes", source.read);
}

// E1
#[test]
fn a_compressed_archive_is_listed_up_to_its_cap_and_no_further() {
    // Twice as much as is decompressed of this kind: members of zeros, which weigh nothing.
    let zeros = vec![0; usize::try_from(32 * MIB).expect("small")];
    let mut packed = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    packed.write_all(head("zeros", zeros.len() as u64).as_bytes()).expect("memory");
    packed.write_all(&zeros).expect("memory");
    // Streams may follow each other.
    let packed = packed.finish().expect("memory").repeat(16);
    let raw = list(&packed).expect("what was read is whole");
    assert_eq!((raw.text, raw.cut), ("zeros\n".repeat(8), true));
}

// E1
#[test]
fn frames_and_members_of_one_stream_are_all_read() {
    let mut tape = head("one", 0).as_bytes().to_vec();
    tape.extend(head("two", 0).as_bytes());
    tape.extend([0; 1024]);
    // Zstandard without compression: frame after frame, with what is to be skipped between.
    let mut frames = Vec::new();
    for part in tape.chunks(600) {
        frames.extend(b"\x50\x2a\x4d\x18\x03\0\0\0abc");
        let header = u32::try_from(part.len() << 3 | 1).expect("short").to_le_bytes();
        frames.extend(b"\x28\xb5\x2f\xfd\x00\x58");
        frames.extend(&header[..3]);
        frames.extend(part);
    }
    assert_eq!(list(&frames).expect("frames").text, "one\ntwo\n");
    let mut members = Vec::new();
    for part in tape.chunks(700) {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(part).expect("memory");
        members.extend(gzip.finish().expect("memory"));
    }
    assert_eq!(list(&members).expect("members").text, "one\ntwo\n");
}

// E1
#[test]
fn whatever_is_cut_off_is_an_error_and_never_a_crash() {
    let mut tape = head("one", 600).as_bytes().to_vec();
    tape.extend([7; 1024]);
    tape.extend([0; 1024]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tape).expect("memory");
    let zip = directory(3);
    for whole in [&gzip.finish().expect("memory"), &zip] {
        for end in 0..whole.len() {
            // All members were seen before the end of the compression is; and so short a rest is another kind of file.
            if let Ok(raw) = list(&whole[..end]) {
                assert!(raw.text.is_empty() || raw.text == "one\n", "{end}: {raw:?}");
            }
        }
    }
    assert_eq!(list(&tape[..700]).expect_err("cut off").kind, ProblemKind::Damaged);
    assert!(list(&tape).is_ok());
}

#[test]
fn a_block_of_text_is_no_head_of_a_member() {
    assert!(is_tape_head(head("x", 0).as_bytes()));
    assert!(!is_tape_head(&[b' '; 512]));
    assert!(!is_tape_head(&[0; 512]));
    assert!(!is_tape_head(b"short"));
}
