//! The waist: what one connection did, and what name servers were asked, as plain data. Everything above learns of the
//! network through these types alone; everything below ends in them.
//!
//! Offsets are 64-bit positions in one direction's byte stream, 0 = the first octet after the SYN (or the first octet
//! seen, where the capture began in the middle of the connection).

pub mod fastcgi;
pub mod http2;
pub mod lookup;
mod message;
mod prober;
mod signs;
pub mod tls;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub use crate::event::fastcgi::FastCgiEnd;
pub use crate::event::http2::{ErrorCode, GoAway, StreamReset};
pub use crate::event::message::{
    Excerpt, ForwardedFor, Protocol, Request, RequestSection, Response, ResponseSection, Signature,
};
pub use crate::event::prober::prober;
pub use crate::event::signs::Signs;
pub use crate::event::tls::{Tls, Veiled};
pub use crate::time::{Frame, Moment};
pub use crate::wire::http1::DefectKind;
pub use crate::wire::neighbour::Neighbour;

/// Address and port of one end.
pub type Endpoint = SocketAddr;

/// A connection of the capture, numbered from 0 in the order of first sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// One of the two ends. As a direction it names the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The end that opened the connection (RFC 9293's active OPEN), or that sends the requests.
    Client,
    /// The other end.
    Server,
}

impl Side {
    /// The peer.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// 0 for the client, 1 for the server.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Client => 0,
            Self::Server => 1,
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// The connection on which it did; datagrams are of none.
    pub connection: Option<ConnectionId>,
    /// When, and in which frame.
    pub moment: Moment,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// The first packet of a connection.
    Opened(Box<Opened>),
    /// The client repeated its SYN.
    SynRepeated,
    /// The server answered the SYN; for the first one the span since the (latest) SYN.
    SynAck {
        /// SYN to SYN-ACK, where the SYN was seen.
        rtt: Option<Duration>,
        /// The server had sent it before.
        repeated: bool,
        /// The client had already acknowledged an earlier one.
        after_ack: bool,
    },
    /// The client acknowledged the SYN-ACK: RFC 9293 ESTABLISHED.
    Established {
        /// SYN-ACK to ACK, as seen at the capture point.
        ack_rtt: Option<Duration>,
    },
    /// The first octet of a request (or of what stands where one must); not told where its whole header section came at once.
    RequestStarted {
        /// Which exchange of the connection.
        exchange: u32,
        /// Offset of that octet.
        at: u64,
        /// Up to which offset the client had acknowledged the server's octets by then.
        acknowledged: u64,
    },
    /// A request's header section is complete.
    Request(Request),
    /// A request is complete: header section and content. Not told where [`Request::whole`] says so.
    RequestEnded {
        /// Which exchange of the connection.
        exchange: u32,
        /// Offset after the last octet.
        end: u64,
    },
    /// The peer acknowledged everything up to `offset` for the first time; reported for ends of requests and ClientHellos only.
    /// Not told where [`Response::acknowledges`] says so.
    Acknowledged {
        /// Whose bytes were acknowledged.
        sender: Side,
        /// Up to which offset of the sender's stream.
        offset: u64,
    },
    /// Bytes that had been sent before, and were not acknowledged in between, were sent again.
    Retransmitted {
        /// Who repeated.
        sender: Side,
        /// First offset repeated.
        offset: u64,
        /// Octets repeated.
        length: u64,
    },
    /// The first octet of a response; not told where its whole header section came at once, in answer to a request.
    ResponseStarted {
        /// Which exchange of the connection.
        exchange: u32,
        /// Offset of that octet.
        at: u64,
        /// Whether a request was outstanding.
        solicited: bool,
        /// Octets so far, at most 64.
        octets: u8,
    },
    /// A response's header section is complete. Interim (1xx) responses are reported as well.
    Response(Response),
    /// The beginning of the content of a response with status 400 or above.
    ResponseContent {
        /// Which exchange of the connection.
        exchange: u32,
        /// Its first octets.
        content: Box<Excerpt>,
    },
    /// A response is over. Not told where [`Response::whole`] says so.
    ResponseEnded {
        /// Which exchange of the connection.
        exchange: u32,
        /// Offset after the last octet.
        end: u64,
        /// Octets of content seen or known of.
        content: u64,
        /// How it ended.
        how: Ending,
    },
    /// A FastCGI application ended a request without output, or said that something went wrong; or all that is known of a request is
    /// that it is one of FastCGI.
    FastCgi(Box<FastCgiEnd>),
    /// Something that HTTP does not allow where it stands, and the first octets of the message, at most 64.
    Defect(Defect, Box<[u8]>),
    /// Bytes of a direction that the capture does not hold.
    Gap {
        /// Whose bytes are missing.
        sender: Side,
        /// Where they would stand.
        offset: u64,
        /// How many.
        length: u64,
        /// Whether the peer received them all the same.
        judged: GapJudged,
    },
    /// A side's sequence numbers are ahead of everything seen of it: it sent octets that did not come by.
    Ahead {
        /// Who sent them.
        sender: Side,
        /// Offset of the first one.
        offset: u64,
        /// How many.
        length: u64,
    },
    /// Octets of a side came while others before them had not: these are late or lost, or the capture missed them. Told once
    /// until they have come.
    Skipped {
        /// Who sent them.
        sender: Side,
        /// Offset of the first one that had not come.
        offset: u64,
        /// How many had not.
        length: u64,
    },
    /// The first FIN of a side.
    Fin(Closing),
    /// The peer acknowledged a side's FIN for the first time.
    FinAcknowledged {
        /// Whose FIN.
        sender: Side,
    },
    /// A RST. `Closing::acknowledged` is `None` for one without the ACK flag.
    Reset(Closing),
    /// A side advertised a receive window of zero while its peer has (or may have) more to send.
    WindowClosed {
        /// Who cannot receive.
        by: Side,
    },
    /// A side that had closed its window opened it again.
    WindowOpened {
        /// Who can receive again.
        by: Side,
    },
    /// An ICMP or ICMPv6 error that quotes a packet of this connection.
    Unreachable(Box<Unreachable>),
    /// The client named the end that it speaks for (PROXY protocol header).
    SpeaksFor(Endpoint),
    /// What TLS shows.
    Tls(Box<Tls>),
    /// The exchange is inside TLS: there are no header sections to be seen. Told again as the request grows, each time before
    /// its end.
    Veiled(Veiled),
    /// A packet of the connection matched the focus expression for the first time.
    Focused,
    /// A router on the way gives the connection's packets other addresses or ports.
    Translated(Box<Translated>),
    /// The capturing host passes the connection's packets on, with the addresses that they have: the receiving side, as named here, is
    /// somebody else.
    Forwarded {
        /// Who received such a packet.
        to: Side,
    },
    /// The connection carries TLS, and its records are opened with the user's keys: what is told of messages stood in them.
    Decrypted,
    /// The connection speaks HTTP/2: its exchanges run side by side, and end in any order.
    Multiplexed,
    /// A stream of HTTP/2 was given up.
    StreamReset(StreamReset),
    /// A side of an HTTP/2 connection takes no new streams.
    GoAway(GoAway),
    /// The bytes are not HTTP, or cannot be followed any more; nothing above TCP will be reported from here on.
    Opaque(Opaque),
    /// The connection left the table.
    Gone(Gone),
    /// A name server was asked, or answered: by a datagram, or on a connection.
    Lookup(Box<lookup::Told>),
    /// An ICMP or ICMPv6 error that quotes a query to a name server.
    LookupRejected(Box<lookup::Rejected>),
    /// A host's address on its link was asked for, or told.
    Neighbour(Neighbour),
}

impl What {
    /// The end of a message that was whole, as an event of its own.
    pub fn part(&mut self) -> Option<Self> {
        match self {
            Self::Request(request) => std::mem::take(&mut request.whole)
                .then(|| Self::RequestEnded { exchange: request.exchange, end: request.head_end() }),
            Self::Response(response) => {
                let content = u64::from(response.whole.take()?);
                let (exchange, end) = (response.exchange, response.head_end().saturating_add(content));
                Some(Self::ResponseEnded { exchange, end, content, how: Ending::Complete })
            }
            _ => None,
        }
    }
}

/// One end of a connection under two names (RFC 3022).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translated {
    /// Which end.
    pub side: Side,
    /// How its peer knows it, and the packets that are followed.
    pub from: Endpoint,
    /// How it is known where its packets arrive.
    pub to: Endpoint,
}

/// How a connection began.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The opening (or requesting) end.
    pub client: Endpoint,
    /// The other end.
    pub server: Endpoint,
    /// What was seen first.
    pub first: FirstSeen,
    /// Which ends are addresses of the capturing host, where the link layer says so (Linux cooked captures): `[client, server]`.
    pub local: [Option<bool>; 2],
}

/// The first packet seen of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstSeen {
    /// A SYN: the whole history is in the capture.
    Syn,
    /// A SYN-ACK: the roles are certain, the beginning is not in the capture.
    SynAck,
    /// An ICMP error that quotes its SYN, which is not in the capture itself.
    Quoted,
    /// Anything else: the connection is older than the capture.
    Middle,
}

/// How a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As its framing demands.
    Complete,
    /// Delimited by the end of the connection, which came as a FIN.
    Closed,
    /// The connection switched to another protocol after it.
    Switched,
    /// Before its end the sender closed.
    Truncated,
    /// Its length stands in octets that cannot be read: the snaplen cut them off, or TLS encrypts them. Told again with each
    /// segment that follows.
    Unmeasured,
    /// Its end is not in the capture.
    Unknown,
}

/// A violation of HTTP in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defect {
    /// Which exchange of the connection.
    pub exchange: u32,
    /// Whose message.
    pub sender: Side,
    /// Offset of the offending octet within the sender's stream.
    pub offset: u64,
    /// Offset of the offending octet within the message.
    pub within: u64,
    /// What is wrong.
    pub kind: DefectKind,
}

/// A side's FIN or RST, with what it had sent and received by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// Who closed.
    pub by: Side,
    /// Offset of the FIN or RST in the sender's stream.
    pub at: u64,
    /// Up to which offset of the peer's stream it acknowledges; `None` without the ACK flag.
    pub acknowledged: Option<u64>,
    /// Up to which offset the peer had sent when it was seen.
    pub peer_sent: u64,
    /// Up to which offset the peer had acknowledged the sender's bytes when it was seen.
    pub received: u64,
    /// Time to live (hop limit) of this packet.
    pub ttl: u8,
    /// Least and greatest TTL of the sender's earlier packets on this connection, and how many there were.
    pub ttl_before: (u8, u8, u32),
    /// Whether the sender's FIN had been seen before.
    pub after_fin: bool,
    /// Whether the connection was still in its handshake: no ACK of the SYN-ACK was seen.
    pub in_handshake: bool,
    /// Whether a RST's acknowledgement number is the client's initial sequence number + 1: it refuses the SYN.
    pub refuses_syn: bool,
}

/// Who is missing the bytes of a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapJudged {
    /// The receiver acknowledged them: the capture missed them.
    Capture,
    /// The snaplen cut them off.
    Snaplen,
    /// The receiver did not acknowledge them: they were lost on the way.
    Network,
    /// Nothing tells.
    Unknown,
}

/// An ICMP error about a connection's packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreachable {
    /// Who sent the error.
    pub from: IpAddr,
    /// Whether ICMPv6's code space is meant.
    pub v6: bool,
    /// ICMP type.
    pub icmp_type: u8,
    /// ICMP code.
    pub code: u8,
    /// Next-hop MTU, for "fragmentation needed" and "packet too big".
    pub mtu: Option<u32>,
    /// Who sent the packet that it quotes.
    pub quoted: Side,
    /// Whether the quoted packet is a SYN of the handshake.
    pub quotes_syn: bool,
}

/// What a connection carries that is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opaque {
    /// TLS records.
    Tls,
    /// HTTP/2 behind a hole, or otherwise broken: header blocks cannot be read without those before them.
    Http2,
    /// FastCGI records of several requests at once.
    FastCgi,
    /// The connection switched protocols (101, or a CONNECT tunnel).
    Switched,
    /// Something else, or nothing that could be recognised.
    Other,
}

/// Why a connection left the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Why.
    pub why: GoneWhy,
    /// Offsets up to which `[client, server]` had sent.
    pub sent: [u64; 2],
    /// Offsets up to which the peer had acknowledged `[client's, server's]` bytes.
    pub acknowledged: [u64; 2],
    /// Octets that `[client, server]` sent after the other side's FIN.
    pub after_fin: [u64; 2],
    /// Data segments that `[client, server]` repeated.
    pub retransmitted: [u32; 2],
    /// Data segments of `[client, server]`, the repeated ones included.
    pub segments: [u32; 2],
}

/// Why a connection left the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoneWhy {
    /// Both FINs or a RST, and the time to linger is over.
    Closed,
    /// Nothing was seen of it for so long that it is taken for dead.
    Idle,
    /// Another connection uses the same addresses and ports.
    Reused,
    /// The table was full.
    Evicted,
    /// Not all connections are followed any more, and this one is not among them.
    LeftOut,
    /// The capture ended.
    EndOfCapture,
}
