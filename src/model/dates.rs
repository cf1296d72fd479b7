//! Dates as sources write them, as days that can be compared.
//!
//! A date is the span it may mean: `2020` is the year's first day to its last. What is compared is written 20200531, and
//! the last day of every month is its 31st: nobody sees it, and no calendar is needed.

/// The first and the last day that a date means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    /// The first.
    pub from: i64,
    /// The last.
    pub until: i64,
}

/// The span that a date means, by what is written the way of ISO 8601 in it (also with other marks between, or none, as
/// EXIF and PDF have it); else by the first number that can be a year. None where there is neither.
#[must_use]
pub fn days(text: &str) -> Option<Days> {
    let bytes = text.as_bytes();
    // Numbers with their places: the year is the first of four figures, or of eight together.
    let mut numbers = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let end = at + bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        numbers.push((at, end));
        at = end;
    }
    let number = |from: usize, until: usize| text[from..until].parse::<i64>().ok();
    let year_at = numbers.iter().position(|(from, until)| {
        // 20200531, and what PDF writes: 20200531123000.
        matches!(until - from, 4 | 6 | 8 | 12 | 14)
            && number(*from, from + 4).is_some_and(|year| (1000..=2999).contains(&year))
    })?;
    let (from, until) = numbers[year_at];
    let year = number(from, from + 4)?;
    let (month, day) = if until - from == 4 {
        // One mark between, and the same again: 2020-05-31, 2020:05:31, 2020/5/31.
        let next = |after: (usize, usize), index: usize| {
            let (from, until) = *numbers.get(index)?;
            let mark = matches!(text.get(after.1..from), Some("-" | ":" | "/" | "."));
            if mark && until - from <= 2 { number(from, until) } else { None }
        };
        let month = next(numbers[year_at], year_at + 1);
        (month, month.and_then(|_| next(numbers[year_at + 1], year_at + 2)))
    } else {
        (number(from + 4, from + 6), if until - from > 6 { number(from + 6, from + 8) } else { None })
    };
    Some(match (month, day) {
        (Some(month @ 1..=12), Some(day @ 1..=31)) => {
            let day = year * 10_000 + month * 100 + day;
            Days { from: day, until: day }
        }
        (Some(month @ 1..=12), _) => {
            Days { from: year * 10_000 + month * 100 + 1, until: year * 10_000 + month * 100 + 31 }
        }
        _ => Days { from: year * 10_000 + 101, until: year * 10_000 + 1231 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    // O3
    #[rstest]
    #[case("2020", 20200101, 20201231)]
    #[case("2020-05", 20200501, 20200531)]
    #[case("2020-05-06T12:00:00Z", 20200506, 20200506)]
    #[case("2020:05:06 12:00:00", 20200506, 20200506)]
    #[case("2020/5/6", 20200506, 20200506)]
    #[case("D:20200506120000+01'00'", 20200506, 20200506)]
    #[case("202005", 20200501, 20200531)]
    #[case("3 March 1985", 19850101, 19851231)]
    #[case("c. 1850?", 18500101, 18501231)]
    #[case("1914-1918", 19140101, 19141231)]
    #[case("2020-13", 20200101, 20201231)]
    fn a_date_is_the_span_it_may_mean(#[case] text: &str, #[case] from: i64, #[case] until: i64) {
        assert_eq!(days(text), Some(Days { from, until }));
    }

    #[rstest]
    #[case("")]
    #[case("yesterday")]
    #[case("12:30")]
    #[case("0000")]
    #[case("٢٠٢٠")]
    fn what_holds_no_year_is_no_date(#[case] text: &str) {
        assert_eq!(days(text), None);
    }
}
