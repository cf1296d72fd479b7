//! How large contents are cut: by their length alone, so that whoever sends one cuts it alike, and can go on with what another
//! has begun.

/// S3 allows 10,000 parts.
pub(super) const MAX_PARTS: u64 = 9_000;

/// How large contents are cut. The same everywhere and always, or an upload cannot be taken up again; tests cut small ones.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartSizes {
    /// A content of up to so many bytes is sent in one go.
    pub single_bytes: u64,
    /// The size of a part, unless there would be too many.
    pub part_bytes: u64,
}

impl Default for PartSizes {
    fn default() -> Self {
        PartSizes { single_bytes: 16 << 20, part_bytes: 8 << 20 }
    }
}

/// The parts of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    bytes: u64,
    /// The length of all but the last.
    pub(super) part_bytes: u64,
}

impl Cut {
    /// That of a content of so many bytes.
    pub(super) fn of(bytes: u64, sizes: PartSizes) -> Self {
        Cut { bytes, part_bytes: sizes.part_bytes.max(bytes.div_ceil(MAX_PARTS)) }
    }

    /// The length of the content.
    pub(super) fn bytes(self) -> u64 {
        self.bytes
    }

    /// The length of a part; none where there is no such part. The first is number 1.
    pub(super) fn bytes_of(self, number: u32) -> Option<u64> {
        let start = u64::from(number.checked_sub(1)?).checked_mul(self.part_bytes)?;
        (start < self.bytes).then(|| (self.bytes - start).min(self.part_bytes))
    }

    /// Where a part ends.
    pub(super) fn end_of(self, number: u32) -> Option<u64> {
        let before = u64::from(number.checked_sub(1)?).checked_mul(self.part_bytes)?;
        Some(before + self.bytes_of(number)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // S2: whoever sends it cuts it alike, and into no more parts than S3 takes.
        #[test]
        fn parts_are_the_content_and_not_too_many(bytes in 1_u64..5 << 40) {
            let cut = Cut::of(bytes, PartSizes::default());
            let parts = u32::try_from(bytes.div_ceil(cut.part_bytes)).unwrap();
            prop_assert!(u64::from(parts) <= MAX_PARTS);
            prop_assert_eq!(cut.end_of(parts), Some(bytes));
            prop_assert_eq!(cut.bytes_of(parts + 1), None);
            prop_assert_eq!(cut.bytes_of(0), None);
            prop_assert!(parts == 1 || cut.bytes_of(1) == Some(cut.part_bytes));
        }
    }
}
