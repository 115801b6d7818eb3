//! What exchanges are compared by, and how its values are called.

use smallvec::SmallVec;

use crate::time::Timestamp;

/// What has few values, each with a slot of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Facet {
    Method,
    Size,
    Age,
    Number,
    Idle,
    Hour,
    Minute,
}

/// All of them, in the order of their discriminants.
pub(super) const BUCKETED: [Facet; 7] =
    [Facet::Method, Facet::Size, Facet::Age, Facet::Number, Facet::Idle, Facet::Hour, Facet::Minute];

/// The slots of a facet.
pub(super) struct Slot;

impl Slot {
    /// As many as an hour has minutes.
    pub(super) const MOST: usize = 60;
}

const METHODS: [&str; 8] = ["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "another method"];
const SIZES: [u64; 6] = [1 << 10, 4 << 10, 16 << 10, 64 << 10, 1 << 20, 16 << 20];
const AGES_MS: [u64; 8] = [100, 1_000, 5_000, 10_000, 30_000, 60_000, 300_000, 3_600_000];
const NUMBERS: [u64; 6] = [2, 5, 10, 50, 100, 1_000];
const IDLES_MS: [u64; 14] =
    [100, 250, 500, 1_000, 2_000, 3_000, 4_000, 5_000, 6_000, 10_000, 15_000, 30_000, 60_000, 120_000];

impl Facet {
    /// Its name in reports.
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Size => "request_size",
            Self::Age => "connection_age",
            Self::Number => "exchange_on_connection",
            Self::Idle => "idle",
            Self::Hour => "hour_of_day",
            Self::Minute => "minute_of_hour",
        }
    }

    /// Whether its slots are steps of a scale.
    pub(super) const fn is_ordered(self) -> bool {
        matches!(self, Self::Size | Self::Age | Self::Number | Self::Idle)
    }

    const fn bounds(self) -> &'static [u64] {
        match self {
            Self::Size => &SIZES,
            Self::Age => &AGES_MS,
            Self::Number => &NUMBERS,
            Self::Idle => &IDLES_MS,
            Self::Method | Self::Hour | Self::Minute => &[],
        }
    }
}

pub(super) fn method(name: &str) -> usize {
    METHODS.iter().position(|known| *known == name).unwrap_or(METHODS.len() - 1)
}

/// The slot of a value on a scale.
pub(super) fn slot(facet: Facet, value: u64) -> usize {
    facet.bounds().partition_point(|bound| *bound <= value)
}

/// Hour and minute, UTC.
pub(super) fn time_of_day(at: Timestamp) -> (usize, usize) {
    let minutes = at.as_nanos().div_euclid(60_000_000_000).rem_euclid(24 * 60);
    let minutes = usize::try_from(minutes).unwrap_or(0);
    (minutes / 60, minutes % 60)
}

/// What a slot holds, in words; or it and all above it.
pub(super) fn value(facet: Facet, slot: usize, upwards: bool) -> String {
    let bound = |index: Option<usize>| index.and_then(|index| facet.bounds().get(index).copied());
    let (from, to) = (bound(slot.checked_sub(1)), bound(Some(slot)).filter(|_| !upwards));
    let of = |unit: fn(u64) -> String| match (from, to) {
        (None, Some(to)) => format!("less than {}", unit(to)),
        (Some(from), Some(to)) => format!("{} to {}", unit(from), unit(to)),
        (Some(from), None) => format!("{} or more", unit(from)),
        (None, None) => String::new(),
    };
    match facet {
        Facet::Method => METHODS.get(slot).copied().unwrap_or_default().to_owned(),
        Facet::Size => of(octets),
        Facet::Age | Facet::Idle => of(span),
        Facet::Number => match (from, to) {
            (None, _) => "the first one".to_owned(),
            (Some(from), Some(to)) => format!("number {from} to {}", to - 1),
            (Some(from), None) => format!("number {from} or later"),
        },
        Facet::Hour => format!("{slot:02}:00 to {slot:02}:59 UTC"),
        Facet::Minute => format!("minute {slot} of the hour"),
    }
}

fn octets(n: u64) -> String {
    match n {
        0..1_024 => format!("{n} B"),
        1_024..1_048_576 => format!("{} KiB", n >> 10),
        _ => format!("{} MiB", n >> 20),
    }
}

fn span(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{} s", millis / 1_000),
        60_000..3_600_000 => format!("{} min", millis / 60_000),
        _ => format!("{} h", millis / 3_600_000),
    }
}

/// A path without its query, in which what looks like an identifier is a star: requests of one kind have one pattern. What is
/// deeper than the fourth segment is left out.
pub(super) fn pattern(target: &str) -> SmallText {
    let path = target.as_bytes().split(|octet| matches!(octet, b'?' | b'#' | b';')).next().unwrap_or_default();
    let mut kept = SmallText::default();
    for (index, segment) in path.split(|octet| *octet == b'/').enumerate() {
        if index > DEPTH {
            kept.push("/…".as_bytes());
            break;
        }
        if index > 0 {
            kept.push(b"/");
        }
        kept.push(if is_identifier(segment) { b"*" } else { segment });
    }
    kept
}

/// Numbers, hexadecimal digests, words that are mostly digits, and what is too long to be a word.
fn is_identifier(segment: &[u8]) -> bool {
    let digits = segment.iter().filter(|octet| octet.is_ascii_digit()).count();
    (digits > 0 && (digits * 2 > segment.len() || segment.len() >= 16)) || segment.len() > LONGEST_WORD
}

/// A text that mostly needs no memory of its own.
#[derive(Debug, Default)]
pub(super) struct SmallText(SmallVec<[u8; 64]>);

impl SmallText {
    /// Adds octets between which and those before them no character is divided.
    fn push(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Segments of a path that are told apart.
const DEPTH: usize = 4;
/// What is longer is no word that somebody chose.
const LONGEST_WORD: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_one_kind_have_one_pattern() {
        let patterns = [
            ("/", "/"),
            ("/cart/pay?card=1", "/cart/pay"),
            ("/u640/x/33f79a5af6f848e4", "/*/x/*"),
            ("/v1/orders/17", "/v1/orders/*"),
            ("/a/b/c/d/e/f", "/a/b/c/d/…"),
            ("/login;jsessionid=5", "/login"),
        ];
        for (target, expected) in patterns {
            assert_eq!(pattern(target).as_str(), expected, "{target}");
        }
    }

    #[test]
    fn a_value_is_called_what_it_is() {
        assert_eq!(value(Facet::Idle, slot(Facet::Idle, 5_900), false), "5 s to 6 s");
        assert_eq!(value(Facet::Idle, slot(Facet::Idle, 5_900), true), "5 s or more");
        assert_eq!(value(Facet::Number, 0, false), "the first one");
        assert_eq!(value(Facet::Number, 1, false), "number 2 to 4");
        assert_eq!(value(Facet::Size, 0, false), "less than 1 KiB");
    }
}
