//! Questions and answers of the domain name system: datagrams from and to port 53, and the same behind their length on
//! connections to that port (RFC 1035 section 4.2). Which answer belongs to which question is settled above the waist,
//! where all shards meet.

use std::net::SocketAddr;

use crate::event::lookup::{NAME_SERVER, Rejected, Told};
use crate::event::{Endpoint, Side};
use crate::flow::assembler::Piece;
use crate::wire::dns;
use crate::wire::packet::{Datagram, IcmpError, Packet, Passage};

/// The message in a datagram, if it is from or to a name server.
#[must_use]
pub fn datagram(packet: &Packet<'_>, datagram: &Datagram<'_>) -> Option<Told> {
    let source = SocketAddr::new(packet.source, datagram.source_port);
    let destination = SocketAddr::new(packet.destination, datagram.destination_port);
    let message = match (source.port(), destination.port()) {
        (NAME_SERVER, _) | (_, NAME_SERVER) => dns::message(datagram.payload)?,
        _ => return None,
    };
    let (client, server) = if message.response { (destination, source) } else { (source, destination) };
    // A forwarder may ask from port 53 itself; who is asked listens there in any case.
    if server.port() != NAME_SERVER {
        return None;
    }
    let local = match (packet.passage, message.response) {
        (Passage::Outgoing, false) | (Passage::Incoming, true) => Some(true),
        (Passage::Other, _) => Some(false),
        _ => None,
    };
    Some(Told { client, server, tcp: false, local, message })
}

/// The query that an ICMP error quotes, if it does.
#[must_use]
pub fn rejected(packet: &Packet<'_>, error: &IcmpError) -> Option<Rejected> {
    let id = error.query.filter(|_| error.protocol == UDP && error.is_unreachable())?;
    let client = SocketAddr::new(error.source, error.ports.0);
    let server = SocketAddr::new(error.destination, error.ports.1);
    (server.port() == NAME_SERVER).then_some(Rejected {
        client,
        server,
        id,
        from: packet.source,
        v6: error.v6,
        icmp_type: error.icmp_type,
        code: error.code,
    })
}

/// The observer of a connection to a name server.
#[derive(Debug)]
pub struct Dns {
    client: Endpoint,
    server: Endpoint,
    /// Of client and server: octets of a message that is not complete. `None` once a gap hid where messages begin.
    partial: [Option<Vec<u8>>; 2],
}

impl Dns {
    /// The observer of a connection.
    #[must_use]
    pub fn new(client: Endpoint, server: Endpoint) -> Self {
        Self { client, server, partial: [Some(Vec::new()), Some(Vec::new())] }
    }

    /// Takes the next piece of a direction:
    ///
    /// ```text
    /// | length (2) | message | length (2) | message …
    /// ```
    pub fn piece(&mut self, side: Side, piece: &Piece<'_>, tell: &mut impl FnMut(Told)) {
        let Some(partial) = self.partial.get_mut(side.index()) else { return };
        let octets = match piece {
            Piece::Data { octets, .. } => *octets,
            Piece::Gap { .. } => {
                *partial = None;
                return;
            }
        };
        let Some(waiting) = partial else { return };
        waiting.extend_from_slice(octets);
        let mut rest = waiting.as_slice();
        while let Some((length, behind)) = rest.split_first_chunk::<2>()
            && let Some((message, next)) = behind.split_at_checked(u16::from_be_bytes(*length).into())
        {
            if let Some(message) = dns::message(message).filter(|message| message.response == (side == Side::Server)) {
                tell(Told { client: self.client, server: self.server, tcp: true, local: None, message });
            }
            rest = next;
        }
        let read = waiting.len() - rest.len();
        waiting.drain(..read);
    }

    /// Octets of incomplete messages: 64 KB for each direction at most.
    #[must_use]
    pub fn held_octets(&self) -> usize {
        self.partial.iter().flatten().map(Vec::capacity).sum()
    }

    /// There is no room for incomplete messages.
    pub fn give_up(&mut self) {
        self.partial = [None, None];
    }
}

const UDP: u8 = 17;

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: &[u8] = b"\x00\x07\x01\x00\0\x01\0\0\0\0\0\0\x03app\x03lab\0\0\x01\0\x01";

    fn behind_length(message: &[u8]) -> Vec<u8> {
        [&(message.len() as u16).to_be_bytes()[..], message].concat()
    }

    fn told(pieces: &[(Side, Piece<'_>)]) -> Vec<String> {
        let end = |text: &str| text.parse().unwrap();
        let mut observer = Dns::new(end("10.0.0.1:40000"), end("10.0.0.2:53"));
        let mut told = Vec::new();
        for (side, piece) in pieces {
            observer.piece(*side, piece, &mut |one: Told| {
                let kind = if one.message.response { "answer" } else { "query" };
                told.push(format!("{kind} {} {}", one.message.id, one.message.name));
            });
        }
        told
    }

    #[test]
    fn messages_are_found_behind_their_lengths_however_they_are_cut() {
        let stream = [behind_length(QUESTION), behind_length(QUESTION)].concat();
        for cut in 0..stream.len() {
            let (first, second) = stream.split_at(cut);
            let pieces = [first, second].map(|octets| (Side::Client, Piece::Data { at: 0, octets }));
            assert_eq!(told(&pieces), ["query 7 app.lab", "query 7 app.lab"], "{cut}");
        }
    }

    #[test]
    fn nothing_is_read_behind_a_gap() {
        let octets = behind_length(QUESTION);
        let gap = Piece::Gap { at: 0, length: 9, judged: crate::event::GapJudged::Capture };
        let data = || Piece::Data { at: 9, octets: &octets };
        assert_eq!(told(&[(Side::Client, gap), (Side::Client, data())]), [""; 0]);
        assert_eq!(told(&[(Side::Server, data())]), [""; 0], "a server does not ask");
    }
}
