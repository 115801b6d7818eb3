//! What TLS shows of itself without keys. Offsets are those of the sender's stream; `start` is that of the first octet of the
//! (first) record that holds it, `end` that behind the last one.

use smallvec::SmallVec;

use crate::event::Side;
pub use crate::wire::tls::certificate::Certificate;
pub use crate::wire::tls::{Alert, AlertDescription, AlertLevel, Suite, Version};

/// Something that TLS shows.
#[derive(Clone, Debug)]
pub enum Tls {
    /// The client opens: what it wants, and what it can.
    ClientHello(ClientHello),
    /// The server chose, or asks for another ClientHello.
    ServerHello(ServerHello),
    /// A side showed its certificates, in clear: up to TLS 1.2.
    Certificates(Certificates),
    /// The server asked for the client's certificate, in clear: up to TLS 1.2.
    CertificateRequested {
        /// Offset of the record.
        start: u64,
        /// Offset behind it.
        end: u64,
    },
    /// A TLS 1.3 client sent what a client without a certificate sends that was asked for one. Its size alone tells.
    NoCertificateShown {
        /// Offset of the record.
        start: u64,
        /// Offset behind it.
        end: u64,
    },
    /// An alert, or what is as long as an encrypted one.
    Alert(SentAlert),
    /// A side has sent its last handshake message, Finished.
    HandshakeDone(HandshakeDone),
    /// The server's records right after the handshake that hold session tickets, which answer nothing.
    Tickets(Tickets),
    /// Where a record of the server must stand, something else does.
    NotTls(NotTls),
    /// What the application data are, as soon as that is known: nothing but `Http1` is followed.
    Carries(Carried),
}

/// A ClientHello (RFC 8446 section 4.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// Offset of its first record.
    pub start: u64,
    /// Offset behind its last record.
    pub end: u64,
    /// Whether it answers a HelloRetryRequest, or is otherwise not the first one.
    pub again: bool,
    /// Whether it has SSL 2.0's form.
    pub ssl_2: bool,
    /// Its random: the name of the connection in key logs.
    pub random: [u8; 32],
    /// The versions that it offers, as it ranks them. Without the extension for them the greatest one alone.
    pub versions: SmallVec<[Version; 4]>,
    /// The suites that it offers, as it ranks them.
    pub suites: Box<[Suite]>,
    /// The host that it asks for (RFC 6066 section 3).
    pub server_name: Option<Box<str>>,
    /// The protocols that it offers for what is inside (RFC 7301), as it ranks them.
    pub alpn: Box<[Box<str>]>,
    /// Numbers of its extensions, in their order.
    pub extensions: Box<[u16]>,
    /// Whether it offers to resume a session: by its identifier, a ticket or a pre-shared key.
    pub resumes: bool,
    /// Whether application data follow before the server has answered (RFC 8446 section 2.3).
    pub early_data: bool,
    /// Its JA4 fingerprint: what kind of client it is.
    pub ja4: Box<str>,
}

/// A ServerHello (RFC 8446 section 4.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHello {
    /// Offset of its first record.
    pub start: u64,
    /// Offset behind its last record.
    pub end: u64,
    /// Whether it asks for another ClientHello: a HelloRetryRequest.
    pub retry: bool,
    /// Its random.
    pub random: [u8; 32],
    /// The version that it chose.
    pub version: Version,
    /// Whether the client had offered that; `None` where its hello was not seen.
    pub version_offered: Option<bool>,
    /// The suite that it chose.
    pub suite: Suite,
    /// The protocol inside that it chose. TLS 1.3 hides it.
    pub alpn: Option<Box<str>>,
    /// Whether it resumes a session; `None` where the hello does not tell.
    pub resumed: Option<bool>,
    /// Whether the MAC covers what is encrypted (RFC 7366).
    pub encrypt_then_mac: bool,
}

/// A side's certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificates {
    /// Whose.
    pub sender: Side,
    /// Offset of the first record.
    pub start: u64,
    /// Offset behind the last record.
    pub end: u64,
    /// The chain as sent, the sender's own first. Empty where a client has none to show.
    pub chain: Box<[Certificate]>,
    /// Certificates that were sent and are not in the chain here: those behind the first eight, and all behind one that
    /// cannot be read.
    pub unread: usize,
    /// Whether each one is followed by that of its issuer (RFC 5246 section 7.4.2).
    pub in_order: bool,
}

/// An alert that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentAlert {
    /// By whom.
    pub sender: Side,
    /// Offset of its record.
    pub start: u64,
    /// Offset behind it.
    pub end: u64,
    /// What it says, where it is in clear.
    pub alert: Option<Alert>,
    /// Whether it is an alert for sure: in clear, or in a record of that type. What TLS 1.3 encrypts has no type, and is known
    /// by its length alone.
    pub certain: bool,
    /// Whether its sender had sent its Finished before it.
    pub after_handshake: bool,
}

/// A side's handshake is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeDone {
    /// Whose.
    pub by: Side,
    /// Offset behind the record that holds its Finished.
    pub end: u64,
    /// Whether a session was resumed; `None` where nothing tells.
    pub resumed: Option<bool>,
    /// Whether the record with its Finished was made out; otherwise what followed shows that it had been sent.
    pub seen: bool,
}

/// Session tickets that TLS 1.3 encrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tickets {
    /// Offset of the first record.
    pub start: u64,
    /// Offset behind the last record.
    pub end: u64,
    /// Records.
    pub records: u8,
    /// Whether they may be a response instead: their order and their lengths do not tell.
    pub perhaps_response: bool,
}

/// Octets that are not TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotTls {
    /// Whose.
    pub sender: Side,
    /// Offset of the first one.
    pub start: u64,
    /// What they are instead.
    pub what: Spoken,
    /// The first octets, at most 64.
    pub first: Box<[u8]>,
}

/// What a server speaks that does not speak TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spoken {
    /// HTTP/1, with this status.
    Http1(Option<u16>),
    /// HTTP/2 frames in clear.
    Http2,
    /// SSH.
    Ssh,
    /// A protocol whose server greets with a line that begins with three digits: SMTP, FTP.
    Greeting,
    /// Text.
    Text,
    /// Something else.
    Other,
}

/// What is inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carried {
    /// HTTP/1, or what has one answer for each question as it has: no other protocol was agreed upon.
    Http1,
    /// HTTP/2: many exchanges at once, which cannot be told apart.
    Http2,
    /// Another protocol that was agreed upon.
    Other,
    /// HTTP/2 was offered, and whether it was chosen is encrypted.
    Unknown,
}

/// An exchange inside TLS, of which nothing but its octets is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Veiled {
    /// Which exchange of the connection, from 1.
    pub exchange: u32,
    /// Octets of application data that the request has so far; where the suite pads them, a few too many.
    pub request_octets: u64,
}
