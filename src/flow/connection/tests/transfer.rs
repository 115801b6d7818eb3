//! Octets in order, out of order, again, and not at all.

use super::*;

#[test]
fn octets_are_delivered_in_order() {
    check_open(&[(C, "A", 1, 1, b"ab"), (S, "A", 1, 3, b"xy"), (C, "A", 3, 3, b"cd")], "C@0:ab S@0:xy C@2:cd");
    check_open(&[(C, "A", 3, 1, b"cd"), (C, "A", 1, 1, b"ab")], "C@0:ab C@2:cd");
}

#[test]
fn what_is_sent_again_is_told_and_not_delivered() {
    check_open(&[(C, "A", 1, 1, b"ab"), (C, "A", 1, 1, b"ab")], "C@0:ab again-C@0+2");
    check_open(&[(C, "A", 1, 1, b"ab"), (C, "A", 1, 1, b"XYcd")], "C@0:ab C@2:cd");
    check_open(&[(C, "A", 3, 1, b"cd"), (C, "A", 3, 1, b"cd"), (C, "A", 1, 1, b"ab")], "again-C@2+2 C@0:ab C@2:cd");
}

#[test]
fn keep_alive_probes_are_no_data() {
    let start = [(C, "A", 1, 1, &b"ab"[..]), (S, "A", 1, 3, b"")];
    let mut ladder = Ladder::opened();
    ladder.steps(&start);
    ladder.steps(&[(C, "A", 2, 1, b""), (S, "A", 1, 3, b""), (C, "A", 2, 1, b"b"), (S, "A", 1, 3, b"")]);
    ladder.steps(&[(C, "A", 3, 1, b"cd")]);
    ladder.expect("C@0:ab C@2:cd");
}

#[test]
fn a_probe_of_a_closed_window_is_data() {
    let mut ladder = Ladder::opened();
    ladder.steps(&[(C, "A", 1, 1, b"ab")]);
    ladder.window = 0;
    ladder.steps(&[(S, "A", 1, 3, b"")]);
    ladder.window = 1000;
    ladder.steps(&[(C, "A", 3, 1, b"c")]);
    ladder.window = 0;
    ladder.steps(&[(S, "A", 1, 3, b"")]);
    ladder.window = 1000;
    ladder.steps(&[(C, "A", 3, 1, b"c"), (S, "A", 1, 4, b"")]);
    ladder.expect("C@0:ab shut-S C@2:c again-C@2+1 open-S");
}

#[test]
fn the_window_of_a_syn_or_a_rst_is_none() {
    let mut ladder = Ladder::new([1000, 2000]);
    ladder.window = 0;
    ladder.steps(&[SYN, SYN_ACK]);
    ladder.window = 10;
    ladder.steps(&[ACK]);
    ladder.window = 0;
    ladder.steps(&[(S, "RA", 1, 1, b"")]);
    ladder.expect("syn-ack(1ms) established rst-S@0^0/0 C/ S/");
}

#[test]
fn sequence_numbers_wrap() {
    for initial in [u32::MAX, u32::MAX - 1, u32::MAX - 4, 0x7fff_fffe] {
        let mut ladder = Ladder::new([initial, initial]);
        ladder.steps(&OPEN);
        ladder.steps(&[
            (C, "A", 1, 1, b"abc"),
            (C, "A", 7, 1, b"gh"),
            (C, "A", 4, 1, b"def"),
            (S, "A", 1, 9, b"xyzuvw"),
        ]);
        ladder.steps(&[(C, "FA", 9, 7, b""), (S, "FA", 7, 10, b""), (C, "A", 10, 8, b"")]);
        ladder.expect(
            "syn-ack(1ms) established C@0:abc C@3:def C@6:gh S@0:xyzuvw fin-C@8^6/6 C. fin-acked-C fin-S@6^8/8 S. fin-acked-S",
        );
    }
}

#[test]
fn the_acknowledgement_of_a_watched_offset_is_told_once() {
    let mut ladder = Ladder::opened();
    ladder.steps(&[(C, "A", 1, 1, b"abcd")]);
    ladder.watch(4);
    ladder.steps(&[(S, "A", 1, 3, b""), (S, "A", 1, 5, b""), (S, "A", 1, 5, b"x")]);
    ladder.watch(2);
    ladder.expect("C@0:abcd acked-C@4 S@0:x acked-C@2");
}

#[test]
fn a_hole_that_the_receiver_acknowledged_is_the_capture_s() {
    // The answer shows that the octets arrived.
    check_open(&[(C, "A", 1, 1, b"ab"), (S, "A", 1, 5, b"x")], "C@0:ab gap-C@2+2:capture S@0:x");
    check_open(
        &[(C, "A", 1, 1, b"ab"), (C, "A", 5, 1, b"ef"), (S, "A", 1, 7, b"x")],
        "C@0:ab gap-C@2+2:capture C@4:ef S@0:x",
    );
    // A bare acknowledgement may have been captured before the octets that it is for; a second one settles it.
    check_open(&[(S, "A", 1, 3, b""), (C, "A", 1, 1, b"ab")], "C@0:ab");
    check_open(&[(C, "A", 1, 1, b"ab"), (S, "A", 1, 5, b""), (C, "A", 3, 1, b"cd")], "C@0:ab C@2:cd");
    check_open(&[(C, "A", 1, 1, b"ab"), (S, "A", 1, 5, b""), (S, "A", 1, 5, b"")], "C@0:ab gap-C@2+2:capture");
}

#[test]
fn a_hole_that_nobody_acknowledged_is_the_network_s() {
    let mut ladder = Ladder::opened();
    ladder.steps(&[(C, "A", 1, 1, b"ab"), (C, "A", 5, 1, b"ef"), (S, "A", 1, 3, b"")]);
    ladder.leave();
    ladder.expect("C@0:ab gap-C@2+2:network C@4:ef gone sent [6, 0] acked [2, 0] after [0, 0] again [0, 0]");
}

#[test]
fn octets_that_a_later_segment_steps_over_are_told() {
    check_open(&[(C, "A", 1, 1, b"ab"), (S, "A", 1, 3, b"x"), (S, "A", 9, 3, b"")], "C@0:ab S@0:x ahead-S@1+7");
}

#[test]
fn the_snaplen_leaves_gaps() {
    let mut ladder = Ladder::opened();
    ladder.snaplen = 2;
    ladder.steps(&[(C, "A", 1, 1, b"abcd"), (C, "A", 5, 1, b"e"), (S, "A", 1, 6, b"")]);
    ladder.expect("C@0:ab gap-C@2+2:snaplen C@4:e");
}

#[test]
fn what_waits_is_bounded() {
    let mut ladder = Ladder::opened();
    ladder.limits.waiting_bytes_per_direction = 3;
    ladder.steps(&[(C, "A", 2, 1, b"bc"), (C, "A", 5, 1, b"ef")]);
    ladder.expect("gap-C@0+1:unknown C@1:bc gap-C@3+1:unknown C@4:ef");
    assert!(ladder.connection.held_octets() <= ladder.limits.waiting_bytes_per_direction);
}

#[test]
fn one_direction_alone_is_read_as_well() {
    check(&[SYN, ACK, (C, "A", 1, 1, b"ab"), (C, "A", 3, 9, b"cd")], "established C@0:ab gap-S@0+8:capture C@2:cd");
    check(&[SYN_ACK, (S, "A", 1, 3, b"xy"), (S, "A", 3, 3, b"z")], "syn-ack gap-C@0+2:capture S@0:xy S@2:z");
}
