//! Numbers as people read them: spans, times of day, thousands.

use std::fmt::{self, Display};
use std::time::Duration;

use crate::time::Timestamp;

/// A span with about three digits: `0.3ms`, `22ms`, `1.01s`, `3m31s`, `2h05m`.
pub(super) fn span(span: Duration) -> String {
    let us = (span.as_nanos() + 500) / 1000;
    match us {
        0 => "0ms".to_owned(),
        1..95 => format!("0.{:02}ms", ((us + 5) / 10).max(1)),
        95..9_950 => format!("{}.{}ms", (us + 50) / 1000, (us + 50) / 100 % 10),
        9_950..999_500 => format!("{}ms", (us + 500) / 1000),
        999_500..59_995_000 => format!("{}.{:02}s", (us + 5_000) / 1_000_000, (us + 5_000) / 10_000 % 100),
        59_995_000..3_599_500_000 => {
            let seconds = (us + 500_000) / 1_000_000;
            format!("{}m{:02}s", seconds / 60, seconds % 60)
        }
        _ => {
            let minutes = (us + 30_000_000) / 60_000_000;
            format!("{}h{:02}m", minutes / 60, minutes % 60)
        }
    }
}

/// The same for microseconds.
pub(super) fn span_us(us: u64) -> String {
    span(Duration::from_micros(us))
}

/// Seconds to the microsecond, signed: how far `instant` lies from `origin`.
pub(super) fn offset(instant: Timestamp, origin: Timestamp) -> String {
    let nanoseconds = i128::from(instant.as_nanos()) - i128::from(origin.as_nanos());
    let us = nanoseconds.unsigned_abs() / 1000;
    let sign = if nanoseconds < 0 { "-" } else { "+" };
    format!("{sign}{}.{:06}", us / 1_000_000, us % 1_000_000)
}

/// `2026-11-20`.
pub(super) fn date(instant: Timestamp) -> String {
    instant.to_string().split('T').next().unwrap_or_default().to_owned()
}

/// `10:29:10.579`, UTC, cut and not rounded: a time must not lie after the frame that it names.
pub(super) fn time_of_day(instant: Timestamp) -> String {
    let printed = instant.to_string();
    let time = printed.split_once('T').map_or(printed.as_str(), |(_, time)| time);
    time.get(..12).unwrap_or(time).to_owned()
}

/// `10:29:10`.
pub(super) fn time_to_the_second(instant: Timestamp) -> String {
    let time = time_of_day(instant);
    time.get(..8).unwrap_or(&time).to_owned()
}

/// `48,170`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut printed = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            printed.push(',');
        }
        printed.push(digit);
    }
    printed
}

/// `1 exchange`, `48,211 exchanges`.
pub(super) fn count(number: u64, what: &str) -> String {
    let plural = match number {
        1 => "",
        _ if what.ends_with('x') || what.ends_with('s') => "es",
        _ => "s",
    };
    format!("{} {what}{plural}", thousands(number))
}

/// `text` in at most `width` columns; what is cut shows as an ellipsis.
pub(super) fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Words of `text` in lines of at most `width` columns. A word that is longer has a line for itself.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut columns = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let length = word.chars().count();
        if columns > 0 && columns + 1 + length > width {
            lines.push(std::mem::take(&mut line));
            columns = 0;
        }
        if columns > 0 {
            line.push(' ');
            columns += 1;
        }
        line.push_str(word);
        columns += length;
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Items with a separator between them.
pub(super) fn join<T: Display>(items: impl IntoIterator<Item = T>, separator: &str) -> String {
    let mut joined = String::new();
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            joined.push_str(separator);
        }
        let _ = fmt::Write::write_fmt(&mut joined, format_args!("{item}"));
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_the_unit_that_suits_it() {
        let printed = |us| span(Duration::from_micros(us));
        assert_eq!(
            [0, 4, 37, 94, 95, 300, 4_149, 9_949, 9_950, 22_400].map(printed),
            ["0ms", "0.01ms", "0.04ms", "0.09ms", "0.1ms", "0.3ms", "4.1ms", "9.9ms", "10ms", "22ms"]
        );
        assert_eq!(
            [999_499, 999_500, 1_008_000, 59_994_999, 59_995_000, 211_000_000, 3_599_500_000, 7_500_000_000]
                .map(printed),
            ["999ms", "1.00s", "1.01s", "59.99s", "1m00s", "3m31s", "1h00m", "2h05m"]
        );
    }

    #[test]
    fn an_offset_has_its_sign() {
        let at = Timestamp::from_nanos;
        assert_eq!(offset(at(7_000_001_000), at(7_000_000_000)), "+0.000001");
        assert_eq!(offset(at(1_034_897_000), at(7_000_000_000)), "-5.965103");
    }

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(count(1, "exchange"), "1 exchange");
        assert_eq!(count(2, "prefix"), "2 prefixes");
    }

    #[test]
    fn lines_are_wrapped_and_long_words_are_not_lost() {
        assert_eq!(wrap("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrap("a incomprehensibilities b", 5), ["a", "incomprehensibilities", "b"]);
        assert!(wrap("", 5).is_empty());
    }
}
