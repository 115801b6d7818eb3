//! Ordered streams to the events of their protocol: recognised by content on any port, then watched. Name servers alone
//! are known by their port.

pub mod chunks;
pub mod decrypted;
pub mod dns;
pub mod fastcgi;
pub mod head;
pub mod http1;
pub mod http2;
#[cfg(test)]
mod ladder;
pub mod secrets;
mod signs;
pub mod sniff;
pub mod tls;
pub mod veil;

use crate::event::lookup::NAME_SERVER;
use crate::event::{Endpoint, Moment, Opaque, Side, What};
use crate::flow::assembler::Piece;
use crate::limits::Limits;
use crate::observe::decrypted::{KeyRing, Now};
use crate::observe::dns::Dns;
use crate::observe::fastcgi::FastCgi;
use crate::observe::http1::{Http1, Rest, Sections};
use crate::observe::http2::Http2;
use crate::observe::tls::Tls;
use crate::observe::veil::Veil;

/// What watches a connection: HTTP/1 until the octets say otherwise.
#[derive(Debug)]
pub enum Observer {
    /// HTTP/1, or nothing that was recognised yet.
    Http1(Box<Http1>),
    /// The same while no message is under way and nothing was heard for a while, or yet.
    Resting(Rest),
    /// HTTP/2 in clear.
    Http2(Box<Http2>),
    /// FastCGI.
    FastCgi(Box<FastCgi>),
    /// TLS, or what may turn to it.
    Tls(Box<Veil>),
    /// Questions to a name server.
    Dns(Box<Dns>),
}

/// What the observers of a shard have in common.
#[derive(Debug)]
pub struct Common {
    /// The secrets of TLS connections.
    pub ring: KeyRing,
    /// Header sections that came more than once.
    pub sections: Sections,
}

impl Common {
    /// That of a shard that begins.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self { ring: KeyRing::new(limits), sections: Sections::new() }
    }
}

impl Observer {
    /// An observer for a connection; `from_start` where its beginning is in the capture.
    #[must_use]
    pub fn new(client: Endpoint, server: Endpoint, from_start: bool) -> Self {
        match server.port() {
            NAME_SERVER => Self::Dns(Box::new(Dns::new(client, server))),
            _ => Self::Resting(Rest::new(from_start)),
        }
    }

    /// Takes the next piece of a direction, with what it has in common with others. What is told belongs to the moment
    /// that is told with it.
    #[inline]
    pub fn piece(
        &mut self,
        side: Side,
        piece: &Piece<'_>,
        now: Now<'_>,
        common: &mut Common,
        tell: &mut impl FnMut(Moment, What),
    ) {
        let Common { ring, sections } = common;
        if let Self::Resting(rest) = self {
            *self = Self::Http1(Box::new(Http1::wake(*rest)));
        }
        match self {
            Self::Http1(http) => {
                let Now { moment, .. } = now;
                let may_open = ring.may_open();
                http.piece(side, piece, &now, sections, &mut |what| {
                    // Who decrypts says whether it is opaque, and who reads HTTP/2 or FastCGI that it is not.
                    let by_other = match what {
                        What::Opaque(Opaque::Http2 | Opaque::FastCgi) => true,
                        What::Opaque(Opaque::Tls) => may_open,
                        _ => false,
                    };
                    if !by_other {
                        tell(moment, what);
                    }
                });
                if http.is_opaque() {
                    self.hand_over(now, ring, tell);
                }
            }
            // It was woken.
            Self::Resting(_) => {}
            Self::Http2(http2) => {
                http2.piece(side, piece, now, &mut |what| tell(now.moment, what));
            }
            Self::FastCgi(fastcgi) => fastcgi.piece(side, piece, now, &mut |what| tell(now.moment, what)),
            Self::Tls(tls) => {
                tls.piece(side, piece, now, ring, tell);
                if let Some(exchanges) = tls.turns_to_http2(side, piece) {
                    self.begin_http2(Box::new(Http2::new(exchanges, false)), side, piece, now, tell);
                }
            }
            Self::Dns(dns) => dns.piece(side, piece, &mut |told| tell(now.moment, What::Lookup(Box::new(told)))),
        }
    }

    /// A direction is over.
    pub fn closed(
        &mut self,
        side: Side,
        reset: bool,
        moment: Moment,
        limits: &Limits,
        tell: &mut impl FnMut(Moment, What),
    ) {
        match self {
            Self::Http1(http) => http.closed(side, reset, &mut |what| tell(moment, what)),
            Self::Http2(http2) => http2.closed(side, &mut |what| tell(moment, what)),
            Self::FastCgi(fastcgi) => fastcgi.closed(side, &mut |what| tell(moment, what)),
            Self::Tls(tls) => tls.closed(side, reset, moment, limits, tell),
            Self::Resting(_) | Self::Dns(_) => {}
        }
    }

    /// Nothing was heard of the connection for a while: as little as can be is kept.
    pub fn rest(&mut self) {
        if let Self::Http1(http) = self
            && let Some(rest) = http.rest()
        {
            *self = Self::Resting(rest);
        }
    }

    /// Whether secrets are waited for.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.is_waiting())
    }

    /// Secrets may have come, or time has passed.
    pub fn look_again(
        &mut self,
        moment: Moment,
        ring: &mut KeyRing,
        limits: &Limits,
        tell: &mut impl FnMut(Moment, What),
    ) {
        if let Self::Tls(tls) = self {
            tls.look_again(moment, ring, limits, tell);
        }
    }

    /// The connection leaves: nothing is waited for any longer.
    pub fn leave(&mut self, moment: Moment, tell: &mut impl FnMut(Moment, What)) {
        if let Self::Tls(tls) = self {
            tls.leave(moment, tell);
        }
    }

    /// Octets of what is incomplete.
    #[must_use]
    pub fn held_octets(&self) -> usize {
        match self {
            Self::Http1(http) => http.held_octets(),
            Self::Resting(_) => 0,
            Self::Http2(http2) => http2.held_octets(),
            Self::FastCgi(fastcgi) => fastcgi.held_octets(),
            Self::Tls(tls) => tls.held_octets(),
            Self::Dns(dns) => dns.held_octets(),
        }
    }

    /// There is no room for what is incomplete: it is given up.
    pub fn give_up(&mut self, now: Now<'_>, tell: &mut impl FnMut(Moment, What)) {
        match self {
            Self::Http1(http) => http.give_up_heads(now.context),
            Self::Resting(_) => {}
            Self::Http2(http2) => http2.give_up(&mut |what| tell(now.moment, what)),
            Self::FastCgi(fastcgi) => fastcgi.give_up(&mut |what| tell(now.moment, what)),
            Self::Tls(tls) => tls.give_up(now, tell),
            Self::Dns(dns) => dns.give_up(),
        }
    }

    /// The octets are not HTTP/1, or no longer: HTTP/2, FastCGI or TLS is, or may come.
    #[cold]
    fn hand_over(&mut self, now: Now<'_>, ring: &mut KeyRing, tell: &mut impl FnMut(Moment, What)) {
        let Self::Http1(http) = self else { return };
        if let Some((mut http2, unread)) = http.to_http2() {
            tell(now.moment, What::Multiplexed);
            http2.read(&unread, now, &mut |what| tell(now.moment, what));
            *self = Self::Http2(http2);
            return;
        }
        if http.carried() == Some(Opaque::FastCgi) {
            let (at, octets) = http.unread();
            let mut fastcgi = Box::<FastCgi>::default();
            fastcgi.piece(Side::Client, &Piece::Data { at, octets }, now, &mut |what| tell(now.moment, what));
            *self = Self::FastCgi(fastcgi);
            return;
        }
        let mut tls = match http.carried() {
            Some(Opaque::Tls) => Veil::new(Tls::new(http.is_from_start()), ring.may_open()),
            Some(Opaque::Switched | Opaque::Other) => Veil::awaiting(Tls::awaiting(), http.exchanges()),
            _ => return,
        };
        let (at, octets) = http.unread();
        if !octets.is_empty() {
            tls.piece(Side::Client, &Piece::Data { at, octets }, now, ring, tell);
        }
        *self = Self::Tls(Box::new(tls));
    }

    /// HTTP/2 begins with a piece.
    #[cold]
    fn begin_http2(
        &mut self,
        mut http2: Box<Http2>,
        side: Side,
        piece: &Piece<'_>,
        now: Now<'_>,
        tell: &mut impl FnMut(Moment, What),
    ) {
        tell(now.moment, What::Multiplexed);
        http2.piece(side, piece, now, &mut |what| tell(now.moment, what));
        *self = Self::Http2(http2);
    }
}
