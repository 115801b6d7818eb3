//! Where plaintext stands in the stream of TCP. HTTP is read off the plaintext of a direction, in offsets of its own; what is
//! told of it stands in offsets of the TCP stream, in which acknowledgements, FIN and RST count:
//!
//! ```text
//!   TCP        | header | fragment, tag | header | fragment, tag |
//!              start    :               end                      :
//!   plaintext           |===============|        |===============|
//! ```
//!
//! An octet was sent with its record: its start is the record's, and the peer has it once it has the whole record.

use std::collections::VecDeque;
use std::ops::Range;

use crate::event::{Side, What};
use crate::flow::connection::Context;

/// The records of a direction that hold application data, the latest ones.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    rows: VecDeque<Row>,
    /// What stands before the rows: offsets in both streams.
    before: (u64, u64),
}

#[derive(Clone, Debug)]
struct Row {
    stream: Range<u64>,
    /// Plaintext up to its end.
    plain_end: u64,
}

impl Offsets {
    /// Adds a record, or a hole, and the octets of plaintext that it holds. Returns the offset of the first one.
    pub(super) fn push(&mut self, stream: Range<u64>, octets: u64, acknowledged: u64) -> u64 {
        let start = self.plain_end();
        if self.rows.is_empty() && start == 0 {
            self.before = (stream.start, 0);
        }
        self.rows.push_back(Row { stream, plain_end: start.saturating_add(octets) });
        while self.rows.len() > MOST_ROWS
            || self.rows.len() > LEAST_ROWS && self.rows.front().is_some_and(|row| row.stream.end <= acknowledged)
        {
            let Some(row) = self.rows.pop_front() else { break };
            self.before = (row.stream.end, row.plain_end);
        }
        start
    }

    fn plain_end(&self) -> u64 {
        self.rows.back().map_or(self.before.1, |row| row.plain_end)
    }

    /// Octets of plaintext in whole records before an offset of the stream.
    fn plain(&self, offset: u64) -> u64 {
        let behind = self.rows.partition_point(|row| row.stream.end <= offset);
        behind.checked_sub(1).and_then(|last| self.rows.get(last)).map_or(self.before.1, |row| row.plain_end)
    }

    /// Where the record begins that holds an octet of plaintext, or will.
    fn start(&self, octet: u64) -> u64 {
        let row = self.rows.get(self.rows.partition_point(|row| row.plain_end <= octet));
        let start = row.map(|row| row.stream.start).or(self.rows.back().map(|row| row.stream.end));
        if octet < self.before.1 { self.before.0 } else { start.unwrap_or(self.before.0) }
    }

    /// Where the record ends that holds the octet of plaintext before an offset.
    fn end(&self, offset: u64) -> u64 {
        if offset <= self.before.1 {
            return self.before.0;
        }
        let row = self.rows.get(self.rows.partition_point(|row| row.plain_end < offset));
        row.or(self.rows.back()).map_or(self.before.0, |row| row.stream.end)
    }

    /// Octets of memory that are held.
    pub(super) fn held_octets(&self) -> usize {
        self.rows.capacity() * size_of::<Row>()
    }
}

/// The moment of a piece in offsets of plaintext.
pub(super) fn inside([client, server]: &[Offsets; 2], context: Context) -> Context {
    let plain = |[of_client, of_server]: [u64; 2]| [client.plain(of_client), server.plain(of_server)];
    Context { sent: plain(context.sent), acknowledged: plain(context.acknowledged) }
}

/// What HTTP tells in offsets of plaintext, in those of the streams. Sizes of header sections stay what they are.
pub(super) fn outside([client, server]: &[Offsets; 2], mut what: What) -> What {
    match &mut what {
        What::RequestStarted { at, acknowledged, .. } => {
            *at = client.start(*at);
            *acknowledged = server.end(*acknowledged);
        }
        What::RequestEnded { end, .. } => *end = client.end(*end),
        What::Request(request) => {
            request.start = client.start(request.start);
            request.acknowledged = server.end(request.acknowledged);
        }
        What::ResponseStarted { at, .. } => *at = server.start(*at),
        What::ResponseEnded { end, .. } => *end = server.end(*end),
        What::Response(response) => {
            response.start = server.start(response.start);
            response.request_sent = client.end(response.request_sent);
        }
        What::Defect(defect, _) => {
            let sender = if defect.sender == Side::Client { client } else { server };
            defect.offset = sender.start(defect.offset);
        }
        _ => {}
    }
    what
}

/// Records that are kept although the peer has acknowledged them: a message may begin in them.
const LEAST_ROWS: usize = 16;

/// Records that are kept at all. A window of 4 MiB holds as many full ones.
const MOST_ROWS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    /// Three records of 100, 50 and 10 octets of plaintext behind a handshake of 1000 octets, each with 22 octets more, and
    /// another one of 40 octets between the second and the third.
    fn offsets() -> Offsets {
        let mut offsets = Offsets::default();
        assert_eq!(offsets.push(1000..1122, 100, 0), 0);
        assert_eq!(offsets.push(1122..1194, 50, 0), 100);
        assert_eq!(offsets.push(1234..1266, 10, 0), 150);
        offsets
    }

    #[test]
    fn an_octet_begins_with_its_record_and_ends_with_it() {
        let offsets = offsets();
        for (octet, start) in [(0, 1000), (99, 1000), (100, 1122), (149, 1122), (150, 1234), (159, 1234), (160, 1266)] {
            assert_eq!(offsets.start(octet), start, "octet {octet}");
        }
        for (offset, end) in [(0, 1000), (1, 1122), (100, 1122), (101, 1194), (150, 1194), (151, 1266), (160, 1266)] {
            assert_eq!(offsets.end(offset), end, "before {offset}");
        }
    }

    #[test]
    fn plaintext_is_there_when_its_record_is_whole() {
        let offsets = offsets();
        for (offset, plain) in
            [(0, 0), (1000, 0), (1121, 0), (1122, 100), (1193, 100), (1194, 150), (1265, 150), (1266, 160), (9999, 160)]
        {
            assert_eq!(offsets.plain(offset), plain, "offset {offset}");
        }
    }

    #[test]
    fn records_that_were_acknowledged_are_forgotten_but_for_the_latest() {
        let mut offsets = Offsets::default();
        for nth in 0..1000 {
            offsets.push(nth * 100..nth * 100 + 100, 78, nth * 100);
        }
        assert_eq!(offsets.rows.len(), LEAST_ROWS);
        assert_eq!(
            (offsets.start(999 * 78), offsets.end(1000 * 78), offsets.plain(100_000)),
            (99_900, 100_000, 78_000)
        );
        assert_eq!((offsets.start(0), offsets.plain(0)), (98_400, 984 * 78), "no earlier than the rows");
        for nth in 1000..2000 {
            offsets.push(nth * 100..nth * 100 + 100, 78, 0);
        }
        assert_eq!(offsets.rows.len(), MOST_ROWS);
    }
}
