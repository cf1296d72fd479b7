//! Archives: what is in them, by name. Nothing is unpacked, and nothing that stands in a name is ever followed.
//!
//! The directory of a ZIP or 7z archive stands in one place and is read there; a tape archive is leapt through from head to
//! head. A compressed tape archive has no directory and must be decompressed to be listed: so much of it as [`Packing`] says,
//! and what comes later is left out. All caps count bytes and members, never seconds: the same content gives the same
//! listing on every computer.

use std::io::{self, Cursor, Read, SeekFrom};

use super::extract::{Appetite, Budget, Extractor, Failure, MIB, Raw, Source};
use crate::model::Field;
use names::Names;
use packed::{Packing, Unpacked};

mod directory;
mod names;
mod packed;

/// Archives.
pub(super) struct Archive;

impl Extractor for Archive {
    fn name(&self) -> &'static str {
        "archive"
    }

    fn version(&self) -> u32 {
        1
    }

    fn appetite(&self, _: Budget) -> Appetite {
        Appetite::Parts(READ_MOST)
    }

    fn extract(&self, bytes: &[u8], budget: Budget) -> Result<Raw, Failure> {
        self.extract_parts(&mut Cursor::new(bytes), budget)
    }

    fn extract_parts(&self, source: &mut dyn Source, budget: Budget) -> Result<Raw, Failure> {
        let mut head = Vec::new();
        (&mut *source).take(BLOCK as u64).read_to_end(&mut head).map_err(|error| damaged(&error))?;
        source.seek(SeekFrom::Start(0)).map_err(|error| damaged(&error))?;
        let names = Names::new(budget.text.saturating_mul(2));
        let listing = if head.starts_with(b"7z\xbc\xaf\x27\x1c") {
            seven(source, names)?
        } else if head.starts_with(b"!<arch>\n") {
            deb(source, names, budget)?
        } else if let Some(packing) = Packing::of(&head) {
            unpacked(packing, source, names, budget)?
        } else if is_tape_head(&head) {
            tape(source, names)?
        } else {
            directory::list(source, names)?
        };
        Ok(raw(listing))
    }
}

/// Heads of members leapt to, four kilobytes each at least, or a compressed archive up to where its listing is cut.
const READ_MOST: u64 = 4096 * MIB;

/// A disk that spins needs a hundredth of a second for each leap.
const MOST_LEAPS: u64 = 100_000;

/// What is in an archive.
struct Listing {
    /// What people call the format.
    format: String,
    names: Names,
    /// Members that are no directories; `None` where nobody counted to the end.
    files: Option<u64>,
    /// What somebody wrote on the box.
    comment: Option<String>,
}

fn raw(Listing { format, names, files, comment }: Listing) -> Raw {
    let cut = names.is_full() || files.is_none();
    let mut fields = vec![(Field::Format, format)];
    fields.extend(comment.map(|comment| (Field::Description, comment)));
    if let Some(files) = files {
        let unit = if files == 1 { "file" } else { "files" };
        fields.push((Field::Extent, format!("{files} {unit}")));
    }
    Raw { fields, text: names.into_text(), cut }
}

fn damaged(error: &dyn std::fmt::Display) -> Failure {
    Failure::damaged(format!("its list of members cannot be read: {error}"))
}

// --- tape archives -----------------------------------------------------------------------------------------------

const BLOCK: usize = 512;

/// Whether a block is the head of a member: its sum is right. The oldest archives have no other mark.
pub(super) fn is_tape_head(block: &[u8]) -> bool {
    let Some((block, [])) = block.get(..BLOCK).map(|block| block.split_at(BLOCK)) else { return false };
    let said = block[148..156]
        .iter()
        .skip_while(|&&byte| byte == b' ')
        .take_while(|byte| (b'0'..=b'7').contains(byte));
    let said = said.fold(0_u32, |sum, byte| sum * 8 + u32::from(byte - b'0'));
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    let of_sum: u32 = block[148..156].iter().map(|&byte| u32::from(byte)).sum();
    // The sum is of the block with blanks where the sum stands. One of nothing but zeros ends an archive.
    block[0] != 0 && said == sum - of_sum + 8 * u32::from(b' ')
}

/// One whose members can be leapt over.
fn tape(source: &mut dyn Source, mut names: Names) -> Result<Listing, Failure> {
    let mut files = 0;
    let mut archive = tar::Archive::new(&mut *source);
    let mut complete = true;
    for member in archive.entries_with_seek().map_err(|error| damaged(&error))? {
        let member = member.map_err(|error| damaged(&error))?;
        if files == MOST_LEAPS || names.is_full() {
            complete = false;
            break;
        }
        files += u64::from(note(&member, &mut names));
    }
    // A leap behind the end is none to whoever leaps: the end must be where the last member says.
    let end = source.stream_position().and_then(|at| Ok((at, source.seek(SeekFrom::End(0))?)));
    let (at, size) = end.map_err(|error| damaged(&error))?;
    if at > size {
        return Err(Failure::damaged("the archive ends in the middle of a member"));
    }
    Ok(Listing { format: "TAR".to_owned(), names, files: complete.then_some(files), comment: None })
}

/// One that comes as a stream.
fn tape_stream(stream: Unpacked<'_>, mut names: Names, format: String) -> Result<Listing, Failure> {
    let ended_early = stream.ended_early();
    let mut files = 0;
    let mut archive = tar::Archive::new(stream);
    for member in archive.entries().map_err(|error| damaged(&error))? {
        match member {
            Ok(_) if names.is_full() => ended_early.set(true),
            Ok(member) => files += u64::from(note(&member, &mut names)),
            Err(_) if ended_early.get() => {}
            Err(error) => return Err(packed::failure(&error)),
        }
        if ended_early.get() {
            break;
        }
    }
    let files = (!ended_early.get()).then_some(files);
    Ok(Listing { format, names, files, comment: None })
}

/// Whether it was a file.
fn note<R: Read>(member: &tar::Entry<'_, R>, names: &mut Names) -> bool {
    let kind = member.header().entry_type();
    let is_file = !kind.is_dir() && !kind.is_pax_global_extensions();
    if is_file {
        names.push(&member.path_bytes());
    }
    is_file
}

/// What is behind a compression: a tape archive, or one file.
fn unpacked(
    packing: Packing,
    source: &mut dyn Read,
    mut names: Names,
    budget: Budget,
) -> Result<Listing, Failure> {
    let mut stream = Unpacked::of(packing, source, budget)?;
    let mut head = Vec::new();
    (&mut stream).take(BLOCK as u64).read_to_end(&mut head).map_err(|error| packed::failure(&error))?;
    if is_tape_head(&head) {
        return tape_stream(stream.again(head), names, format!("TAR.{}", packing.name()));
    }
    if let Some(name) = stream.file_name() {
        names.push(name);
    }
    Ok(Listing { format: packing.name().to_owned(), names, files: Some(1), comment: None })
}

// --- the others --------------------------------------------------------------------------------------------------

/// A Debian package: what it puts on a disk stands in its member `data.tar`.
fn deb(source: &mut dyn Source, names: Names, budget: Budget) -> Result<Listing, Failure> {
    let mut at = 8;
    loop {
        let mut head = [0; 60];
        source
            .seek(SeekFrom::Start(at))
            .and_then(|_| source.read_exact(&mut head))
            .map_err(|error| Failure::damaged(format!("there is no data.tar in the package: {error}")))?;
        let size =
            std::str::from_utf8(&head[48..58]).ok().and_then(|size| size.trim_end().parse::<u64>().ok());
        let Some(size) = size.filter(|_| head.ends_with(b"`\n")) else {
            return Err(Failure::damaged("the head of a member of the package is broken"));
        };
        if head.starts_with(b"data.tar") {
            let mut start = [0; 6];
            source.read_exact(&mut start).map_err(|error| damaged(&error))?;
            source.seek(SeekFrom::Current(-6)).map_err(|error| damaged(&error))?;
            let mut member = (&mut *source).take(size);
            let listing = match Packing::of(&start) {
                Some(packing) => unpacked(packing, &mut member, names, budget)?,
                None => tape_stream(Unpacked::plain(&mut member), names, String::new())?,
            };
            return Ok(Listing { format: "DEB".to_owned(), ..listing });
        }
        // Members begin at even places.
        at = at.saturating_add(60 + size + size % 2);
    }
}

/// 7z: the directory is one block at the end, compressed itself as a rule.
fn seven(source: &mut dyn Source, mut names: Names) -> Result<Listing, Failure> {
    use sevenz_rust2::{Archive, Error, Password};

    let mut source = source;
    let archive = Archive::read(&mut source, &Password::empty()).map_err(|error| match error {
        Error::PasswordRequired | Error::MaybeBadPassword(_) => locked(),
        // The crate's name of it; without a password there is no use for its decryption.
        Error::UnsupportedCompressionMethod(method) if method.contains("AES") => locked(),
        Error::MaxMemLimited { .. } => Failure::too_large("its directory needs too much memory"),
        Error::Io(error, _) if error.kind() == io::ErrorKind::OutOfMemory => {
            Failure::too_large("its directory needs too much memory")
        }
        error => damaged(&error),
    })?;
    let mut files = 0;
    for member in archive.files.iter().filter(|member| !member.is_directory()) {
        names.push(member.name().as_bytes());
        files += 1;
    }
    Ok(Listing { format: "7z".to_owned(), names, files: Some(files), comment: None })
}

fn locked() -> Failure {
    Failure::encrypted("its directory is locked with a password")
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
