//! Whole messages: whose they are, and where they end.

use super::*;

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
const NEXT: &[u8] = b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const BARE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[test]
fn a_kept_connection_carries_one_exchange_after_the_other() {
    check(&[C(GET), S(OK), C(NEXT), S(BARE), Fin], "GET/a#1 .1 200#1 =1:5 GET/b#2 .2 200#2 =2:0");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let both = [GET, NEXT].concat();
    check(&[C(&both), S(OK), S(BARE)], "GET/a#1 .1 GET/b#2 .2 200#1 =1:5 200#2 =2:0");
    let answers = [OK, BARE].concat();
    check(&[C(GET), C(NEXT), S(&answers)], "GET/a#1 .1 GET/b#2 .2 200#1 =1:5 200#2 =2:0");
}

#[test]
fn heads_may_be_cut_anywhere() {
    for cut in 1..GET.len() {
        check(&[C(&GET[..cut]), C(&GET[cut..]), S(OK)], "GET/a#1 .1 200#1 =1:5");
    }
    for cut in 1..OK.len() {
        check(&[C(GET), S(&OK[..cut]), S(&OK[cut..])], "GET/a#1 .1 200#1 =1:5");
    }
    let octets: Vec<Step<'_>> = GET.chunks(1).map(C).chain(OK.chunks(1).map(S)).collect();
    check(&octets, "GET/a#1 .1 200#1 =1:5");
}

#[test]
fn interim_responses_belong_to_the_same_exchange() {
    let post = b"POST /p HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
    check(&[C(post), S(interim), C(b"ab"), S(OK)], "POST/p#1 100#1 .1 200#1 =1:5");
    let hints = [&b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"[..], OK].concat();
    check(&[C(GET), S(&hints), C(NEXT), S(OK)], "GET/a#1 .1 103#1 200#1 =1:5 GET/b#2 .2 200#2 =2:5");
}

#[test]
fn some_responses_have_no_content_whatever_they_declare() {
    let head = b"HEAD /a HTTP/1.1\r\n\r\n";
    check(&[C(head), S(&OK[..OK.len() - 5]), C(NEXT), S(OK)], "HEAD/a#1 .1 200#1 =1:0 GET/b#2 .2 200#2 =2:5");
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(&[C(head), S(chunked), C(NEXT), S(OK)], "HEAD/a#1 .1 200#1 =1:0 GET/b#2 .2 200#2 =2:5");
    for status in ["204 No Content", "304 Not Modified"] {
        let response = format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n");
        let expected = format!("GET/a#1 .1 {0}#1 =1:0 GET/b#2 .2 200#2 =2:5", &status[..3]);
        check(&[C(GET), S(response.as_bytes()), C(NEXT), S(OK)], &expected);
    }
}

#[test]
fn chunked_content_with_trailers_may_be_cut_anywhere() {
    let response =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n3\r\nabc\r\n0\r\nX: y\r\nZ: \r\n\r\n";
    for cut in 1..response.len() {
        let steps = [C(GET), S(&response[..cut]), S(&response[cut..]), C(NEXT), S(OK)];
        check(&steps, "GET/a#1 .1 200#1 =1:8 GET/b#2 .2 200#2 =2:5");
    }
    let request = b"POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX: y\r\n\r\n";
    for cut in 1..request.len() {
        check(&[C(&request[..cut]), C(&request[cut..]), S(OK), C(NEXT)], "POST/p#1 .1 200#1 =1:5 GET/b#2 .2");
    }
}

#[test]
fn content_without_a_length_ends_with_the_connection() {
    let response = b"HTTP/1.0 200 OK\r\n\r\nabc";
    check(&[C(GET), S(response), S(b"HTTP/1.1 200 is content"), Fin], "GET/a#1 .1 200#1 _1:26");
    check(&[C(GET), S(response), Rst], "GET/a#1 .1 200#1 ~1:3");
}

#[test]
fn what_is_short_of_its_length_is_cut() {
    check(&[C(GET), S(&OK[..OK.len() - 1]), Fin], "GET/a#1 .1 200#1 ~1:4");
    check(&[C(GET), S(&OK[..10]), Fin], "GET/a#1 .1 ~1:0");
    check(&[C(GET), S(&OK[..10]), Rst], "GET/a#1 .1 ~1:0");
    check(&[C(GET), Fin], "GET/a#1 .1");
    check(&[C(GET), S(OK), Rst], "GET/a#1 .1 200#1 =1:5");
}

#[test]
fn nothing_is_read_of_what_a_connection_switches_to() {
    let upgrade = b"GET /ws HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let switched = b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x02hi";
    check(&[C(upgrade), S(switched), C(GET), S(OK)], "GET/ws#1 .1 101#1 >1:0 Switched");
    let connect = b"CONNECT h:443 HTTP/1.1\r\n\r\n";
    let tunnel = b"HTTP/1.1 200 Established\r\n\r\n";
    check(&[C(connect), S(tunnel), C(GET), S(OK)], "CONNECTh:443#1 .1 200#1 >1:0 Switched");
    let refused = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n";
    check(&[C(connect), S(refused), C(GET), S(OK)], "CONNECTh:443#1 .1 403#1 =1:0 GET/a#2 .2 200#2 =2:5");
    check(&[C(upgrade), S(OK), C(GET), S(OK)], "GET/ws#1 .1 200#1 =1:5 GET/a#2 .2 200#2 =2:5");
}

#[test]
fn targets_come_in_four_forms() {
    let check = |line: &str, target: &str, host: Option<&str>| {
        let octets = format!("{line}\r\n\r\n");
        let events = events(true, &[C(octets.as_bytes())]);
        let request =
            events.iter().find_map(|event| if let What::Request(request) = event { Some(request) } else { None });
        let request = request.unwrap_or_else(|| panic!("no request in {line}"));
        assert_eq!((request.target(), request.host()), (target, host));
    };
    check("GET http://u@h.example:81/x?y HTTP/1.1", "http://u@h.example:81/x?y", Some("h.example:81"));
    check("CONNECT h.example:443 HTTP/1.1", "h.example:443", Some("h.example:443"));
    check("OPTIONS * HTTP/1.1", "*", None);
    check("GET /x HTTP/1.1\r\nHost: other", "/x", Some("other"));
    check("M-SEARCH!#$%&'*+-.^_`|~09 /x HTTP/1.1", "/x", None);
}

#[test]
fn odd_octets_do_not_stop_the_reading() {
    check(&[C(b"GET /\xe4 b HTTP/1.1\r\nX: \xff\r\n\r\n"), S(OK)], "GET/%E4%20b#1 .1 200#1 =1:5");
    check(&[C(b"\r\nGET /a HTTP/1.1\n\n"), S(b"\r\n\nHTTP/1.1 204 \r\n\r\n")], "GET/a#1 .1 204#1 =1:0");
    check(&[C(b"PURGE /a HTTP/1.1\r\n\r\n"), S(OK)], "PURGE/a#1 .1 200#1 =1:5");
}

#[test]
fn a_request_without_a_version_is_answered_by_content_alone() {
    check(&[C(b"GET /old\r\n"), S(b"<html>"), Fin], "GET/old#1 .1 _1:6");
    check(&[C(b"GET /old\r\n"), S(OK), Fin], "GET/old#1 .1 200#1 =1:5");
}

#[test]
fn text_that_is_answered_with_http_was_a_request() {
    let refused = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    check(&[C(b"NONSENSE\r\n\r\n"), S(refused), Fin], "400#1 =1:0");
    check(&[C(b"BREW /pot\r\n\r\n"), S(refused), Fin], "BREW/pot#1 .1 400#1 =1:0");
    check(&[C(b"NONSENSE\r\n\r\n"), S(b"+OK\r\n"), C(GET)], "Other");
    check(&[C(b"NONSENSE\r\n\r\n"), Fin], "Other");
}

#[test]
fn other_protocols_are_left_alone() {
    check(&[C(b"\x16\x03\x01\x00\x05hello"), S(b"HTTP/1.1 400 Bad Request\r\n\r\n")], "Tls");
    check(&[C(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), S(b"\0\0\0\x04\0\0\0\0\0")], "Http2");
    check(&[S(b"220 mail\r\n"), C(b"EHLO h\r\n")], "Other");
    check(&[C(&[b'x'; 5000])], "Other");
}

#[test]
fn a_proxy_header_names_the_client() {
    check(&[C(b"PROXY TCP4 192.0.2.1 192.0.2.2 5 80\r\n"), C(GET), S(OK)], "for 192.0.2.1:5 GET/a#1 .1 200#1 =1:5");
    let both = [b"PROXY TCP4 192.0.2.1 192.0.2.2 5 80\r\n", GET].concat();
    for cut in 1..both.len() {
        check(&[C(&both[..cut]), C(&both[cut..]), S(OK)], "for 192.0.2.1:5 GET/a#1 .1 200#1 =1:5");
    }
}

#[test]
fn a_response_may_come_before_its_request_is_complete() {
    let post = b"POST /p HTTP/1.1\r\nContent-Length: 6\r\n\r\nabc";
    check(&[C(post), S(OK), C(b"def"), C(NEXT), S(BARE)], "POST/p#1 200#1 =1:5 .1 GET/b#2 .2 200#2 =2:0");
    check(&[C(&GET[..20]), S(OK), C(&GET[20..]), C(NEXT), S(BARE)], "200#1 =1:5 GET/a#1 .1 GET/b#2 .2 200#2 =2:0");
}

#[test]
fn what_crosses_a_request_is_no_answer_to_it() {
    let timeout = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";
    check(&[S(timeout), Fin], "!1 408#1 =1:0");
    check(&[C(GET), S(OK), C(NEXT), Crossing(timeout), Fin], "GET/a#1 .1 200#1 =1:5 GET/b#2 .2 !3 408#3 =3:0");
}

#[test]
fn the_first_octets_of_an_error_s_content_are_told() {
    let response = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\nsorry";
    let told = events(true, &[C(GET), S(response)]);
    let content = told.iter().find_map(|event| match event {
        What::ResponseContent { exchange: 1, content } => Some(&*content.0),
        _ => None,
    });
    assert_eq!(content, Some(&b"sorry"[..]));
    assert!(!events(true, &[C(GET), S(OK)]).iter().any(|event| matches!(event, What::ResponseContent { .. })));
}

#[test]
fn events_say_where_messages_stand() {
    let told = events(true, &[C(GET), S(OK), C(NEXT), S(OK)]);
    let (get, ok) = (GET.len() as u64, OK.len() as u64);
    let starts: Vec<u64> = told
        .iter()
        .filter_map(|event| match event {
            What::Request(request) => Some(request.start),
            What::Response(response) => Some(response.start),
            _ => None,
        })
        .collect();
    assert_eq!(starts, [0, 0, get, ok]);
    let ends: Vec<u64> = told
        .iter()
        .filter_map(|event| match event {
            What::RequestEnded { end, .. } | What::ResponseEnded { end, .. } => Some(*end),
            _ => None,
        })
        .collect();
    assert_eq!(ends, [get, ok, 2 * get, 2 * ok]);
}
