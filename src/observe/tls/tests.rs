//! Ladders of records: what order and lengths tell where nothing else does.

use std::fmt::Write;

use super::*;
use crate::event::Ending;

/// A rung: who sends, what, and whether it acknowledges all that the peer sent.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Records of application data of the client, by the octets inside.
    C(u16),
    /// The same of the server.
    S(u16),
    /// A record of the server that crosses what the client sent last.
    Crossing(u16),
    /// The beginning of a record of the server.
    Part(u16),
    /// Octets of the server that the capture does not hold.
    LostS(u64),
    /// Octets of the client that the capture does not hold.
    LostC(u64),
    Fin,
}

use Step::{C, Crossing, Fin, LostC, LostS, Part, S};

const OVERHEAD: u16 = 17;

/// A connection in TLS 1.3 whose handshake is done.
struct Ladder {
    tls: Tls,
    sent: [u64; 2],
    acknowledged: [u64; 2],
    events: Vec<What>,
}

impl Ladder {
    fn step(&mut self, step: Step) {
        let (side, octets, lost) = match step {
            C(length) => (Side::Client, record(length), 0),
            S(length) | Crossing(length) => (Side::Server, record(length), 0),
            Part(length) => (Side::Server, record(length).split_at(9).0.to_vec(), 0),
            LostS(length) => (Side::Server, Vec::new(), length),
            LostC(length) => (Side::Client, Vec::new(), length),
            Fin => return self.tls.closed(Side::Server, false, &mut |what| self.events.push(what)),
        };
        let (own, peer) = (side.index(), side.other().index());
        let at = self.sent[own];
        if !matches!(step, Crossing(_)) {
            self.acknowledged[peer] = self.sent[peer];
        }
        self.sent[own] += octets.len() as u64 + lost;
        let context = Context { sent: self.sent, acknowledged: self.acknowledged };
        let piece = match lost {
            0 => Piece::Data { at, octets: &octets },
            length => Piece::Gap { at, length, judged: crate::event::GapJudged::Capture },
        };
        self.tls.piece(side, &piece, context, &Limits::default(), &mut |what| self.events.push(what));
    }
}

fn record(content: u16) -> Vec<u8> {
    let length = content + OVERHEAD;
    [&[23, 3, 3][..], &length.to_be_bytes(), &vec![0x5a; usize::from(length)]].concat()
}

/// What the events say: `>1` a request begins, `<1` a response, `=1:5` its end so far after 5 octets (`?` unknown, `~` cut),
/// `T2` two tickets (`T1?` perhaps a response), `!` an alert.
fn told(carried: exchanges::Followed, steps: &[Step]) -> String {
    let mut tls = Tls::new(true);
    tls.handshake.skip_for_tests();
    tls.exchanges.follow(carried);
    let mut ladder = Ladder { tls, sent: [0; 2], acknowledged: [0; 2], events: Vec::new() };
    steps.iter().for_each(|step| ladder.step(*step));
    let mut text = String::new();
    for event in &ladder.events {
        let _ = match event {
            What::RequestStarted { exchange, .. } => write!(text, ">{exchange} "),
            What::ResponseStarted { exchange, solicited: true, .. } => write!(text, "<{exchange} "),
            What::ResponseStarted { exchange, .. } => write!(text, "<!{exchange} "),
            What::Veiled(veiled) => write!(text, ".{}:{} ", veiled.exchange, veiled.request_octets),
            What::ResponseEnded { exchange, content, how, .. } => {
                let sign = match how {
                    Ending::Unmeasured => '=',
                    Ending::Truncated => '~',
                    _ => '?',
                };
                write!(text, "{sign}{exchange}:{content} ")
            }
            What::Tls(shown) => match &**shown {
                Shown::Tickets(tickets) => {
                    write!(text, "T{}{} ", tickets.records, if tickets.perhaps_response { "?" } else { "" })
                }
                Shown::Alert(_) => write!(text, "! "),
                _ => Ok(()),
            },
            _ => Ok(()),
        };
    }
    text.trim_end().to_owned()
}

fn followed(carried: crate::event::tls::Carried, tickets_seen: bool) -> exchanges::Followed {
    exchanges::Followed { carried, is_1_3: true, overhead: Some(OVERHEAD), tickets_seen }
}

fn check(steps: &[Step], expected: &str) {
    assert_eq!(told(followed(crate::event::tls::Carried::Http1, false), steps), expected, "{steps:?}");
}

fn check_without_tickets(steps: &[Step], expected: &str) {
    assert_eq!(told(followed(crate::event::tls::Carried::Http1, true), steps), expected, "{steps:?}");
}

#[test]
fn each_turn_of_the_client_is_a_request() {
    check_without_tickets(&[C(90), S(200), C(91), S(300), S(10)], ">1 .1:90 <1 =1:200 >2 .2:91 <2 =2:300 =2:310");
    check_without_tickets(&[C(90), C(1000), S(200)], ">1 .1:90 .1:1090 <1 =1:200");
}

#[test]
fn tickets_before_the_request_answer_nothing() {
    check(&[S(238), S(238), C(90), S(300)], ">1 .1:90 T2 <1 =1:300");
    check(&[C(90), Crossing(238), Crossing(238), S(300)], ">1 .1:90 T2 <1 =1:300");
}

#[test]
fn tickets_behind_the_request_are_of_one_length() {
    check(&[C(90), S(238), S(238), S(300)], ">1 .1:90 T2 <1 =1:300");
    check(&[C(90), S(238), S(300)], ">1 .1:90 T1 <1 =1:300");
    check(&[C(90), S(238), S(238), Fin], ">1 .1:90 T2");
}

#[test]
fn a_record_that_may_be_a_ticket_is_no_response_for_sure() {
    check(&[C(90), S(238), Fin], ">1 .1:90 T1? ?1:0");
    check(&[C(90), S(9000), Fin], ">1 .1:90 <1 =1:9000");
}

#[test]
fn a_record_as_long_as_an_alert_is_none_of_a_response() {
    check_without_tickets(&[C(90), S(2), Fin], ">1 .1:90 !");
    check_without_tickets(&[C(90), S(200), S(2), Fin], ">1 .1:90 <1 =1:200 !");
}

#[test]
fn what_the_server_waited_for_belongs_to_the_request() {
    check_without_tickets(&[C(90), S(25), C(1000), S(200)], ">1 .1:90 <1 .1:1090 <1 =1:200");
}

#[test]
fn a_request_may_go_on_behind_an_early_response() {
    check_without_tickets(&[C(90), C(16384), S(150), C(16384)], ">1 .1:90 .1:16474 <1 =1:150 .1:32858");
}

#[test]
fn a_response_that_ends_within_a_record_is_cut() {
    check_without_tickets(&[C(90), S(200), Part(100), Fin], ">1 .1:90 <1 =1:200 =1:200 ~1:200");
    check_without_tickets(&[C(90), Part(100), Fin], ">1 .1:90 <1 =1:0 ~1:0");
}

#[test]
fn after_a_gap_nothing_gets_somebody_elses_answer() {
    check_without_tickets(&[C(90), LostS(100), S(200), C(91), S(300)], ">1 .1:90 ?1:0 >2 .2:91 <2 =2:300");
    check_without_tickets(
        &[C(90), S(200), LostC(500), S(10), C(91), S(1)],
        ">1 .1:90 <1 =1:200 =1:210 >2 .2:91 <2 =2:1",
    );
}

#[test]
fn many_exchanges_at_once_are_not_told_apart() {
    use crate::event::tls::Carried;
    for carried in [Carried::Http2, Carried::Unknown, Carried::Other] {
        assert_eq!(told(followed(carried, true), &[C(90), S(200)]), "");
    }
}

#[test]
fn a_plaintext_request_may_be_answered_by_an_alert() {
    let What::Tls(shown) = alert_instead(9, &[21, 3, 1, 0, 2, 2, 70, 72]).unwrap() else { panic!("not of TLS") };
    assert!(matches!(*shown, Shown::Alert(SentAlert { start: 9, end: 16, alert: Some(_), certain: true, .. })));
    assert!(alert_instead(0, b"HTTP/1.1 400").is_err());
}
