//! How connections begin, or do not.

use super::*;

#[test]
fn a_handshake() {
    check(&OPEN, "syn-ack(1ms) established");
}

#[test]
fn a_repeated_syn_is_told_and_the_round_trip_is_that_of_the_last() {
    check(&[SYN, SYN, SYN, SYN_ACK, ACK], "syn-again syn-again syn-ack(1ms) established");
}

#[test]
fn a_repeated_syn_ack_is_told_and_whether_it_had_been_acknowledged() {
    check(&[SYN, SYN_ACK, SYN_ACK, ACK], "syn-ack(1ms) syn-ack-again established");
    check(&[SYN, SYN_ACK, ACK, SYN_ACK, ACK], "syn-ack(1ms) established syn-ack-again-late");
}

#[test]
fn data_may_complete_the_handshake_or_come_with_the_syn() {
    check(&[SYN, SYN_ACK, (C, "A", 1, 1, b"GET")], "syn-ack(1ms) established C@0:GET");
    // TCP Fast Open (RFC 7413).
    check(&[(C, "S", 0, 0, b"GET"), (S, "SA", 0, 4, b""), (C, "A", 4, 1, b"")], "C@0:GET syn-ack(1ms) established");
}

#[test]
fn a_syn_may_cross_a_syn() {
    check(
        &[SYN, (S, "S", 0, 0, b""), (C, "SA", 0, 1, b""), (S, "A", 1, 1, b""), (C, "A", 1, 1, b"hi")],
        "syn-ack(1ms) established C@0:hi",
    );
}

#[test]
fn a_refused_syn_is_told_from_other_resets() {
    check(&[SYN, (S, "RA", 0, 1, b"")], "rst-S@0^0/0,in-handshake,refuses C/ S/");
    check(&[SYN, SYN, (S, "RA", 0, 1, b"")], "syn-again rst-S@0^0/0,in-handshake,refuses C/ S/");
    // The acknowledgement number of another attempt.
    check(&[SYN, (S, "RA", 0, 77, b"")], "rst-S@0^76/0,in-handshake C/ S/");
    check(&[SYN, SYN_ACK, (C, "R", 1, 0, b"")], "syn-ack(1ms) rst-C@0,in-handshake C/ S/");
    check(&[SYN, SYN_ACK, (S, "RA", 1, 1, b"")], "syn-ack(1ms) rst-S@0^0/0,in-handshake C/ S/");
}

#[test]
fn an_icmp_error_quotes_the_syn_or_something_later() {
    let mut ladder = Ladder::new([1000, 2000]);
    ladder.steps(&[SYN]);
    ladder.icmp(C, Some(0));
    ladder.icmp(C, None);
    ladder.icmp(C, Some(5));
    ladder.expect("icmp-C(syn) icmp-C(syn) icmp-C");
    ladder.steps(&[SYN_ACK, ACK, (C, "A", 1, 1, b"GET")]);
    ladder.told.clear();
    ladder.icmp(C, Some(1));
    ladder.icmp(S, Some(0));
    ladder.expect("icmp-C icmp-S");
}

#[test]
fn a_connection_known_by_a_quotation_takes_its_syn_when_it_comes() {
    let (client, server) = ("192.0.2.1:40000".parse().unwrap(), "192.0.2.2:80".parse().unwrap());
    let mut ladder = Ladder::new([1000, 2000]);
    ladder.connection = Connection::quoted(ConnectionId(0), client, server, 1000, moment(0));
    assert!(!ladder.connection.is_reused_by(C, 1000));
    assert!(ladder.connection.in_handshake());
    ladder.icmp(C, Some(0));
    ladder.steps(&[SYN, SYN_ACK, ACK]);
    ladder.expect("icmp-C(syn) syn-again syn-ack(1ms) established");
}

#[test]
fn a_connection_older_than_the_capture_begins_with_what_is_seen() {
    check(&[(C, "A", 501, 701, b"GET"), (S, "A", 701, 504, b"OK")], "C@0:GET S@0:OK");
    check(&[(S, "A", 701, 501, b""), (C, "A", 501, 701, b"GET")], "C@0:GET");
    check(&[SYN_ACK, ACK, (C, "A", 1, 1, b"GET")], "syn-ack established C@0:GET");
}

#[test]
fn another_syn_begins_another_connection() {
    let ladder = Ladder::opened();
    assert!(!ladder.connection.is_reused_by(C, 1000), "a repetition");
    assert!(ladder.connection.is_reused_by(C, 5000));
    assert!(ladder.connection.is_reused_by(S, 5000), "the roles may change");
    let mut ladder = Ladder::new([1000, 2000]);
    ladder.steps(&[SYN]);
    assert!(!ladder.connection.is_reused_by(S, 2000), "it answers the first one");
    ladder.steps(&[(S, "RA", 0, 1, b"")]);
    assert!(ladder.connection.is_reused_by(S, 2000), "the first one was refused");
}
