//! Stories whose packets are cut as `tcpdump -s 128` and the like cut them: what the rest shows is still found, at no grade
//! that it does not bear, and nothing besides.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::expect_used, reason = "the modules of other tests use it")]

mod packets;
mod story;

use netwatch502::diagnose::incident::{Grade, Incident};
use netwatch502::limits::Limits;
use netwatch502::report::Style;

/// A packet of which the capture holds the first octets.
fn cut(packet: &packets::Packet, snaplen: usize) -> packets::Packet {
    let mut cut = packet.clone();
    cut.octets.truncate(snaplen);
    cut
}

/// Whether an incident is the expected failure, as far as its target is there.
fn tells(incident: &Incident, expected: &story::Failure) -> bool {
    let found = story::failure(incident);
    let target = found
        .target
        .strip_suffix('…')
        .map_or(found.target == expected.target, |whole| expected.target.starts_with(whole));
    target && story::Failure { target: expected.target.clone(), ..found } == *expected
}

fn check(name: &str, snaplen: usize) {
    let cut: Vec<_> = story::packets(name).iter().map(|packet| cut(packet, snaplen)).collect();
    let report = packets::analyse(&cut, &Limits::default());
    // Who asks an origin stands in fields behind the cut.
    if name.starts_with("origin-") {
        assert!(
            report.incidents.iter().all(|incident| incident.grade < Grade::Proven
                || snaplen > 128
                || incident.attempts.is_empty()
                || incident.downstream.is_none()),
            "{name}"
        );
        return;
    }
    let mut left = story::expected(name);
    for incident in &report.incidents {
        // That others are served by TLS on the port stands behind the cut.
        let unseen = |expected: &story::Failure| {
            expected.cause == "plaintext_to_tls" && incident.cause.id() == "reset_without_response"
        };
        let at = left.iter().position(|expected| tells(incident, expected) || unseen(expected));
        let Some(at) = at else { panic!("{name} at {snaplen}: {} is not in the story", story::failure(incident)) };
        let expected = left.remove(at);
        let behind_the_cut = ["malformed_response", "response_header_too_large", "truncated_header", "relayed_error"];
        let may_be_proven = snaplen > 128 || !behind_the_cut.contains(&&*expected.cause);
        assert!(incident.grade < Grade::Proven || may_be_proven, "{name} at {snaplen}: {expected} cannot be proven");
    }
    // Where a content should have ended stands behind the cut.
    left.retain(|expected| !["truncated_body", "stalled_body"].contains(&&*expected.cause));
    let missed: Vec<String> = left.iter().map(ToString::to_string).collect();
    assert!(missed.is_empty(), "{name} at {snaplen}: not found: {missed:?}");
    let cuts = report.coverage.truncated_packets;
    assert_eq!(cuts > 0, report.coverage.notes.iter().any(|note| note.contains("snaplen")), "{name} at {snaplen}");
}

/// The stories that are followed behind a cut. Where the snaplen cuts a TLS handshake, what is inside is not followed, and a
/// failure behind it is told without its client's request; and HTTP/2 is not followed behind any cut but one in content.
fn is_followed(name: &str) -> bool {
    !name.contains("-tls-") && !name.contains("-h2-")
}

fn followed() -> Vec<String> {
    story::names().into_iter().filter(|name| is_followed(name)).collect()
}

#[test]
fn where_the_snaplen_cuts_off_what_is_inside_nothing_wrong_is_proven() {
    for (name, snaplen) in story::names().iter().filter(|name| !is_followed(name)).flat_map(|n| [(n, 96), (n, 128)]) {
        let cut: Vec<_> = story::packets(name).iter().map(|packet| cut(packet, snaplen)).collect();
        let causes: Vec<String> =
            story::expected(name).into_iter().map(|expected| expected.cause.to_string()).collect();
        for incident in packets::analyse(&cut, &Limits::default()).incidents {
            let is_told = causes.iter().any(|cause| *cause == incident.cause.id());
            assert!(is_told || incident.grade < Grade::Proven, "{name} at {snaplen}: {}", story::failure(&incident));
        }
    }
}

#[test]
fn a_snaplen_of_96_leaves_every_cause_that_needs_no_more() {
    // IPv6's header is longer by twenty octets, and so is one that an ICMP error quotes.
    let longer = |name: &str| if name.contains("-ipv6-") { 40 } else { 0 };
    followed().iter().for_each(|name| check(name, 96 + longer(name)));
}

#[test]
fn a_snaplen_of_128_leaves_every_cause_that_needs_no_more() {
    followed().iter().for_each(|name| check(name, 128));
}

#[test]
fn that_nothing_was_found_in_cut_packets_is_said_with_reserve() {
    let found = |snaplen| {
        let cut: Vec<_> =
            story::packets("nginx-healthy-idle-closes").iter().map(|packet| cut(packet, snaplen)).collect();
        let report = packets::analyse(&cut, &Limits::default());
        let mut text = Vec::new();
        netwatch502::report::text::write(&report, &Style::default(), &mut text).unwrap();
        String::from_utf8(text).unwrap()
    };
    assert!(
        found(128).contains("no gateway failure found in 8 exchanges, as far as packets tell that the snaplen cut")
    );
    assert!(!found(65_535).contains("snaplen"));
}

#[test]
fn a_snaplen_of_64_makes_nothing_up() {
    for name in story::names() {
        let cut: Vec<_> = story::packets(&name).iter().map(|packet| cut(packet, 64)).collect();
        let report = packets::analyse(&cut, &Limits::default());
        let proven = report.incidents.iter().filter(|incident| incident.grade == Grade::Proven);
        let causes: Vec<String> = story::expected(&name).into_iter().map(|expected| expected.cause).collect();
        for incident in proven {
            assert!(causes.iter().any(|cause| cause == incident.cause.id()), "{name}: {}", story::failure(incident));
        }
    }
}
