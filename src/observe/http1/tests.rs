mod cut;
mod defects;
mod gaps;
mod messages;
mod variables;

use std::fmt::Write;

use super::*;
use crate::event::{Frame, GapJudged};
use crate::limits::Limits;
use crate::time::Timestamp;

/// A rung of a ladder.
#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    /// A segment of the client, which has acknowledged all that the server sent.
    C(&'a [u8]),
    /// A segment of the server, which has acknowledged all that the client sent.
    S(&'a [u8]),
    /// A segment of the server that crosses what the client sent last: it acknowledges less.
    Crossing(&'a [u8]),
    /// Octets of the client that the capture does not hold.
    LostC(u64),
    /// Octets of the server that the capture does not hold.
    LostS(u64),
    /// A segment of the client of which the snaplen left these octets, and cut so many off.
    CutC(&'a [u8], u64),
    /// The same of the server.
    CutS(&'a [u8], u64),
    /// The server's FIN.
    Fin,
    /// A RST.
    Rst,
}

use Step::{C, Crossing, CutC, CutS, Fin, LostC, LostS, Rst, S};

/// A connection whose beginning was seen, or not.
struct Ladder {
    http: Http1,
    sent: [u64; 2],
    acknowledged: [u64; 2],
    frame: u64,
    events: Vec<What>,
    sections: Sections,
}

impl Ladder {
    fn new(from_start: bool) -> Self {
        Self {
            http: Http1::new(from_start),
            sent: [0; 2],
            acknowledged: [0; 2],
            frame: 0,
            events: Vec::new(),
            sections: Sections::new(),
        }
    }

    /// The connection rests, if it may.
    fn rest(&mut self) {
        if let Some(rest) = self.http.rest() {
            self.http = Http1::wake(rest);
        }
    }

    /// A segment of the client that acknowledges nothing new.
    fn request_without_acknowledgement(&mut self, octets: &[u8]) {
        let piece = Piece::Data { at: self.sent[Side::Client.index()], octets };
        self.sent[Side::Client.index()] += octets.len() as u64;
        let moment = Moment { at: Timestamp::default(), frame: Frame::new(0, self.frame) };
        let context = Context { sent: self.sent, acknowledged: self.acknowledged };
        let events = &mut self.events;
        let now = Now { moment, context, limits: &Limits::default() };
        self.http.piece(Side::Client, &piece, &now, &mut self.sections, &mut |what| keep(events, what));
    }

    fn step(&mut self, step: Step<'_>) {
        let (side, octets, lost) = match step {
            C(octets) => (Side::Client, octets, 0),
            S(octets) | Crossing(octets) => (Side::Server, octets, 0),
            LostC(length) => (Side::Client, &[][..], length),
            LostS(length) => (Side::Server, &[][..], length),
            CutC(octets, _) => (Side::Client, octets, 0),
            CutS(octets, _) => (Side::Server, octets, 0),
            Fin | Rst => {
                let events = &mut self.events;
                self.http.closed(Side::Server, matches!(step, Rst), &mut |what| keep(events, what));
                return;
            }
        };
        self.frame += 1;
        let at = self.sent[side.index()];
        // What is missing is known by the next acknowledgement of the peer, before what the peer sends with it.
        let peer = side.other().index();
        if !matches!(step, Crossing(_)) {
            self.acknowledged[peer] = self.sent[peer];
        }
        self.sent[side.index()] += octets.len() as u64 + lost;
        let piece = if lost > 0 {
            self.acknowledged[side.index()] = self.sent[side.index()];
            Piece::Gap { at, length: lost, judged: GapJudged::Capture }
        } else {
            Piece::Data { at, octets }
        };
        let moment = Moment { at: Timestamp::default(), frame: Frame::new(0, self.frame) };
        let cut = if let CutC(_, cut) | CutS(_, cut) = step { cut } else { 0 };
        self.sent[side.index()] += cut;
        let context = Context { sent: self.sent, acknowledged: self.acknowledged };
        let now = Now { moment, context, limits: &Limits::default() };
        let events = &mut self.events;
        self.http.piece(side, &piece, &now, &mut self.sections, &mut |what| keep(events, what));
        if cut > 0 {
            let piece = Piece::Gap { at: at + octets.len() as u64, length: cut, judged: GapJudged::Snaplen };
            self.http.piece(side, &piece, &now, &mut self.sections, &mut |what| keep(events, what));
        }
    }
}

fn events(from_start: bool, steps: &[Step<'_>]) -> Vec<What> {
    let mut ladder = Ladder::new(from_start);
    steps.iter().for_each(|step| ladder.step(*step));
    let mut resting = Ladder::new(from_start);
    for step in steps {
        resting.rest();
        resting.step(*step);
    }
    assert_eq!(format!("{:?}", resting.events), format!("{:?}", ladder.events), "a rest changes nothing: {steps:?}");
    ladder.events
}

/// Keeps an event; the end of a message that is whole as one of its own.
fn keep(events: &mut Vec<What>, mut what: What) {
    let end = what.part();
    events.extend([what].into_iter().chain(end));
}

/// What the events say, a word for each but the beginnings: `GET/a#1` a request and its exchange, `.1` its end, `200#1` a
/// response, `=1:5` its end after five octets of content (`~` cut, `?` unknown, `_` closed, `>` switched), `!1` unasked for.
fn told(events: &[What]) -> String {
    let mut text = String::new();
    for event in events {
        let _ = match event {
            What::Request(request) => write!(text, "{}{}#{} ", request.method(), request.target(), request.exchange),
            What::RequestEnded { exchange, .. } => write!(text, ".{exchange} "),
            What::ResponseStarted { solicited: false, exchange, .. } => write!(text, "!{exchange} "),
            What::Response(response) => write!(text, "{}#{} ", response.status, response.exchange),
            What::ResponseEnded { exchange, content, how, .. } => {
                let sign = match how {
                    Ending::Complete => '=',
                    Ending::Closed => '_',
                    Ending::Switched => '>',
                    Ending::Truncated => '~',
                    Ending::Unmeasured => '…',
                    Ending::Unknown => '?',
                };
                write!(text, "{sign}{exchange}:{content} ")
            }
            What::Defect(defect, _) => {
                write!(text, "{:?}#{}@{}+{} ", defect.kind, defect.exchange, defect.offset, defect.within)
            }
            What::Opaque(opaque) => write!(text, "{opaque:?} "),
            What::SpeaksFor(endpoint) => write!(text, "for {endpoint} "),
            _ => Ok(()),
        };
    }
    text.trim_end().to_owned()
}

fn check(steps: &[Step<'_>], expected: &str) {
    assert_eq!(told(&events(true, steps)), expected, "{steps:?}");
}
