use std::fmt::Write;

use super::*;
use crate::event::{Closing, Frame, GapJudged};
use crate::time::Timestamp;
use crate::wire::packet::Flags;

/// A segment: who sends it, its flags (S A F R), its sequence and acknowledgement numbers relative to the initial ones (so
/// that the first octet has 1), and its payload.
type Step<'a> = (Side, &'a str, u32, u32, &'a [u8]);

use Side::{Client as C, Server as S};

const SYN: Step<'_> = (C, "S", 0, 0, b"");
const SYN_ACK: Step<'_> = (S, "SA", 0, 1, b"");
const ACK: Step<'_> = (C, "A", 1, 1, b"");
const OPEN: [Step<'_>; 3] = [SYN, SYN_ACK, ACK];

/// A connection and what it gave out, a word each.
struct Ladder {
    connection: Connection,
    initial: [u32; 2],
    window: u16,
    /// Octets of a payload that are captured.
    snaplen: usize,
    frame: u64,
    /// The host that captures the segments.
    host: u8,
    limits: Limits,
    told: String,
    /// Whether segments that only carry on go the shorter way, and how many did.
    may_carry_on: bool,
    carried_on: usize,
}

impl Ladder {
    fn new(initial: [u32; 2]) -> Self {
        let (client, server) = ("192.0.2.1:40000".parse().unwrap(), "192.0.2.2:80".parse().unwrap());
        Self {
            connection: Connection::new(ConnectionId(0), client, server, moment(0)),
            initial,
            window: 1000,
            snaplen: usize::MAX,
            frame: 0,
            host: 0,
            limits: Limits::default(),
            told: String::new(),
            may_carry_on: true,
            carried_on: 0,
        }
    }

    fn opened() -> Self {
        let mut ladder = Self::new([1000, 2000]);
        ladder.steps(&OPEN);
        ladder.told.clear();
        ladder
    }

    fn steps(&mut self, steps: &[Step<'_>]) {
        for (side, flags, sequence, acknowledgement, payload) in steps {
            self.frame += 1;
            let bits = flags.chars().fold(0, |bits, flag| {
                bits | match flag {
                    'S' => Flags::SYN,
                    'A' => Flags::ACK,
                    'F' => Flags::FIN,
                    'R' => Flags::RST,
                    _ => panic!("no flag: {flag}"),
                }
            });
            let segment = Segment {
                source_port: 0,
                destination_port: 0,
                sequence: self.initial[side.index()].wrapping_add(*sequence),
                acknowledgement: self.initial[side.other().index()].wrapping_add(*acknowledgement),
                flags: Flags(bits),
                window: self.window,
                options: &[],
                length: u32::try_from(payload.len()).unwrap(),
                payload: payload.get(..self.snaplen).unwrap_or(payload),
            };
            let told = &mut self.told;
            let Moment { at, frame } = moment(self.frame);
            let moment = Moment { at, frame: frame.of_host(self.host) };
            let mut out = |output: Output<'_>| tell(told, &output);
            let connection = &mut self.connection;
            let carried = if self.may_carry_on { connection.carry_on(*side, &segment, 64, moment.at) } else { None };
            let Some(carried) = carried else {
                connection.segment(*side, &segment, 64, moment, &self.limits, &mut out);
                continue;
            };
            self.carried_on += 1;
            let reached = carried.reaches.then(|| std::iter::from_fn(|| connection.reached()));
            for offset in reached.into_iter().flatten() {
                out(Output::Event(What::Acknowledged { sender: C, offset }));
            }
            if !segment.payload.is_empty() {
                let piece = Piece::Data { at: carried.at, octets: segment.payload };
                out(Output::Piece(*side, piece, connection.context()));
            }
        }
    }

    fn icmp(&mut self, quoted: Side, sequence: Option<u32>) {
        let error = Unreachable {
            from: "192.0.2.9".parse().unwrap(),
            v6: false,
            icmp_type: 3,
            code: 1,
            mtu: None,
            quoted,
            quotes_syn: false,
        };
        let sequence = sequence.map(|sequence| self.initial[quoted.index()].wrapping_add(sequence));
        let told = &mut self.told;
        self.connection.unreachable(error, sequence, &mut |output| tell(told, &output));
    }

    fn watch(&mut self, offset: u64) {
        if self.connection.watch(offset) {
            tell(&mut self.told, &Output::Event(What::Acknowledged { sender: C, offset }));
        }
    }

    fn leave(&mut self) {
        let told = &mut self.told;
        self.connection.leave(GoneWhy::Closed, &mut |output| tell(told, &output));
    }

    fn expect(&mut self, expected: &str) {
        assert_eq!(self.told.trim_end(), expected);
        self.told.clear();
    }
}

fn moment(frame: u64) -> Moment {
    Moment { at: Timestamp::from_nanos(i64::try_from(frame).unwrap() * 1_000_000), frame: Frame::new(0, frame) }
}

fn letter(side: Side) -> char {
    if side == C { 'C' } else { 'S' }
}

/// `C@0:GET` octets of the client at offset 0, `C.` its end (`C/` by a reset), the events by their names.
fn tell(told: &mut String, output: &Output<'_>) {
    let _ = match output {
        Output::Piece(side, Piece::Data { at, octets }, _) => {
            write!(told, "{}@{at}:{} ", letter(*side), octets.escape_ascii())
        }
        Output::Piece(..) => Ok(()),
        Output::Closed { side, reset } => write!(told, "{}{} ", letter(*side), if *reset { '/' } else { '.' }),
        Output::Event(what) => match what {
            What::SynRepeated => write!(told, "syn-again "),
            What::SynAck { rtt, repeated, after_ack } => {
                let again = if *repeated { "-again" } else { "" };
                let late = if *after_ack { "-late" } else { "" };
                write!(
                    told,
                    "syn-ack{again}{late}{} ",
                    rtt.map_or(String::new(), |rtt| format!("({}ms)", rtt.as_millis()))
                )
            }
            What::Established { .. } => write!(told, "established "),
            What::Acknowledged { sender, offset } => write!(told, "acked-{}@{offset} ", letter(*sender)),
            What::Retransmitted { sender, offset, length } => {
                write!(told, "again-{}@{offset}+{length} ", letter(*sender))
            }
            What::Gap { sender, offset, length, judged } => {
                let judged = match judged {
                    GapJudged::Capture => "capture",
                    GapJudged::Snaplen => "snaplen",
                    GapJudged::Network => "network",
                    GapJudged::Unknown => "unknown",
                };
                write!(told, "gap-{}@{offset}+{length}:{judged} ", letter(*sender))
            }
            What::Ahead { sender, offset, length } => write!(told, "ahead-{}@{offset}+{length} ", letter(*sender)),
            // The gap that comes of it is told, if one does.
            What::Skipped { .. } => Ok(()),
            What::Fin(closing) => write!(told, "fin-{} ", closed(closing)),
            What::FinAcknowledged { sender } => write!(told, "fin-acked-{} ", letter(*sender)),
            What::Reset(closing) => write!(told, "rst-{} ", closed(closing)),
            What::WindowClosed { by } => write!(told, "shut-{} ", letter(*by)),
            What::WindowOpened { by } => write!(told, "open-{} ", letter(*by)),
            What::Unreachable(error) => {
                write!(told, "icmp-{}{} ", letter(error.quoted), if error.quotes_syn { "(syn)" } else { "" })
            }
            What::Gone(gone) => write!(
                told,
                "gone sent {:?} acked {:?} after {:?} again {:?} ",
                gone.sent, gone.acknowledged, gone.after_fin, gone.retransmitted
            ),
            other => panic!("not of a connection: {other:?}"),
        },
    };
}

/// `S@5` at offset 5, `^3` acknowledges up to 3, and what else is special.
fn closed(closing: &Closing) -> String {
    let mut text = format!("{}@{}", letter(closing.by), closing.at);
    if let Some(acknowledged) = closing.acknowledged {
        let _ = write!(text, "^{acknowledged}/{}", closing.peer_sent);
    }
    for (is, name) in
        [(closing.after_fin, "after-fin"), (closing.in_handshake, "in-handshake"), (closing.refuses_syn, "refuses")]
    {
        if is {
            let _ = write!(text, ",{name}");
        }
    }
    text
}

fn check(steps: &[Step<'_>], expected: &str) {
    let mut ladder = Ladder::new([1000, 2000]);
    ladder.steps(steps);
    ladder.expect(expected);
}

/// After a handshake.
fn check_open(steps: &[Step<'_>], expected: &str) {
    let mut ladder = Ladder::opened();
    ladder.steps(steps);
    ladder.expect(expected);
}

mod carried;
mod closing;
mod opening;
mod transfer;

#[test]
fn octets_that_another_host_shows_as_they_arrived_are_no_retransmission() {
    let mut ladder = Ladder::opened();
    ladder.steps(&[(C, "A", 1, 1, b"POST / HTTP/1.1")]);
    ladder.host = 1;
    ladder.steps(&[(C, "A", 1, 1, b"POST "), (C, "A", 6, 1, b"/ HTTP/1.1")]);
    ladder.expect("C@0:POST / HTTP/1.1");
    // What its own host did not show is taken from there, and what that one sends again is counted.
    ladder.steps(&[(C, "A", 16, 1, b"\r\n")]);
    ladder.host = 0;
    ladder.steps(&[(C, "A", 16, 1, b"\r\n")]);
    ladder.expect("C@15:\\r\\n again-C@15+2");
}
