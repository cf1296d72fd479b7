//! Ways to damage a document: blindly, by what its format is made of, and inside of its containers.

use fastrand::Rng;
use lopdf::Object;

use super::seeds::{Inside, Seed, gzip, pdf, zip};

/// No case becomes larger than this, in bytes.
const LARGEST: usize = 2 << 20;
/// Most times that something is repeated or nested.
const MOST_REPEATS: usize = 20_000;

/// A damaged document out of a good one, and what was done.
pub(crate) fn mutated(
    rng: &mut Rng,
    seed: &Seed,
    family: &[&Seed],
    all: &[Seed],
) -> (Vec<u8>, Vec<&'static str>) {
    let mut steps = Vec::new();
    // One more seed, mostly of the same family: parts of it are put in.
    let other = match rng.u8(..8) {
        0 => &all[rng.usize(..all.len())],
        _ => family[rng.usize(..family.len())],
    };
    let mut bytes = match rng.u8(..4) {
        0 => None,
        _ => inside(rng, seed, other, &mut steps),
    }
    .unwrap_or_default();
    if steps.is_empty() {
        bytes = seed.bytes.clone();
    }
    // A container that was damaged inside mostly stays whole outside.
    if steps.is_empty() || rng.u8(..6) == 0 {
        mangle(rng, &mut bytes, &other.bytes, &mut steps);
    }
    bytes.truncate(LARGEST);
    (bytes, steps)
}

fn inside(rng: &mut Rng, seed: &Seed, other: &Seed, steps: &mut Vec<&'static str>) -> Option<Vec<u8>> {
    match &seed.inside {
        Inside::Nothing => None,
        Inside::Gzip(content) => {
            steps.push("in gzip");
            let mut content = content.clone();
            mangle(rng, &mut content, &other.bytes, steps);
            Some(gzip(&content))
        }
        Inside::Zip(members) => {
            steps.push("in zip");
            let mut members = members.clone();
            let others: &[(String, Vec<u8>)] = match &other.inside {
                Inside::Zip(members) => members,
                _ => &[],
            };
            mangle_members(rng, &mut members, others, steps);
            Some(zip(&members, rng.u8(..4) == 0))
        }
        Inside::Pdf(document) => {
            steps.push("in pdf");
            let mut document = lopdf::Document::clone(document);
            for _ in 0..rng.usize(1..4) {
                mangle_object(rng, &mut document, &other.bytes, steps);
            }
            pdf(document)
        }
    }
}

fn mangle_members(
    rng: &mut Rng,
    members: &mut Vec<(String, Vec<u8>)>,
    others: &[(String, Vec<u8>)],
    steps: &mut Vec<&'static str>,
) {
    let at = rng.usize(..members.len());
    match rng.u8(..12) {
        0 if members.len() > 1 => {
            steps.push("member dropped");
            members.remove(at);
        }
        1 => {
            steps.push("members swapped");
            let with = rng.usize(..members.len());
            let content = std::mem::take(&mut members[with].1);
            members[with].1 = std::mem::replace(&mut members[at].1, content);
        }
        2 => {
            steps.push("member renamed");
            let names: [&str; 5] = ["../../etc/passwd", "/a", "a\\b", "", "mimetype"];
            members[at].0 = names[rng.usize(..names.len())].to_owned();
        }
        3 => {
            steps.push("member inflated");
            let filler = [b' ', 0, b'<', b'a', b'\n'][rng.usize(..5)];
            let more = rng.usize(1 << 10..16 << 20);
            let content = &mut members[at].1;
            let where_to = rng.usize(..=content.len());
            content.splice(where_to..where_to, std::iter::repeat_n(filler, more));
        }
        4 if !others.is_empty() => {
            steps.push("member of another");
            members[at].1.clone_from(&others[rng.usize(..others.len())].1);
        }
        5 => {
            steps.push("many members");
            for n in 0..rng.usize(1..2_000) {
                let copy = members[at].1[..members[at].1.len().min(64)].to_vec();
                members.push((format!("{n}-{}", members[at].0), copy));
            }
        }
        _ => {
            let other: &[u8] =
                others.get(rng.usize(..others.len().max(1))).map_or(&[], |(_, content)| content);
            mangle(rng, &mut members[at].1, other, steps);
        }
    }
}

fn mangle_object(rng: &mut Rng, document: &mut lopdf::Document, other: &[u8], steps: &mut Vec<&'static str>) {
    let ids: Vec<_> = document.objects.keys().copied().collect();
    let Some(&id) = ids.get(rng.usize(..ids.len().max(1))) else { return };
    let elsewhere = ids[rng.usize(..ids.len())];
    let strange = strange_object(rng, elsewhere);
    let Some(object) = document.objects.get_mut(&id) else { return };
    let dictionary = match object {
        Object::Stream(stream) if rng.u8(..4) > 0 => {
            let mut content = stream.content.clone();
            mangle(rng, &mut content, other, steps);
            stream.set_content(content);
            return;
        }
        Object::Stream(stream) => &mut stream.dict,
        Object::Dictionary(dictionary) => dictionary,
        object => {
            steps.push("object replaced");
            *object = strange;
            return;
        }
    };
    let keys: Vec<Vec<u8>> = dictionary.iter().map(|(key, _)| key.clone()).collect();
    let Some(key) = keys.get(rng.usize(..keys.len().max(1))) else { return };
    match rng.u8(..6) {
        0 => {
            steps.push("entry dropped");
            dictionary.remove(key);
        }
        1 => {
            steps.push("entry renamed");
            let value = dictionary.remove(key).unwrap_or(Object::Null);
            dictionary.set(keys[rng.usize(..keys.len())].clone(), value);
        }
        2 => {
            steps.push("entry nested");
            let mut value = dictionary.remove(key).unwrap_or(Object::Null);
            for _ in 0..rng.usize(1..300) {
                value = Object::Array(vec![value]);
            }
            dictionary.set(key.clone(), value);
        }
        _ => {
            steps.push("entry replaced");
            dictionary.set(key.clone(), strange);
        }
    }
}

fn strange_object(rng: &mut Rng, elsewhere: lopdf::ObjectId) -> Object {
    match rng.u8(..9) {
        0 => Object::Null,
        1 => Object::Integer([0, -1, 1, i64::MAX, i64::MIN, 1 << 31, 65_536][rng.usize(..7)]),
        2 => Object::Real([0.0, -1.0, 1e30, 1e-30, f32::NAN][rng.usize(..5)]),
        3 => Object::Reference((rng.u32(..), rng.u16(..))),
        4 => Object::Array(vec![Object::Reference(elsewhere); rng.usize(..2_000)]),
        5 => Object::string_literal(vec![rng.u8(..); rng.usize(..2_000)]),
        6 => Object::Name(vec![b'/'; rng.usize(..200)]),
        _ => Object::Reference(elsewhere),
    }
}

/// One to some steps, mostly few: what is damaged everywhere is refused at its first byte.
fn mangle(rng: &mut Rng, bytes: &mut Vec<u8>, other: &[u8], steps: &mut Vec<&'static str>) {
    let count = match rng.u8(..8) {
        0 => rng.usize(4..24),
        _ => rng.usize(1..4),
    };
    for _ in 0..count {
        steps.push(step(rng, bytes, other));
        bytes.truncate(LARGEST);
    }
}

fn step(rng: &mut Rng, bytes: &mut Vec<u8>, other: &[u8]) -> &'static str {
    let (begin, end) = range(rng, bytes.len());
    match rng.u8(..18) {
        0 if !bytes.is_empty() => {
            for _ in 0..rng.usize(1..16) {
                let at = rng.usize(..bytes.len());
                bytes[at] ^= 1 << rng.u8(..8);
            }
            "bits flipped"
        }
        1 => {
            rng.fill(&mut bytes[begin..end]);
            "bytes at random"
        }
        2 => {
            let byte = [0, 0xff, b' ', b'\n', b'<', 0x80][rng.usize(..6)];
            bytes[begin..end].fill(byte);
            "bytes of one kind"
        }
        3 => {
            bytes.truncate(begin);
            "cut"
        }
        4 => {
            bytes.drain(begin..end);
            "piece lost"
        }
        5 => {
            let (from, to) = range(rng, other.len());
            bytes.splice(begin..end, other[from..to].iter().copied());
            "piece of another"
        }
        6 => {
            let to = rng.usize(..=other.len());
            bytes.truncate(begin);
            bytes.extend_from_slice(&other[other.len() - to..]);
            "spliced"
        }
        7 | 8 => {
            let piece = bytes[begin..end.min(begin + 256)].to_vec();
            let most = (LARGEST / 4 / piece.len().max(1)).clamp(1, MOST_REPEATS);
            let repeated = piece.repeat(rng.usize(1..=most));
            bytes.splice(begin..begin, repeated);
            "piece repeated"
        }
        9 | 10 => number(rng, bytes),
        11 | 12 => binary_number(rng, bytes),
        13 | 14 => markup(rng, bytes),
        15 => {
            let token = token(rng, bytes);
            let most = (LARGEST / 4 / token.len().max(1)).clamp(1, MOST_REPEATS);
            bytes.splice(begin..begin, token.repeat(rng.usize(1..=most)));
            "token repeated"
        }
        _ => {
            let token = token(rng, bytes);
            let replaced = if rng.bool() { begin..begin } else { begin..end.min(begin + token.len()) };
            bytes.splice(replaced, token.iter().copied());
            "token put in"
        }
    }
}

/// A piece, mostly a short one.
fn range(rng: &mut Rng, length: usize) -> (usize, usize) {
    let begin = rng.usize(..=length);
    let longest = match rng.u8(..3) {
        0 => 8,
        1 => 256,
        _ => length,
    };
    (begin, begin + rng.usize(..=longest.min(length - begin)))
}

/// Sets a number that is written in digits: lengths, counts, offsets, years.
fn number(rng: &mut Rng, bytes: &mut Vec<u8>) -> &'static str {
    const NUMBERS: [&str; 12] = [
        "0",
        "-1",
        "1",
        "255",
        "65536",
        "2147483647",
        "-2147483648",
        "4294967295",
        "9223372036854775807",
        "99999999999999999999999",
        "1e400",
        "0.0000001",
    ];
    let from = rng.usize(..=bytes.len());
    let Some(begin) = bytes[from..].iter().position(u8::is_ascii_digit).map(|at| from + at) else {
        return "no number";
    };
    let length = bytes[begin..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = NUMBERS[rng.usize(..NUMBERS.len())];
    bytes.splice(begin..begin + length, number.bytes());
    "number set"
}

/// Sets what may be a number in a binary format.
fn binary_number(rng: &mut Rng, bytes: &mut [u8]) -> &'static str {
    let width = [1, 2, 3, 4, 8][rng.usize(..5)];
    if bytes.len() < width {
        return "no room for a number";
    }
    // Headers are where the numbers are.
    let most = if rng.bool() { bytes.len().min(512) } else { bytes.len() };
    let at = rng.usize(..=most.max(width) - width);
    let field = &mut bytes[at..at + width];
    match rng.u8(..6) {
        0 => field.fill(0),
        1 => field.fill(0xff),
        2 => {
            field.fill(0xff);
            field[0] = 0x7f;
        }
        3 => {
            field.fill(0xff);
            field[width - 1] = 0x7f;
        }
        4 => {
            field.fill(0);
            field[0] = 1;
        }
        _ => {
            field.fill(0);
            field[width - 1] = 0x80;
        }
    }
    "binary number set"
}

/// Repeats, nests or opens for good what stands between `<` and `>`.
fn markup(rng: &mut Rng, bytes: &mut Vec<u8>) -> &'static str {
    let from = rng.usize(..=bytes.len());
    let Some(begin) = bytes[from..].iter().position(|&byte| byte == b'<').map(|at| from + at) else {
        return "no markup";
    };
    let Some(length) = bytes[begin..].iter().take(1024).position(|&byte| byte == b'>') else {
        return "no markup";
    };
    let tag = bytes[begin..=begin + length].to_vec();
    let most = (LARGEST / 4 / tag.len()).clamp(1, MOST_REPEATS);
    match rng.u8(..3) {
        0 => {
            bytes.splice(begin..begin, tag.repeat(rng.usize(1..=most)));
            "markup nested"
        }
        1 => {
            bytes.drain(begin..=begin + length);
            "markup lost"
        }
        _ => {
            bytes.splice(begin + length..=begin + length, []);
            "markup left open"
        }
    }
}

/// Something that a format of this kind gives a meaning to, told by how the content begins.
fn token<'tokens>(rng: &mut Rng, bytes: &[u8]) -> &'tokens [u8] {
    let head = &bytes[..bytes.len().min(1024)];
    let has =
        |text: &str| head.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()));
    let own: &[&[u8]] = if has("%PDF") || has(" Tf") || has("endobj") || has("beginbf") {
        PDF
    } else if has("{\\rtf") {
        RTF
    } else if has("<html") || has("<body") || has("<p") {
        HTML
    } else if has("<?xml") || has("xmlns") {
        XML
    } else if has("From:") || has("Content-Type:") || has("Received:") {
        MAIL
    } else if ["ID3", "fLaC", "OggS", "RIFF", "ftyp", "JFIF", "Exif", "PNG", "II*", "MM\0*"]
        .iter()
        .any(|it| has(it))
    {
        MEDIA
    } else {
        TEXT
    };
    let tokens = if rng.u8(..5) == 0 { TEXT } else { own };
    tokens[rng.usize(..tokens.len())]
}

const TEXT: &[&[u8]] = &[
    b"\0",
    b"\xff\xfe",
    b"\xfe\xff",
    b"\xef\xbb\xbf",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\r",
    b"\x1b[31m",
    "e\u{301}".as_bytes(),
    "\u{202e}".as_bytes(),
    "\u{1d160}".as_bytes(),
    "\u{fdfa}".as_bytes(),
    "\u{85}".as_bytes(),
    b"---\n",
    b"title: \"",
    b"```",
    b"[",
    b"](",
    b"![",
    b"*",
    b"_",
    b"> ",
    b"- ",
    b"| ",
    b"#",
    b"&amp;",
    b"<!--",
    b"<a href='",
    b"\t",
    b",",
    b";",
    b"\"",
    b"\"\"",
    b"{",
    b"}",
    b"\\",
];

const HTML: &[&[u8]] = &[
    b"<div>",
    b"</div>",
    b"<p>",
    b"<table><tr><td>",
    b"<b>",
    b"<script>",
    b"</script>",
    b"<style>",
    b"<!--",
    b"-->",
    b"<![CDATA[",
    b"<title>",
    b"</title>",
    b"<meta charset=utf-7>",
    b"<meta charset=\"x-user-defined\">",
    b"<meta name=\"author\" content=\"",
    b"<svg>",
    b"<template>",
    b"<plaintext>",
    b"<select>",
    b"<iframe srcdoc='",
    b"&#0;",
    b"&#x110000;",
    b"&#xD800;",
    b"&nbsp",
    b"&notanentity;",
    b"&lt;",
    b"<",
    b">",
    b"='",
    b"<html lang=",
    b"<body",
    b"<pre>",
    b"<textarea>",
    b"<noscript>",
    b"\0",
];

const XML: &[&[u8]] = &[
    b"<!DOCTYPE a [<!ENTITY b \"bbbbbbbbbb\"><!ENTITY c \"&b;&b;&b;&b;&b;&b;\">]>",
    b"&c;",
    b"&b;",
    b"<!ENTITY x SYSTEM \"file:///etc/passwd\">",
    b"&x;",
    b"<![CDATA[",
    b"]]>",
    b"<!--",
    b"--",
    b"<?xml version=\"1.1\"?>",
    b"encoding=\"UTF-16\"",
    b"encoding=\"nonsense\"",
    b"xmlns:a=\"b\"",
    b"<a>",
    b"</a>",
    b"<a/>",
    b"&#0;",
    b"&#x1F;",
    b"&#xFFFE;",
    b"&amp;",
    b"<dc:title>",
    b"</dc:title>",
    b"<w:t>",
    b"</w:t>",
    b"<w:p>",
    b"<text:p>",
    b"<text:s text:c=\"99999999\"/>",
    b"table:number-columns-repeated=\"1048576\"",
    b"table:number-rows-repeated=\"1048576\"",
    b"<c r=\"XFD1048576\" t=\"s\"><v>0</v></c>",
    b"<v>4294967295</v>",
    b"idref=\"",
    b"href=\"../../../../etc/passwd\"",
    b"href=\"%00\"",
    b"\0",
    b"<",
    b"\"",
];

const PDF: &[&[u8]] = &[
    b"obj",
    b"endobj",
    b"stream\n",
    b"endstream",
    b"xref\n",
    b"trailer",
    b"startxref\n0\n",
    b"%%EOF",
    b"<<",
    b">>",
    b"[",
    b"]",
    b"(",
    b")",
    b"/Kids [1 0 R]",
    b"/Parent 1 0 R",
    b"/Count 2147483647",
    b"/Length 0",
    b"/Length 99999999",
    b"/Filter /FlateDecode",
    b"/Filter [/ASCIIHexDecode /ASCII85Decode /LZWDecode /RunLengthDecode]",
    b"/DecodeParms << /Predictor 15 /Columns 2147483647 >>",
    b"/Encrypt 1 0 R",
    b"/Prev 0",
    b"/XRefStm 1",
    b"/ObjStm",
    b"/ToUnicode 1 0 R",
    b"/W [1 1 1]",
    b"/Index [0 2147483647]",
    b" BT ",
    b" ET ",
    b" Tj ",
    b" TJ ",
    b" Do ",
    b" q ",
    b" Q ",
    b" cm ",
    b" Tf ",
    b" Tm ",
    b" ' ",
    b" \" ",
    b" BI ",
    b" ID ",
    b" EI ",
    b"1 begincodespacerange <00> <ff> endcodespacerange",
    b"1 beginbfrange <0000> <ffffffff> <0041> endbfrange",
    b"1 beginbfchar <00> <d800> endbfchar",
    b"usecmap",
    b"/Identity-H",
    b"/Differences [0 /a]",
    b"1 0 R",
    b"\xfe\xff\xd8\x00",
    b"1e38",
    b"-0.0000001",
    b"D:99991399",
    b"\\777",
    b"\\",
];

const RTF: &[&[u8]] = &[
    b"{",
    b"}",
    b"\\par ",
    b"\\u-1?",
    b"\\u65535?",
    b"\\u55296?",
    b"\\'ff",
    b"\\'zz",
    b"\\uc99999 ",
    b"\\bin2147483647 ",
    b"\\bin-1 ",
    b"\\*\\",
    b"\\pict ",
    b"{\\*\\generator ",
    b"\\ansicpg0 ",
    b"\\ansicpg99999",
    b"{\\info{\\title ",
    b"\\fonttbl",
    b"\\fcharset255 ",
    b"\\object",
    b"\\\n",
    b"\\",
    b"{\\field{\\*\\fldinst ",
    b"\\trowd",
    b"\\cell",
    b"\\tab",
    b"\\~",
    b"\\deff-1",
];

const MAIL: &[&[u8]] = &[
    b"\r\n\r\n",
    b"Content-Type: multipart/mixed; boundary=\"\"\r\n",
    b"Content-Type: multipart/mixed; boundary=\"a\"\r\n\r\n--a\r\n",
    b"Content-Type: message/rfc822\r\n\r\n",
    b"Content-Type: text/html; charset=utf-7\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Transfer-Encoding: quoted-printable\r\n",
    b"=?utf-8?B?",
    b"=?utf-8?Q?=00?=",
    b"=?x?Z?=?=",
    b"=\r\n",
    b"=00",
    b"--a--\r\n",
    b"--a\r\n",
    b"From - ",
    b"\nFrom x Thu Jan  1 00:00:00 1970\n",
    b"Subject: ",
    b"Date: 99 Foo 99999 99:99:99 +9999\r\n",
    b"To: <<<>>>,,,;",
    b"filename*0*=utf-8''%00",
    b"filename*99999=a",
    b"boundary=a",
    b"\r\n ",
    b"begin 644 x\n",
    b"@",
    b"<",
    b"(((",
];

const MEDIA: &[&[u8]] = &[
    b"ID3\x04\0\0\x7f\x7f\x7f\x7f",
    b"ID3\x03\0\x80\0\0\0\0",
    b"TIT2\xff\xff\xff\xff",
    b"TIT2\0\0\0\0\0\0",
    b"APIC",
    b"TXXX",
    b"TAG",
    b"APETAGEX",
    b"fLaC",
    b"\x84\xff\xff\xff",
    b"OggS",
    b"vorbis",
    b"OpusTags\xff\xff\xff\xff",
    b"RIFF\xff\xff\xff\xffWAVE",
    b"LIST\xff\xff\xff\xffINFO",
    b"fmt ",
    b"data\xff\xff\xff\xff",
    b"ftypM4A ",
    b"\0\0\0\0moov",
    b"\xff\xff\xff\xffudta",
    b"\0\0\0\x01mdat",
    b"ilst",
    b"Exif\0\0",
    b"II*\0\x08\0\0\0",
    b"MM\0*\0\0\0\x08",
    b"\xff\xe1\xff\xff",
    b"\xff\xd8",
    b"\xff\xd9",
    b"\xff\xda",
    b"\xff\xdb\0\0",
    b"IHDR\xff\xff\xff\xff\xff\xff\xff\xff",
    b"iTXt",
    b"zTXt",
    b"eXIf",
    b"8BIM\x04\x04",
    b"<x:xmpmeta",
    b"http://ns.adobe.com/xap/1.0/\0",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\x80\0\0\0",
];
