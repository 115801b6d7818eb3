//! What a connection's observer tells, step by step: for the tests of those that take pieces alike.

use std::fmt::Write;

use proptest::prelude::*;

use crate::event::{Frame, GapJudged, Moment, Side, What};
use crate::flow::assembler::Piece;
use crate::flow::connection::Context;
use crate::limits::Limits;
use crate::observe::Common;
use crate::observe::Observer;
use crate::observe::decrypted::Now;
use crate::time::Timestamp;

/// What comes by: octets of the client or the server, octets of theirs that are not in the capture or that the
/// snaplen cut off, the server's FIN.
#[derive(Clone, Debug)]
pub(super) enum Step {
    C(Vec<u8>),
    S(Vec<u8>),
    LostC(u64),
    LostS(u64),
    CutC(u64),
    CutS(u64),
    Fin,
}

/// What an observer tells, in short: `1?GET /a` a request, `1.` its end, `1:200` a response, `1!` its end, and so on.
pub(super) fn told<'a>(mut observer: Observer, head_bytes: usize, steps: impl IntoIterator<Item = &'a Step>) -> String {
    let limits = Limits { head_bytes, ..Limits::default() };
    let mut common = Common::new(&limits);
    let (mut sent, mut said) = ([0_u64; 2], String::new());
    for (nth, step) in steps.into_iter().enumerate() {
        let moment = Moment { at: Timestamp::default(), frame: Frame::new(0, nth as u64) };
        let context = Context { sent, acknowledged: sent };
        let data = |at, octets| Piece::Data { at, octets };
        let lost = |at, length| Piece::Gap { at, length, judged: GapJudged::Capture };
        let cut = |at, length| Piece::Gap { at, length, judged: GapJudged::Snaplen };
        let (side, piece, length) = match step {
            Step::C(octets) => (Side::Client, data(sent[0], octets), octets.len() as u64),
            Step::S(octets) => (Side::Server, data(sent[1], octets), octets.len() as u64),
            Step::LostC(length) => (Side::Client, lost(sent[0], *length), *length),
            Step::LostS(length) => (Side::Server, lost(sent[1], *length), *length),
            Step::CutC(length) => (Side::Client, cut(sent[0], *length), *length),
            Step::CutS(length) => (Side::Server, cut(sent[1], *length), *length),
            Step::Fin => {
                observer.closed(Side::Server, false, moment, &limits, &mut |_, what| say(&mut said, what));
                continue;
            }
        };
        sent[side.index()] += length;
        let now = Now { moment, context, limits: &limits };
        observer.piece(side, &piece, now, &mut common, &mut |_, what| say(&mut said, what));
    }
    said.trim_end().to_owned()
}

/// Adds one thing that is told; the end of a message that is whole as one of its own.
pub(super) fn say(said: &mut String, mut what: What) {
    let end = what.part();
    match &what {
        What::RequestStarted { exchange, .. } => write!(said, "{exchange}… "),
        What::Request(request) => write!(said, "{}?{} {} ", request.exchange, request.method(), request.target()),
        What::RequestEnded { exchange, .. } => write!(said, "{exchange}. "),
        What::ResponseStarted { exchange, .. } => write!(said, "{exchange}:… "),
        What::Response(response) => write!(said, "{}:{} ", response.exchange, response.status),
        What::ResponseContent { exchange, content } => write!(said, "{exchange}={} ", content.0.escape_ascii()),
        What::ResponseEnded { exchange, content, how, .. } => write!(said, "{exchange}!{how:?}({content}) "),
        What::StreamReset(reset) => write!(said, "{}x{:?}({}) ", reset.exchange, reset.by, reset.code),
        What::GoAway(goaway) => write!(said, "away({:?}, {}, {}) ", goaway.by, goaway.last, goaway.code),
        What::FastCgi(end) => {
            write!(said, "{}#{:?},{} ", end.exchange, end.end.map(|end| end.app_status), end.stderr)
        }
        What::Defect(defect, _) => write!(said, "{}~{:?} ", defect.exchange, defect.kind),
        other => write!(said, "{other:?} "),
    }
    .unwrap();
    end.into_iter().for_each(|end| say(said, end));
}

/// Any steps with such octets.
pub(super) fn steps(octets: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<Step>> {
    let step = (octets, 0_u8..14, 1_u64..60).prop_map(|(octets, what, length)| match what {
        0 => Step::LostC(length),
        1 => Step::LostS(length),
        2 => Step::Fin,
        3 => Step::CutC(length),
        4 => Step::CutS(length),
        5..9 => Step::S(octets),
        _ => Step::C(octets),
    });
    prop::collection::vec(step, 0..24)
}

/// Whether nothing ends twice, but for what is told of ends that are not known, and nothing is given up twice.
pub(super) fn is_sound(said: &str) -> bool {
    let words = || said.split(' ').filter(|word| !word.contains("!Unmeasured"));
    let ends = |exchange: u32| words().filter(|word| word.starts_with(&format!("{exchange}!"))).count();
    (1..30).all(|exchange| ends(exchange) <= 1) && said.matches("Opaque").count() <= 1
}
