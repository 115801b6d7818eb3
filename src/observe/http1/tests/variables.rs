//! Requests in uwsgi and SCGI.

use super::*;

/// A request in uwsgi, in front of content of so many octets.
fn uwsgi(method: &str, uri: &str, length: usize) -> Vec<u8> {
    let length = length.to_string();
    let mut block = Vec::new();
    for text in ["QUERY_STRING", "", "REQUEST_METHOD", method, "REQUEST_URI", uri, "CONTENT_LENGTH", &length] {
        block.extend((text.len() as u16).to_le_bytes());
        block.extend(text.as_bytes());
    }
    let [low, high] = (block.len() as u16).to_le_bytes();
    [vec![0, low, high, 0], block].concat()
}

/// The same in SCGI.
fn scgi(method: &str, uri: &str, length: usize) -> Vec<u8> {
    let block = format!("CONTENT_LENGTH\0{length}\0REQUEST_METHOD\0{method}\0REQUEST_URI\0{uri}\0");
    format!("{}:{block},", block.len()).into_bytes()
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const CGI: &[u8] = b"Status: 404 Not Found\r\nContent-Type: text/plain\r\n\r\nhello";

#[test]
fn variables_are_a_request_and_the_connection_ends_the_answer() {
    check(&[C(&uwsgi("GET", "/a", 0)), S(OK), Fin], "GET/a#1 .1 200#1 =1:5");
    check(&[C(&uwsgi("GET", "/a", 0)), S(CGI), Fin], "GET/a#1 .1 404#1 _1:5");
    check(&[C(&scgi("GET", "/a", 0)), S(CGI), Fin], "GET/a#1 .1 404#1 _1:5");
    check(&[C(&uwsgi("HEAD", "/a", 0)), S(&OK[..38]), Fin], "HEAD/a#1 .1 200#1 =1:0");
    check(
        &[C(&uwsgi("GET", "/a", 0)), S(OK), C(&uwsgi("GET", "/b", 0)), S(OK)],
        "GET/a#1 .1 200#1 =1:5 GET/b#2 .2 200#2 =2:5",
    );
}

#[test]
fn a_request_may_come_in_parts_however_they_are_cut() {
    for request in [uwsgi("POST", "/p", 4), scgi("POST", "/p", 4)] {
        let whole = [&request[..], b"abcd"].concat();
        for at in 1..whole.len() {
            let (one, other) = whole.split_at(at);
            check(&[C(one), C(other), S(&CGI[..7]), S(&CGI[7..]), Fin], "POST/p#1 .1 404#1 _1:5");
        }
    }
}

#[test]
fn content_is_followed_by_its_declared_length() {
    check(&[C(&uwsgi("POST", "/p", 4)), C(b"ab"), S(OK), C(b"cd"), Fin], "POST/p#1 200#1 =1:5 .1");
    check(&[C(&scgi("POST", "/p", 4)), LostC(4), S(CGI), Fin], "POST/p#1 .1 404#1 _1:5");
}

#[test]
fn what_is_no_answer_of_an_application_is_a_defect() {
    let get = uwsgi("GET", "/a", 0);
    check(&[C(&get), S(b"no field line\r\n"), Fin], "GET/a#1 .1 BadHeader#1@0+0 ~1:0");
    check(&[C(&get), S(b"HTTP/1.1 2x0 OK\r\n\r\n"), Fin], "GET/a#1 .1 BadStatusLine#1@10+10 0#1 ~1:0");
    check(&[C(&get), S(b"\x01\x06\x00\x01\x00\x10\x00\x00"), Fin], "GET/a#1 .1 NotHttp#1@0+0 ~1:0");
    check(&[C(&get), S(b"Status: 200 OK\r\nContent-Ty"), Fin], "GET/a#1 .1 ~1:0");
    check(&[C(&get), Fin], "GET/a#1 .1");
}

#[test]
fn what_stands_before_a_cut_is_read() {
    let get = uwsgi("GET", "/a", 0);
    check(&[CutC(&get[..get.len() - 12], 12), CutS(b"Status: 502 Bad Gateway\r\nX: ", 300)], "GET/a#1 .1 502#1 …1:300");
    check(&[CutC(&get[..get.len() - 12], 12), CutS(b"Content-Type: text/html\r\nX: ", 300)], "GET/a#1 .1 ?1:0");
    check(&[CutC(&get[..30], 60), S(OK)], ".1 200#1 =1:5");
}

#[test]
fn a_connection_that_began_before_the_capture_is_read_from_its_next_request_on() {
    let events = events(false, &[S(b"content"), C(&uwsgi("GET", "/a", 0)), S(OK)]);
    assert_eq!(told(&events), "GET/a#1 .1 200#1 =1:5");
}

#[test]
fn another_protocol_that_is_answered_in_http_is_no_request() {
    check(&[C(b"\x12\x34\x00\x05abcde"), S(OK)], "Other");
}
