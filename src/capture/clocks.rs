//! Clocks of several hosts: in come packets of captures that overlap in time, out comes how far their clocks are apart.
//!
//! A packet that two captures hold has two stamps. What the one host sent is stamped `difference of the clocks + time on the way`
//! later by the other, what it received `difference - time on the way`. So between two addresses the difference lies in the
//! middle of the two, and where both ways are later, or both earlier, somebody received what was not yet sent.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::flow::duplicate;
use crate::flow::steer::Captured;
use crate::time::Timestamp;
use crate::wire::packet;

/// A packet that is like no other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    identity: u64,
    between: (IpAddr, IpAddr),
    at: Timestamp,
}

impl Mark {
    /// Of a frame; `None` where another packet may look the same.
    pub(super) fn of(captured: &Captured<'_>) -> Option<Self> {
        let packet = packet::decode(captured.link, captured.octets, captured.length).ok()?;
        let identity = duplicate::identity(&packet)?;
        Some(Self { identity, between: (packet.source, packet.destination), at: captured.at })
    }
}

/// Packets of several captures, each stamped by its own clock.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// By identity, the captures that hold the packet, in which each is found first.
    seen: HashMap<u64, Vec<(usize, Mark)>>,
}

/// What the packets that a capture shares with others say of its clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Apart {
    /// How far it is ahead, in nanoseconds.
    pub(super) ahead: i64,
    /// How long packets are on the way between the hosts.
    pub(super) on_the_way: i64,
    /// From how many packets that is told.
    pub(super) packets: usize,
}

impl Comparison {
    /// Takes a packet of a capture. Gives those that hold it, where they are several and have become more.
    pub(super) fn note(&mut self, capture: usize, mark: Mark) -> Vec<usize> {
        let holders = self.seen.entry(mark.identity).or_default();
        // The same capture may show it once for each interface that it passes.
        if holders.iter().any(|(holder, _)| *holder == capture) {
            return Vec::new();
        }
        holders.push((capture, mark));
        if holders.len() < 2 { Vec::new() } else { holders.iter().map(|(holder, _)| *holder).collect() }
    }

    /// Whether two captures hold packets of which there is one only: they are of different hosts, or of different interfaces.
    pub(super) fn do_share(&self, one: usize, other: usize) -> bool {
        let holds = |holders: &[(usize, Mark)], capture| holders.iter().any(|(holder, _)| *holder == capture);
        let shared = self.seen.values().filter(|holders| holds(holders, one) && holds(holders, other));
        shared.take(ENOUGH_TO_TELL).count() == ENOUGH_TO_TELL
    }

    /// How far the clock of a capture is ahead of those of others, each of which is corrected by so many nanoseconds. `None` where
    /// too few packets say so.
    pub(super) fn apart(&self, capture: usize, others: &[(usize, i64)]) -> Option<Apart> {
        let mut ways: HashMap<(IpAddr, IpAddr), Vec<i64>> = HashMap::new();
        let mut packets = 0;
        for holders in self.seen.values() {
            let Some((_, own)) = holders.iter().find(|(holder, _)| *holder == capture) else { continue };
            let other = others.iter().find_map(|(other, correction)| {
                let (_, mark) = holders.iter().find(|(holder, _)| holder == other)?;
                Some((mark, correction))
            });
            let Some((other, correction)) = other else { continue };
            let corrected = other.at.as_nanos().saturating_add(*correction);
            ways.entry(other.between).or_default().push(own.at.as_nanos().saturating_sub(corrected));
            packets += 1;
        }
        if packets < ENOUGH_TO_TELL {
            return None;
        }
        let medians: HashMap<_, _> = ways.iter().map(|(way, spans)| (*way, (median(spans), spans.len()))).collect();
        let mut told: Vec<(i64, i64)> = Vec::new();
        for ((from, to), (there, one)) in &medians {
            if let Some((back, other)) = medians.get(&(*to, *from))
                && from < to
            {
                let middle = there.midpoint(*back);
                // Of two hosts that have more to say to one another more is known.
                let weight = (*one).min(*other).min(MOST_WEIGHT);
                told.extend(std::iter::repeat_n((middle, there.abs_diff(*back).cast_signed() / 2), weight));
            }
        }
        if told.is_empty() {
            told.extend(medians.values().map(|(span, _)| (*span, 0)));
        }
        let ahead = median(&told.iter().map(|(middle, _)| *middle).collect::<Vec<_>>());
        let on_the_way = median(&told.iter().map(|(_, half)| *half).collect::<Vec<_>>());
        Some(Apart { ahead, on_the_way, packets })
    }
}

fn median(spans: &[i64]) -> i64 {
    let mut sorted = spans.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// A handshake and a request, say.
const ENOUGH_TO_TELL: usize = 3;
/// A pair of hosts counts no more than so many times.
const MOST_WEIGHT: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 50, 2, 1));
    const UPSTREAM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 50, 2, 2));

    fn mark(identity: u64, between: (IpAddr, IpAddr), at: i64) -> Mark {
        Mark { identity, between, at: Timestamp::from_nanos(1_795_000_000_000_000_000 + at) }
    }

    /// What each of two hosts captures of requests and their answers, a second apart, `there` and `back` so long on the way, by
    /// clocks of which the second one is so far ahead.
    fn talk(exchanges: u64, there: i64, back: i64, ahead: i64) -> Comparison {
        let mut comparison = Comparison::default();
        for number in 0..exchanges {
            let asked = number.cast_signed() * 1_000_000_000;
            let answered = asked + there + 300_000;
            for (identity, between, at, seconds) in [
                (2 * number, (GATEWAY, UPSTREAM), asked, asked + there + ahead),
                (2 * number + 1, (UPSTREAM, GATEWAY), answered + back, answered + ahead),
            ] {
                assert!(comparison.note(0, mark(identity, between, at)).is_empty());
                assert_eq!(comparison.note(1, mark(identity, between, seconds)), [0, 1]);
            }
        }
        comparison
    }

    #[test]
    fn the_difference_lies_in_the_middle_of_both_ways() {
        for ahead in [-5_000_000_000, -40_000_000, 0, 12_345, 3_000_000_000] {
            let apart = talk(4, 20_000_000, 20_000_000, ahead).apart(1, &[(0, 0)]);
            assert_eq!(apart, Some(Apart { ahead, on_the_way: 20_000_000, packets: 8 }));
        }
        // Where one way is longer, nobody can tell that from a clock that is ahead.
        let apart = talk(4, 30_000_000, 10_000_000, 0).apart(1, &[(0, 0)]);
        assert_eq!(apart, Some(Apart { ahead: 10_000_000, on_the_way: 20_000_000, packets: 8 }));
    }

    #[test]
    fn others_are_taken_as_they_are_corrected() {
        let apart = talk(4, 1_000, 1_000, 7_000_000).apart(1, &[(0, -2_000_000)]);
        assert_eq!(apart.map(|apart| apart.ahead), Some(9_000_000));
    }

    #[test]
    fn too_few_packets_and_those_of_one_capture_say_nothing() {
        assert_eq!(talk(1, 1_000, 1_000, 7).apart(1, &[(0, 0)]), None);
        let mut comparison = Comparison::default();
        for at in 0..8 {
            assert!(comparison.note(0, mark(7, (GATEWAY, UPSTREAM), at)).is_empty());
            comparison.note(1, mark(8, (GATEWAY, UPSTREAM), at));
        }
        assert_eq!(comparison.apart(1, &[(0, 0)]), None);
    }

    #[test]
    fn where_one_direction_is_shared_its_packets_are_taken_for_seen_at_once() {
        let mut comparison = Comparison::default();
        for number in 0..5 {
            comparison.note(0, mark(number, (GATEWAY, UPSTREAM), number.cast_signed() * 1_000));
            comparison.note(1, mark(number, (GATEWAY, UPSTREAM), number.cast_signed() * 1_000 + 250));
        }
        assert_eq!(comparison.apart(1, &[(0, 0)]), Some(Apart { ahead: 250, on_the_way: 0, packets: 5 }));
    }
}
