//! What the correlator gives out: cases, and what it noticed on the way.

use std::net::IpAddr;
use std::time::Duration;

use smallvec::SmallVec;

use crate::correlate::conversation::{Conversation, Exchange, ExchangeKey};
use crate::correlate::gateway::Gateways;
use crate::correlate::lookups::Lookups;
use crate::correlate::neighbours::Neighbours;
use crate::correlate::pairing::Pairing;
use crate::correlate::resolution::Resolution;
use crate::correlate::served::{Leaving, Lone, Served};
use crate::event::{Endpoint, Moment};
use crate::time::Timestamp;

/// An exchange and its connection.
#[derive(Clone, Copy, Debug)]
pub struct Party<'a> {
    /// The exchange.
    pub exchange: &'a Exchange,
    /// Its connection.
    pub conversation: &'a Conversation,
}

/// An attempt of a case.
#[derive(Clone, Copy, Debug)]
pub struct Try<'a> {
    /// The attempt.
    pub party: Party<'a>,
    /// How sure it is that it belongs here.
    pub pairing: Pairing,
    /// 0 for an attempt of the gateway that answered the client, 1 for one of the gateway behind it.
    pub hop: u8,
}

/// What a settled exchange is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A client's request to a gateway (or to a server of which no upstream leg is visible).
    Downstream,
    /// A gateway's request to an upstream whose downstream exchange is not visible.
    Upstream,
}

/// A settled exchange with its attempts.
#[derive(Debug)]
pub struct Case<'a> {
    /// The exchange.
    pub root: Party<'a>,
    /// What it is.
    pub role: Role,
    /// The attempts made for it, in the order of time; those of a gateway behind the gateway follow the attempt they are for.
    pub attempts: SmallVec<[Try<'a>; 2]>,
    /// What the gateway asked of upstreams for it beside the attempts, and behind these: of an authorisation service, of a mirror.
    pub beside: SmallVec<[Try<'a>; 2]>,
    /// Whether attempts of this gateway were seen at all.
    pub upstream_visible: bool,
    /// How many other connections the gateway closed with requests in flight when it closed this one.
    pub closed_with_it: usize,
    /// Whether connections of this gateway to upstreams carry something that is not read: TLS, HTTP/2, FastCGI.
    pub upstream_opaque: bool,
    /// Whether not all connections were followed while it was open: attempts may be among those that were left out.
    pub partial: bool,
    /// What is known of the gateways.
    pub gateways: &'a Gateways,
    /// What is known of names.
    pub names: &'a Lookups,
    /// Who did not answer on their links.
    pub neighbours: &'a Neighbours,
    /// The failed lookups that explain why no attempt was made, each with the exchange that waited for it.
    pub resolutions: SmallVec<[(ExchangeKey, Resolution<'a>); 1]>,
}

/// How an endpoint answered a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Responded {
    /// In clear.
    InClear,
    /// In clear, that it does not understand: so do ports that expect TLS.
    BadRequest,
    /// Inside of TLS.
    Inside,
}

/// What the correlator gives out.
#[derive(Debug)]
pub enum Finding<'a> {
    /// An exchange has settled, and is to be judged.
    Case(Case<'a>),
    /// While live: a failed exchange that has not settled, as it looks so far.
    Provisional {
        /// The case.
        case: Case<'a>,
        /// Whether one of its attempts may not be over, or turn out to be another exchange's.
        contested: bool,
    },
    /// An attempt that served the exchange that is told next, and how sure that is.
    Attempt(Leaving<'a>, Pairing),
    /// An exchange that was served.
    Served {
        /// The client's exchange.
        root: Leaving<'a>,
        /// How many attempts it took, which were told before it.
        attempts: u8,
        /// Whether attempts of this gateway were seen at all.
        upstream_visible: bool,
    },
    /// An exchange of a gateway's with an upstream that went as it should, and that no client's exchange was found for.
    Lone {
        /// The exchange.
        leaving: Leaving<'a>,
        /// Whether clients of this gateway are in the capture.
        known: bool,
        /// Whether it was asked from the upstream's own host.
        at_home: bool,
    },
    /// Something to learn from.
    Note(Note),
}

/// What there is to be learned without a judgement, in the order in which it happened.
#[derive(Debug)]
pub enum Note {
    /// An exchange was served.
    Served(Served),
    /// An exchange that no client's was found for went as it should.
    Lone(Lone),
    /// A connection is gone, and all its exchanges have settled.
    Conversation(Conversation),
    /// An endpoint answered a SYN.
    Accepted(Endpoint, Moment),
    /// Octets were sent that the capture does not hold.
    Missed(Moment),
    /// An endpoint sent a response.
    Responded(Endpoint, Responded),
    /// An endpoint answered a ClientHello that asked for this host, or for none.
    Secured(Endpoint, Option<Box<str>>),
    /// An idle connection was closed by its server.
    ClosedIdle(ClosedIdle),
    /// A gateway's lookup led to an address.
    Resolved {
        /// What it took.
        took: Duration,
        /// When it had its answer.
        at: Timestamp,
    },
}

/// An idle connection that was closed by its server.
#[derive(Clone, Copy, Debug)]
pub struct ClosedIdle {
    /// Whose connection it was.
    pub client: IpAddr,
    /// Who closed it.
    pub server: Endpoint,
    /// For how long it had been idle.
    pub idle: Duration,
    /// When it was closed.
    pub at: Moment,
    /// Whether by a FIN, and not by a RST alone.
    pub by_fin: bool,
}
