//! Capture files, made by hand.

use std::io::{self, Read, Write};

use crate::wire::pcap::Order;

/// A packet as tests name it: nanoseconds, octets.
pub(super) type Packet = (i64, Vec<u8>);

pub(super) fn u16s(order: Order, numbers: &[u16]) -> Vec<u8> {
    let octets = |number: &u16| if order == Order::Little { number.to_le_bytes() } else { number.to_be_bytes() };
    numbers.iter().flat_map(octets).collect()
}

pub(super) fn u32s(order: Order, numbers: &[u32]) -> Vec<u8> {
    let octets = |number: &u32| if order == Order::Little { number.to_le_bytes() } else { number.to_be_bytes() };
    numbers.iter().flat_map(octets).collect()
}

/// A pcap file with nanoseconds.
pub(super) fn pcap(order: Order, link: u16, packets: &[Packet]) -> Vec<u8> {
    pcap_pieces(order, link, packets).concat()
}

/// Its header and its records.
pub(super) fn pcap_pieces(order: Order, link: u16, packets: &[Packet]) -> Vec<Vec<u8>> {
    let header = [u32s(order, &[0xa1b2_3c4d]), u16s(order, &[2, 4]), u32s(order, &[0, 0, 65535, link.into()])].concat();
    let record = |(at, octets): &Packet| {
        let length = octets.len() as u32;
        [u32s(order, &[(at / 1_000_000_000) as u32, (at % 1_000_000_000) as u32, length, length]), octets.clone()]
            .concat()
    };
    std::iter::once(header).chain(packets.iter().map(record)).collect()
}

pub(super) fn block(order: Order, block: u32, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    let length = u32s(order, &[body.len() as u32 + 12]);
    [u32s(order, &[block]), length.clone(), body, length].concat()
}

pub(super) fn section(order: Order) -> Vec<u8> {
    block(order, 0x0a0d_0d0a, &[u32s(order, &[0x1a2b_3c4d]), u16s(order, &[1, 0]), vec![0xff; 8]].concat())
}

/// An interface with nanoseconds.
pub(super) fn interface(order: Order, link: u16) -> Vec<u8> {
    let options = [u16s(order, &[9, 1]), vec![9, 0, 0, 0, 0, 0, 0, 0]].concat();
    block(order, 1, &[u16s(order, &[link, 0]), u32s(order, &[0]), options].concat())
}

pub(super) fn enhanced(order: Order, interface: u32, (at, octets): &Packet) -> Vec<u8> {
    let length = octets.len() as u32;
    let head = u32s(order, &[interface, (*at as u64 >> 32) as u32, *at as u32, length, length]);
    block(order, 6, &[head, octets.clone()].concat())
}

/// The blocks of a pcapng file with one section and one interface.
pub(super) fn pcapng_pieces(order: Order, link: u16, packets: &[Packet]) -> Vec<Vec<u8>> {
    [section(order), interface(order, link)]
        .into_iter()
        .chain(packets.iter().map(|packet| enhanced(order, 0, packet)))
        .collect()
}

pub(super) fn gzip(octets: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(octets).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn zstd(octets: &[u8]) -> Vec<u8> {
    zstd::encode_all(octets, 1).unwrap()
}

pub(super) fn zstd_skippable(octets: &[u8]) -> Vec<u8> {
    [&[0x53, 0x2a, 0x4d, 0x18], &(octets.len() as u32).to_le_bytes()[..], octets].concat()
}

/// A zstd frame: what stands in its header behind the magic number, and its blocks, each with its type. Of none it is said
/// that it is the last.
pub(super) fn zstd_frame<'a>(header: &[u8], blocks: impl IntoIterator<Item = (u8, &'a [u8])>) -> Vec<u8> {
    let blocks = blocks.into_iter().map(|(kind, octets)| {
        let head = (octets.len() as u32) << 3 | u32::from(kind) << 1;
        [&head.to_le_bytes()[..3], octets].concat()
    });
    [vec![0x28, 0xb5, 0x2f, 0xfd], header.to_vec()].into_iter().chain(blocks).flatten().collect()
}

/// Gives `octets` in pieces of the sizes, over and over.
pub(super) struct Pieces {
    pub(super) octets: io::Cursor<Vec<u8>>,
    pub(super) sizes: Vec<usize>,
    pub(super) turn: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes[self.turn % self.sizes.len()].min(buffer.len());
        self.turn += 1;
        self.octets.read(&mut buffer[..size])
    }
}
