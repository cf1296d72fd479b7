//! What a spreadsheet takes for something else than text, and gives back in other words when the table is saved: numbers,
//! dates, times, sums of money, truth values, errors. Pure.
//!
//! Excel and LibreOffice ask nobody: `May 2020` comes back as `May-20`, `SEPT1` as `01-Sep`, `(5)` as `-5`, `true` as `TRUE`;
//! a fifth of the papers on genes with such a list has names that became dates (Ziemann et al. 2016,
//! <https://doi.org/10.1186/s13059-016-1044-7>). Which words they know goes by the language of the computer that the list is
//! opened on, and that is not known here. So the words of several languages are held for such; what slips through all the same
//! is told by what comes back ([`is_date_of`]).

/// Digits that a spreadsheet keeps as they are: Excel shows longer numbers as powers of ten, and saves what it shows.
const SAFE_DIGITS: usize = 11;

/// What stands between or round the digits of numbers, dates, times and sums of money.
const SEPARATORS: &str = " \u{a0}\u{202f}\t.,:/-\u{2212}+%()'’€$£¥₹₩₽₺";

/// Names of months; their beginnings from three letters on are as good.
const MONTHS: &str = "january february march april may june july august september october november december \
    januar jänner feber märz maerz mai juni juli oktober dezember \
    janvier février fevrier mars avril juin juillet août aout septembre octobre novembre décembre decembre \
    enero febrero marzo abril mayo junio julio agosto septiembre setiembre octubre noviembre diciembre \
    gennaio febbraio aprile maggio giugno luglio settembre ottobre dicembre \
    janeiro fevereiro março marco maio junho julho setembro outubro novembro dezembro \
    januari februari maart mrt mei augustus maj marts augusti desember \
    styczeń stycznia luty lutego marzec marca kwiecień kwietnia maja czerwiec czerwca lipiec lipca sierpień sierpnia \
    wrzesień września październik października listopad listopada grudzień grudnia \
    leden ledna únor února březen března duben dubna květen května červen června červenec července srpen srpna září říjen \
    října listopadu prosinec prosince \
    január február március április május június július augusztus szeptember október \
    tammikuu helmikuu maaliskuu huhtikuu toukokuu kesäkuu heinäkuu elokuu syyskuu lokakuu marraskuu joulukuu \
    ocak şubat mart nisan mayıs haziran temmuz ağustos eylül ekim kasım aralık \
    январь января февраль февраля март марта апрель апреля май мая июнь июня июль июля август августа сентябрь сентября \
    октябрь октября ноябрь ноября декабрь декабря";

/// What else stands in a number, a date, a time or a sum of money.
const OTHERS: &[&str] = &[
    "e", "t", "z", "a", "p", "am", "pm", "de", "年", "月", "日", "時", "时", "分", "秒", "년", "월", "일",
    "eur", "usd", "gbp", "chf", "kr", "zł", "kč", "ft", "tl", "руб", "dm",
];

/// Truth values, which come back in capitals.
const TRUTHS: &[&str] = &[
    "true",
    "false",
    "wahr",
    "falsch",
    "vrai",
    "faux",
    "verdadero",
    "falso",
    "vero",
    "verdadeiro",
    "waar",
    "onwaar",
    "sant",
    "falskt",
    "sand",
    "falsk",
    "sann",
    "usann",
    "prawda",
    "fałsz",
    "pravda",
    "nepravda",
    "igaz",
    "hamis",
    "tosi",
    "epätosi",
    "doğru",
    "yanlış",
    "истина",
    "ложь",
];

/// Whether a spreadsheet may take a text for something else.
#[must_use]
pub fn is_rewritten(text: &str) -> bool {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.len() > SAFE_DIGITS || (text.starts_with('0') && text.len() > 1);
    }
    if let Some(error) = text.strip_prefix('#') {
        // #N/A, #DIV/0!, #NAME?
        return !error.contains(char::is_whitespace);
    }
    TRUTHS.contains(&text.to_lowercase().as_str())
        || parts(text).is_some_and(|parts| {
            parts.iter().any(|part| matches!(part, Part::Number(_)))
                && parts.iter().all(|part| !matches!(part, Part::Word(word) if !is_known(word)))
        })
}

/// Whether a cell may be the date that a spreadsheet made of a text, in a language whose months are not known here: `5-1-2020`
/// of `Bealtaine 2020`.
#[must_use]
pub fn is_date_of(cell: &str, text: &str) -> bool {
    let (Some(text), Some(cell)) = (parts(text), parts(cell)) else { return false };
    let (words, numbers) = sorted(&text);
    let (made_words, made) = sorted(&cell);
    let is_date = made.len() + made_words.len() == 3 || (made_words.len(), made.len()) == (1, 1);
    is_date
        && words.len() == 1
        && words[0].chars().count() >= 3
        && made_words.iter().all(|word| is_known(word))
        && matches!(numbers.len(), 1 | 2)
        && numbers.iter().all(|number| made.iter().any(|made| number == made || number % 100 == *made))
}

#[derive(Debug, PartialEq)]
enum Part {
    Number(u64),
    Word(String),
}

/// The numbers and words of a text that has nothing between them but what stands in numbers and dates.
fn parts(text: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        if char.is_numeric() {
            let mut number = u64::from(char.to_digit(10).unwrap_or_default());
            while let Some(next) = chars.next_if(|next| next.is_numeric()) {
                number =
                    number.saturating_mul(10).saturating_add(next.to_digit(10).unwrap_or_default().into());
            }
            parts.push(Part::Number(number));
        } else if char.is_alphabetic() {
            let mut word = String::from(char);
            while let Some(next) = chars.next_if(|next| next.is_alphabetic()) {
                word.push(next);
            }
            parts.push(Part::Word(word.to_lowercase()));
        } else if !SEPARATORS.contains(char) {
            return None;
        }
    }
    Some(parts)
}

fn sorted(parts: &[Part]) -> (Vec<&str>, Vec<u64>) {
    let words = parts.iter().filter_map(|part| match part {
        Part::Word(word) => Some(word.as_str()),
        Part::Number(_) => None,
    });
    let numbers = parts.iter().filter_map(|part| match part {
        Part::Number(number) => Some(*number),
        Part::Word(_) => None,
    });
    (words.collect(), numbers.collect())
}

/// Whether a word in small letters stands in dates or numbers.
fn is_known(word: &str) -> bool {
    OTHERS.contains(&word)
        || (word.chars().count() >= 3 && MONTHS.split_whitespace().any(|month| month.starts_with(word)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    // E4
    #[rstest]
    #[case("2020", false)]
    #[case("12345678901", false)]
    #[case("123456789012", true)]
    #[case("0012", true)]
    #[case("0", false)]
    #[case("1e5", true)]
    #[case("1-2", true)]
    #[case("3/4", true)]
    #[case("(5)", true)]
    #[case("5 %", true)]
    #[case("€ 5,00", true)]
    #[case("1'000", true)]
    #[case("１２", true)]
    #[case("May 2020", true)]
    #[case("1. Mai", true)]
    #[case("SEPT1", true)]
    #[case("MARCH1", true)]
    #[case("März 1920", true)]
    #[case("5 мая 1920", true)]
    #[case("1 de mayo de 1920", true)]
    #[case("2020年5月1日", true)]
    #[case("12:30 PM", true)]
    #[case("2020-05-01T10:00:00Z", true)]
    #[case("TRUE", true)]
    #[case("Faux", true)]
    #[case("#N/A", true)]
    #[case("", false)]
    #[case("May", false)]
    #[case("True stories", false)]
    #[case("#1 of the charts", false)]
    #[case("Apollo 11", false)]
    #[case("1984 (novel)", false)]
    #[case("Catch-22", false)]
    #[case("2001: A Space Odyssey", false)]
    #[case("1; 2", false)]
    #[case("isbn:9783161484100", false)]
    fn what_a_spreadsheet_takes_for_something_else(#[case] text: &str, #[case] then: bool) {
        assert_eq!(is_rewritten(text), then);
    }

    // E4
    #[rstest]
    #[case("1-5-2020", "Bealtaine 2020", true)]
    #[case("May-20", "Bealtaine 2020", true)]
    #[case("2026-05-01", "Bealtaine1", true)]
    #[case("2020", "Bealtaine 2020", false)]
    #[case("1-5-2021", "Bealtaine 2020", false)]
    #[case("Report 2021", "Report 2020", false)]
    #[case("1920-04-01", "c. 1920", false)]
    #[case("1-5-2020", "The 2020 list of drawers", false)]
    fn a_date_that_a_spreadsheet_made_is_told_by_its_numbers(
        #[case] cell: &str,
        #[case] text: &str,
        #[case] then: bool,
    ) {
        assert_eq!(is_date_of(cell, text), then);
    }
}
