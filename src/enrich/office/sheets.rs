//! Excel workbooks: the name of each sheet, then a row a line. `calamine` reads them; it knows the number formats that
//! tell a date from a number, and the formats before XML.
//!
//! What it does not do is to distrust a file. Cells are taken one by one where it can give them so, never as a range from
//! the first used cell to the last: two cells in far corners are 17 billion in between. And since it inflates without a
//! limit, all that it is going to read is weighed first. Workbooks before XML it reads whole; there the worker's memory
//! is the limit.

use std::io::Cursor;

use calamine::{DataType, ExcelDateTime, Reader, Xls, XlsError, Xlsb, XlsbError, Xlsx, XlsxError};

use super::container::holds_locked_archive;
use super::ooxml::Document;
use super::{Lines, counted};
use crate::enrich::extract::{Appetite, Budget, Extractor, Failure, Raw, tame};
use crate::enrich::fields::push_split;
use crate::enrich::package::COMPOUND_FILE;
use crate::model::{Field, ProblemKind};

/// XLSX, XLSB, XLS, their templates and those with macros.
pub(in crate::enrich) struct Sheets;

impl Extractor for Sheets {
    fn name(&self) -> &'static str {
        "sheets"
    }

    fn version(&self) -> u32 {
        1
    }

    fn appetite(&self, budget: Budget) -> Appetite {
        Appetite::whole(budget)
    }

    fn extract(&self, bytes: &[u8], budget: Budget) -> Result<Raw, Failure> {
        let is_compound = bytes.starts_with(COMPOUND_FILE);
        if is_compound && !holds_locked_archive(bytes) {
            // calamine, of these.
            tame(|| before_xml(bytes, budget)).flatten()
        } else {
            of_parts(bytes, budget)
        }
    }
}

fn of_parts(bytes: &[u8], budget: Budget) -> Result<Raw, Failure> {
    let mut document = Document::open(bytes, budget)?;
    let mut fields = document.metadata()?;
    let binary = document.main.to_ascii_lowercase().ends_with(".bin");
    fields.push((
        Field::Format,
        if binary {
            "Excel workbook (binary OOXML)".to_owned()
        } else {
            document.format("Excel", "workbook")
        },
    ));
    for name in document.package.names() {
        let lower = name.to_ascii_lowercase();
        if lower.starts_with("xl/worksheets/") {
            document.package.weigh_streamed(&name)?;
        } else if lower.ends_with(".xml") || lower.ends_with(".rels") || lower.ends_with(".bin") {
            document.package.weigh_held(&name)?;
        }
    }
    drop(document);
    let (sheets, lines) = if binary { binary_cells(bytes, budget)? } else { xml_cells(bytes, budget)? };
    fields.push((Field::Extent, counted(sheets, "sheet")));
    let cut = lines.is_full();
    Ok(Raw { fields, text: lines.finish(), cut })
}

fn xml_cells(bytes: &[u8], budget: Budget) -> Result<(u64, Lines), Failure> {
    let mut workbook = Xlsx::new(Cursor::new(bytes)).map_err(|error| xml_failure(&error))?;
    let names = workbook.sheet_names();
    let mut sheets = Writer::new(budget);
    for name in &names {
        sheets.start(name);
        let mut cells = match workbook.worksheet_cells_reader(name) {
            Ok(cells) => cells,
            // A sheet that is a chart has none.
            Err(XlsxError::NotAWorksheet(_)) => continue,
            Err(error) => return Err(xml_failure(&error)),
        };
        while let Some(cell) = cells.next_cell().map_err(|error| xml_failure(&error))? {
            if !sheets.cell(cell.get_position(), cell.get_value()) {
                break;
            }
        }
    }
    Ok((names.len() as u64, sheets.lines))
}

fn binary_cells(bytes: &[u8], budget: Budget) -> Result<(u64, Lines), Failure> {
    let mut workbook = Xlsb::new(Cursor::new(bytes)).map_err(|error| binary_failure(&error))?;
    let names = workbook.sheet_names();
    let mut sheets = Writer::new(budget);
    for name in &names {
        sheets.start(name);
        let mut cells = workbook.worksheet_cells_reader(name).map_err(|error| binary_failure(&error))?;
        while let Some(cell) = cells.next_cell().map_err(|error| binary_failure(&error))? {
            if !sheets.cell(cell.get_position(), cell.get_value()) {
                break;
            }
        }
    }
    Ok((names.len() as u64, sheets.lines))
}

fn before_xml(bytes: &[u8], budget: Budget) -> Result<Raw, Failure> {
    let failure = |error: &XlsError| match error {
        XlsError::Password => Failure::encrypted("it opens only with a password"),
        error => Failure::damaged(format!("the workbook cannot be read: {error}")),
    };
    let mut workbook = Xls::new(Cursor::new(bytes)).map_err(|error| failure(&error))?;
    let names = workbook.sheet_names();
    let mut sheets = Writer::new(budget);
    for name in &names {
        sheets.start(name);
        let range = workbook.worksheet_range(name).map_err(|error| failure(&error))?;
        let (top, left) = range.start().unwrap_or_default();
        for (row, column, value) in range.used_cells() {
            let at = |from: u32, by: usize| from.saturating_add(u32::try_from(by).unwrap_or(u32::MAX));
            if !sheets.cell((at(top, row), at(left, column)), value) {
                break;
            }
        }
    }

    let mut fields = vec![(Field::Format, "Excel workbook (before 2007)".to_owned())];
    // Metadata that cannot be read is no reason to give up the cells.
    if let Ok(properties) = workbook.workbook_properties() {
        for (field, value) in [
            (Field::Title, properties.title),
            (Field::Date, properties.created),
            (Field::Date, properties.modified),
            (Field::Subject, properties.subject),
            (Field::Description, properties.description),
        ] {
            fields.extend(value.map(|value| (field, value)));
        }
        push_split(&mut fields, Field::Author, &properties.creator.unwrap_or_default(), &[';']);
        push_split(&mut fields, Field::Subject, &properties.keywords.unwrap_or_default(), &[',', ';']);
    }
    fields.push((Field::Extent, counted(names.len() as u64, "sheet")));
    let cut = sheets.lines.is_full();
    Ok(Raw { fields, text: sheets.lines.finish(), cut })
}

fn xml_failure(error: &XlsxError) -> Failure {
    match error {
        XlsxError::Password => Failure::encrypted("it opens only with a password"),
        XlsxError::Io(error) if error.kind() == std::io::ErrorKind::OutOfMemory => {
            Failure { kind: ProblemKind::TooLarge, message: error.to_string() }
        }
        error => Failure::damaged(format!("the workbook cannot be read: {error}")),
    }
}

fn binary_failure(error: &XlsbError) -> Failure {
    match error {
        XlsbError::Password => Failure::encrypted("it opens only with a password"),
        error => Failure::damaged(format!("the workbook cannot be read: {error}")),
    }
}

/// Cells as lines.
struct Writer {
    lines: Lines,
    row: u32,
    column: u32,
}

impl Writer {
    fn new(budget: Budget) -> Self {
        Writer { lines: Lines::new(budget.text), row: 0, column: 0 }
    }

    fn start(&mut self, name: &str) {
        self.lines.end_part();
        self.lines.push_words(name);
        self.lines.end_row();
        (self.row, self.column) = (0, 0);
    }

    /// Whether there is room for more.
    fn cell(&mut self, (row, column): (u32, u32), value: &impl DataType) -> bool {
        let text = shown(value);
        if text.is_empty() {
            return !self.lines.is_full();
        }
        if row != self.row {
            self.lines.end_row();
            (self.row, self.column) = (row, 0);
        }
        self.lines.skip_cells(column.saturating_sub(self.column) as usize);
        self.column = column;
        self.lines.start_cell();
        // A line break in a cell is a space between cells.
        for line in text.lines() {
            self.lines.push(line);
            self.lines.end_line();
        }
        // Not `end_cell`: the step to the next cell is counted when there is one.
        self.lines.leave_cell();
        !self.lines.is_full()
    }
}

/// A value as people write it: dates in ISO 8601, numbers to the 15 digits that Excel has.
fn shown(value: &impl DataType) -> String {
    if let Some(text) =
        value.get_string().or_else(|| value.get_datetime_iso()).or_else(|| value.get_duration_iso())
    {
        text.to_owned()
    } else if let Some(number) = value.get_float() {
        shown_number(number)
    } else if let Some(number) = value.get_int() {
        number.to_string()
    } else if let Some(truth) = value.get_bool() {
        if truth { "TRUE" } else { "FALSE" }.to_owned()
    } else if let Some(time) = value.get_datetime() {
        shown_time(&time)
    } else {
        value.get_error().map(ToString::to_string).unwrap_or_default()
    }
}

fn shown_number(number: f64) -> String {
    // 0.1 + 0.2 is 0.3 for whoever looks at it.
    let rounded = format!("{number:.14e}").parse().unwrap_or(number);
    if number.abs() < 1e21 { format!("{rounded}") } else { format!("{rounded:e}") }
}

fn shown_time(time: &ExcelDateTime) -> String {
    let days = time.as_f64();
    // Beyond the last day that there is in Excel, the end of 9999, it is a number with a wrong format.
    if !(0.0..2_958_466.0).contains(&days) {
        return shown_number(days);
    }
    let (year, month, day, hour, minute, second, _) = time.to_ymd_hms_milli();
    if time.is_duration() || days < 1.0 {
        let seconds = (days * 86_400.0).round() as u64;
        return format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    }
    let date = format!("{year:04}-{month:02}-{day:02}");
    if (hour, minute, second) == (0, 0, 0) {
        date
    } else {
        format!("{date} {hour:02}:{minute:02}:{second:02}")
    }
}

#[cfg(test)]
mod tests {
    use crate::enrich::extract::MIB;
    use calamine::{DataRef, ExcelDateTimeType};

    use super::*;

    #[test]
    fn values_are_shown_as_people_write_them() {
        assert_eq!(shown_number(0.1 + 0.2), "0.3");
        assert_eq!(shown_number(1204.0), "1204");
        assert_eq!(shown_number(-1e300), "-1e300");
        let time = |days, kind| shown_time(&ExcelDateTime::new(days, kind, false));
        assert_eq!(time(45_444.0, ExcelDateTimeType::DateTime), "2024-06-01");
        assert_eq!(time(45_444.5, ExcelDateTimeType::DateTime), "2024-06-01 12:00:00");
        assert_eq!(time(1.5, ExcelDateTimeType::TimeDelta), "36:00:00");
        assert_eq!(time(9e15, ExcelDateTimeType::DateTime), "9000000000000000");
    }

    #[test]
    fn cells_keep_their_columns() {
        let mut sheets = Writer::new(Budget { memory: MIB, text: 1000 });
        sheets.start("Loans");
        for (at, text) in [((0, 0), "title"), ((0, 2), "due"), ((3, 1), "Noor\nagain"), ((3, 2), "x")] {
            assert!(sheets.cell(at, &DataRef::SharedString(text)));
        }
        assert_eq!(sheets.lines.finish(), "Loans\ntitle\t\tdue\n\tNoor again\tx\n");
    }
}
