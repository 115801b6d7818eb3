//! Stories whose packets are cut as `tcpdump -s 128` and the like cut them: what the rest shows is still found, at no grade
//! that it does not bear, and nothing besides.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::expect_used, reason = "the modules of other tests use it")]

mod packets;
mod story;

use netwatch502::diagnose::cause::Cause;
use netwatch502::diagnose::incident::{Grade, Incident, Kind};
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
/// failure behind it is told without its client's request; HTTP/2 is not followed behind any cut but one in content; and what
/// FastCGI, uwsgi and SCGI ask for, and what an application of FastCGI says of errors, stands behind a cut as early as these.
fn is_followed(name: &str) -> bool {
    !["-tls-", "-h2-", "-fastcgi-", "-uwsgi-", "-scgi-"].iter().any(|kind| name.contains(kind))
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

/// An upload inside of TLS is longer than what the capture holds of its packet, so that its request never is complete; when it began
/// is known all the same. 150 ms earlier the upstream closed on a request that no client is seen to wait for.
#[test]
fn what_failed_before_a_request_began_was_not_made_for_it_though_that_is_cut() {
    let mut packets: Vec<_> =
        story::packets("nginx-tls-front-healthy").iter().map(|packet| cut(packet, 2048)).collect();
    let (upload, upstream, gateway) = (56, ([10, 50, 2, 2], 9000), ([10, 50, 2, 1], 60_000));
    let began = packets.iter().find(|packet| packet.number == upload).unwrap();
    assert!(began.length > 2048 && began.octets.len() == 2048);
    let starts_ns = began.at_ns - 150_000_000;
    let ask = b"GET /home HTTP/1.1\r\nHost: app\r\n\r\n";
    let asked = 1000 + ask.len() as u32;
    let (there, back) = ((gateway, upstream), (upstream, gateway));
    let failing = [
        (there, "S", (999, 0), &b""[..]),
        (back, "SA", (1999, 1000), b""),
        (there, "PA", (1000, 2000), ask),
        (back, "FA", (2000, asked), b""),
    ];
    let at = packets.iter().position(|packet| packet.at_ns > starts_ns).unwrap();
    let failing = failing.into_iter().zip(0..).map(|((way, flags, numbers, data), nth)| {
        packets::segment(starts_ns + nth * 1_000_000, way, flags, numbers, data)
    });
    packets.splice(at..at, failing.collect::<Vec<_>>());
    for (number, packet) in (1..).zip(&mut packets) {
        packet.number = number;
    }
    let incidents = packets::analyse(&packets, &Limits::default()).incidents;
    let told: Vec<_> = incidents.iter().map(|incident| (incident.kind, incident.cause)).collect();
    assert_eq!(told, [(Kind::UpstreamFailure, Cause::ClosedWithoutResponse)]);
}
