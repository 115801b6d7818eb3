//! Messages of which the snaplen left the first octets.

use proptest::prelude::*;

use super::*;

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: h\r\nAcc";
const NEXT: &[u8] = b"GET /b HTTP/1.1\r\nHost: h\r\nAcc";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nServer: s\r\nDate: F";

#[test]
fn what_stands_before_the_hole_is_read_and_the_next_request_ends_the_response() {
    check(
        &[CutC(GET, 60), CutS(OK, 900), CutS(b"<p>", 500), CutC(NEXT, 60), CutS(OK, 300)],
        "GET/a#1 .1 200#1 …1:900 …1:903 …1:1403 GET/b#2 .2 200#2 …2:300",
    );
}

#[test]
fn octets_that_may_be_the_rest_of_a_response_are_not_taken_for_no_answer() {
    let next = b"GET /b HTTP/1.1\r\n\r\n";
    let mut ladder = Ladder::new(true);
    [CutC(GET, 60), CutS(OK, 900), C(b"x")].into_iter().for_each(|step| ladder.step(step));
    // The next request has acknowledged less than the server had sent.
    ladder.sent[Side::Server.index()] += 100;
    ladder.acknowledged[Side::Server.index()] -= 10;
    ladder.request_without_acknowledgement(next);
    ladder.step(S(b"</html>"));
    ladder.step(Fin);
    assert_eq!(told(&ladder.events), "GET/a#1 .1 200#1 …1:900 .1 GET/b#2 .2 ?2:0");
}

#[test]
fn a_target_that_is_not_whole_says_so() {
    check(&[CutC(b"GET /very/lo", 60), CutS(b"HTTP/1.1 502", 300)], "GET/very/lo…#1 .1 502#1 …1:300");
    check(&[CutC(b"GET /a HTT", 60), CutS(b"HTTP/1.1 50", 300)], "GET/a#1 .1 ?1:0");
}

#[test]
fn a_request_whose_header_section_is_cut_goes_on_until_it_is_answered() {
    let post = b"POST /p HTTP/1.1\r\nHost: h\r\nCont";
    check(
        &[CutC(post, 60), CutC(b"GET /x HTTP/1.1\r\n", 60), C(b"abc"), CutS(OK, 300), CutC(NEXT, 60)],
        "POST/p#1 .1 .1 .1 .1 200#1 …1:300 GET/b#2 .2",
    );
}

#[test]
fn a_declared_length_that_was_not_reached_is_known_behind_the_cut() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nX: ";
    check(&[C(b"GET /a HTTP/1.1\r\n\r\n"), CutS(head, 400), Fin], "GET/a#1 .1 200#1 …1:400 ~1:400");
    check(&[C(b"GET /a HTTP/1.1\r\n\r\n"), CutS(head, 1010), Fin], "GET/a#1 .1 200#1 …1:1010");
    check(&[C(b"HEAD /a HTTP/1.1\r\n\r\n"), CutS(head, 20), Fin], "HEAD/a#1 .1 200#1 …1:20");
    check(&[C(b"GET /a HTTP/1.1\r\n\r\n"), CutS(OK, 400), Rst], "GET/a#1 .1 200#1 …1:400");
}

#[test]
fn chunks_are_followed_through_a_hole_as_far_as_it_is_data() {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let get = b"GET /a HTTP/1.1\r\n\r\n";
    check(&[C(get), S(head), CutS(b"a\r\nab", 10), S(b"0\r\n\r\n")], "GET/a#1 .1 200#1 =1:10");
    check(&[C(get), S(head), CutS(b"a\r\nab", 15), Fin], "GET/a#1 .1 200#1 …1:17");
    check(&[C(get), S(head), CutS(b"a\r\nab", 15), S(b"nothing ends"), Fin], "GET/a#1 .1 200#1 …1:17 …1:29 ~1:29");
}

#[test]
fn a_final_response_behind_an_interim_one_that_is_cut_is_found() {
    let interim = b"HTTP/1.1 100 Continue\r\nX: ";
    check(&[CutC(GET, 60), CutS(interim, 40), CutS(OK, 300)], "GET/a#1 .1 100#1 200#1 …1:300");
}

#[test]
fn a_request_without_a_version_is_answered_by_content() {
    check(&[C(b"GET /a\r\n"), S(b"<html>"), Fin], "GET/a#1 .1 _1:6");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Wherever the snaplen cuts: a client that waits for its answers has each given to its request.
    #[test]
    fn a_cut_response_is_given_to_its_request(
        exchanges in proptest::collection::vec((0_usize..200, 0_usize..200, any::<bool>(), any::<bool>()), 1..8),
        size in 60_usize..200,
        snaplen in 48_usize..200,
    ) {
        let mut ladder = Ladder::new(true);
        for (number, (asked, answered, chunked, chunked_answer)) in exchanges.iter().enumerate() {
            for (side, message) in [
                (Side::Client, gaps::message(Side::Client, number, *asked, *chunked)),
                (Side::Server, gaps::message(Side::Server, number, *answered, *chunked_answer)),
            ] {
                for segment in message.chunks(size) {
                    let seen = segment.get(..snaplen).unwrap_or(segment);
                    let hole = (segment.len() - seen.len()) as u64;
                    ladder.step(match (side, hole) {
                        (Side::Client, 0) => C(seen),
                        (Side::Server, 0) => S(seen),
                        (Side::Client, _) => CutC(seen, hole),
                        (Side::Server, _) => CutS(seen, hole),
                    });
                }
            }
        }
        gaps::check_pairs(&ladder.events)?;
        let responses = ladder.events.iter().filter(|event| matches!(event, What::Response(_)));
        prop_assert_eq!(responses.count(), exchanges.len(), "{}", told(&ladder.events));
        let broken = ladder.events.iter().any(|event| matches!(event, What::Defect(..)));
        prop_assert!(!broken, "{}", told(&ladder.events));
    }
}
