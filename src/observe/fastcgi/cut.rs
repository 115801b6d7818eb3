//! Segments that the snaplen cut. What stands before the hole is read; where the hole reaches over the end of a record, the records
//! behind it cannot be told from content, and where a message ends the other side tells: a web server that asks again has had its
//! answer.
//!
//! ```text
//!   web server   [ BEGIN_REQUEST PARAMS … | hole ]                                    [ BEGIN_REQUEST PARAMS … | hole ]
//!   application                                     [ STDOUT: header section | hole ]
//! ```
//!
//! Each segment may be the last one, so the end is told with each, and the latest word stands.

use crate::event::{Ending, Side, What};
use crate::observe::decrypted::Now;
use crate::observe::fastcgi::FastCgi;
use crate::observe::fastcgi::open::{Answer, Asked, Open};
use crate::observe::fastcgi::records::Records;
use crate::observe::head::Place;
use crate::wire::fastcgi::{HEADER, begins_request};

impl FastCgi {
    /// A hole from `at` up to `end` that reaches over the end of a record.
    pub(super) fn cut(&mut self, side: Side, (at, end): (u64, u64), now: Now<'_>, tell: &mut impl FnMut(What)) {
        let [client, server] = &mut self.is_cut;
        match side {
            Side::Client => (*client, self.client) = (true, Records::default()),
            Side::Server => (*server, self.server) = (true, Records::default()),
        }
        let Some(open) = &mut self.open else { return };
        match side {
            Side::Client => {
                let is_first = open.asked == Asked::Params;
                if is_first {
                    open.is_cut = true;
                    open.tell_request(end, now.limits.text_bytes, tell);
                }
                if !is_first || open.asked != Asked::Nothing {
                    open.follow_request(end, tell);
                }
            }
            Side::Server => {
                if open.cut_response(tell) {
                    return open.follow_response(end, tell);
                }
                // Whatever it was stands in the hole.
                open.tell_output(at, 0, tell);
                self.lose(tell);
            }
        }
    }

    /// Octets up to `end` where records cannot be told from content. Returns whether they are that.
    pub(super) fn is_behind_cut(&mut self, side: Side, octets: &[u8], end: u64, tell: &mut impl FnMut(What)) -> bool {
        if !self.is_cut.get(side.index()).is_some_and(|is_cut| *is_cut) {
            return false;
        }
        if side == Side::Client && begins_request(octets) {
            self.is_cut = [false; 2];
            return false;
        }
        match (&mut self.open, side) {
            (Some(open), Side::Client) => open.follow_request(end, tell),
            (Some(open), Side::Server) => open.follow_response(end, tell),
            (None, _) => {}
        }
        true
    }
}

impl Open {
    /// The request goes on, at least up to `end`.
    fn follow_request(&mut self, end: u64, tell: &mut impl FnMut(What)) {
        if matches!(self.answer, Answer::Nothing) {
            self.end_request(end, tell);
        }
    }

    /// Takes what there is of a header section. Returns whether that is a response.
    fn cut_response(&mut self, tell: &mut impl FnMut(What)) -> bool {
        if let Answer::Head(start, since) = self.answer {
            let output = std::mem::take(&mut self.output);
            let lines = memchr::memrchr(b'\n', &output).and_then(|last| output.get(..=last)).unwrap_or_default();
            if lines.is_empty() {
                return false;
            }
            // Where it stands in several records, or behind it.
            let end = start + (HEADER + lines.len()) as u64;
            let place = Place { exchange: self.exchange, start, first: since.0 };
            self.tell_response(lines, true, place, (end, since.1), tell);
        }
        match self.answer {
            Answer::Content { from, declared, .. } => {
                self.answer = Answer::Cut { from, least_end: from.saturating_add(declared.unwrap_or(0)) };
                true
            }
            Answer::Cut { .. } => true,
            Answer::Nothing | Answer::Head(..) | Answer::Unreadable => false,
        }
    }

    /// The response goes on, at least up to `end`.
    fn follow_response(&self, end: u64, tell: &mut impl FnMut(What)) {
        if let Answer::Cut { from, .. } = self.answer {
            let content = end.saturating_sub(from);
            tell(What::ResponseEnded { exchange: self.exchange, end, content, how: Ending::Unmeasured });
        }
    }
}
