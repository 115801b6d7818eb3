//! What the diagnosis says of one failure: plain data for the reports.

pub mod clocks;

use std::time::Duration;

pub use crate::correlate::Pairing;
use crate::diagnose::cause::Cause;
use crate::diagnose::product::Product;
use crate::event::{Endpoint, Frame, Moment};
use crate::time::Timestamp;

/// What an incident is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The client saw a status that counts as a gateway's error, or a close without an answer.
    GatewayError,
    /// An attempt failed, and another one served the client.
    Masked,
    /// An attempt failed; the client's leg is not visible.
    UpstreamFailure,
    /// Truncated or malformed after a 2xx or 3xx.
    BrokenSuccess,
    /// The client gave up.
    ClientAbort,
}

impl Kind {
    /// The kind's name in reports.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::GatewayError => "gateway_error",
            Self::Masked => "masked",
            Self::UpstreamFailure => "upstream_failure",
            Self::BrokenSuccess => "broken_success",
            Self::ClientAbort => "client_abort",
        }
    }
}

/// How sure a verdict is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// The packets cannot tell; candidates are listed.
    Undetermined,
    /// Everything seen fits, but named alternatives fit as well.
    Consistent,
    /// The packets exclude every other cause.
    Proven,
}

impl Grade {
    /// The grade's name in reports.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Undetermined => "undetermined",
            Self::Consistent => "consistent",
            Self::Proven => "proven",
        }
    }
}

/// Who sent something, or whose act it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// The client of the downstream leg.
    Client,
    /// The gateway.
    Gateway,
    /// The upstream.
    Upstream,
    /// Something between the gateway and an end: a router, a firewall.
    Network,
}

impl Actor {
    /// The actor's name in reports.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gateway => "gateway",
            Self::Upstream => "upstream",
            Self::Network => "network",
        }
    }
}

/// A leg of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Leg {
    /// Towards the client.
    Downstream,
    /// Towards the upstream.
    Upstream,
}

impl Leg {
    /// The leg's name in reports.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Downstream => "downstream",
            Self::Upstream => "upstream",
        }
    }
}

/// The client's exchange.
#[derive(Clone, Debug)]
pub struct Downstream {
    /// The client's end.
    pub client: Endpoint,
    /// The gateway's end.
    pub gateway: Endpoint,
    /// `tcp.stream` as Wireshark counts.
    pub stream: u64,
    /// 1-based number of the exchange on its connection.
    pub exchange: u32,
    /// Whether it is inside TLS, without keys: then method, target and host are those that the gateway sent upstream for it, and
    /// the status is not known.
    pub encrypted: bool,
    /// Method, where the request was seen.
    pub method: Option<Box<str>>,
    /// Request target, as sent: reports cut its query values.
    pub target: Option<Box<str>>,
    /// Host.
    pub host: Option<Box<str>>,
    /// Status of the final response; `None` for a close without one.
    pub status: Option<u16>,
    /// Server field of the response, or the product by its page.
    pub responder: Option<Box<str>>,
    /// Where the request begins.
    pub request: Option<Moment>,
    /// Where the final response begins, or the close without one.
    pub response: Option<Moment>,
    /// Last octet of the request to first octet of the response (or to the close).
    pub wait: Option<Duration>,
}

/// One try at an upstream.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The gateway's end.
    pub gateway: Endpoint,
    /// The upstream's end; `None` where its address was not found.
    pub upstream: Option<Endpoint>,
    /// The name that the gateway asked for and was given no address of.
    pub name: Option<Box<str>>,
    /// The name server that it asked.
    pub resolver: Option<Endpoint>,
    /// `tcp.stream` as Wireshark counts; `None` where there is no connection.
    pub stream: Option<u64>,
    /// 1-based number of the exchange on its connection; 0 where no request was sent.
    pub exchange: u32,
    /// Whether the connection had carried an exchange before.
    pub reused: bool,
    /// `http/1.1`, `http/1.0`, `tls` where that hides a request or none was sent, `tcp` where none was sent, `dns` where a name
    /// was asked for, or `arp` where the link was.
    pub protocol: &'static str,
    /// Method that the gateway sent.
    pub method: Option<Box<str>>,
    /// Request target that the gateway sent: reports cut its query values.
    pub target: Option<Box<str>>,
    /// Status that the upstream sent.
    pub status: Option<u16>,
    /// How it failed; `None` where it did not.
    pub outcome: Option<Cause>,
    /// How sure the outcome is.
    pub grade: Grade,
    /// How sure it is that the attempt belongs to the request.
    pub pairing: Pairing,
    /// For how long the connection had been idle before the request.
    pub idle: Option<Duration>,
    /// Where the request begins.
    pub request: Option<Moment>,
    /// First frame of the attempt: its SYN, or its request on a reused connection.
    pub first: Moment,
    /// Last frame that belongs to it.
    pub last: Moment,
    /// 0 for an attempt of the gateway that answered the client, 1 for one of the gateway behind it, and so on.
    pub hop: u8,
}

impl Attempt {
    /// Where it went: the endpoint, or the name where it has no address.
    #[must_use]
    pub fn destination(&self) -> Option<String> {
        self.upstream.map(|upstream| upstream.to_string()).or_else(|| self.name.as_deref().map(str::to_owned))
    }
}

/// A frame that proves something.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The frame and its time.
    pub moment: Moment,
    /// On which leg.
    pub leg: Leg,
    /// From whom.
    pub from: Actor,
    /// What it shows.
    pub what: String,
}

/// A cause that is excluded, and by what.
#[derive(Clone, Debug)]
pub struct RuledOut {
    /// The cause.
    pub cause: Cause,
    /// Why it cannot be.
    pub because: String,
    /// The frame that excludes it.
    pub frame: Option<Frame>,
}

/// Something that fits as well.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The cause of the closed list, where it is one.
    pub cause: Option<Cause>,
    /// What it would be, and what would tell it apart.
    pub what: String,
}

/// A row of the ladder.
#[derive(Clone, Debug)]
pub struct Step {
    /// The frame and its time.
    pub moment: Moment,
    /// On which leg.
    pub leg: Leg,
    /// From whom.
    pub from: Actor,
    /// What was sent: `POST /victim 64..152`, `FIN ack=64`, …
    pub what: String,
    /// Its part in the story; empty where it speaks for itself.
    pub role: String,
}

/// One failure, explained.
#[derive(Clone, Debug)]
pub struct Incident {
    /// 1-based, in the order of time.
    pub id: u32,
    /// What it is.
    pub kind: Kind,
    /// What the client saw.
    pub status: Option<u16>,
    /// Why.
    pub cause: Cause,
    /// More precisely.
    pub detail: Option<&'static str>,
    /// How sure.
    pub grade: Grade,
    /// The verdict in a sentence.
    pub summary: String,
    /// The verdict in half a line.
    pub why: String,
    /// When the failure reached the client, or when the attempt failed.
    pub time: Timestamp,
    /// The client's leg, where it is visible.
    pub downstream: Option<Downstream>,
    /// The attempts, in the order of time.
    pub attempts: Vec<Attempt>,
    /// The product that the gateway was recognised as.
    pub product: Option<Product>,
    /// Where the client's leg is not visible: the status that it most likely got, of each product that the gateway may be.
    pub likely_status: Vec<(Product, u16)>,
    /// The frames that prove it.
    pub evidence: Vec<Evidence>,
    /// What is excluded.
    pub ruled_out: Vec<RuledOut>,
    /// What fits as well.
    pub candidates: Vec<Candidate>,
    /// What the packets do not tell.
    pub not_known: Vec<String>,
    /// The episode that it is part of.
    pub episode: Option<u32>,
    /// What the logs of the products say of such a failure, the recognised product first.
    pub log_lines: Vec<(Product, &'static str)>,
    /// What to do.
    pub advice: Vec<String>,
    /// Both legs, frame by frame.
    pub ladder: Vec<Step>,
}

/// What several incidents have in common.
#[derive(Clone, Debug)]
pub struct Episode {
    /// 1-based.
    pub id: u32,
    /// `backend_died`, `backend_restarted`, `backend_down`, `deploy_wave`, `path_outage`, `resolver_outage`, `saturation`.
    pub kind: &'static str,
    /// The upstream that it is about, where it is one.
    pub upstream: Option<Endpoint>,
    /// All upstreams that it is about.
    pub upstreams: Vec<Endpoint>,
    /// First incident's time.
    pub first: Timestamp,
    /// Last incident's time.
    pub last: Timestamp,
    /// When what had failed was first seen to serve again.
    pub served_again: Option<Timestamp>,
    /// The incidents' ids.
    pub incidents: Vec<u32>,
    /// The story in a sentence.
    pub summary: String,
}
