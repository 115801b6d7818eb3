//! What is inside of the records: plaintext in, the events of HTTP out, in offsets of the stream.
//!
//! How much plaintext a hole holds is known where the sequence numbers tell how many records are missing, and each has as many
//! octets more than its plaintext. Else nothing is known of it.

use std::ops::Range;

use crate::event::{GapJudged, Moment, Opaque, Side, What};
use crate::flow::assembler::Piece;
use crate::flow::connection::Context;
use crate::observe::decrypted::Now;
use crate::observe::decrypted::keys::{Follow, Opened};
use crate::observe::decrypted::offsets::{Offsets, inside, outside};
use crate::observe::decrypted::records::{Lost, Whole};
use crate::observe::http1::{Http1, Sections};
use crate::observe::http2::Http2;

/// HTTP, and where its octets stand in the stream.
#[derive(Debug)]
pub(super) struct Inside {
    http: Http1,
    /// What it turned out to be.
    http2: Option<Box<Http2>>,
    offsets: [Offsets; 2],
    sides: [Flow; 2],
    /// Some records are longer than they need be: how much of a hole is plaintext cannot be told.
    padded: bool,
}

#[derive(Debug, Default)]
struct Flow {
    /// The last record held application data, so that a hole behind it did too.
    after_data: bool,
    /// The hole that is open was told.
    told: bool,
    /// Octets of a record besides its plaintext.
    overhead: Option<usize>,
}

impl Default for Inside {
    fn default() -> Self {
        Self {
            http: Http1::new(true),
            http2: None,
            offsets: Default::default(),
            sides: Default::default(),
            padded: false,
        }
    }
}

impl Inside {
    /// Octets of application data.
    pub(super) fn data(
        &mut self,
        side: Side,
        stream: Range<u64>,
        octets: &[u8],
        now: Now<'_>,
        tell: &mut impl FnMut(Moment, What),
    ) {
        self.flow_mut(side).after_data = true;
        if !octets.is_empty() {
            let at = self.place(side, stream, octets.len() as u64, now.context);
            self.piece(side, &Piece::Data { at, octets }, now, tell);
        }
    }

    /// A record was opened: what is missing before it is told.
    pub(super) fn behind(
        &mut self,
        side: Side,
        whole: &Whole<'_>,
        opened: Opened,
        plaintext: usize,
        now: Now<'_>,
        tell: &mut impl FnMut(Moment, What),
    ) {
        let is_data = opened.content_type == super::APPLICATION_DATA;
        let length = usize::try_from(whole.end - whole.start).unwrap_or(usize::MAX);
        if opened.overhead.is_some_and(|overhead| length > overhead + plaintext) {
            self.padded = true;
        }
        let padded = self.padded;
        let flow = self.flow_mut(side);
        let was_told = std::mem::take(&mut flow.told);
        let after_data = std::mem::take(&mut flow.after_data);
        flow.overhead = opened.overhead;
        // Under the keys of another secret other things are missing, if any; after a KeyUpdate it is not known.
        let is_whole = opened.lost == 0 && opened.keys != Follow::Updated;
        let missing = whole.missed.octets;
        if missing == 0 || is_whole || was_told {
            return;
        }
        let known = after_data && is_data && !padded && opened.keys == Follow::Same;
        let overhead = opened.overhead.filter(|_| known).map(|overhead| overhead as u64 * opened.lost);
        let octets = overhead.and_then(|overhead| missing.checked_sub(overhead));
        self.gap(side, whole.start.saturating_sub(missing)..whole.start, octets, now, tell);
    }

    /// Octets of the stream are missing that may or may not come to be known as so many octets of plaintext; told at once.
    pub(super) fn lose(
        &mut self,
        side: Side,
        stream: Range<u64>,
        octets: Option<u64>,
        now: Now<'_>,
        tell: &mut impl FnMut(Moment, What),
    ) {
        if !self.flow_mut(side).told || octets.is_some() {
            self.flow_mut(side).told = true;
            self.gap(side, stream, octets, now, tell);
        }
    }

    /// The snaplen cut a record, or what cannot be told.
    pub(super) fn snap(&mut self, side: Side, lost: Lost, now: Now<'_>, tell: &mut impl FnMut(Moment, What)) {
        let padded = self.padded;
        let flow = self.flow_mut(side);
        let overhead = flow.overhead.filter(|_| flow.after_data && !padded);
        match lost {
            Lost::Nothing => {}
            Lost::Record(stream) => {
                let octets = (stream.end - stream.start).checked_sub(overhead.unwrap_or(usize::MAX) as u64);
                self.lose(side, stream, octets, now, tell);
            }
            Lost::Octets(stream) => self.lose(side, stream, None, now, tell),
        }
    }

    pub(super) fn closed(&mut self, side: Side, reset: bool, now: Now<'_>, tell: &mut impl FnMut(Moment, What)) {
        let Self { http, http2, offsets, .. } = self;
        let tell = &mut |what| tell_outside(offsets, what, now.moment, tell);
        match http2 {
            Some(http2) => http2.closed(side, tell),
            None => http.closed(side, reset, tell),
        }
    }

    /// There is no room for header sections that are not complete.
    pub(super) fn give_up(&mut self, now: Now<'_>, tell: &mut impl FnMut(Moment, What)) {
        let Self { http, http2, offsets, .. } = self;
        match http2 {
            Some(http2) => http2.give_up(&mut |what| tell_outside(offsets, what, now.moment, tell)),
            None => http.give_up_heads(inside(offsets, now.context)),
        }
    }

    pub(super) fn held_octets(&self) -> usize {
        let http2 = self.http2.as_ref().map_or(0, |http2| http2.held_octets());
        self.http.held_octets() + http2 + self.offsets.iter().map(Offsets::held_octets).sum::<usize>()
    }

    fn gap(
        &mut self,
        side: Side,
        stream: Range<u64>,
        octets: Option<u64>,
        now: Now<'_>,
        tell: &mut impl FnMut(Moment, What),
    ) {
        let length = octets.unwrap_or(UNKNOWN);
        if length > 0 {
            let at = self.place(side, stream, length, now.context);
            self.piece(side, &Piece::Gap { at, length, judged: GapJudged::Unknown }, now, tell);
        }
    }

    fn place(&mut self, side: Side, stream: Range<u64>, octets: u64, context: Context) -> u64 {
        let ([client, server], [of_client, of_server]) = (&mut self.offsets, context.acknowledged);
        match side {
            Side::Client => client.push(stream, octets, of_client),
            Side::Server => server.push(stream, octets, of_server),
        }
    }

    fn piece(&mut self, side: Side, piece: &Piece<'_>, now: Now<'_>, tell: &mut impl FnMut(Moment, What)) {
        let Self { http, http2, offsets, .. } = self;
        let now = Now { context: inside(offsets, now.context), ..now };
        let mut tell = |what| tell_outside(offsets, what, now.moment, tell);
        if let Some(http2) = http2 {
            return http2.piece(side, piece, now, &mut tell);
        }
        // Beside what the cipher costs, taking sections apart does not count.
        http.piece(side, piece, &now, &mut Sections::default(), &mut |what| {
            if !matches!(what, What::Opaque(Opaque::Http2)) {
                tell(what);
            }
        });
        if let Some((mut begun, unread)) = http.to_http2() {
            tell(What::Multiplexed);
            begun.read(&unread, now, &mut tell);
            *http2 = Some(begun);
        }
    }

    fn flow_mut(&mut self, side: Side) -> &mut Flow {
        let [client, server] = &mut self.sides;
        if side == Side::Client { client } else { server }
    }
}

/// Tells what HTTP tells as it stands in the streams, where a message ends with a record.
fn tell_outside(offsets: &[Offsets; 2], mut what: What, moment: Moment, tell: &mut impl FnMut(Moment, What)) {
    let end = what.part();
    for what in [what].into_iter().chain(end) {
        tell(moment, known(outside(offsets, what)));
    }
}

/// What is told of sizes, without what is not known.
fn known(mut what: What) -> What {
    if let What::ResponseEnded { content, .. } = &mut what {
        *content %= UNKNOWN;
    }
    what
}

/// The length of a hole of which nothing is known: more than any message has.
const UNKNOWN: u64 = 1 << 40;
