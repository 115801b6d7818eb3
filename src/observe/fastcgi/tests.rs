//! Ladders of records.

use proptest::prelude::*;

use super::*;
use crate::observe::Observer;
use crate::observe::ladder::Step::{C, CutC, CutS, Fin, LostC, LostS, S};
use crate::observe::ladder::{self, Step};

/// A record of request 1, with some padding.
fn record(kind: Kind, content: &[u8]) -> Vec<u8> {
    let padding = content.len() % 3;
    let header = [1, kind.0, 0, 1, (content.len() >> 8) as u8, content.len() as u8, padding as u8, 0];
    [&header[..], content, &[0; 2][..padding]].concat()
}

fn pair(name: &str, value: &str) -> Vec<u8> {
    [&[name.len() as u8, value.len() as u8], name.as_bytes(), value.as_bytes()].concat()
}

/// A request that is complete but for its content.
fn ask(method: &str, path: &str, length: &str) -> Vec<u8> {
    let variables = [("REQUEST_METHOD", method), ("REQUEST_URI", path), ("CONTENT_LENGTH", length)];
    let variables: Vec<u8> = variables.into_iter().flat_map(|(name, value)| pair(name, value)).collect();
    [
        record(Kind::BEGIN_REQUEST, &[0, 1, 1, 0, 0, 0, 0, 0]),
        record(Kind::PARAMS, &variables),
        record(Kind::PARAMS, b""),
    ]
    .concat()
}

fn get(path: &str) -> Vec<u8> {
    [ask("GET", path, ""), record(Kind::STDIN, b"")].concat()
}

fn output(octets: &[u8]) -> Vec<u8> {
    record(Kind::STDOUT, octets)
}

fn end(app_status: u8) -> Vec<u8> {
    record(Kind::END_REQUEST, &[0, 0, 0, app_status, 0, 0, 0, 0])
}

fn told(steps: &[Step]) -> String {
    ladder::told(Observer::FastCgi(Box::default()), 256, steps)
}

fn check(steps: &[Step], expected: &str) {
    assert_eq!(told(steps), expected);
}

#[test]
fn a_connection_carries_one_request_after_the_other() {
    check(
        &[
            C(get("/a")),
            S([output(b"Content-Type: a/b\r\n\r\nabc"), output(b"de"), end(0)].concat()),
            C([ask("POST", "/b", "4"), record(Kind::STDIN, b"ab")].concat()),
            C([record(Kind::STDIN, b"cd"), record(Kind::STDIN, b"")].concat()),
            S([output(b"Status: 404 Not Found\r\n\r\n"), output(b"none"), end(0)].concat()),
        ],
        "1?GET /a 1. 1:200 1!Complete(5) 2?POST /b 2. 2:404 2=none 2!Complete(4)",
    );
}

#[test]
fn it_does_not_matter_how_octets_come() {
    let (asked, answered) = (get("/a"), [output(b"A: b\r\n"), output(b"\r\nabc"), end(0)].concat());
    let octet_by_octet = asked.iter().map(|octet| C(vec![*octet])).chain(answered.iter().map(|octet| S(vec![*octet])));
    check(&octet_by_octet.collect::<Vec<_>>(), "1… 1?GET /a 1. 1:… 1:200 1!Complete(3)");
}

#[test]
fn a_request_ends_with_the_content_that_it_declares() {
    check(&[C(ask("GET", "/a", "0"))], "1?GET /a 1.");
    check(&[C(ask("POST", "/a", "3"))], "1?POST /a");
    check(&[C([ask("POST", "/a", "3"), record(Kind::STDIN, b"abc")].concat())], "1?POST /a 1.");
}

#[test]
fn the_end_of_a_request_without_output_is_told_with_what_was_said_of_errors() {
    let errors = record(Kind::STDERR, b"no template\n");
    check(
        &[C(get("/a")), S([&errors[..], &output(b""), &end(1)].concat())],
        "1?GET /a 1. 1#Some(1),no template 1!Truncated(0)",
    );
    check(&[C(get("/a")), S(errors), Fin], "1?GET /a 1. 1#None,no template");
    check(&[C(get("/a")), Fin], "1?GET /a 1.");
}

#[test]
fn a_response_that_ends_too_soon_is_truncated() {
    let head = output(b"Content-Length: 5\r\n\r\nabc");
    check(&[C(get("/a")), S(head.clone()), Fin], "1?GET /a 1. 1:200 1!Truncated(3)");
    check(&[C(get("/a")), S([head, end(0)].concat())], "1?GET /a 1. 1:200 1#Some(0), 1!Truncated(3)");
    let asked = [ask("HEAD", "/a", ""), record(Kind::STDIN, b"")].concat();
    let answered = [output(b"Content-Length: 5\r\n\r\n"), end(0)].concat();
    check(&[C(asked), S(answered)], "1?HEAD /a 1. 1:200 1!Complete(0)");
    check(&[C(get("/a")), S(output(b"Content-Type: a")), Fin], "1?GET /a 1. 1:… 1!Truncated(0)");
    let garbage = [output(b"hello\nworld"), end(0)].concat();
    check(&[C(get("/a")), S(garbage)], "1?GET /a 1. 1:… 1~BadHeader 1#Some(0), 1!Truncated(0)");
}

#[test]
fn what_is_no_fastcgi_is_told_once() {
    let refused = "1?GET /a 1. 1:… 1~NotFastCgi";
    check(&[C(get("/a")), S(b"HTTP/1.1 400 Bad Request\r\n".to_vec()), S(b"\r\n".to_vec())], refused);
    let other = [1, 6, 0, 2, 0, 3, 0, 0, b'a', b'b', b'c'];
    check(&[C(get("/a")), S(other.to_vec())], "1?GET /a 1. 1:… 1~NotFastCgi");
    check(&[C(get("/a")), S(output(b"<b>Warning</b>\n\n"))], "1?GET /a 1. 1~BadHeader 1:200");
}

#[test]
fn holes_within_content_are_stepped_over() {
    let long = output(&[b"A: b\r\n\r\n".to_vec(), vec![b'x'; 101]].concat());
    let (before, behind) = (long[..50].to_vec(), long[80..].to_vec());
    check(&[C(get("/a")), S(before), LostS(30), S(behind), S(end(0))], "1?GET /a 1. 1:200 1!Complete(101)");
    let whole = get("/a");
    check(&[C(whole[..20].to_vec()), LostC(10)], "1… 1!Unknown(0)");
}

#[test]
fn an_answer_is_read_behind_holes_in_the_content_of_its_request() {
    let asked = [ask("POST", "/a", "500"), record(Kind::STDIN, b"abc")].concat();
    let steps = [C(asked), LostC(40), C(b"more".to_vec()), LostC(30), S(output(b"A: b\r\n\r\nabc")), S(end(0))];
    check(&steps, "1?POST /a 1. 1. 1. 1:200 1!Complete(3)");
}

#[test]
fn behind_a_hole_reading_goes_on_with_the_next_request() {
    let behind = [S(output(b"A: b\r\n\r\n")), C(record(Kind::STDIN, b"")), C(get("/b")), S(output(b"A: b\r\n\r\n"))];
    let steps = [&[C(get("/a")), LostS(10)], &behind[..]].concat();
    check(&steps, "1?GET /a 1. 1!Unknown(0) 2?GET /b 2. 2:200");
}

#[test]
fn what_the_snaplen_left_is_read() {
    let asked = get("/a");
    let (before, cut) = (asked[..60].to_vec(), asked.len() as u64 - 60);
    let request = [C(before), CutC(cut)];
    assert_eq!(told(&request), "1… 1?GET /a 1.");
    let answered = [output(b"Content-Type: a/b\r\n\r\nabcdefghij"), end(0)].concat();
    let cut_at = |at: usize| [S(answered[..at].to_vec()), CutS((answered.len() - at) as u64)];
    let again = [C(get("/b"))];
    let steps = [&request[..], &cut_at(32), &again].concat();
    check(&steps, "1… 1?GET /a 1. 1:200 1!Unmeasured(29) 2?GET /b 2.");
    let steps = [&request[..], &cut_at(27), &again].concat();
    check(&steps, "1… 1?GET /a 1. 1:… 1:200 1!Unmeasured(31) 2?GET /b 2.");
    let steps = [&request[..], &cut_at(12)].concat();
    check(&steps, "1… 1?GET /a 1. 1:… 1!Unknown(0)");
    check(&[C(asked[..20].to_vec()), CutC(90), CutC(5)], "1… 1#None, 1. 1.");
}

#[test]
fn a_response_that_was_cut_may_be_known_to_be_short() {
    let head = output(b"Content-Length: 500\r\n\r\nabc");
    let steps = [C(get("/a")), S(head), CutS(100), Fin];
    check(&steps, "1?GET /a 1. 1:200 1!Unmeasured(105) 1!Truncated(105)");
}

#[test]
fn several_requests_at_once_are_not_read() {
    let mut second = get("/b");
    second[3] = 2;
    check(&[C(get("/a")), C(second)], "1?GET /a 1. 1!Unknown(0) Opaque(FastCgi)");
}

#[test]
fn an_end_that_was_not_seen_is_unknown() {
    check(&[C(get("/a")), C(get("/b"))], "1?GET /a 1. 1!Unknown(0) 2?GET /b 2.");
}

fn hostile() -> impl Strategy<Value = Vec<Step>> {
    let records = (0_u8..12, prop::collection::vec(any::<u8>(), 0..40));
    let records = records.prop_map(|(kind, content)| record(Kind(kind), &content));
    let answers = prop_oneof![Just(output(b"A: b\r\n\r\nabc")), Just(end(0)), Just(record(Kind::STDERR, b"no"))];
    let octets = prop_oneof![records, Just(get("/a")), answers, prop::collection::vec(any::<u8>(), 0..20)];
    ladder::steps(octets)
}

proptest! {
    #[test]
    fn no_exchange_ends_twice_whatever_comes(steps in hostile()) {
        let said = told(&steps);
        prop_assert!(ladder::is_sound(&said), "{said}");
    }
}
