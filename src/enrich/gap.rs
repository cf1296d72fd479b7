//! What stands between two pieces of text.

/// Of several gaps that follow each other the strongest counts.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gap {
    #[default]
    None,
    Space,
    Line,
    Paragraph,
}

impl Gap {
    /// Puts it behind a text that goes on. What is there already counts, and nothing stands before the first piece.
    pub(super) fn write_to(self, text: &mut String) {
        if text.is_empty() {
            return;
        }
        let ends = text.bytes().rev().take(2).take_while(|&byte| byte == b'\n').count();
        match self {
            Gap::None => {}
            Gap::Space if text.ends_with([' ', '\t', '\n']) => {}
            Gap::Space => text.push(' '),
            Gap::Line => text.push_str(if ends > 0 { "" } else { "\n" }),
            Gap::Paragraph => text.push_str(&"\n\n"[ends..]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("", Gap::Paragraph, "")]
    #[case("a", Gap::None, "a")]
    #[case("a", Gap::Space, "a ")]
    #[case("a\n", Gap::Space, "a\n")]
    #[case("a\t", Gap::Space, "a\t")]
    #[case("a", Gap::Line, "a\n")]
    #[case("a\n", Gap::Line, "a\n")]
    #[case("a\n", Gap::Paragraph, "a\n\n")]
    #[case("a\n\n", Gap::Paragraph, "a\n\n")]
    fn a_gap_is_as_wide_as_it_has_to_be(#[case] text: &str, #[case] gap: Gap, #[case] then: &str) {
        let mut text = text.to_owned();
        gap.write_to(&mut text);
        assert_eq!(text, then);
    }
}
