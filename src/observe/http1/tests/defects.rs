//! Every defect of a response, and the octet that it is found at.

use super::*;

const GET: &[u8] = b"GET /a HTTP/1.1\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// A good exchange stands before the bad one, so that offsets in the stream and in the message differ.
fn check_second(response: &[u8], expected: &str) {
    let after = OK.len();
    let expected = expected.replace('@', &format!("@{after}+"));
    check(&[C(GET), S(OK), C(GET), S(response), Fin], &format!("GET/a#1 .1 200#1 =1:0 GET/a#2 .2 {expected}"));
}

/// `kind` at `within`, and what follows.
fn check_defect(response: &[u8], kind: &str, within: usize, rest: &str) {
    let offset = OK.len() + within;
    let expected = format!("GET/a#1 .1 200#1 =1:0 GET/a#2 .2 {kind}#2@{offset}+{within} {rest}");
    check(&[C(GET), S(OK), C(GET), S(response), Fin], &expected);
}

#[test]
fn status_lines() {
    check_defect(b"HTTP/1.1 OK\r\n\r\n", "BadStatusLine", 9, "0#2 ~2:0");
    check_defect(b"HTTP/1.1 20x OK\r\n\r\n", "BadStatusLine", 11, "0#2 ~2:0");
    check_defect(b"HTTP/2.0 200 OK\r\n\r\nabc", "BadStatusLine", 5, "200#2 ~2:3");
    check_defect(b"HTTP/1.1  200 OK\r\n\r\n", "BadStatusLine", 9, "200#2 ~2:0");
    check_defect(b"HTTP/1.1 200 o\rk\r\n\r\n", "BadStatusLine", 14, "200#2 ~2:0");
    check_defect(b"220 mail ESMTP\r\n\r\n", "NotHttp", 0, "0#2 ~2:0");
    check_defect(b"<html>", "NotHttp", 0, "~2:0");
    check_defect(b"\x15\x03\x01\x00\x02\x02\x28", "NotHttp", 0, "~2:0");
}

#[test]
fn header_sections() {
    check_defect(b"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n", "BadHeader", 17, "200#2 =2:0");
    check_defect(b"HTTP/1.1 200 OK\r\nA: b\r\nX : y\r\nContent-Length: 0\r\n\r\n", "BadHeader", 24, "200#2 =2:0");
    check_defect(b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n", "BadHeader", 21, "200#2 =2:0");
    check_second(b"HTTP/1.1 200 OK\r\nX: \xe4\r\nContent-Length: 0\r\n\r\n", "200#2 =2:0");
}

#[test]
fn lengths() {
    check_defect(b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\nx", "BadContentLength", 33, "200#2 ~2:1");
    check_defect(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx", "BadContentLength", 33, "200#2 ~2:1");
    let two = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx";
    check_defect(two, "BadContentLength", 52, "200#2 ~2:1");
    let both = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    check_defect(both, "FramingConflict", 33, "200#2 =2:0");
}

#[test]
fn chunks() {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let check_chunk = |chunks: &[u8], at: usize, content: u64| {
        let response = [&head[..], chunks].concat();
        let offset = OK.len() + head.len() + at;
        let expected =
            format!("GET/a#1 .1 200#1 =1:0 GET/a#2 .2 200#2 BadChunk#2@{offset}+{} ~2:{content}", head.len() + at);
        check(&[C(GET), S(OK), C(GET), S(&response), Fin], &expected);
    };
    check_chunk(b"xyz\r\n", 0, 0);
    check_chunk(b"2\r\nabcd", 5, 2);
    check_chunk(b"2\r\nab\r\n-1\r\n", 7, 2);
    check_chunk(b"\r\n", 0, 0);
}

#[test]
fn only_the_first_defect_of_a_response_is_told() {
    check_defect(b"HTTP/1.1 OK\r\nX : y\r\nContent-Length: abc\r\n\r\n", "BadStatusLine", 9, "0#2 ~2:0");
}

#[test]
fn a_header_section_without_end_is_given_up() {
    let line = [b'x'; 300 << 10];
    check(&[C(GET), S(b"HTTP/1.1 200 OK\r\nX: "), S(&line), Fin], "GET/a#1 .1 ~1:0");
}
