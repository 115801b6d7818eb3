//! Instants and spans of the capture. There is no clock here: every time comes from a packet.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// An instant on the capture's own clock: nanoseconds since 1970-01-01T00:00:00Z, about ±292 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant that lies `nanoseconds` after the epoch.
    #[must_use]
    pub const fn from_nanos(nanoseconds: i64) -> Self {
        Self(nanoseconds)
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// The span from `earlier` to `self`; zero where the clock stepped back.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        u64::try_from(self.0.saturating_sub(earlier.0)).map_or(Duration::ZERO, Duration::from_nanos)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }
}

/// RFC 3339, UTC, nanoseconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(instant) => write!(f, "{instant:.9}"),
            Err(_) => write!(f, "{}ns", self.0),
        }
    }
}

/// A frame of an input: which input, and its number there, 1-based, before any de-duplication. Orders as the frames do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frame(u64);

impl Frame {
    const NUMBER_BITS: u32 = 48;

    /// Frame number `number` of input `input`.
    #[must_use]
    pub const fn new(input: u16, number: u64) -> Self {
        Self(((input as u64) << Self::NUMBER_BITS) | (number & ((1 << Self::NUMBER_BITS) - 1)))
    }

    /// Index of the input in the order of the command line.
    #[must_use]
    pub const fn input(self) -> u16 {
        (self.0 >> Self::NUMBER_BITS) as u16
    }

    /// 1-based number within the input.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0 & ((1 << Self::NUMBER_BITS) - 1)
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}

/// When something was seen, and in which frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Capture time of the frame.
    pub at: Timestamp,
    /// The frame.
    pub frame: Frame,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_printed_as_rfc_3339_with_nanoseconds() {
        let instant = Timestamp::from_nanos(1_795_176_552_607_298_000);
        assert_eq!(instant.to_string(), "2026-11-20T12:09:12.607298000Z");
    }

    #[test]
    fn a_clock_that_steps_back_yields_no_span() {
        let (early, late) = (Timestamp::from_nanos(5), Timestamp::from_nanos(9));
        assert_eq!(late.since(early), Duration::from_nanos(4));
        assert_eq!(early.since(late), Duration::ZERO);
    }
}
