//! What is asked of name servers, and what they answer.

use std::net::IpAddr;

use crate::event::Endpoint;
pub use crate::wire::dns::{Code, Kind as RecordKind, Message, reason};

/// The port of name servers.
pub const NAME_SERVER: u16 = 53;

/// A query to a name server, or its answer.
#[derive(Clone, Debug)]
pub struct Told {
    /// Who asks.
    pub client: Endpoint,
    /// The name server.
    pub server: Endpoint,
    /// Whether it went over TCP.
    pub tcp: bool,
    /// Whether who asks is the capturing host, where the link layer says so (Linux cooked captures).
    pub local: Option<bool>,
    /// The message.
    pub message: Message,
}

/// An ICMP or ICMPv6 error that quotes a query, or an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Who asked.
    pub client: Endpoint,
    /// The name server.
    pub server: Endpoint,
    /// The number of the message.
    pub id: u16,
    /// Who sent the error.
    pub from: IpAddr,
    /// Whether ICMPv6's code space is meant.
    pub v6: bool,
    /// ICMP type.
    pub icmp_type: u8,
    /// ICMP code.
    pub code: u8,
}
