//! How connections end, and by whom.

use super::*;

#[test]
fn either_side_may_close_first() {
    check_open(
        &[(C, "FA", 1, 1, b""), (S, "FA", 1, 2, b""), (C, "A", 2, 2, b"")],
        "fin-C@0^0/0 C. fin-acked-C fin-S@0^0/0 S. fin-acked-S",
    );
    check_open(
        &[(S, "FA", 1, 1, b"bye"), (C, "A", 1, 5, b""), (C, "FA", 1, 5, b""), (S, "A", 5, 2, b"")],
        "S@0:bye fin-S@3^0/0 S. fin-acked-S fin-C@0^3/3 C. fin-acked-C",
    );
}

#[test]
fn both_sides_may_close_at_once() {
    check_open(
        &[(C, "FA", 1, 1, b""), (S, "FA", 1, 1, b""), (C, "A", 2, 2, b""), (S, "A", 2, 2, b"")],
        "fin-C@0^0/0 C. fin-S@0^0/0 S. fin-acked-S fin-acked-C",
    );
}

#[test]
fn a_half_closed_connection_still_carries_data() {
    let mut ladder = Ladder::opened();
    ladder.steps(&[(C, "FA", 1, 1, b"GET"), (S, "A", 1, 5, b""), (S, "A", 1, 5, b"answer"), (S, "FA", 7, 5, b"")]);
    ladder.expect("C@0:GET fin-C@3^0/0 C. fin-acked-C S@0:answer fin-S@6^3/3 S.");
    assert!(ladder.connection.is_over());
    ladder.leave();
    ladder.expect("gone sent [3, 6] acked [3, 0] after [0, 6] again [0, 0]");
}

#[test]
fn a_repeated_fin_is_no_second_one() {
    check_open(&[(C, "FA", 1, 1, b""), (C, "FA", 1, 1, b"")], "fin-C@0^0/0 C.");
}

#[test]
fn a_fin_ahead_of_a_hole_ends_the_stream_once_it_is_filled() {
    check_open(&[(S, "FA", 3, 1, b"cd"), (S, "A", 1, 1, b"ab")], "fin-S@4^0/0 S@0:ab S@2:cd S.");
    // What the capture misses is known by the acknowledgement.
    check_open(
        &[(S, "FA", 3, 1, b"cd"), (C, "A", 1, 6, b""), (C, "FA", 1, 6, b"")],
        "fin-S@4^0/0 fin-acked-S gap-S@0+2:capture S@2:cd S. fin-C@0^4/4 C.",
    );
}

#[test]
fn a_reset_ends_both_directions() {
    check_open(&[(C, "A", 1, 1, b"GET"), (S, "RA", 1, 4, b"")], "C@0:GET rst-S@0^3/3 C/ S/");
    // Without the ACK flag nothing is said of what arrived.
    check_open(&[(C, "A", 1, 1, b"GET"), (S, "R", 1, 0, b"")], "C@0:GET rst-S@0 C/ S/");
    check_open(&[(C, "A", 1, 1, b"GET"), (S, "A", 1, 4, b"OK"), (C, "R", 4, 0, b"")], "C@0:GET S@0:OK rst-C@3 C/ S/");
    // It acknowledges a part: the rest was on its way.
    check_open(&[(C, "A", 1, 1, b"GET"), (S, "RA", 1, 2, b"")], "C@0:GET rst-S@0^1/3 C/ S/");
}

#[test]
fn a_reset_after_a_fin_says_so() {
    check_open(
        &[(S, "FA", 1, 1, b""), (C, "A", 1, 2, b"GET"), (S, "R", 2, 0, b"")],
        "fin-S@0^0/0 S. fin-acked-S C@0:GET rst-S@1,after-fin C/",
    );
    check_open(
        &[(C, "FA", 1, 1, b""), (S, "FA", 1, 2, b""), (C, "R", 2, 0, b"")],
        "fin-C@0^0/0 C. fin-acked-C fin-S@0^0/0 S. rst-C@1,after-fin",
    );
}

#[test]
fn what_waits_behind_a_hole_is_told_before_the_reset() {
    check_open(&[(S, "A", 3, 1, b"cd"), (S, "RA", 5, 1, b"")], "gap-S@0+2:network S@2:cd rst-S@4^0/0 C/ S/");
}

#[test]
fn every_reset_is_told_but_the_streams_end_once() {
    check_open(&[(S, "R", 1, 0, b""), (S, "R", 1, 0, b""), (C, "R", 1, 0, b"")], "rst-S@0 C/ S/ rst-S@0 rst-C@0");
}

#[test]
fn an_acknowledgement_beyond_a_fin_is_of_the_fin() {
    let mut ladder = Ladder::opened();
    ladder.steps(&[(C, "FA", 1, 1, b"GET"), (S, "A", 1, 4, b"")]);
    ladder.expect("C@0:GET fin-C@3^0/0 C.");
    ladder.steps(&[(S, "A", 1, 5, b"")]);
    ladder.expect("fin-acked-C");
}

#[test]
fn times_to_live_are_compared_with_the_sender_s_earlier_ones() {
    let mut ladder = Ladder::opened();
    ladder.steps(&[(S, "A", 1, 1, b"x")]);
    let rst = Segment {
        source_port: 0,
        destination_port: 0,
        sequence: 2002,
        acknowledgement: 0,
        flags: Flags(Flags::RST),
        window: 0,
        options: &[],
        length: 0,
        payload: &[],
    };
    let mut ttls = None;
    ladder.connection.segment(S, &rst, 250, moment(9), &Limits::default(), &mut |output| {
        if let Output::Event(What::Reset(closing)) = output {
            ttls = Some((closing.ttl, closing.ttl_before));
        }
    });
    assert_eq!(ttls, Some((250, (64, 64, 2))));
}
