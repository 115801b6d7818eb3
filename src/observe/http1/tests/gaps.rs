//! Octets that the capture does not hold: what is known all the same, and what must not be made up.

use proptest::prelude::*;

use super::*;

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
const NEXT: &[u8] = b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n";
const LAST: &[u8] = b"GET /c HTTP/1.1\r\nHost: h\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const GONE: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

#[test]
fn a_gap_in_content_of_known_length_is_counted() {
    let head = &OK[..OK.len() - 5];
    check(&[C(GET), S(head), LostS(5), C(NEXT), S(OK)], "GET/a#1 .1 200#1 =1:5 GET/b#2 .2 200#2 =2:5");
    check(&[C(GET), S(head), LostS(2), S(b"llo"), C(NEXT), S(OK)], "GET/a#1 .1 200#1 =1:5 GET/b#2 .2 200#2 =2:5");
    let post = b"POST /p HTTP/1.1\r\nContent-Length: 9\r\n\r\n";
    check(&[C(post), LostC(4), C(b"abcde"), S(OK), C(NEXT)], "POST/p#1 .1 200#1 =1:5 GET/b#2 .2");
    check(&[C(post), LostC(9), S(OK), C(NEXT)], "POST/p#1 .1 200#1 =1:5 GET/b#2 .2");
}

#[test]
fn a_gap_within_a_chunk_is_counted() {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\na";
    check(&[C(GET), S(head), LostS(3), S(b"ef\r\n0\r\n\r\n"), C(NEXT)], "GET/a#1 .1 200#1 =1:6 GET/b#2 .2");
    check(&[C(GET), S(head), LostS(5), S(b"\r\n0\r\n\r\n"), C(NEXT)], "GET/a#1 .1 200#1 =1:6 GET/b#2 .2");
    let post = b"POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n6\r\na";
    check(&[C(post), LostC(4), C(b"f\r\n0\r\n\r\n"), S(OK)], "POST/p#1 .1 200#1 =1:5");
}

#[test]
fn a_gap_over_chunks_makes_the_end_unknown() {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\na";
    check(
        &[C(GET), S(head), LostS(9), S(b"xx\r\n0\r\n\r\n"), C(NEXT), S(OK)],
        "GET/a#1 .1 200#1 ?1:1 GET/b#2 .2 200#2 =2:5",
    );
}

#[test]
fn a_gap_in_a_response_s_head_makes_the_response_unknown() {
    check(&[C(GET), S(&OK[..20]), LostS(30), C(NEXT), S(GONE)], "GET/a#1 .1 ?1:0 GET/b#2 .2 404#2 =2:0");
    check(&[C(GET), LostS(60), C(NEXT), S(GONE)], "GET/a#1 .1 ?1:0 GET/b#2 .2 404#2 =2:0");
}

#[test]
fn content_until_the_close_may_have_gaps() {
    check(&[C(GET), S(b"HTTP/1.0 200 OK\r\n\r\nab"), LostS(7), S(b"c"), Fin], "GET/a#1 .1 200#1 _1:10");
}

#[test]
fn the_answer_to_a_missed_request_is_an_exchange_of_its_own() {
    check(
        &[C(GET), S(OK), LostC(28), S(GONE), C(LAST), S(OK)],
        "GET/a#1 .1 200#1 =1:5 404#2 =2:0 GET/c#3 .3 200#3 =3:5",
    );
}

#[test]
fn a_request_right_behind_missed_ones_is_not_given_their_answer() {
    check(
        &[C(GET), S(OK), LostC(28), C(LAST), S(GONE), S(OK)],
        "GET/a#1 .1 200#1 =1:5 GET/c#2 .2 ?2:0 404#3 =3:0 200#4 =4:5",
    );
}

#[test]
fn a_pipeline_with_a_missed_response_is_not_paired_any_more() {
    let three = [GET, NEXT, LAST].concat();
    check(
        &[C(&three), LostS(40), S(GONE), S(OK), C(GET), S(OK)],
        "GET/a#1 .1 GET/b#2 .2 GET/c#3 .3 ?1:0 ?2:0 ?3:0 404#4 =4:0 200#5 =5:5 GET/a#6 .6 ?6:0 200#7 =7:5",
    );
}

#[test]
fn a_request_after_a_gap_that_is_never_answered_stays_so() {
    check(&[C(GET), S(OK), LostC(28), C(LAST), Fin], "GET/a#1 .1 200#1 =1:5 GET/c#2 .2");
}

#[test]
fn a_request_whose_content_is_cut_is_answered_after_an_unreadable_response() {
    let post = b"POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na";
    check(&[C(GET), S(&OK[..20]), LostS(30), C(post), LostC(9), S(GONE)], "GET/a#1 .1 ?1:0 POST/p#2 404#2 =2:0");
}

#[test]
fn a_request_is_not_given_a_response_where_both_sides_were_missed_after_it() {
    check(&[C(GET), LostS(40), C(NEXT), LostS(40), LostC(28), S(GONE)], "GET/a#1 .1 ?1:0 GET/b#2 .2 ?2:0 404#3 =3:0");
}

#[test]
fn a_connection_older_than_the_capture_is_read_from_its_next_messages() {
    let check = |steps: &[Step<'_>], expected: &str| assert_eq!(told(&events(false, steps)), expected, "{steps:?}");
    check(&[C(GET), S(OK)], "GET/a#1 .1 200#1 =1:5");
    check(&[S(b"rest of something"), C(GET), S(OK)], "GET/a#1 .1 200#1 =1:5");
    check(&[C(b"rest of something"), S(OK), C(NEXT), S(GONE)], "200#1 =1:5 GET/b#2 .2 404#2 =2:0");
    check(&[S(OK), C(NEXT), S(GONE)], "200#1 =1:5 GET/b#2 .2 404#2 =2:0");
    check(&[C(b"\x17\x03\x03\x00\x20rest of a record"), S(b"\x17\x03\x03"), C(b"\x17\x03\x03")], "");
}

/// What a message looks like on the wire; its number is in its target, or in its header section.
pub(super) fn message(side: Side, number: usize, content: usize, chunked: bool) -> Vec<u8> {
    let start = match side {
        Side::Client => format!("POST /{number} HTTP/1.1\r\n"),
        Side::Server => format!("HTTP/1.1 200 OK\r\nServer: {number}\r\n"),
    };
    let body = "x".repeat(content);
    match chunked {
        true if content == 0 => format!("{start}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n").into_bytes(),
        true => format!("{start}Transfer-Encoding: chunked\r\n\r\n{content:x}\r\n{body}\r\n0\r\n\r\n").into_bytes(),
        false => format!("{start}Content-Length: {content}\r\n\r\n{body}").into_bytes(),
    }
}

/// Sends a burst of messages in segments that do not respect their borders; the lost ones of them, adjacent ones as one gap.
fn send(ladder: &mut Ladder, side: Side, octets: &[u8], size: usize, lost: &mut impl FnMut() -> bool) {
    let mut missing = 0;
    for segment in octets.chunks(size) {
        if lost() {
            missing += segment.len() as u64;
            continue;
        }
        if missing > 0 {
            ladder.step(if side == Side::Client { LostC(missing) } else { LostS(missing) });
            missing = 0;
        }
        ladder.step(if side == Side::Client { C(segment) } else { S(segment) });
    }
    if missing > 0 {
        ladder.step(if side == Side::Client { LostC(missing) } else { LostS(missing) });
    }
}

pub(super) fn check_pairs(events: &[What]) -> Result<(), TestCaseError> {
    let mut requests = std::collections::HashMap::new();
    for event in events {
        if let What::Request(request) = event {
            let before = requests.insert(request.exchange, request.target.clone());
            prop_assert!(before.is_none(), "exchange {} has two requests", request.exchange);
        }
    }
    let mut answered = std::collections::HashSet::new();
    for event in events {
        if let What::Response(response) = event {
            prop_assert!(answered.insert(response.exchange), "exchange {} is answered twice", response.exchange);
            if let Some(target) = requests.get(&response.exchange) {
                let server = response.server.as_deref().unwrap_or_default();
                prop_assert_eq!(&target[1..], server, "a response was given to the wrong request: {}", told(events));
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever is missing on either side, and however many requests are sent at once: a response that is given a request is
    /// the answer to it.
    #[test]
    fn a_response_is_never_given_to_the_wrong_request(
        bursts in proptest::collection::vec(
            proptest::collection::vec((0_usize..60, 0_usize..60, any::<bool>(), any::<bool>()), 1..4), 1..8),
        sizes in (1_usize..120, 1_usize..120),
        losses in proptest::collection::vec(0_u8..100, 64),
        rate in 0_u8..60,
    ) {
        let mut ladder = Ladder::new(true);
        let mut number = 0;
        let mut loss = losses.iter().cycle().map(|loss| *loss < rate);
        let mut lost = || loss.next().unwrap_or(false);
        for burst in &bursts {
            let mut requests = Vec::new();
            let mut responses = Vec::new();
            for (asked, answered, chunked, chunked_answer) in burst {
                number += 1;
                requests.extend(message(Side::Client, number, *asked, *chunked));
                responses.extend(message(Side::Server, number, *answered, *chunked_answer));
            }
            send(&mut ladder, Side::Client, &requests, sizes.0, &mut lost);
            send(&mut ladder, Side::Server, &responses, sizes.1, &mut lost);
        }
        check_pairs(&ladder.events)?;
    }

    /// Without losses every response is given its request.
    #[test]
    fn without_gaps_every_response_is_given_its_request(
        bursts in proptest::collection::vec(1_usize..4, 1..8),
        sizes in (1_usize..120, 1_usize..120),
    ) {
        let mut ladder = Ladder::new(true);
        let mut number = 0;
        for burst in bursts {
            let first = number + 1;
            number += burst;
            let requests: Vec<u8> = (first..=number).flat_map(|n| message(Side::Client, n, n, n % 2 == 0)).collect();
            let responses: Vec<u8> = (first..=number).flat_map(|n| message(Side::Server, n, n, n % 3 == 0)).collect();
            send(&mut ladder, Side::Client, &requests, sizes.0, &mut || false);
            send(&mut ladder, Side::Server, &responses, sizes.1, &mut || false);
        }
        check_pairs(&ladder.events)?;
        let ended = ladder.events.iter().filter(|event| matches!(event, What::ResponseEnded { how: Ending::Complete, .. }));
        prop_assert_eq!(ended.count(), number);
    }
}
