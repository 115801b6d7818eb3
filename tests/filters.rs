//! Captures of which the user's filter left a part: what stood in the rest proves nothing by its absence.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod packets;
mod story;

use netwatch502::diagnose::cause::Cause;
use netwatch502::diagnose::incident::{Grade, Incident};
use netwatch502::limits::Limits;

/// The flags of a segment in a frame with a header of Linux's cooked captures, version 2; `None` where it is something else.
fn flags(octets: &[u8]) -> Option<u8> {
    const LINK: usize = 20;
    const TCP: u8 = 6;
    let is_tcp = octets.get(LINK)? >> 4 == 4 && *octets.get(LINK + 9)? == TCP;
    let header = usize::from(octets.get(LINK)? & 0xf) * 4;
    octets.get(LINK + header + 13).copied().filter(|_| is_tcp)
}

/// What is found in a story, of whose packets those are left that `is_kept` says.
fn found(name: &str, is_kept: impl Fn(Option<u8>) -> bool) -> Vec<Incident> {
    let mut packets = story::packets(name);
    packets.retain(|packet| is_kept(flags(&packet.octets)));
    packets::analyse(&packets, &Limits::default()).incidents
}

#[test]
fn that_no_icmp_error_came_proves_nothing_where_the_filter_left_none() {
    let [whole, tcp] = [false, true].map(|is_filtered| {
        let incidents = found("nginx-syn-unanswered", |flags| !is_filtered || flags.is_some());
        let [incident] = <[Incident; 1]>::try_from(incidents).unwrap();
        incident
    });
    assert_eq!((whole.cause, whole.grade), (Cause::ConnectTimeout, Grade::Proven));
    assert_eq!((tcp.cause, tcp.grade), (Cause::ConnectTimeout, Grade::Consistent));
    let excludes = |incident: &Incident| incident.ruled_out.iter().any(|out| out.cause == Cause::ConnectUnreachable);
    assert_eq!([&whole, &tcp].map(excludes), [true, false]);
    assert!(tcp.candidates.iter().any(|candidate| candidate.cause == Some(Cause::ConnectUnreachable)));
}

#[test]
fn of_segments_that_open_and_close_connections_alone_no_answer_is_missed() {
    const FIN: u8 = 1;
    const SYN: u8 = 2;
    const RST: u8 = 4;
    let ends = |flags: Option<u8>| flags.is_some_and(|flags| flags & (FIN | SYN | RST) != 0);
    let unanswered = [Cause::ClosedWithoutResponse, Cause::ResetWithoutResponse];
    for name in ["nginx-healthy-idle-closes", "nginx-truncated-body", "haproxy-bad-status-line"] {
        let told = found(name, ends).into_iter().filter(|incident| unanswered.contains(&incident.cause)).count();
        assert_eq!(told, 0, "{name}");
    }
    assert_eq!(found("nginx-connect-refused", ends)[0].cause, Cause::ConnectRefused);
}
