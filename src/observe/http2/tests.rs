//! Ladders of frames.

use super::*;
use crate::event::Frame;
use crate::limits::Limits;
use crate::observe::Observer;
use crate::observe::ladder::Step::{C, Fin, LostC, LostS, S};
use crate::observe::ladder::{self, Step, say};
use crate::time::Timestamp;
use proptest::prelude::*;

const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

/// A frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut octets = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    octets.extend([kind, flags]);
    octets.extend(stream.to_be_bytes());
    octets.extend_from_slice(payload);
    octets
}

/// `GET /path` that is complete. The path is learned by the table.
fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(1, 0x5, stream, &[b"\x82\x86\x44", &[path.len() as u8][..], path.as_bytes(), b"\x41\x04host"].concat())
}

fn status(stream: u32, block: &[u8], ends: bool) -> Vec<u8> {
    frame(1, if ends { 0x5 } else { 0x4 }, stream, block)
}

fn told(steps: &[Step]) -> String {
    let begin = [C(http2::PREFACE.to_vec()), C(SETTINGS.to_vec()), S(SETTINGS.to_vec())];
    ladder::told(Observer::Http2(Box::new(Http2::new(0, false))), 4096, begin.iter().chain(steps))
}

fn check(steps: &[Step], expected: &str) {
    assert_eq!(told(steps), expected);
}

#[test]
fn streams_are_exchanges_that_end_in_any_order() {
    check(
        &[
            C([get(1, "/a"), get(3, "/b")].concat()),
            S(status(3, b"\x88", false)),
            S(status(1, b"\x8d", true)),
            S(frame(0, 0, 3, b"abc")),
            S(frame(0, 1, 3, b"de")),
        ],
        "1?GET /a 1. 2?GET /b 2. 2:200 1:404 1!Complete(0) 2!Complete(5)",
    );
}

#[test]
fn a_block_may_come_in_parts_and_a_frame_in_segments() {
    let whole = get(1, "/a");
    let (head, tail) = whole[9..].split_at(4);
    let parts = [frame(1, 1, 1, head), frame(9, 4, 1, tail)].concat();
    let (one, two) = parts.split_at(11);
    check(&[C(one.to_vec()), C(two.to_vec())], "1… 1?GET /a 1.");
    let octet_by_octet: Vec<Step> = get(1, "/a").into_iter().map(|octet| C(vec![octet])).collect();
    check(&octet_by_octet, "1… 1?GET /a 1.");
}

#[test]
fn interim_responses_and_trailers_are_no_responses() {
    check(
        &[
            C(get(1, "/a")),
            S(status(1, b"\x08\x03103", false)),
            S(status(1, b"\x88", false)),
            S(frame(0, 0, 1, b"abc")),
            S(status(1, b"\x00\x04grpc\x010", true)),
        ],
        "1?GET /a 1. 1:103 1:200 1!Complete(3)",
    );
}

#[test]
fn what_a_server_promises_is_no_response() {
    let promise = frame(5, 4, 1, b"\0\0\0\x02\x82\x86\x44\x02/b\x41\x04host");
    let pushed = [status(2, b"\x88", false), frame(0, 1, 2, b"pushed")].concat();
    check(&[C(get(1, "/a")), S(promise), S(pushed), S(status(1, b"\x8d", true))], "1?GET /a 1. 1:404 1!Complete(0)");
}

#[test]
fn the_content_of_errors_is_told_without_its_padding() {
    check(
        &[C(get(1, "/a")), S(status(1, b"\x8e", false)), S(frame(0, 0x9, 1, b"\x02oops\0\0"))],
        "1?GET /a 1. 1:500 1=oops 1!Complete(4)",
    );
}

#[test]
fn a_stream_is_given_up_by_either_side() {
    check(
        &[
            C([get(1, "/a"), get(3, "/b"), get(5, "/c")].concat()),
            S(frame(3, 0, 1, b"\0\0\0\x07")),
            C(frame(3, 0, 3, b"\0\0\0\x08")),
        ],
        "1?GET /a 1. 2?GET /b 2. 3?GET /c 3. 1xServer(REFUSED_STREAM) 2xClient(CANCEL)",
    );
    check(
        &[C(get(1, "/a")), S(status(1, b"\x88", false)), S(frame(0, 0, 1, b"abc")), S(frame(3, 0, 1, b"\0\0\0\x02"))],
        "1?GET /a 1. 1:200 1xServer(INTERNAL_ERROR) 1!Truncated(3)",
    );
}

#[test]
fn who_goes_away_says_what_is_still_taken() {
    check(
        &[C([get(1, "/a"), get(3, "/b"), get(5, "/c")].concat()), S(frame(7, 0, 0, b"\0\0\0\x03\0\0\0\0"))],
        "1?GET /a 1. 2?GET /b 2. 3?GET /c 3. away(Server, 2, NO_ERROR)",
    );
}

#[test]
fn a_connection_that_ends_cuts_what_had_begun() {
    check(
        &[C([get(1, "/a"), get(3, "/b")].concat()), S(status(3, b"\x88", false)), S(frame(0, 0, 3, b"abc")), Fin],
        "1?GET /a 1. 2?GET /b 2. 2:200 2!Truncated(3)",
    );
}

#[test]
fn a_hole_in_content_is_stepped_over() {
    let data = frame(0, 1, 1, b"0123456789");
    check(
        &[C(get(1, "/a")), S(status(1, b"\x88", false)), S(data[..11].to_vec()), LostS(8), C(get(3, "/b"))],
        "1?GET /a 1. 1:200 1!Complete(10) 2?GET /b 2.",
    );
}

#[test]
fn behind_any_other_hole_nothing_is_told() {
    let lost = "1?GET /a 1. 1!Unknown(0) Opaque(Http2)";
    check(&[C(get(1, "/a")), LostC(20), C(get(5, "/b")), S(status(1, b"\x88", true))], lost);
    check(&[C(get(1, "/a")), LostS(20), S(status(1, b"\x88", true))], lost);
    let data = frame(0, 1, 1, b"0123456789");
    let beyond = [C(get(1, "/a")), S(status(1, b"\x88", false)), S(data[..11].to_vec()), LostS(9)];
    check(&beyond, "1?GET /a 1. 1:200 1!Unknown(2) Opaque(Http2)");
}

#[test]
fn what_cannot_be_decoded_ends_it() {
    check(&[C(get(1, "/a")), C(frame(1, 5, 3, b"\xff\xff\xff\xff\xff"))], "1?GET /a 1. 1!Unknown(0) Opaque(Http2)");
    check(&[C(frame(1, 5, 1, &[0; 5000]))], "Opaque(Http2)");
    let interrupted = [C(frame(1, 1, 1, b"\x82")), C(frame(1, 4, 1, b"\x84"))];
    check(&interrupted, "1… Opaque(Http2)");
}

#[test]
fn a_server_that_speaks_something_else_answers_all_that_was_asked() {
    let mut http2 = Http2::new(0, false);
    let mut said = String::new();
    let asked = [http2::PREFACE, SETTINGS, &get(1, "/a")].concat();
    let (moment, context) = (Moment { at: Timestamp::default(), frame: Frame::new(0, 1) }, Context::default());
    for (side, octets) in [(Side::Client, &asked[..]), (Side::Server, b"HTTP/1.1 400 Bad Request\r\n\r\n")] {
        let piece = Piece::Data { at: 0, octets };
        http2
            .piece(side, &piece, Now { moment, context, limits: &Limits::default() }, &mut |what| say(&mut said, what));
    }
    assert_eq!(said.trim_end(), "1?GET /a 1. 1:… 1~NotHttp");
}

#[test]
fn the_request_before_an_upgrade_is_the_first_stream() {
    let mut http2 = Http2::new(3, true);
    let mut said = String::new();
    let (moment, context) = (Moment { at: Timestamp::default(), frame: Frame::new(0, 1) }, Context::default());
    let server = [SETTINGS, &status(1, b"\x88", true)[..]].concat();
    let client = [http2::PREFACE, SETTINGS, &get(3, "/b")].concat();
    for (side, octets) in [(Side::Server, &server[..]), (Side::Client, &client)] {
        let piece = Piece::Data { at: 0, octets };
        http2
            .piece(side, &piece, Now { moment, context, limits: &Limits::default() }, &mut |what| say(&mut said, what));
    }
    assert_eq!(said.trim_end(), "3:200 3!Complete(0) 4?GET /b 4.");
}

fn hostile() -> impl Strategy<Value = Vec<Step>> {
    let frames = (0_u8..11, any::<u8>(), 0_u32..9, prop::collection::vec(any::<u8>(), 0..40));
    let frames = frames.prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, &payload));
    let good = (0_u32..6).prop_map(|nth| get(nth * 2 + 1, "/a"));
    let answers = (0_u32..6, any::<bool>()).prop_map(|(nth, ends)| status(nth * 2 + 1, b"\x88", ends));
    let octets = prop_oneof![frames, good, answers, prop::collection::vec(any::<u8>(), 0..20)];
    ladder::steps(octets)
}

proptest! {
    #[test]
    fn no_exchange_ends_twice_whatever_comes(steps in hostile()) {
        let said = told(&steps);
        prop_assert!(ladder::is_sound(&said), "{said}");
    }
}
