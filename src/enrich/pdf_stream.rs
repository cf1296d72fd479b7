//! What a stream of a PDF holds, inflated up to a limit.
//!
//! The crate that parses decodes streams, too, but without a cap: 2 kB, deflated twice, were 1.1 GB. Pages, forms and
//! maps are therefore inflated here. What is damaged gives what could be read before the damage, as every viewer does.

use std::borrow::Cow;

use flate2::{Decompress, FlushDecompress, Status};
use hayro_syntax::Filter;
use hayro_syntax::object::{Dict, Object, Stream};

/// Why a stream cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unplain {
    /// It becomes larger than allowed.
    TooLarge,
    /// A picture, or compressed in a way that text never is.
    Foreign,
}

/// What is in a stream, at most `limit` bytes.
pub(super) fn plain<'a>(stream: &Stream<'a>, limit: usize) -> Result<Cow<'a, [u8]>, Unplain> {
    let mut data = stream.raw_data();
    let filters = stream.filters();
    if filters.iter().any(|filter| *filter == Filter::FlateDecode || *filter == Filter::LzwDecode)
        && has_predictor(stream.dict())
    {
        // Nobody predicts text; pictures are made so, and never read.
        return Err(Unplain::Foreign);
    }
    for filter in filters {
        data = Cow::Owned(match filter {
            Filter::Crypt => continue,
            Filter::FlateDecode => inflate(&data, limit)?,
            Filter::LzwDecode => lzw(&data, early_change(stream.dict()), limit)?,
            Filter::AsciiHexDecode => ascii_hex(&data),
            Filter::Ascii85Decode => ascii_85(&data),
            Filter::RunLengthDecode => run_length(&data, limit)?,
            _ => return Err(Unplain::Foreign),
        });
    }
    if data.len() > limit { Err(Unplain::TooLarge) } else { Ok(data) }
}

fn parameters<'a>(dict: &Dict<'a>) -> impl Iterator<Item = Dict<'a>> {
    let one = dict.get::<Dict<'_>>(b"DecodeParms");
    let many = dict.get::<hayro_syntax::object::Array<'_>>(b"DecodeParms");
    one.into_iter()
        .chain(many.into_iter().flat_map(|list| list.iter::<Object<'_>>()).filter_map(Object::into_dict))
}

fn has_predictor(dict: &Dict<'_>) -> bool {
    parameters(dict)
        .any(|parameters| parameters.get::<i32>(b"Predictor").is_some_and(|predictor| predictor > 1))
}

fn early_change(dict: &Dict<'_>) -> bool {
    parameters(dict).find_map(|parameters| parameters.get::<i32>(b"EarlyChange")) != Some(0)
}

fn inflate(data: &[u8], limit: usize) -> Result<Vec<u8>, Unplain> {
    let is_zlib =
        data.len() >= 2 && data[0] & 0x0f == 8 && u16::from_be_bytes([data[0], data[1]]).is_multiple_of(31);
    let mut inflater = Decompress::new(is_zlib);
    let mut plain = Vec::with_capacity(data.len().saturating_mul(4).clamp(1024, 1 << 20).min(limit.max(1)));
    loop {
        let read = usize::try_from(inflater.total_in()).unwrap_or(usize::MAX);
        let Some(rest) = data.get(read..) else { break };
        let before = plain.len();
        let status = inflater.decompress_vec(rest, &mut plain, FlushDecompress::None);
        if plain.len() > limit {
            return Err(Unplain::TooLarge);
        }
        match status {
            Ok(Status::Ok | Status::BufError) if plain.len() == plain.capacity() => {
                plain.reserve(plain.len().max(1024).min(limit.saturating_sub(plain.len()) + 1));
            }
            Ok(Status::Ok) if plain.len() > before => {}
            // Its end, or all that could be read of it.
            _ => break,
        }
    }
    Ok(plain)
}

/// LZW as in TIFF: codes of 9 to 12 bits, the most significant bit first; 256 clears, 257 ends.
fn lzw(data: &[u8], early_change: bool, limit: usize) -> Result<Vec<u8>, Unplain> {
    let mut plain: Vec<u8> = Vec::new();
    // Each code from 258 on stands for a piece of what was already written: where it begins, and its length.
    let mut table: Vec<(usize, usize)> = Vec::new();
    let mut last: Option<(usize, usize)> = None;
    let (mut bits, mut held) = (0_u32, 0_u32);
    let mut data = data.iter();
    loop {
        let width = match 258 + table.len() + usize::from(early_change) {
            ..=511 => 9,
            512..=1023 => 10,
            1024..=2047 => 11,
            _ => 12,
        };
        while held < width {
            let Some(&byte) = data.next() else { return Ok(plain) };
            bits = bits << 8 | u32::from(byte);
            held += 8;
        }
        held -= width;
        let code = (bits >> held & ((1 << width) - 1)) as usize;
        let start = plain.len();
        match code {
            0..=255 => plain.push(u8::try_from(code).unwrap_or(0)),
            256 => {
                table.clear();
                last = None;
                continue;
            }
            257 => return Ok(plain),
            _ => {
                // The piece that is being defined is the last one and its first byte again.
                let (from, length) = match table.get(code - 258) {
                    Some(&piece) => piece,
                    None => match last {
                        Some((from, length)) if code - 258 == table.len() => (from, length + 1),
                        _ => return Ok(plain),
                    },
                };
                if plain.len() + length > limit {
                    return Err(Unplain::TooLarge);
                }
                for at in from..from + length {
                    let byte = plain[at];
                    plain.push(byte);
                }
            }
        }
        if let Some((from, length)) = last
            && table.len() < 4096 - 258
        {
            // What was written last and the first byte of this piece lie side by side.
            table.push((from, length + 1));
        }
        last = Some((start, plain.len() - start));
    }
}

fn ascii_hex(data: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(data.len() / 2);
    let mut high = None;
    for digit in
        data.iter().take_while(|&&byte| byte != b'>').filter_map(|&byte| char::from(byte).to_digit(16))
    {
        let digit = u8::try_from(digit).unwrap_or(0);
        match high.take() {
            None => high = Some(digit << 4),
            Some(high) => plain.push(high | digit),
        }
    }
    plain.extend(high);
    plain
}

fn ascii_85(data: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(data.len() / 5 * 4);
    let (mut group, mut digits) = (0_u32, 0);
    for &byte in data.strip_prefix(b"<~").unwrap_or(data) {
        match byte {
            b'~' => break,
            b'z' if digits == 0 => plain.extend([0; 4]),
            b'!'..=b'u' => {
                group = group.wrapping_mul(85).wrapping_add(u32::from(byte - b'!'));
                digits += 1;
                if digits == 5 {
                    plain.extend(group.to_be_bytes());
                    (group, digits) = (0, 0);
                }
            }
            _ => {}
        }
    }
    if digits > 1 {
        for _ in digits..5 {
            group = group.wrapping_mul(85).wrapping_add(84);
        }
        plain.extend(&group.to_be_bytes()[..digits - 1]);
    }
    plain
}

fn run_length(data: &[u8], limit: usize) -> Result<Vec<u8>, Unplain> {
    let mut plain = Vec::new();
    let mut rest = data;
    while let [length, tail @ ..] = rest {
        match (*length, tail) {
            (128, _) => break,
            (length @ 0..=127, tail) => {
                let (run, after) = tail.split_at(tail.len().min(usize::from(length) + 1));
                plain.extend_from_slice(run);
                rest = after;
            }
            (length, [byte, after @ ..]) => {
                plain.extend(std::iter::repeat_n(*byte, 257 - usize::from(length)));
                rest = after;
            }
            (_, []) => break,
        }
        if plain.len() > limit {
            return Err(Unplain::TooLarge);
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn deflated(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(plain).expect("memory does not fail");
        encoder.finish().expect("memory does not fail")
    }

    // E1
    #[test]
    fn what_inflates_beyond_the_limit_is_refused_before_it_is_there() {
        let bomb = deflated(&vec![0; 10_000_000]);
        assert_eq!(inflate(&bomb, 1_000_000), Err(Unplain::TooLarge));
        assert_eq!(inflate(&bomb, 10_000_000).map(|plain| plain.len()), Ok(10_000_000));
        assert_eq!(run_length(&[129, 0].repeat(1000), 1000), Err(Unplain::TooLarge));
    }

    #[test]
    fn what_is_cut_off_gives_what_was_there() {
        let text = "a word and another and a third one, which is longer than the others ".repeat(100);
        let whole = deflated(text.as_bytes());
        let half = inflate(&whole[..whole.len() / 2], 1 << 20).expect("within the limit");
        assert!(!half.is_empty() && text.as_bytes().starts_with(&half));
        assert_eq!(inflate(&whole[2..], 1 << 20).as_deref(), Ok(text.as_bytes()), "without its header");
    }

    #[test]
    fn the_old_encodings_are_read() {
        // The example of the specification (ISO 32000-1, 7.4.4.2).
        let codes = [0x80, 0x0b, 0x60, 0x50, 0x22, 0x0c, 0x0c, 0x85, 0x01];
        assert_eq!(lzw(&codes, true, 100).as_deref(), Ok(&[45, 45, 45, 45, 45, 65, 45, 45, 45, 66][..]));
        assert_eq!(ascii_85(b"<~87cURD]j7BEbo80~>"), b"Hello world!");
        assert_eq!(ascii_hex(b"48 65 6c6C 6f7>"), b"Hellop");
        assert_eq!(run_length(&[2, b'a', b'b', b'c', 254, b'x', 128, 9], 100).as_deref(), Ok(&b"abcxxx"[..]));
    }
}
