use std::fmt::Write;

use super::*;
use crate::event::{Ending, Frame};
use crate::wire::packet::{Flags, Passage};

const CLIENT: &str = "192.0.2.1:40000";
const SERVER: &str = "192.0.2.2:80";
const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &[u8] = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nServer: one-that-has-a-name-of-some-length\r\nContent-Length: 5\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nServer: one-that-has-a-name-of-some-length\r\nContent-Length: 5\r\n\r\nhello";
const ERROR: &[u8] =
    b"HTTP/1.1 500 Failed\r\nServer: one-that-has-a-name-of-some-length\r\nContent-Length: 5\r\n\r\nsorry";

/// Who sends, what, and whether that acknowledges what the other one sent before.
type Step = (Side, &'static [u8], bool);

/// What is told of steps after a handshake, a word for each event: `request` and `response`, with `.` where they are whole and `^`
/// where what was asked is acknowledged with it; `end` of either, `acknowledged`, `content`.
fn told(steps: &[Step]) -> String {
    let limits = Limits::default();
    let keys = Keys::default();
    let mut shard = Shard::new(&limits, &keys);
    let [client, server]: [Endpoint; 2] = [CLIENT, SERVER].map(|end| end.parse().unwrap());
    let (mut events, mut number) = (Vec::new(), 0);
    let mut send = |side: Side, flags: u8, sequence: u32, acknowledgement: u32, payload: &[u8]| {
        let (from, to) = if side == Side::Client { (client, server) } else { (server, client) };
        let between = [from, to].map(|end| (end.ip(), end.port()));
        let segment = Segment {
            source_port: from.port(),
            destination_port: to.port(),
            sequence,
            acknowledgement,
            flags: Flags(flags),
            window: 1000,
            options: &[],
            length: payload.len() as u32,
            payload,
        };
        number += 1;
        let moment = Moment { at: Timestamp::from_nanos(number * 1000), frame: Frame::new(0, number as u64) };
        let sent = Sent { between, ttl: 64, passage: Passage::Unknown, segment };
        shard.segment(sent, keys.of(between), false, moment, &mut events);
    };
    send(Side::Client, Flags::SYN, 99, 0, b"");
    send(Side::Server, Flags::SYN | Flags::ACK, 199, 100, b"");
    send(Side::Client, Flags::ACK, 100, 200, b"");
    let (mut sent, mut acknowledged) = ([100, 200], [100, 200]);
    for (side, payload, acknowledges) in steps {
        let (own, other) = (side.index(), side.other().index());
        if *acknowledges {
            acknowledged[other] = sent[other];
        }
        send(*side, Flags::ACK, sent[own], acknowledged[other], payload);
        sent[own] += payload.len() as u32;
    }
    let mut text = String::new();
    for Event { what, .. } in &events {
        let _ = match what {
            What::Request(request) => write!(text, "request{} ", if request.whole { "." } else { "" }),
            What::Response(response) => {
                let (whole, acknowledges) = (response.whole.is_some(), response.acknowledges);
                write!(text, "response{}{} ", if whole { "." } else { "" }, if acknowledges { "^" } else { "" })
            }
            What::RequestEnded { .. } | What::ResponseEnded { how: Ending::Complete, .. } => write!(text, "end "),
            What::ResponseContent { .. } => write!(text, "content "),
            What::Acknowledged { .. } => write!(text, "acknowledged "),
            _ => Ok(()),
        };
    }
    text.trim_end().to_owned()
}

#[test]
fn what_comes_at_once_is_told_at_once() {
    let (client, server) = (Side::Client, Side::Server);
    assert_eq!(told(&[(client, GET, true), (server, OK, true)]), "request. response.^");
    assert_eq!(
        told(&[(client, GET, true), (server, b"", true), (server, OK, true)]),
        "request. acknowledged response."
    );
    assert_eq!(told(&[(client, GET, true), (server, HEAD, true), (server, b"hello", true)]), "request. response^ end");
    // Of an error's content the beginning is told, and of a request's content the end.
    assert_eq!(told(&[(client, GET, true), (server, ERROR, true)]), "request. acknowledged response content end");
    assert_eq!(told(&[(client, POST, true), (server, OK, true)]), "request end response.^");
}

#[test]
fn an_acknowledgement_that_is_not_the_answer_s_is_told_alone() {
    let (client, server) = (Side::Client, Side::Server);
    // The first of two requests is acknowledged with its answer, but more had been sent.
    let steps = [(client, GET, true), (client, GET, true), (server, OK, true), (server, OK, true)];
    assert_eq!(told(&steps), "request. request. acknowledged response.^ response.");
    // The answer acknowledges nothing; that comes with the next request's.
    let steps = [(client, GET, true), (server, OK, false), (client, GET, true), (server, OK, true)];
    assert_eq!(told(&steps), "request. response. request. acknowledged response.^");
}
