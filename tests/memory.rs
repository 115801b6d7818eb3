//! What the analysis takes of memory: how large what there are many of is, and what a connection costs that nothing happens on.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod packets;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use netwatch502::analysis::Analysis;
use netwatch502::correlate::conversation::{Conversation, Exchange};
use netwatch502::correlate::gateway::Gateways;
use netwatch502::correlate::handshake::Handshake;
use netwatch502::diagnose::Question;
use netwatch502::event::{Endpoint, Event, Moment, Request, RequestSection, Response, ResponseSection};
use netwatch502::flow::connection::Connection;
use netwatch502::limits::Limits;
use netwatch502::observe::Observer;
use netwatch502::observe::http1::Http1;
use netwatch502::observe::veil::Veil;
use packets::{End, Packet, segment};

#[test]
fn what_there_are_many_of_is_small() {
    let sizes = [
        ("Moment, optional", size_of::<Option<Moment>>(), 16),
        ("Endpoint", size_of::<Endpoint>(), 32),
        ("Event", size_of::<Event>(), 104),
        ("Request", size_of::<Request>(), 48),
        ("RequestSection", size_of::<RequestSection>(), 160),
        ("Response", size_of::<Response>(), 64),
        ("ResponseSection", size_of::<ResponseSection>(), 88),
        ("Connection", size_of::<Connection>(), 256),
        ("Observer, optional", size_of::<Option<Observer>>(), 16),
        ("Http1", size_of::<Http1>(), 320),
        ("Veil", size_of::<Veil>(), 552),
        ("Handshake", size_of::<Handshake>(), 320),
        ("Conversation", size_of::<Conversation>(), 208),
        ("Exchange", size_of::<Exchange>(), 584),
    ];
    for (name, size, most) in sizes {
        println!("{name:20} {size:4} octets, at most {most}");
    }
    for (name, size, most) in sizes {
        assert!(size <= most, "{name}: {size} octets");
    }
}

/// The allocator keeps blocks by size, and four times as long is what it takes to find one where a size is exactly that of
/// blocks, and no power of two: it is asked for alignment, does not rely on the one that such blocks have, and takes a larger one.
#[test]
fn what_is_allocated_for_each_message_is_found_at_once() {
    const SIZES_OF_BLOCKS: [usize; 10] = [48, 80, 96, 112, 160, 192, 224, 320, 384, 448];
    // Each is shared, and stands behind two counts of who has it.
    let counts = 2 * size_of::<usize>();
    let sections = [("RequestSection", size_of::<RequestSection>()), ("ResponseSection", size_of::<ResponseSection>())];
    for (name, size) in sections.map(|(name, size)| (name, counts + size)) {
        assert!(!SIZES_OF_BLOCKS.contains(&size), "{name}: {size} octets");
    }
}

#[test]
fn an_idle_connection_costs_little() {
    let packets = idle(CONNECTIONS);
    let limits = Limits { connections: usize::from(CONNECTIONS) * 2, ..Limits::default() };
    let analysis = || Analysis::new(&limits, Gateways::told(&[]), Question::default(), None);

    let before = taken();
    let (mut lower, _upper) = analysis().halves();
    for packet in &packets {
        lower.take(&packet.captured());
        lower.events().clear();
    }
    let below = each(taken() - before);
    drop(lower);

    let before = taken();
    let mut whole = analysis();
    packets.iter().for_each(|packet| whole.take(&packet.captured()));
    let above = each(taken() - before) - below;
    assert_eq!(whole.finish().totals.responses.values().sum::<u64>(), u64::from(CONNECTIONS));

    println!("{below} octets for a connection below the waist, {above} above it");
    assert!(below <= MOST_BELOW && above <= MOST_ABOVE, "{below} below the waist, {above} above it");
}

/// Connections with an exchange each, a thousand begun in a second, and one a minute after all the others.
fn idle(connections: u16) -> Vec<Packet> {
    let mut packets = Vec::new();
    for number in 0..connections {
        let client: End = ([10, 0, (number >> 8) as u8, number as u8], 40_000);
        let late = if number + 1 == connections { 60_000_000_000 } else { 0 };
        let mut at = 1_795_181_638_000_000_000 + i64::from(number) * 1_000_000 + late;
        let mut send = |way, flags, numbers, data: &[u8]| {
            at += 10_000;
            packets.push(segment(at, way, flags, numbers, data));
        };
        let request = format!("GET /number-{number} HTTP/1.1\r\nHost: app.lab\r\n\r\n");
        let asked = 1000 + request.len() as u32;
        let answered = 2000 + OK.len() as u32;
        send((client, SERVER), "S", (999, 0), b"");
        send((SERVER, client), "SA", (1999, 1000), b"");
        send((client, SERVER), "A", (1000, 2000), b"");
        send((client, SERVER), "PA", (1000, 2000), request.as_bytes());
        send((SERVER, client), "A", (2000, asked), b"");
        send((SERVER, client), "PA", (2000, asked), OK);
        send((client, SERVER), "A", (asked, answered), b"");
    }
    for (packet, number) in packets.iter_mut().zip(1..) {
        packet.number = number;
    }
    packets
}

fn each(octets: isize) -> isize {
    octets / isize::try_from(CONNECTIONS).unwrap()
}

/// Octets that this thread allocated and did not free.
fn taken() -> isize {
    TAKEN.get()
}

thread_local! {
    static TAKEN: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, and a count of what it gave out.
struct Counting;

#[expect(unsafe_code, reason = "an allocator is unsafe by its interface; this one passes everything on")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TAKEN.set(TAKEN.get() + layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        TAKEN.set(TAKEN.get() - layout.size() as isize);
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CONNECTIONS: u16 = 20_000;
const SERVER: End = ([10, 50, 1, 1], 8080);
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// Octets that the allocator was asked for. What it gives is up to an eighth more. Four of those below are a connection's share of
/// the room that a shard has for header sections that repeat.
const MOST_BELOW: isize = 308;
const MOST_ABOVE: isize = 288;
