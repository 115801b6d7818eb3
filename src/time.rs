//! Instants and spans of the capture. There is no clock here: every time comes from a packet.

use std::cmp::Ordering;
use std::fmt;
use std::num::NonZeroU64;
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

/// A span that takes eight octets, whether it is optional or not: nanoseconds, up to 584 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(NonZeroU64);

impl From<Duration> for Span {
    fn from(span: Duration) -> Self {
        Self(NonZeroU64::MIN.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        Self::from_nanos(span.0.get() - 1)
    }
}

/// A frame of an input: which input, and its number there, 1-based, before any de-duplication; and which of the hosts that show the
/// same packets captured it. Which of two was seen first, only [`Moment`]s say. Zero is left out, so that an optional one is no larger than one that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Frame(NonZeroU64);

impl Frame {
    const NUMBER_BITS: u32 = 44;
    const INPUT_BIT: u32 = 48;
    /// How many hosts are told apart.
    pub const HOSTS: u8 = 1 << (Self::INPUT_BIT - Self::NUMBER_BITS);

    /// Frame number `number` of input `input`, of host 0.
    #[must_use]
    pub const fn new(input: u16, number: u64) -> Self {
        let place = ((input as u64) << Self::INPUT_BIT) | (number & ((1 << Self::NUMBER_BITS) - 1));
        Self(NonZeroU64::MIN.saturating_add(place))
    }

    /// The same frame, of another one of [`Self::HOSTS`].
    #[must_use]
    pub const fn of_host(self, host: u8) -> Self {
        let host = ((host % Self::HOSTS) as u64) << Self::NUMBER_BITS;
        Self(NonZeroU64::MIN.saturating_add(Self::new(self.input(), self.number()).place() | host))
    }

    /// Which host captured it. Inputs of one host share no packets: they follow on each other, or hold different ones.
    #[must_use]
    pub const fn host(self) -> u8 {
        (self.place() >> Self::NUMBER_BITS) as u8 % Self::HOSTS
    }

    /// Index of the input in the order of the command line.
    #[must_use]
    pub const fn input(self) -> u16 {
        (self.place() >> Self::INPUT_BIT) as u16
    }

    /// 1-based number within the input.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.place() & ((1 << Self::NUMBER_BITS) - 1)
    }

    const fn place(self) -> u64 {
        self.0.get() - 1
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}

/// When something was seen, and in which frame. Orders as the frames are seen: those of one input as they stand there, whatever
/// their stamps say; those of several by their stamps, which step back in none of them then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Capture time of the frame.
    pub at: Timestamp,
    /// The frame.
    pub frame: Frame,
}

impl Ord for Moment {
    fn cmp(&self, other: &Self) -> Ordering {
        let place = |moment: &Self| (moment.frame.input(), moment.frame.number());
        if self.frame.input() == other.frame.input() {
            self.frame.number().cmp(&other.frame.number())
        } else {
            (self.at, place(self)).cmp(&(other.at, place(other)))
        }
    }
}

impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
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
    fn a_span_is_kept_in_eight_octets() {
        for nanos in [0, 1, 1_000_000_007, u64::MAX - 1] {
            assert_eq!(Duration::from(Span::from(Duration::from_nanos(nanos))), Duration::from_nanos(nanos));
        }
        assert_eq!(size_of::<Option<Span>>(), 8);
    }

    #[test]
    fn a_frame_keeps_its_input_its_host_and_its_number() {
        for (input, number) in [(0, 0), (0, 1), (1, 0), (7, (1 << 44) - 1), (u16::MAX, 12)] {
            let frame = Frame::new(input, number);
            assert_eq!((frame.input(), frame.number(), frame.host()), (input, number, 0));
            let frame = frame.of_host(9).of_host(15);
            assert_eq!((frame.input(), frame.number(), frame.host()), (input, number, 15));
        }
        assert_eq!(size_of::<Option<Moment>>(), size_of::<Moment>());
    }

    #[test]
    fn frames_of_one_input_have_their_order_and_those_of_several_that_of_their_stamps() {
        let moment = |input, number, at| Moment { at: Timestamp::from_nanos(at), frame: Frame::new(input, number) };
        let seen = [moment(1, 900, 3), moment(0, 7, 5), moment(1, 901, 5), moment(0, 8, 6)];
        assert!(seen.is_sorted() && seen.iter().rev().is_sorted_by(|later, earlier| later > earlier));
        assert!(moment(0, 8, 6) < moment(0, 9, 4), "a clock that steps back changes no order");
    }

    #[test]
    fn a_clock_that_steps_back_yields_no_span() {
        let (early, late) = (Timestamp::from_nanos(5), Timestamp::from_nanos(9));
        assert_eq!(late.since(early), Duration::from_nanos(4));
        assert_eq!(early.since(late), Duration::ZERO);
    }
}
