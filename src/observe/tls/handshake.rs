//! The handshake of a connection (RFC 8446 section 2, RFC 5246 section 7.3): messages in clear and the lengths of encrypted
//! ones in, what each side wants, chose and showed out.

use smallvec::SmallVec;

use crate::event::tls::{Carried, Certificate, Certificates, ClientHello, HandshakeDone, ServerHello, Suite, Version};
use crate::event::{Side, Tls as Shown, What};
use crate::flow::connection::Context;
use crate::limits::Limits;
use crate::observe::tls::exchanges::Followed;
use crate::observe::tls::records::Record;
use crate::texts::readable;
use crate::wire::tls::handshake::{Message, MessageType, certificates};
use crate::wire::tls::hello::{self, extension};
use crate::wire::tls::{is_grease, ja4};

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    offered: Option<Offered>,
    /// ClientHellos so far.
    hellos: u8,
    version: Option<Version>,
    suite: Option<Suite>,
    resumed: Option<bool>,
    certificate_shown: bool,
    carried: Option<Carried>,
    /// Client and server have sent Finished.
    over: [bool; 2],
    /// Octets of both were missed before.
    missed: bool,
    flight: Flight,
    /// Offset behind the latest encrypted record of the client that is not its Finished.
    client_flight: Option<u64>,
    told: bool,
}

/// What is needed of a ClientHello later.
#[derive(Debug)]
struct Offered {
    versions: Vec<Version>,
    session_id: Box<[u8]>,
    /// The protocols for what is inside: how long each one's name is, and what it is.
    protocols: SmallVec<[(usize, Carried); 2]>,
    /// Whether it has extensions that a server may answer in what TLS 1.3 encrypts, but for names and protocols.
    others: bool,
    early_data: bool,
}

/// The server's encrypted records up to its Finished, in TLS 1.3.
#[derive(Debug, Default)]
struct Flight {
    records: u8,
    end: u64,
    /// Which one is as long as a Finished, from 1, and the offset behind it: the latest such.
    finished: Option<(u8, u64)>,
}

impl Handshake {
    /// Whether a side's handshake is done, so that its application data are that.
    pub(super) fn is_over(&self, side: Side) -> bool {
        self.over.get(side.index()).copied().unwrap_or_default()
    }

    /// Whether a ClientHello was seen.
    pub(super) fn is_asked(&self) -> bool {
        self.hellos > 0
    }

    /// Both sides are done.
    #[cfg(test)]
    pub(super) fn skip_for_tests(&mut self) {
        self.over = [true, true];
        self.told = true;
    }

    /// Octets of a direction were missed.
    pub(super) fn miss(&mut self, side: Side) {
        if !self.is_over(side) {
            self.missed = true;
        }
    }

    /// A ClientHello in SSL 2.0's form.
    pub(super) fn sslv2_hello(
        &mut self,
        body: &[u8],
        start: u64,
        end: u64,
        limits: &Limits,
        tell: &mut impl FnMut(What),
    ) {
        if let Ok(read) = hello::sslv2_client(body) {
            self.client_hello(&read, true, start, end, limits, tell);
        }
    }

    /// A message in clear, from the record at `start` to the end of the one that ends at `end`.
    pub(super) fn message(
        &mut self,
        side: Side,
        message: Message<'_>,
        start: u64,
        end: u64,
        limits: &Limits,
        tell: &mut impl FnMut(What),
    ) {
        match (side, message.kind) {
            (Side::Client, MessageType::CLIENT_HELLO) => {
                if let Ok(read) = hello::client(message.body) {
                    self.client_hello(&read, false, start, end, limits, tell);
                }
            }
            (Side::Server, MessageType::SERVER_HELLO) => {
                if let Ok(read) = hello::server(message.body) {
                    self.server_hello(&read, start, end, limits, tell);
                }
            }
            (_, MessageType::CERTIFICATE) => {
                if side == Side::Server {
                    self.certificate_shown = true;
                    self.resumed = Some(false);
                }
                tell(shown(Shown::Certificates(chain(side, message.body, start, end))));
            }
            (Side::Server, MessageType::CERTIFICATE_REQUEST) => {
                tell(shown(Shown::CertificateRequested { start, end }));
            }
            _ => {}
        }
    }

    /// A ChangeCipherSpec. Returns whether what its sender says from here on is encrypted: in TLS 1.3 it means nothing.
    pub(super) fn changes_cipher(&mut self, side: Side) -> bool {
        let before_1_3 = self.version.map_or(self.missed, |version| !version.is_1_3());
        if before_1_3 && side == Side::Server && !self.certificate_shown && self.version.is_some() && !self.missed {
            // Without a certificate of its own a server goes on only where it knows the client, or where none shows any.
            self.resumed = self.resumed.or(Some(!self.suite.is_some_and(Suite::is_anonymous)));
        }
        before_1_3
    }

    /// Whether what a side says next is encrypted: the server in TLS 1.3, once it has chosen.
    pub(super) fn encrypts(&self, side: Side) -> bool {
        side == Side::Server && self.version.is_some_and(Version::is_1_3)
    }

    /// An encrypted handshake record behind a ChangeCipherSpec: the first one holds Finished.
    pub(super) fn finished_before_1_3(&mut self, side: Side, record: &Record, tell: &mut impl FnMut(What)) {
        if !self.version.is_some_and(Version::is_1_3) {
            self.done(side, record.end(), true, tell);
        }
    }

    /// An encrypted record before its sender's Finished was made out. Returns whether it is as long as an alert.
    pub(super) fn encrypted(
        &mut self,
        side: Side,
        record: &Record,
        context: Context,
        tell: &mut impl FnMut(What),
    ) -> bool {
        let Some((version, suite)) = self.version.zip(self.suite).filter(|(version, _)| version.is_1_3()) else {
            return false;
        };
        let Some((overhead, hash)) = suite.overhead(version).zip(suite.hash_octets()) else { return false };
        let length = record.header.length;
        let is_finished = length == 4 + hash + overhead;
        if length == 2 + overhead {
            return true;
        }
        match side {
            Side::Server => {
                self.flight.records = self.flight.records.saturating_add(1);
                self.flight.end = record.end();
                if self.flight.records == 1 {
                    self.carried = Some(self.carried_by(length.saturating_sub(4 + 2 + overhead)));
                }
                if is_finished {
                    self.flight.finished = Some((self.flight.records, record.end()));
                }
                let [received, _] = context.acknowledged;
                if let Some(end) = self.client_flight.filter(|end| received >= *end) {
                    // The server goes on behind the client's last messages: its Finished was among them.
                    self.both_done(end, false, tell);
                }
            }
            Side::Client if is_finished => self.both_done(record.end(), true, tell),
            Side::Client if self.flight.records == 0 => {}
            Side::Client => {
                // An empty list of certificates is 8 octets.
                if length == 8 + overhead {
                    tell(shown(Shown::NoCertificateShown { start: record.start, end: record.end() }));
                }
                self.client_flight = Some(record.end());
            }
        }
        false
    }

    /// What is to be followed once both sides are done, told once.
    pub(super) fn outcome(&mut self, tell: &mut impl FnMut(What)) -> Option<Followed> {
        if self.over != [true, true] || std::mem::replace(&mut self.told, true) {
            return None;
        }
        let carried = if self.missed { Carried::Unknown } else { self.carried.unwrap_or(Carried::Unknown) };
        tell(shown(Shown::Carries(carried)));
        let version = self.version?;
        Some(Followed {
            carried,
            is_1_3: version.is_1_3(),
            overhead: self.suite.and_then(|suite| suite.overhead(version)),
            tickets_seen: self.tickets_in_flight(),
        })
    }

    /// Whether the server's tickets came with its Finished: that one is not the last of its flight.
    fn tickets_in_flight(&self) -> bool {
        // EncryptedExtensions, Certificate and CertificateVerify come first; where a session is resumed the first alone.
        let before = if self.resumed == Some(true) { 1 } else { 3 };
        self.flight.finished.is_some_and(|(nth, end)| nth > before && end < self.flight.end)
    }

    fn both_done(&mut self, client_end: u64, seen: bool, tell: &mut impl FnMut(What)) {
        let (server_end, server_seen) = self.flight.finished.map_or((self.flight.end, false), |(_, end)| (end, true));
        self.done(Side::Server, server_end, server_seen, tell);
        self.done(Side::Client, client_end, seen, tell);
    }

    fn done(&mut self, by: Side, end: u64, seen: bool, tell: &mut impl FnMut(What)) {
        if let Some(over) = self.over.get_mut(by.index())
            && !std::mem::replace(over, true)
        {
            tell(shown(Shown::HandshakeDone(HandshakeDone { by, end, resumed: self.resumed, seen })));
        }
    }

    fn client_hello(
        &mut self,
        read: &hello::ClientHello<'_>,
        ssl_2: bool,
        start: u64,
        end: u64,
        limits: &Limits,
        tell: &mut impl FnMut(What),
    ) {
        let again = self.hellos > 0;
        self.hellos = self.hellos.saturating_add(1);
        let versions = read.versions();
        self.offered = Some(Offered {
            versions: versions.to_vec(),
            session_id: read.session_id.into(),
            protocols: read.alpn.iter().map(|protocol| (protocol.len(), carried(protocol))).collect(),
            others: read.extensions.iter().any(|code| !is_grease(*code) && !HARMLESS.contains(code)),
            early_data: read.has(extension::EARLY_DATA),
        });
        let older = !versions.iter().any(|version| version.is_1_3());
        let mut random = [0; 32];
        let challenge = read.random.len().min(32);
        // RFC 5246 appendix E.2: a shorter challenge is the end of the random.
        if let (Some(random), Some(octets)) = (random.get_mut(32 - challenge..), read.random.get(..challenge)) {
            random.copy_from_slice(octets);
        }
        tell(shown(Shown::ClientHello(ClientHello {
            start,
            end,
            again,
            ssl_2,
            random,
            versions,
            suites: read.suites.as_slice().into(),
            server_name: read.server_name.map(|name| text(name, limits)),
            alpn: read.alpn.iter().take(MOST_PROTOCOLS).map(|protocol| text(protocol, limits)).collect(),
            extensions: read.extensions.as_slice().into(),
            resumes: read.ticket || read.has(extension::PRE_SHARED_KEY) || older && !read.session_id.is_empty(),
            early_data: read.has(extension::EARLY_DATA),
            ja4: ja4::fingerprint(read).into(),
        })));
    }

    fn server_hello(
        &mut self,
        read: &hello::ServerHello<'_>,
        start: u64,
        end: u64,
        limits: &Limits,
        tell: &mut impl FnMut(What),
    ) {
        let retry = read.is_retry();
        let is_1_3 = read.version.is_1_3();
        let offered = self.offered.as_ref();
        let echoed = offered.map(|offered| !read.session_id.is_empty() && *offered.session_id == *read.session_id);
        let resumed = match (retry, is_1_3, echoed) {
            (true, ..) => None,
            (false, true, _) => Some(read.pre_shared_key),
            // A server that takes a ticket may answer without an identifier: what follows tells.
            (false, false, echoed) => echoed.filter(|echoed| *echoed),
        };
        if !retry {
            self.version = Some(read.version);
            self.suite = Some(read.suite);
            self.resumed = resumed;
            if !is_1_3 {
                self.carried = Some(read.alpn.map_or(Carried::Http1, carried));
            }
        }
        let version_offered = offered.map(|offered| {
            // A list is exact; a single version without one is the greatest.
            let listed = offered.versions.len() > 1 || is_1_3;
            offered.versions.contains(&read.version)
                || !listed && offered.versions.iter().any(|greatest| read.version <= *greatest)
        });
        let mut random = [0; 32];
        if let (Some(octets), true) = (read.random.get(..32), read.random.len() == 32) {
            random.copy_from_slice(octets);
        }
        tell(shown(Shown::ServerHello(ServerHello {
            start,
            end,
            retry,
            random,
            version: read.version,
            version_offered,
            suite: read.suite,
            alpn: read.alpn.map(|protocol| text(protocol, limits)),
            resumed,
            encrypt_then_mac: read.encrypt_then_mac,
        })));
    }

    /// What TLS 1.3 carries, by the octets of the server's extensions: a host that it took has 4, a protocol 7 and its name.
    fn carried_by(&self, octets: u16) -> Carried {
        let Some(offered) = &self.offered else { return Carried::Unknown };
        if offered.protocols.iter().all(|(_, carried)| *carried == Carried::Http1) {
            return Carried::Http1;
        }
        if offered.others || offered.early_data {
            return Carried::Unknown;
        }
        let octets = usize::from(octets);
        let chosen = offered.protocols.iter().map(|(length, carried)| (7 + length, *carried));
        let mut fitting = chosen
            .chain([(0, Carried::Http1)])
            .filter(|(length, _)| [*length, 4 + length].contains(&octets))
            .map(|(_, carried)| carried);
        let first = fitting.next().unwrap_or(Carried::Unknown);
        if fitting.all(|other| other == first) { first } else { Carried::Unknown }
    }
}

fn carried(protocol: &[u8]) -> Carried {
    match protocol {
        b"h2" => Carried::Http2,
        _ if protocol.starts_with(b"http/1.") => Carried::Http1,
        _ => Carried::Other,
    }
}

/// The certificates of a side.
fn chain(sender: Side, body: &[u8], start: u64, end: u64) -> Certificates {
    let octets = certificates(body).unwrap_or_default();
    let chain: Vec<Certificate> =
        octets.iter().take(MOST_CERTIFICATES).map_while(|octets| Certificate::parse(octets).ok()).collect();
    let links = chain.iter().zip(chain.iter().skip(1));
    let in_order = links.into_iter().all(|(own, issuer)| own.issuer == issuer.subject);
    Certificates { sender, start, end, unread: octets.len() - chain.len(), chain: chain.into(), in_order }
}

fn shown(what: Shown) -> What {
    What::Tls(Box::new(what))
}

fn text(octets: &[u8], limits: &Limits) -> Box<str> {
    readable(octets.get(..limits.text_bytes).unwrap_or(octets)).into()
}

/// Extensions of a client that a server does not answer in what TLS 1.3 encrypts, or whose answer's length is known.
const HARMLESS: &[u16] =
    &[0, 5, 10, 11, 13, 16, 18, 21, 22, 23, 27, 35, 41, 43, 44, 45, 49, 50, 51, 0x4469, 0x44cd, 0xfe0d, 0xff01];
const MOST_CERTIFICATES: usize = 8;
const MOST_PROTOCOLS: usize = 16;
