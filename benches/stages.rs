//! What each stage of reading costs, in one thread: nanoseconds for a packet of the captures that are named.
//!
//! ```text
//! cargo bench --bench stages -- /tmp/captures/small.pcap
//! ```
//!
//! Each line is measured with all the stages before it, and what it adds is told as well; medians of five. benches/compare.py
//! makes captures.

#![expect(clippy::expect_used, reason = "a benchmark that cannot begin has nothing to report")]

use std::hint::black_box;
use std::time::Instant;

use netwatch502::analysis::{Analysis, Below};
use netwatch502::capture::Source;
use netwatch502::correlate::gateway::Gateways;
use netwatch502::diagnose::Question;
use netwatch502::flow::steer::{Held, Steer};
use netwatch502::limits::Limits;

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is done with a file; gives back how many packets it has.
type Stage = fn(&[String]) -> u64;

const STAGES: [(&str, Stage); 4] = [
    ("read", read),
    ("decode, leave out copies, find keys", steer),
    ("follow connections, observe", observe),
    ("pair, judge, report", analyse),
];
const ROUNDS: usize = 5;

fn main() {
    // Cargo adds flags of its own.
    let files: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    for file in files {
        println!("{file}");
        let paths = [file];
        let mut before = 0.0;
        for (name, stage) in STAGES {
            let mut spans: Vec<f64> = (0..ROUNDS)
                .map(|_| {
                    let began = Instant::now();
                    let packets = stage(black_box(&paths));
                    began.elapsed().as_secs_f64() * 1e9 / packets.max(1) as f64
                })
                .collect();
            spans.sort_by(f64::total_cmp);
            let median = spans.get(ROUNDS / 2).copied().unwrap_or_default();
            println!("  {name:36} {:6.0} ns, in all {median:6.0}", median - before);
            before = median;
        }
    }
}

fn read(paths: &[String]) -> u64 {
    let mut source = Source::open(paths).expect("a capture");
    let mut packets = 0;
    while let Some(captured) = source.next() {
        packets += u64::from(!black_box(captured.octets).is_empty());
    }
    packets
}

fn steer(paths: &[String]) -> u64 {
    let mut source = Source::open(paths).expect("a capture");
    let mut steer = Steer::new(&Limits::default());
    let mut segments = 0_u64;
    while let Some(captured) = source.next() {
        steer.take(&captured, |held, course| {
            segments += u64::from(matches!(held, Held::Segment(_)));
            black_box(course);
        });
    }
    black_box(segments);
    steer.counters().frames
}

fn observe(paths: &[String]) -> u64 {
    let mut source = Source::open(paths).expect("a capture");
    let mut below = Below::new(&Limits::default());
    while let Some(captured) = source.next() {
        below.take(&captured);
        black_box(below.events()).clear();
    }
    below.passed().counters.frames
}

fn analyse(paths: &[String]) -> u64 {
    let mut source = Source::open(paths).expect("a capture");
    let mut analysis = Analysis::new(&Limits::default(), Gateways::default(), Question::default(), None);
    let mut packets = 0;
    while let Some(captured) = source.next() {
        analysis.take(&captured);
        packets += 1;
    }
    black_box(analysis.finish().totals.exchanges);
    packets
}
