//! Ordered streams to the events of their protocol: recognised by content on any port, then watched.

pub mod chunks;
pub mod head;
pub mod http1;
pub mod sniff;
pub mod tls;

use crate::event::{Moment, Opaque, Side, What};
use crate::flow::assembler::Piece;
use crate::flow::connection::Context;
use crate::limits::Limits;
use crate::observe::http1::Http1;
use crate::observe::tls::Tls;

/// What watches a connection: HTTP/1 until the octets say otherwise.
#[derive(Debug)]
pub enum Observer {
    /// HTTP/1, or nothing that was recognised yet.
    Http1(Box<Http1>),
    /// TLS, or what may turn to it.
    Tls(Box<Tls>),
}

impl Observer {
    /// An observer for a connection; `from_start` where its beginning is in the capture.
    #[must_use]
    pub fn new(from_start: bool) -> Self {
        Self::Http1(Box::new(Http1::new(from_start)))
    }

    /// Takes the next piece of a direction.
    #[inline]
    pub fn piece(
        &mut self,
        side: Side,
        piece: &Piece<'_>,
        moment: Moment,
        context: Context,
        limits: &Limits,
        tell: &mut impl FnMut(What),
    ) {
        match self {
            Self::Http1(http) => {
                http.piece(side, piece, moment, context, limits, tell);
                if http.is_opaque() {
                    self.hand_over(context, limits, tell);
                }
            }
            Self::Tls(tls) => tls.piece(side, piece, context, limits, tell),
        }
    }

    /// A direction is over.
    pub fn closed(&mut self, side: Side, reset: bool, tell: &mut impl FnMut(What)) {
        match self {
            Self::Http1(http) => http.closed(side, reset, tell),
            Self::Tls(tls) => tls.closed(side, reset, tell),
        }
    }

    /// Octets of what is incomplete.
    #[must_use]
    pub fn held_octets(&self) -> usize {
        match self {
            Self::Http1(http) => http.held_octets(),
            Self::Tls(tls) => tls.held_octets(),
        }
    }

    /// There is no room for what is incomplete: it is given up.
    pub fn give_up(&mut self, context: Context) {
        match self {
            Self::Http1(http) => http.give_up_heads(context),
            Self::Tls(tls) => tls.give_up_messages(),
        }
    }

    /// The octets are not HTTP/1, or no longer: TLS is, or may come.
    #[cold]
    fn hand_over(&mut self, context: Context, limits: &Limits, tell: &mut impl FnMut(What)) {
        let Self::Http1(http) = self else { return };
        let mut tls = match http.carried() {
            Some(Opaque::Tls) => Tls::new(http.is_from_start()),
            Some(Opaque::Switched | Opaque::Other) => Tls::awaiting(),
            _ => return,
        };
        let (at, octets) = http.unread();
        if !octets.is_empty() {
            tls.piece(Side::Client, &Piece::Data { at, octets }, context, limits, tell);
        }
        *self = Self::Tls(Box::new(tls));
    }
}
