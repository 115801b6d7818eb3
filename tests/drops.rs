//! Packets that are not in the capture: whatever is missing, no verdict claims to be proven and is wrong.
//!
//! ```text
//! cargo test --test drops                                                    every kind of damage, as many seeds as take seconds
//! NETWATCH502_TEST_DROPS=0..5000 cargo test --release --test drops random     these seeds over all stories
//! NETWATCH502_TEST_DROPS=17..18:nginx-truncated-body cargo test --test drops random    one case of a message
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod denied;
mod packets;
mod story;

use std::ops::Range;

use denied::{Denied, ends, stories};
use packets::{Dice, Packet};

#[test]
fn a_dropped_packet_proves_nothing_wrong() {
    let mut wrong = Denied::default();
    for (name, packets, expected) in stories() {
        for dropped in 0..packets.len() {
            let kept = packets.iter().enumerate().filter(|(index, _)| *index != dropped).map(|(_, packet)| packet);
            wrong.judge(&name, &|| format!("dropping frame {}", packets[dropped].number), kept, &expected);
        }
    }
    wrong.check();
}

#[test]
fn a_run_of_dropped_packets_proves_nothing_wrong() {
    let mut wrong = Denied::default();
    for (name, packets, expected) in stories() {
        for length in [2_usize, 3, 5, 8] {
            for first in (0..packets.len()).step_by(length.div_ceil(2)) {
                let lost = first..first + length;
                let kept =
                    packets.iter().enumerate().filter(|(index, _)| !lost.contains(index)).map(|(_, packet)| packet);
                wrong.judge(
                    &name,
                    &|| format!("dropping {length} from frame {}", packets[first].number),
                    kept,
                    &expected,
                );
            }
        }
    }
    wrong.check();
}

#[test]
fn randomly_dropped_packets_prove_nothing_wrong() {
    let (seeds, only) = wanted();
    let mut wrong = Denied::default();
    for (name, packets, expected) in stories() {
        if only.as_ref().is_some_and(|only| *only != name) {
            continue;
        }
        for seed in seeds.clone() {
            let lost = lost(&packets, seed);
            let kept = packets.iter().zip(&lost).filter(|(_, lost)| !**lost).map(|(packet, _)| packet);
            let damage = || {
                let frames = packets.iter().zip(&lost).filter(|(_, lost)| **lost);
                let frames: Vec<String> = frames.map(|(packet, _)| packet.number.to_string()).collect();
                format!("{DROPS}={seed}..{}:{name}, dropping {}", seed + 1, frames.join(","))
            };
            wrong.judge(&name, &damage, kept, &expected);
        }
    }
    wrong.check();
}

/// Which seeds, and of which story alone: `SEEDS` or `SEEDS:STORY`, where the environment says so.
fn wanted() -> (Range<u64>, Option<String>) {
    let Ok(wanted) = std::env::var(DROPS) else { return (0..SEEDS, None) };
    let (seeds, story) = match wanted.split_once(':') {
        Some((seeds, story)) => (seeds, Some(story.to_owned())),
        None => (wanted.as_str(), None),
    };
    let (first, end) = seeds.split_once("..").expect("seeds are FIRST..END");
    (first.parse().unwrap()..end.parse().unwrap(), story)
}

/// Which packets are lost. The seed alone decides, so that a case can be had again.
fn lost(packets: &[Packet], seed: u64) -> Vec<bool> {
    let mut dice = Dice(seed);
    match seed % 6 {
        kind @ 0..3 => {
            let percent = [2, 10, 30][kind as usize];
            packets.iter().map(|_| dice.below(100) < percent).collect()
        }
        3 => bursts(packets, &mut dice),
        4 => one_way(packets, &mut dice, 100),
        _ => {
            let bursts = bursts(packets, &mut dice);
            let percent = [10, 30, 60][dice.below(3)];
            let one_way = one_way(packets, &mut dice, percent);
            bursts.into_iter().zip(one_way).map(|(one, other)| one || other).collect()
        }
    }
}

/// Up to three runs of packets, of up to a fifth of the capture each.
fn bursts(packets: &[Packet], dice: &mut Dice) -> Vec<bool> {
    let mut lost = vec![false; packets.len()];
    for _ in 0..=dice.below(3) {
        let (first, length) = (dice.below(packets.len()), 2 + dice.below(packets.len() / 5));
        lost.iter_mut().skip(first).take(length).for_each(|lost| *lost = true);
    }
    lost
}

/// One direction of a connection, or this much of it.
fn one_way(packets: &[Packet], dice: &mut Dice, percent: usize) -> Vec<bool> {
    let mut ways: Vec<[String; 2]> = packets.iter().filter_map(ends).collect();
    ways.sort();
    ways.dedup();
    let way = &ways[dice.below(ways.len())];
    packets.iter().map(|packet| ends(packet).as_ref() == Some(way) && dice.below(100) < percent).collect()
}

const DROPS: &str = "NETWATCH502_TEST_DROPS";
/// Seeds of a run that nothing else is asked of.
const SEEDS: u64 = 1200;
