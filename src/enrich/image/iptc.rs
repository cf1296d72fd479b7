//! IPTC-IIM, what press agencies wrote into pictures before there was XMP, and the resources of Photoshop that hold it.

/// What a record says, as its datasets come: number and text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Iptc {
    values: Vec<(u8, String)>,
}

impl Iptc {
    pub(super) fn read(bytes: &[u8]) -> Self {
        let (mut utf8, mut values, mut rest) = (false, Vec::new(), bytes);
        while let [0x1c, record, dataset, high, low, body @ ..] = rest {
            let length = usize::from(*high) << 8 | usize::from(*low);
            // The highest bit says that the length itself has a length: only pictures are that long.
            let Some(value) = body.get(..length).filter(|_| high & 0x80 == 0) else { break };
            match (record, dataset) {
                // The character set: escape, percent, G is UTF-8.
                (1, 90) => utf8 = value == b"\x1b%G",
                (2, dataset) => values.push((*dataset, value)),
                _ => {}
            }
            rest = &body[length..];
        }
        // Without that record nobody knows; most programs wrote what their country's Windows had.
        let decode = |value: &[u8]| match std::str::from_utf8(value) {
            Ok(value) => value.to_owned(),
            Err(_) if utf8 => String::from_utf8_lossy(value).into_owned(),
            Err(_) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(value).0.into_owned(),
        };
        Iptc { values: values.into_iter().map(|(dataset, value)| (dataset, decode(value))).collect() }
    }

    pub(super) fn all(&self, dataset: u8) -> impl Iterator<Item = String> {
        let is_one = move |(number, value): &&(u8, String)| *number == dataset && !value.trim().is_empty();
        self.values.iter().filter(is_one).map(|(_, value)| value.clone())
    }

    pub(super) fn one(&self, dataset: u8) -> Option<String> {
        self.all(dataset).next()
    }

    /// `20231104` and `162000+0100` as one.
    pub(super) fn date(&self) -> Option<String> {
        let date = self.one(55)?;
        let date = date.trim();
        if date.len() != 8 || !date.bytes().all(|byte| byte.is_ascii_digit()) || date.starts_with("0000") {
            return None;
        }
        let date = format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..]);
        // A part that is not known is zeros.
        let date = date.trim_end_matches("-00").to_owned();
        let time = self.one(60).filter(|time| date.len() == 10 && time.len() >= 6 && time.is_ascii());
        let Some(time) = time else { return Some(date) };
        let zone = time.get(6..11).map(|zone| format!("{}:{}", &zone[..3], &zone[3..])).unwrap_or_default();
        Some(format!("{date}T{}:{}:{}{zone}", &time[..2], &time[2..4], &time[4..6]))
    }

    /// Place, city, province, country: as much of it as is known.
    pub(super) fn place(&self) -> Option<String> {
        let parts: Vec<String> =
            [92, 90, 95, 101].into_iter().filter_map(|dataset| self.one(dataset)).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// The resource of that number among Photoshop's.
pub(super) fn resource(mut rest: &[u8], wanted: u16) -> Option<&[u8]> {
    while let [b'8', b'B', b'I', b'M', high, low, name_length, ..] = rest {
        let number = u16::from_be_bytes([*high, *low]);
        // The name with its length fills an even number of bytes, and so does what follows.
        let name = (usize::from(*name_length) + 2) & !1;
        let length = rest.get(6 + name..10 + name)?;
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let body = rest.get(10 + name..)?.get(..length)?;
        if number == wanted {
            return Some(body);
        }
        rest = rest.get(10 + name + ((length + 1) & !1)..)?;
    }
    None
}

/// Where Photoshop keeps IPTC.
pub(super) const IPTC_RESOURCE: u16 = 0x0404;

#[cfg(test)]
mod tests {
    use super::*;

    fn record(values: &[(u8, u8, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (record, dataset, value) in values {
            bytes.extend([0x1c, *record, *dataset]);
            bytes.extend(u16::try_from(value.len()).expect("short").to_be_bytes());
            bytes.extend(*value);
        }
        bytes
    }

    // E1
    #[test]
    fn what_the_record_says_is_decoded_as_it_says() {
        let iptc = Iptc::read(&record(&[
            (1, 90, b"\x1b%G"),
            (2, 80, "Zoë".as_bytes()),
            (2, 25, b"a"),
            (2, 25, b"b"),
        ]));
        assert_eq!(iptc.one(80).as_deref(), Some("Zoë"));
        assert_eq!(iptc.all(25).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(Iptc::read(&record(&[(2, 80, b"Zo\xeb")])).one(80).as_deref(), Some("Zoë"));
    }

    #[test]
    fn dates_are_put_together() {
        let of = |date: &[u8], time: &[u8]| Iptc::read(&record(&[(2, 55, date), (2, 60, time)])).date();
        assert_eq!(of(b"20231104", b"162000+0100").as_deref(), Some("2023-11-04T16:20:00+01:00"));
        assert_eq!(of(b"20231100", b"").as_deref(), Some("2023-11"));
        assert_eq!(of(b"00000000", b""), None);
        assert_eq!(of("2023é04".as_bytes(), b""), None);
    }

    #[test]
    fn a_record_that_is_cut_off_ends_there() {
        let whole = record(&[(2, 5, b"Title"), (2, 80, b"Somebody")]);
        for end in 0..whole.len() {
            _ = Iptc::read(&whole[..end]).place();
        }
        assert_eq!(Iptc::read(&whole[..whole.len() - 1]).one(80), None);
    }

    #[test]
    fn resources_are_found_behind_names_of_any_length() {
        for name in [&b""[..], b"a", b"ab"] {
            let mut bytes = b"8BIM\x04\x25".to_vec();
            bytes.push(u8::try_from(name.len()).expect("short"));
            bytes.extend(name);
            if name.len() % 2 == 0 {
                bytes.push(0);
            }
            bytes.extend(b"\0\0\0\x01x\08BIM\x04\x04\0\0\0\0\0\x03abc\0");
            assert_eq!(resource(&bytes, IPTC_RESOURCE), Some(&b"abc"[..]));
            assert_eq!(resource(&bytes[..bytes.len() - 2], IPTC_RESOURCE), None);
        }
    }
}
