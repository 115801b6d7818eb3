//! What the fuzz targets do with their octets, and what must hold then. The short versions in tests/robustness.rs do the
//! same on stable.

use netwatch502::analysis::Below;
use netwatch502::event::Frame;
use netwatch502::flow::steer::Captured;
use netwatch502::limits::Limits;
use netwatch502::time::Timestamp;
use netwatch502::wire::link::LinkType;
use netwatch502::wire::tls::certificate::Certificate;
use netwatch502::wire::tls::{Alert, Header, handshake, hello, ja4, record};
use netwatch502::wire::{cgi, dns, fastcgi, hpack, http1, http2, packet, pcap, pcapng, scgi, uwsgi};

/// Reads a pcap file to its end. Every record must end within the file and step forward.
pub fn read_pcap(octets: &[u8]) {
    let Ok(header) = pcap::Header::read(octets) else { return };
    let mut window = octets.get(pcap::Header::OCTETS..).unwrap_or_default();
    while let Ok(record) = header.record(window) {
        assert!(record.octets.start <= record.octets.end && record.octets.end <= window.len() && record.octets.end > 0);
        window = window.get(record.octets.end..).unwrap_or_default();
    }
}

/// Reads a pcapng file to its end. Every packet must stand within the file, and every block step forward.
pub fn read_pcapng(octets: &[u8]) {
    let mut blocks = pcapng::Blocks::default();
    let mut window = octets;
    while let Ok((block, step)) = blocks.next(window) {
        assert!(step > 0);
        if let pcapng::Block::Packet(packet) = block {
            assert!(packet.octets.start <= packet.octets.end && packet.octets.end <= window.len());
        }
        window = window.get(step..).unwrap_or_default();
    }
}

/// Decodes a frame of the link type that the first octet chooses.
pub fn decode_packet(octets: &[u8]) {
    let Some((choice, octets)) = octets.split_first() else { return };
    let length = octets.len() as u32 + u32::from(choice >> 4);
    if let Ok(packet) = packet::decode(link(*choice), octets, length) {
        match packet.content {
            packet::Content::Tcp(segment) => assert!(segment.payload.len() <= octets.len()),
            packet::Content::Udp(datagram) => assert!(datagram.payload.len() <= octets.len()),
            _ => {}
        }
    }
}

/// Reads a message to or from a name server. Its name must keep to the bound that names have.
pub fn read_dns(octets: &[u8]) {
    if let Some(message) = dns::message(octets) {
        assert!(message.name.len() <= 4 * 255);
    }
}

/// Reads the octets as a request's head and as a response's.
pub fn read_http1(octets: &[u8]) {
    if let Some(end) = http1::head_end(octets, 0) {
        assert!(end <= octets.len());
    }
    if let Some(request) = http1::request(octets, &mut http1::Fields::new()) {
        let _ = http1::framing(request.fields);
    }
    let mut room = http1::Fields::new();
    let response = http1::response(octets, &mut room);
    let _ = http1::framing(response.fields);
    let _ = http1::status_line_prefix_defect(octets);
}

/// Reads the octets as a run of frames, and what they hold of header blocks with one table. No list is longer than is allowed.
pub fn read_http2(octets: &[u8]) {
    const MOST: usize = 4096;
    let mut table = hpack::Decoder::default();
    let mut rest = octets;
    while let Some(header) = http2::Header::parse(rest) {
        let behind = rest.get(http2::Header::OCTETS..).unwrap_or_default();
        let payload = behind.get(..header.length as usize).unwrap_or(behind);
        if let Some(Ok(lines)) = header.fragment(payload).map(|block| table.decode(block, MOST)) {
            assert!(lines.iter().map(|(name, value)| name.len() + value.len() + 32).sum::<usize>() <= MOST);
        }
        let _ = (http2::reset(payload), http2::goaway(payload));
        rest = behind.get(payload.len()..).unwrap_or_default();
    }
    let _ = (http2::is_server_preface(octets), table.decode(octets, MOST));
    assert!(table.held_octets() <= hpack::MOST_TABLE + octets.len() * 2 + MOST);
}

/// Reads the octets as a run of FastCGI's records, and what they hold as each of the things that records hold.
pub fn read_fastcgi(octets: &[u8]) {
    let mut rest = octets;
    while let Some((head, behind)) = rest.split_first_chunk() {
        let content = fastcgi::Header::read(head).map_or(0, |header| usize::from(header.content));
        let content = behind.get(..content).unwrap_or(behind);
        let _ = (fastcgi::Begin::read(content), fastcgi::End::read(content));
        rest = behind.get(content.len()..).unwrap_or_default();
    }
    let read: usize = fastcgi::pairs(octets).map(|(name, value)| name.len() + value.len() + 2).sum();
    assert!(read <= octets.len());
    let variables = cgi::Variables::of(fastcgi::pairs(octets));
    let _ = (variables.target(), variables.client(), variables.fields(), fastcgi::answer_defect(octets));
    let _ = cgi::response(octets, &mut http1::Fields::new());
}

/// Reads the octets as the variables of uwsgi and of SCGI.
pub fn read_variables(octets: &[u8]) {
    let _ = (uwsgi::begin(octets), scgi::begins_request(octets));
    assert!(uwsgi::block(octets).is_none_or(|length| length <= uwsgi::HEADER + usize::from(u16::MAX)));
    let read = uwsgi::pairs(octets).map(|(name, value)| name.len() + value.len() + 4).sum::<usize>();
    assert!(read <= octets.len());
    if let Some(block) = scgi::block(octets) {
        assert!(block.length > 0);
        let read = block.pairs().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>();
        assert!(read <= octets.len());
    }
}

/// Reads the octets as all that TLS has: records, messages, hellos, certificates.
pub fn read_tls(octets: &[u8]) {
    let _ = (Header::parse(octets), Alert::parse_record(octets), record::sslv2_client_hello(octets));
    let _ = Certificate::parse(octets);
    for hello in [hello::client(octets), hello::sslv2_client(octets)].into_iter().flatten() {
        assert!(ja4::fingerprint(&hello).len() >= 36);
    }
    let _ = hello::server(octets);
    let mut rest = octets;
    while let Ok((message, behind)) = handshake::Message::parse(rest) {
        assert!(message.body.len() + behind.len() + handshake::HEADER == rest.len());
        if let Ok(certificates) = handshake::certificates(message.body) {
            certificates.into_iter().for_each(|octets| drop(Certificate::parse(octets)));
        }
        let _ = (hello::client(message.body), hello::server(message.body));
        rest = behind;
    }
}

/// Takes the octets for a run of frames, each behind its link type, its length and the milliseconds since the last one,
/// and has what follows connections follow them, within tight bounds.
pub fn follow(octets: &[u8]) {
    let limits = Limits {
        connections: 8,
        waiting_bytes_per_direction: 512,
        waiting_bytes: 2048,
        head_bytes: 512,
        handshake_bytes: 512,
        outstanding_requests: 4,
        fragments: 4,
        duplicate_memory: 16,
        ..Limits::default()
    };
    let mut below = Below::new(&limits);
    let mut rest = octets;
    let (mut number, mut at_ns) = (0, 0_i64);
    while let [choice, length, wait, tail @ ..] = rest {
        let (frame, after) = tail.split_at(usize::from(*length).min(tail.len()));
        number += 1;
        at_ns += i64::from(*wait) * 1_000_000;
        below.take(&Captured {
            frame: Frame::new(0, number),
            at: Timestamp::from_nanos(at_ns),
            link: link(*choice),
            interface: 0,
            length: frame.len() as u32 + u32::from(choice >> 4),
            focused: true,
            octets: frame,
        });
        rest = after;
        below.events().clear();
    }
    while below.end() {
        below.events().clear();
    }
}

#[expect(clippy::indexing_slicing, reason = "the index is masked to the length of the list")]
fn link(choice: u8) -> LinkType {
    const LINKS: [LinkType; 8] = [
        LinkType::ETHERNET,
        LinkType::LINUX_SLL,
        LinkType::LINUX_SLL2,
        LinkType::RAW,
        LinkType::NULL,
        LinkType::PPP,
        LinkType::IEEE802_11_RADIOTAP,
        LinkType::IPV6,
    ];
    LINKS[usize::from(choice & 7)]
}
