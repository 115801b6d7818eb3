//! Ordered streams to the events of their protocol: recognised by content on any port, then watched. Name servers alone
//! are known by their port.

pub mod chunks;
pub mod dns;
pub mod head;
pub mod http1;
pub mod sniff;

use crate::event::lookup::NAME_SERVER;
use crate::event::{Endpoint, Moment, Side, What};
use crate::flow::assembler::Piece;
use crate::flow::connection::Context;
use crate::limits::Limits;
use crate::observe::dns::Dns;
use crate::observe::http1::Http1;

/// What watches a connection.
#[derive(Debug)]
pub enum Observer {
    /// HTTP/1, and whatever else is not known by its port.
    Http1(Box<Http1>),
    /// Questions to a name server.
    Dns(Box<Dns>),
}

impl Observer {
    /// The observer of a connection whose beginning is in the capture, if it is `from_start`.
    #[must_use]
    pub fn new(client: Endpoint, server: Endpoint, from_start: bool) -> Self {
        match server.port() {
            NAME_SERVER => Self::Dns(Box::new(Dns::new(client, server))),
            _ => Self::Http1(Box::new(Http1::new(from_start))),
        }
    }

    /// Takes the next piece of a direction.
    pub fn piece(
        &mut self,
        side: Side,
        piece: &Piece<'_>,
        (moment, context): (Moment, Context),
        limits: &Limits,
        tell: &mut impl FnMut(What),
    ) {
        match self {
            Self::Http1(http) => http.piece(side, piece, moment, context, limits, tell),
            Self::Dns(dns) => dns.piece(side, piece, &mut |told| tell(What::Lookup(Box::new(told)))),
        }
    }

    /// A direction is over.
    pub fn closed(&mut self, side: Side, reset: bool, tell: &mut impl FnMut(What)) {
        match self {
            Self::Http1(http) => http.closed(side, reset, tell),
            Self::Dns(_) => {}
        }
    }

    /// Octets that it holds.
    #[must_use]
    pub fn held_octets(&self) -> usize {
        match self {
            Self::Http1(http) => http.held_octets(),
            Self::Dns(dns) => dns.held_octets(),
        }
    }

    /// There is no room for what is not complete.
    pub fn give_up(&mut self, context: Context) {
        match self {
            Self::Http1(http) => http.give_up_heads(context),
            Self::Dns(dns) => dns.give_up(),
        }
    }
}
