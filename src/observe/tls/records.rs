//! One direction's octets to records. What is not needed of a record is counted, not kept.

use std::borrow::Cow;

use crate::wire::tls::record::sslv2_client_hello;
use crate::wire::tls::{ContentType, Error, Header};

/// Octets of a piece that were not read yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest<'a> {
    /// Offset of the first one.
    pub(super) at: u64,
    pub(super) octets: &'a [u8],
}

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.octets.split_at_checked(count).unwrap_or((self.octets, &[]));
        self.octets = rest;
        self.at += taken.len() as u64;
        taken
    }
}

/// A record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Offset of its header.
    pub(super) start: u64,
    pub(super) header: Header,
}

impl Record {
    /// Offset behind it.
    pub(super) fn end(&self) -> u64 {
        self.start + Header::LENGTH as u64 + u64::from(self.header.length)
    }

    /// Whether it holds application data, or what TLS 1.3 makes look like them.
    pub(super) fn is_application_data(&self) -> bool {
        self.header.content_type == ContentType::APPLICATION_DATA
    }
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A record's header is complete.
    Begins(Record),
    /// A record is complete. Its fragment is empty where it is not needed.
    Whole(Record, Cow<'a, [u8]>),
    /// A ClientHello in SSL 2.0's form, from behind its message type, and the offset behind it.
    Sslv2(u64, u64, &'a [u8]),
    /// Octets that are no record, and where they begin.
    Foreign(u64, Cow<'a, [u8]>),
}

/// The records of one direction.
#[derive(Debug, Default)]
pub(super) struct Records {
    state: State,
    /// Octets of an incomplete header, or of an incomplete record that is needed.
    buffer: Vec<u8>,
    /// Offset of that header.
    start: u64,
    /// A record was seen.
    pub(super) any: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Header,
    Fragment {
        record: Record,
        left: usize,
    },
    /// After a gap, or after something that is no record.
    Lost,
}

impl Records {
    /// A direction of which something came by unread.
    pub(super) fn lost() -> Self {
        Self { state: State::Lost, ..Self::default() }
    }

    /// The next thing in `rest`; `None` when all is read. `encrypted` tells that handshake messages are.
    pub(super) fn next<'a>(&mut self, rest: &mut Rest<'a>, encrypted: bool) -> Option<Found<'a>> {
        match self.state {
            State::Lost if begins_record(rest.octets) => {
                self.state = State::Header;
                self.header(rest)
            }
            State::Lost => None,
            State::Header => self.header(rest),
            State::Fragment { record, left } => self.fragment(record, left, rest, encrypted),
        }
    }

    /// The record that is not complete.
    pub(super) fn inside(&self) -> Option<Record> {
        match self.state {
            State::Fragment { record, .. } => Some(record),
            State::Header | State::Lost => None,
        }
    }

    /// Whether the direction ends in the middle of a record.
    pub(super) fn is_cut(&self) -> bool {
        self.inside().is_some() || !self.buffer.is_empty()
    }

    /// Octets that are not there. Returns whether they lie within a record that was not needed, so that nothing is lost.
    pub(super) fn skip(&mut self, length: u64, encrypted: bool) -> bool {
        if let State::Fragment { record, left } = &mut self.state
            && !is_needed(record, encrypted)
            && let Some(rest) = (*left as u64).checked_sub(length)
        {
            *left = usize::try_from(rest).unwrap_or(usize::MAX);
            if rest == 0 {
                self.state = State::Header;
            }
            return true;
        }
        *self = Self { any: self.any, ..Self::lost() };
        false
    }

    /// Octets of memory.
    pub(super) fn held_octets(&self) -> usize {
        self.buffer.capacity()
    }

    fn header<'a>(&mut self, rest: &mut Rest<'a>) -> Option<Found<'a>> {
        if rest.octets.is_empty() {
            return None;
        }
        if self.buffer.is_empty() {
            self.start = rest.at;
            if !self.any
                && let Some((header, length)) = sslv2_client_hello(rest.octets)
                && let Some(body) = rest.octets.get(header + 1..header + length)
            {
                self.any = true;
                rest.take(header + length);
                return Some(Found::Sslv2(self.start, rest.at, body));
            }
        }
        let parsed = if self.buffer.is_empty() {
            Header::parse(rest.octets).inspect(|_| {
                rest.take(Header::LENGTH);
            })
        } else {
            let missing = Header::LENGTH.saturating_sub(self.buffer.len());
            self.buffer.extend_from_slice(rest.take(missing));
            Header::parse(&self.buffer)
        };
        match parsed {
            Ok(header) => {
                self.buffer.clear();
                self.any = true;
                let record = Record { start: self.start, header };
                self.state = State::Fragment { record, left: usize::from(header.length) };
                Some(Found::Begins(record))
            }
            Err(Error::Truncated) => {
                self.buffer.extend_from_slice(rest.take(rest.octets.len()));
                None
            }
            Err(Error::Malformed(_)) => {
                self.state = State::Lost;
                let before = std::mem::take(&mut self.buffer);
                let behind = rest.take(rest.octets.len());
                let octets = if before.is_empty() { Cow::Borrowed(behind) } else { [&before, behind].concat().into() };
                Some(Found::Foreign(self.start, octets))
            }
        }
    }

    fn fragment<'a>(&mut self, record: Record, left: usize, rest: &mut Rest<'a>, encrypted: bool) -> Option<Found<'a>> {
        let needed = is_needed(&record, encrypted);
        let here = rest.take(left);
        if here.len() < left {
            if needed {
                self.buffer.extend_from_slice(here);
            }
            self.state = State::Fragment { record, left: left - here.len() };
            return None;
        }
        self.state = State::Header;
        let fragment = match (needed, self.buffer.is_empty()) {
            (false, _) => {
                self.buffer.clear();
                Cow::Borrowed(&[][..])
            }
            (true, true) => Cow::Borrowed(here),
            (true, false) => {
                let mut whole = std::mem::take(&mut self.buffer);
                whole.extend_from_slice(here);
                Cow::Owned(whole)
            }
        };
        Some(Found::Whole(record, fragment))
    }
}

/// Whether a record's fragment is read: handshake messages in clear, and alerts, which are two octets in clear.
fn is_needed(record: &Record, encrypted: bool) -> bool {
    match record.header.content_type {
        ContentType::HANDSHAKE => !encrypted,
        ContentType::ALERT => record.header.length == 2,
        _ => false,
    }
}

/// Whether octets at the start of a segment are a record, and the next one if they reach as far.
fn begins_record(octets: &[u8]) -> bool {
    let Ok(header) = Header::parse(octets) else { return false };
    let next = octets.get(Header::LENGTH + usize::from(header.length)..).unwrap_or_default();
    header.length > 0 && !matches!(Header::parse(next), Err(Error::Malformed(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OCTETS: [u8; 26] = [22, 3, 1, 0, 2, 7, 8, 23, 3, 3, 0, 3, 1, 2, 3, 21, 3, 3, 0, 2, 1, 0, 23, 3, 3, 0];

    fn found(octets: &[u8], segments: &[usize]) -> (Vec<(u64, u64, Vec<u8>)>, Records) {
        let mut records = Records::default();
        let mut told = Vec::new();
        let mut at = 0;
        let mut rest = octets;
        for length in segments.iter().copied().chain([usize::MAX]) {
            let (now, behind) = rest.split_at(length.min(rest.len()));
            let mut piece = Rest { at, octets: now };
            while let Some(found) = records.next(&mut piece, false) {
                if let Found::Whole(record, fragment) = found {
                    told.push((record.start, record.end(), fragment.into_owned()));
                }
            }
            at += now.len() as u64;
            rest = behind;
        }
        (told, records)
    }

    proptest::proptest! {
        #[test]
        fn records_do_not_depend_on_segments(segments in proptest::collection::vec(0_usize..9, 0..12)) {
            let (told, records) = found(&OCTETS, &segments);
            proptest::prop_assert_eq!(told, [(0, 7, vec![7, 8]), (7, 15, vec![]), (15, 22, vec![1, 0])]);
            proptest::prop_assert!(records.is_cut());
        }
    }

    #[test]
    fn a_gap_within_a_record_that_is_not_read_loses_nothing() {
        let mut records = Records::default();
        let mut rest = Rest { at: 0, octets: &[23, 3, 3, 0, 9, 1] };
        while records.next(&mut rest, false).is_some() {}
        assert!(records.skip(8, false));
        assert!(!records.is_cut());
        assert!(!records.skip(1, false));
    }

    #[test]
    fn after_a_gap_reading_goes_on_where_a_segment_begins_with_a_record() {
        let mut records = Records::lost();
        assert_eq!(records.next(&mut Rest { at: 9, octets: b"\x17\x03\x03\x00\x01ab" }, false), None);
        let next = records.next(&mut Rest { at: 16, octets: b"\x17\x03\x03\x00\x01a\x17\x03" }, false);
        assert!(matches!(next, Some(Found::Begins(Record { start: 16, .. }))));
    }

    #[test]
    fn what_is_no_record_is_given_out_as_it_came() {
        let mut records = Records::default();
        assert_eq!(records.next(&mut Rest { at: 0, octets: &[22, 3] }, false), None);
        let found = records.next(&mut Rest { at: 2, octets: &[1, 0xff, 0xff, 9] }, false);
        assert_eq!(found, Some(Found::Foreign(0, Cow::Owned(vec![22, 3, 1, 0xff, 0xff, 9]))));
    }
}
