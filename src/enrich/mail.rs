//! E-mail: a message, or a mailbox of them (mbox).
//!
//! The subject is the title, the sender the author. Who it went to stands in the text, so that it is found by that too;
//! attachments are listed by name and not unpacked: who wants them searched saves them as files of their own. Messages
//! that were forwarded whole are read.

use mail_parser::{Address, Encoding, Message, MessageParser, MessagePart, MimeHeaders, PartType};

use super::extract::{Appetite, Budget, Extractor, Failure, MIB, Raw};
use super::office::{Lines, counted};
use super::{html, text};
use crate::model::Field;

/// Messages and mailboxes.
pub(super) struct Mail;

impl Extractor for Mail {
    fn name(&self) -> &'static str {
        "mail"
    }

    fn version(&self) -> u32 {
        2
    }

    fn appetite(&self, budget: Budget) -> Appetite {
        // Attachments are decoded where they are met, so there may be two of each in memory.
        Appetite::Head((budget.memory / 4).min(256 * MIB))
    }

    fn extract(&self, bytes: &[u8], budget: Budget) -> Result<Raw, Failure> {
        let mut lines = Lines::new(budget.text);
        let mut fields = Vec::new();
        if begins_mailbox(bytes) {
            let mut messages = 0;
            for message in (Mailbox { rest: bytes }) {
                messages += 1;
                if let Some(message) = parse(message)? {
                    fields = metadata(&message);
                    write(&message, &mut lines, 0);
                }
                if lines.is_full() {
                    break;
                }
            }
            // One alone is a message that was saved so, and the card is about it.
            if messages != 1 {
                fields = vec![(Field::Format, "Mailbox (mbox)".to_owned())];
                // What was not gone through was not counted.
                if !lines.is_full() {
                    fields.push((Field::Extent, counted(messages, "message")));
                }
            }
        } else {
            let message = parse(without_length(bytes))?
                .ok_or_else(|| Failure::damaged("the message has no header that can be read"))?;
            fields = metadata(&message);
            write(&message, &mut lines, 0);
        }
        let cut = lines.is_full();
        Ok(Raw { fields, text: lines.finish(), cut })
    }
}

/// Messages within messages, no more: each is a level of the parser's tree, and letting go of a tree of 100,000 levels
/// overflows the stack.
const MAX_NESTED: usize = 1000;

fn parse(bytes: &[u8]) -> Result<Option<Message<'_>>, Failure> {
    let nested = count_nested(bytes);
    if nested > MAX_NESTED {
        return Err(Failure::too_large(format!("it has {nested} messages within messages")));
    }
    Ok(MessageParser::default().parse(bytes))
}

/// How often a media type is named that makes a message of what follows.
fn count_nested(bytes: &[u8]) -> usize {
    let kinds = [("message", "rfc822"), ("message", "global"), ("multipart", "digest")];
    let names = |at: usize| {
        kinds.iter().any(|(kind, subtype)| {
            let before = at.checked_sub(kind.len()).and_then(|start| bytes.get(start..at));
            let after = bytes.get(at + 1..at + 1 + subtype.len());
            before.is_some_and(|before| before.eq_ignore_ascii_case(kind.as_bytes()))
                && after.is_some_and(|after| after.eq_ignore_ascii_case(subtype.as_bytes()))
        })
    };
    bytes.iter().enumerate().filter(|&(at, &byte)| byte == b'/' && names(at)).count()
}

fn metadata(message: &Message<'_>) -> Vec<(Field, String)> {
    let mut fields = vec![(Field::Format, "E-mail message".to_owned())];
    fields.extend(message.subject().map(|subject| (Field::Title, subject.to_owned())));
    fields.extend(message.from().into_iter().flat_map(people).map(|sender| (Field::Author, sender)));
    if let Some(date) = message.date().filter(|date| date.is_valid()) {
        fields.push((Field::Date, date.to_rfc3339()));
    }
    fields.extend(message.message_id().map(|id| (Field::Identifier, id.to_owned())));
    fields
}

/// `Ada Marlowe <ada@example.org>`, those in groups too.
fn people<'a>(address: &'a Address<'_>) -> impl Iterator<Item = String> + 'a {
    address.iter().filter_map(|person| match (person.name(), person.address()) {
        (Some(name), Some(address)) if name != address => Some(format!("{name} <{address}>")),
        (_, Some(one)) | (Some(one), None) => Some(one.to_owned()),
        (None, None) => None,
    })
}

/// How deep forwarded messages are read.
const MAX_DEPTH: usize = 16;

fn write(message: &Message<'_>, lines: &mut Lines, depth: usize) {
    lines.end_part();
    for (name, address) in [("From", message.from()), ("To", message.to()), ("Cc", message.cc())] {
        if let Some(address) = address {
            header(lines, name, &people(address).collect::<Vec<_>>().join(", "));
        }
    }
    if let Some(date) = message.date().filter(|date| date.is_valid()) {
        header(lines, "Date", &date.to_rfc3339());
    }
    header(lines, "Subject", message.subject().unwrap_or_default());
    for part in message.text_bodies() {
        lines.end_part();
        body(message, part, lines);
        if lines.is_full() {
            return;
        }
    }
    lines.end_part();
    for part in message.attachments() {
        if lines.is_full() {
            return;
        }
        match &part.body {
            PartType::Message(inner) if depth < MAX_DEPTH => write(inner, lines, depth + 1),
            // The end of a message that was cut off is no attachment, nor is all of one whose type makes no sense.
            PartType::Text(_)
                if part.attachment_name().is_none()
                    && (part.is_encoding_problem || message.text_body_count() == 0) =>
            {
                body(message, part, lines);
            }
            _ => header(lines, "Attachment", part.attachment_name().unwrap_or_default()),
        }
    }
    lines.end_part();
}

fn header(lines: &mut Lines, name: &str, value: &str) {
    if !value.trim().is_empty() {
        lines.push(name);
        lines.push(": ");
        lines.push_words(value);
        lines.end_line();
    }
}

fn body(message: &Message<'_>, part: &MessagePart<'_>, lines: &mut Lines) {
    match &part.body {
        PartType::Html(page) => lines.push(&html::read(page, false, lines.limit()).text),
        // Not declared, and not UTF-8.
        PartType::Text(shown) if part.encoding == Encoding::None && shown.contains('\u{fffd}') => {
            let raw = message.raw_message.get(part.offset_body as usize..part.offset_end as usize);
            let declared = part.content_type().is_some_and(|kind| kind.has_attribute("charset"));
            match raw {
                Some(raw) if !declared => lines.push(&text::decode(raw, None)),
                _ => lines.push(shown),
            }
        }
        // What a mailbox had to quote so that it begins no message.
        PartType::Text(shown) if shown.contains("\n>From ") => {
            lines.push(&shown.replace("\n>From ", "\nFrom "));
        }
        PartType::Text(shown) => lines.push(shown),
        _ => {}
    }
}

/// The messages of a mailbox.
struct Mailbox<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Mailbox<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let (_, mut ahead) = first_line(self.rest)?;
        let start = ahead;
        let mut after_blank = false;
        while let Some((line, behind)) = first_line(ahead) {
            // A sentence in a message may begin with "From", and not every program quotes it.
            if after_blank && begins_mailbox(ahead) {
                break;
            }
            after_blank = line.trim_ascii().is_empty();
            ahead = behind;
        }
        self.rest = ahead;
        Some(&start[..start.len() - ahead.len()])
    }
}

/// The first line and what follows it; `None` at the end.
fn first_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    if bytes.is_empty() {
        return None;
    }
    let end = bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |at| at + 1);
    Some(bytes.split_at(end))
}

/// `From ada@example.org Sat Nov  4 16:20:00 2023`
fn begins_mailbox(bytes: &[u8]) -> bool {
    if !bytes.starts_with(b"From ") {
        return false;
    }
    let (line, _) = first_line(&bytes[..bytes.len().min(1024)]).unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let mut words = line.split_ascii_whitespace().skip(2);
    let has_time = words.any(|word| word.contains(':') && word.split(':').all(is_number));
    // A sentence may hold a time; that a year follows it is a program's doing.
    has_time && words.any(|word| word.len() == 4 && is_number(word))
}

/// Apple's mail program writes the length of the message before it.
fn without_length(bytes: &[u8]) -> &[u8] {
    match first_line(bytes) {
        Some((line, rest)) if is_length(line) => rest,
        _ => bytes,
    }
}

fn is_length(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    !line.is_empty() && line.len() < 20 && line.iter().all(u8::is_ascii_digit)
}

/// Headers that every program writes.
const USUAL: [&str; 14] = [
    "from",
    "to",
    "date",
    "subject",
    "message-id",
    "received",
    "return-path",
    "mime-version",
    "delivered-to",
    "content-type",
    "reply-to",
    "newsgroups",
    "path",
    "envelope-to",
];

/// The media type of a message or mailbox that begins so.
pub(super) fn begins_like_mail(head: &[u8], extension: &str) -> Option<&'static str> {
    let (mailbox, message) = (begins_mailbox(head), matches!(extension, "eml" | "emlx" | "mbox"));
    let start = if mailbox { first_line(head)?.1 } else { without_length(head) };
    let mut names: Vec<String> = Vec::new();
    let mut rest = &start[..start.len().min(16 * 1024)];
    while let Some((line, behind)) = first_line(rest) {
        rest = behind;
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            if names.is_empty() {
                return None;
            }
            continue;
        }
        let name = line.split(|&byte| byte == b':').next().filter(|name| name.len() < line.len());
        match name {
            Some(name) if !name.is_empty() && name.iter().all(|byte| byte.is_ascii_graphic()) => {
                names.push(String::from_utf8_lossy(name).to_ascii_lowercase());
            }
            _ => break,
        }
    }
    let usual = USUAL.iter().filter(|name| names.iter().any(|found| found == *name)).count();
    let has = |name: &str| names.iter().any(|found| found == name);
    // A note may begin with "Date:" and "Subject:"; only programs say what is behind the scenes.
    let made_by_program =
        ["message-id", "received", "return-path", "mime-version", "newsgroups"].into_iter().any(has);
    let is_mail = if mailbox || message { usual > 0 } else { usual >= 3 && has("from") && made_by_program };
    is_mail.then_some(if mailbox { "application/mbox" } else { "message/rfc822" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Raw {
        Mail.extract(bytes, Budget { memory: 64 * MIB, text: 10_000 }).expect("it is mail")
    }

    // E1
    #[test]
    fn a_note_that_begins_with_a_date_is_no_mail() {
        let note: &[u8] = b"Date: Friday\nSubject: shelves\nFrom: me\nTo: me\n\nbuy some";
        assert_eq!(begins_like_mail(note, "txt"), None);
        assert_eq!(begins_like_mail(note, "eml"), Some("message/rfc822"));
        let mail = b"Received: x\n by y\nFrom: me@example.org\nDate: Fri, 3 Nov 2023 1:00\n\nbuy some";
        assert_eq!(begins_like_mail(mail, ""), Some("message/rfc822"));
        assert_eq!(begins_like_mail(b"From the drawer at 12:30 it came.\nTo: nobody\n", "txt"), None);
        assert_eq!(begins_like_mail(b"title: x\nfrom: y\n", "yaml"), None);
    }

    // E1
    #[test]
    fn a_mailbox_is_parted_where_messages_begin_and_nowhere_else() {
        let mailbox = b"From a@b Sat Nov  4 16:20:00 2023\nA: 1\n\none\n\nFrom here on nothing.\nFrom c@d Sat Nov  4 16:20:00 2023\n\nFrom c@d Sat Nov  4 16:20:00 2023\nA: 2\n";
        let messages: Vec<_> = Mailbox { rest: mailbox }.collect();
        assert_eq!(messages.len(), 2);
        assert_eq!(messages[1], b"A: 2\n");
    }

    // E1
    #[test]
    fn text_whose_encoding_nobody_declared_is_guessed() {
        let raw = read(b"From: a@example.org\nSubject: x\n\nF\xfcr gr\xf6\xdfere Regale, die \xfcber B\xfccher reichen.\n");
        assert!(raw.text.contains("Für größere Regale, die über Bücher"), "{}", raw.text);
    }

    // E1
    #[test]
    fn the_end_of_a_message_that_was_cut_off_is_read() {
        let raw = read(b"From: a@example.org\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nthe begin");
        assert!(raw.text.contains("the begin"), "{}", raw.text);
    }

    // E1
    #[test]
    fn the_length_that_apples_mail_writes_is_no_header() {
        let mail = b"1234      \nFrom: a@example.org\nSubject: kept\n\nx";
        assert_eq!(begins_like_mail(mail, "emlx"), Some("message/rfc822"));
        assert!(read(mail).fields.contains(&(Field::Title, "kept".to_owned())));
    }
}
