//! Text as it comes out of paragraphs, tables and slides: a paragraph a line, a row a line, its cells parted by tabs.

use crate::enrich::gap::Gap;

/// Collects text. What parts two pieces is written only before the second one, so that nothing empty leaves a trace.
#[derive(Debug, Default)]
pub(in crate::enrich) struct Lines {
    text: String,
    /// Text enough, in bytes.
    limit: usize,
    gap: Gap,
    /// Cells that ended since the last text of the row.
    cells: usize,
    /// How many cells are open; tables stand in cells of tables.
    inside: usize,
}

/// Cells left empty keep the columns of a row apart, but a row of 16,384 of them is no text.
const MAX_EMPTY_CELLS: usize = 64;

impl Lines {
    pub(in crate::enrich) fn new(limit: usize) -> Self {
        Lines { limit, ..Lines::default() }
    }

    /// Text enough, in bytes.
    pub(in crate::enrich) fn limit(&self) -> usize {
        self.limit
    }

    /// Text as it stands.
    pub(in crate::enrich) fn push(&mut self, text: &str) {
        if !text.is_empty() {
            self.fill_gap();
            self.text.push_str(text);
        }
    }

    /// Text whose white space only parts words.
    pub(in crate::enrich) fn push_words(&mut self, text: &str) {
        for (at, word) in text.split([' ', '\t', '\n', '\r']).enumerate() {
            if at > 0 {
                self.space();
            }
            self.push(word);
        }
    }

    pub(in crate::enrich) fn space(&mut self) {
        self.gap = self.gap.max(Gap::Space);
    }

    /// The end of a line or paragraph; in a cell the row goes on.
    pub(in crate::enrich) fn end_line(&mut self) {
        self.gap = self.gap.max(if self.inside > 0 { Gap::Space } else { Gap::Line });
    }

    /// The end of a slide, a sheet or a part of the document.
    pub(in crate::enrich) fn end_part(&mut self) {
        self.gap = Gap::Paragraph;
        (self.cells, self.inside) = (0, 0);
    }

    pub(in crate::enrich) fn start_cell(&mut self) {
        self.inside += 1;
    }

    pub(in crate::enrich) fn end_cell(&mut self) {
        self.leave_cell();
        self.skip_cells(1);
    }

    /// Out of a cell without a step to the next, for who knows the number of its column.
    pub(in crate::enrich) fn leave_cell(&mut self) {
        self.inside = self.inside.saturating_sub(1);
        // What ends with the cell parts nothing in the row.
        if self.gap == Gap::Space {
            self.gap = Gap::None;
        }
    }

    /// So many cells hold nothing.
    pub(in crate::enrich) fn skip_cells(&mut self, cells: usize) {
        self.cells = self.cells.saturating_add(cells);
    }

    pub(in crate::enrich) fn end_row(&mut self) {
        self.cells = 0;
        self.gap = self.gap.max(Gap::Line);
    }

    /// Twice what is kept: normalising makes text shorter, but not by half.
    pub(in crate::enrich) fn is_full(&self) -> bool {
        self.text.len() > self.limit.saturating_mul(2)
    }

    pub(in crate::enrich) fn finish(mut self) -> String {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        self.text
    }

    fn fill_gap(&mut self) {
        let gap = std::mem::take(&mut self.gap);
        let cells = std::mem::take(&mut self.cells).min(MAX_EMPTY_CELLS);
        // The tab parts well enough.
        let gap = if gap == Gap::Space && cells > 0 { Gap::None } else { gap };
        gap.write_to(&mut self.text);
        self.text.extend(std::iter::repeat_n('\t', cells));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_line_and_a_paragraph_in_a_cell_does_not_break_it() {
        let mut lines = Lines::new(100);
        lines.push("before");
        lines.end_line();
        for row in [["a", "b\nc"], ["", "d"]] {
            for cell in row {
                lines.start_cell();
                for line in cell.split('\n') {
                    lines.push(line);
                    lines.end_line();
                }
                lines.end_cell();
            }
            lines.end_row();
        }
        lines.push("after");
        lines.end_part();
        lines.push_words(" next \n part");
        assert_eq!(lines.finish(), "before\na\tb c\n\td\nafter\n\nnext part\n");
    }

    #[test]
    fn a_row_of_nothing_is_no_text() {
        let mut lines = Lines::new(100);
        lines.skip_cells(usize::MAX);
        lines.skip_cells(1);
        lines.push("x");
        assert_eq!(lines.finish().len(), MAX_EMPTY_CELLS + 2);
    }
}
