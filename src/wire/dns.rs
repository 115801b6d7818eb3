//! Messages of the domain name system (RFC 1035): the question, and of the answer what tells whether a name led to an
//! address.
//!
//! The reader is lenient: what a snaplen or a server cut off leaves header and question readable, and a record that cannot
//! be read ends the records, not the message.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use smallvec::SmallVec;

/// A message with one question. Names are in lower case and without the dot at their end, since neither makes a
/// difference (RFC 4343).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The number by which an answer is known as one to a query.
    pub id: u16,
    /// Whether it is an answer.
    pub response: bool,
    /// What came of the question.
    pub code: Code,
    /// Whether the server left out what did not fit (TC): the question is to be put again over TCP.
    pub truncated: bool,
    /// The name asked for.
    pub name: Box<str>,
    /// What is asked of it.
    pub kind: Kind,
    /// Addresses in the answer section, in their order.
    pub addresses: SmallVec<[IpAddr; 2]>,
    /// The names that stand for it (CNAME), in their order.
    pub aliases: SmallVec<[Box<str>; 1]>,
    /// Records in the answer section, as the header counts them.
    pub answers: u16,
    /// For how long the answer holds: the least of the answer's records, or what the zone says of its negative answers
    /// (RFC 2308 section 5).
    pub lifetime: Option<Duration>,
    /// The server's own reason (RFC 8914): its code, and its text.
    pub reason: Option<(u16, Box<str>)>,
    /// Whether records that the header counts could not be read.
    pub cut: bool,
}

/// A response code (RFC 1035 section 4.1.1, RFC 6895 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u16);

impl Code {
    /// The question was answered, maybe with no record.
    pub const NOERROR: Self = Self(0);
    /// The server cannot read the query.
    pub const FORMERR: Self = Self(1);
    /// The server failed.
    pub const SERVFAIL: Self = Self(2);
    /// There is no such name.
    pub const NXDOMAIN: Self = Self(3);
    /// The server does not know this kind of query.
    pub const NOTIMP: Self = Self(4);
    /// The server will not answer this client.
    pub const REFUSED: Self = Self(5);
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::NOERROR => "NOERROR",
            Self::FORMERR => "FORMERR",
            Self::SERVFAIL => "SERVFAIL",
            Self::NXDOMAIN => "NXDOMAIN",
            Self::NOTIMP => "NOTIMP",
            Self::REFUSED => "REFUSED",
            Self(other) => return write!(f, "RCODE{other}"),
        })
    }
}

/// What is asked of a name: a record type (RFC 1035 section 3.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u16);

impl Kind {
    /// Its IPv4 addresses.
    pub const A: Self = Self(1);
    /// The name that it stands for.
    pub const CNAME: Self = Self(5);
    /// Its zone's data.
    pub const SOA: Self = Self(6);
    /// Its IPv6 addresses.
    pub const AAAA: Self = Self(28);
    /// The hosts and ports of a service (RFC 2782).
    pub const SRV: Self = Self(33);
    /// Options of the message itself (RFC 6891).
    pub const OPT: Self = Self(41);
    /// How to reach a service, with hints of addresses (RFC 9460).
    pub const SVCB: Self = Self(64);
    /// The same for HTTPS.
    pub const HTTPS: Self = Self(65);
    /// Whatever there is.
    pub const ANY: Self = Self(255);

    /// Whether the answer says where a service is: what a gateway asks for when it wants to connect.
    #[must_use]
    pub const fn is_address(self) -> bool {
        matches!(self, Self::A | Self::AAAA | Self::SRV | Self::ANY)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::A => "A",
            Self::CNAME => "CNAME",
            Self::SOA => "SOA",
            Self::AAAA => "AAAA",
            Self::SRV => "SRV",
            Self::SVCB => "SVCB",
            Self::HTTPS => "HTTPS",
            Self::ANY => "ANY",
            Self(other) => return write!(f, "TYPE{other}"),
        })
    }
}

/// Reads a message:
///
/// ```text
/// | id (2) | QR opcode(4) AA TC RD RA Z AD CD rcode(4) | counts of questions, answers, authority, additional (2 each) |
/// | question: name, type (2), class (2) | records: name, type (2), class (2), TTL (4), length (2), data … |
/// ```
///
/// `None` for what is no query or answer with one question that can be read.
#[must_use]
pub fn message(octets: &[u8]) -> Option<Message> {
    let [i0, i1, high, low, q0, q1, a0, a1, n0, n1, r0, r1] = *octets.first_chunk::<12>()?;
    let [questions, answers, authority, additional] = [[q0, q1], [a0, a1], [n0, n1], [r0, r1]].map(u16::from_be_bytes);
    if high & OPCODE != 0 || questions != 1 {
        return None;
    }
    let mut reader = Reader { octets, at: 12 };
    let name = reader.name()?;
    let kind = Kind(reader.number()?);
    let _class = reader.number()?;
    let mut message = Message {
        id: u16::from_be_bytes([i0, i1]),
        response: high & RESPONSE != 0,
        code: Code(u16::from(low & 0x0f)),
        truncated: high & TRUNCATED != 0,
        name,
        kind,
        addresses: SmallVec::new(),
        aliases: SmallVec::new(),
        answers,
        lifetime: None,
        reason: None,
        cut: false,
    };
    let sections = [(Section::Answer, answers), (Section::Authority, authority), (Section::Additional, additional)];
    let records = sections.iter().flat_map(|(section, count)| (0..*count).map(|_| *section));
    message.cut =
        !records.into_iter().all(|section| reader.record().map(|record| message.take(section, &record)).is_some());
    Some(message)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Answer,
    Authority,
    Additional,
}

/// A resource record (RFC 1035 section 4.1.3).
struct Record<'a> {
    kind: Kind,
    ttl: u32,
    /// Its data, and a reader that stands at it: names in it may point back into the message.
    data: &'a [u8],
    reader: Reader<'a>,
}

impl Message {
    fn take(&mut self, section: Section, record: &Record<'_>) {
        let lifetime = Duration::from_secs(record.ttl.into());
        match (section, record.kind) {
            (Section::Answer, Kind::A | Kind::AAAA) => {
                self.addresses.extend(address(record.data));
            }
            (Section::Answer, Kind::CNAME) => self.aliases.extend(record.reader.clone().name()),
            (Section::Answer, Kind::SVCB | Kind::HTTPS) => self.addresses.extend(hints(record)),
            (Section::Authority, Kind::SOA) if self.answers == 0 => {
                let minimum = record.data.last_chunk::<4>().map(|octets| u32::from_be_bytes(*octets));
                let minimum = minimum.map(|seconds| Duration::from_secs(seconds.into()));
                self.lifetime = minimum.map(|minimum| minimum.min(lifetime));
            }
            (Section::Additional, Kind::OPT) => {
                // RFC 6891 section 6.1.3: the upper eight bits of the code.
                self.code.0 |= (record.ttl >> 24) as u16 * 16;
                self.reason = options(record.data);
            }
            // The addresses of a service's hosts may come along.
            (Section::Additional, Kind::A | Kind::AAAA) if self.kind == Kind::SRV => {
                self.addresses.extend(address(record.data));
            }
            _ => {}
        }
        if section == Section::Answer {
            self.lifetime = Some(self.lifetime.map_or(lifetime, |least| least.min(lifetime)));
        }
    }
}

fn address(data: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(data).map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
    v4.or_else(|_| <[u8; 16]>::try_from(data).map(|octets| IpAddr::V6(Ipv6Addr::from(octets)))).ok()
}

/// The addresses that a service's binding hints at (RFC 9460 section 7.3).
fn hints(record: &Record<'_>) -> SmallVec<[IpAddr; 2]> {
    let mut found = SmallVec::new();
    let end = record.reader.at + record.data.len();
    let mut reader = Reader { octets: record.reader.octets.get(..end).unwrap_or_default(), at: record.reader.at };
    if reader.number().is_none() || reader.name().is_none() {
        return found;
    }
    while let Some((key, value)) = reader.number().zip(reader.counted()) {
        match key {
            4 => found.extend(value.as_chunks::<4>().0.iter().filter_map(|octets| address(octets))),
            6 => found.extend(value.as_chunks::<16>().0.iter().filter_map(|octets| address(octets))),
            _ => {}
        }
    }
    found
}

/// The extended error among a message's options (RFC 8914 section 2).
fn options(data: &[u8]) -> Option<(u16, Box<str>)> {
    let mut reader = Reader { octets: data, at: 0 };
    while let Some((option, value)) = reader.number().zip(reader.counted()) {
        if let (EXTENDED_ERROR, Some((code, text))) = (option, value.split_first_chunk::<2>()) {
            let text = String::from_utf8_lossy(text.get(..LONGEST_TEXT).unwrap_or(text));
            return Some((u16::from_be_bytes(*code), text.trim_end_matches('\0').into()));
        }
    }
    None
}

/// What an extended error says (RFC 8914 section 4), for those that are seen most.
#[must_use]
pub const fn reason(code: u16) -> Option<&'static str> {
    Some(match code {
        3 => "stale answer",
        6 => "DNSSEC bogus",
        7 => "signature expired",
        8 => "signature not yet valid",
        9 => "DNSKEY missing",
        10 => "RRSIGs missing",
        15 => "blocked",
        16 => "censored",
        17 => "filtered",
        18 => "prohibited",
        20 => "not authoritative",
        22 => "no reachable authority",
        23 => "network error",
        _ => return None,
    })
}

#[derive(Clone, Debug)]
struct Reader<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn number(&mut self) -> Option<u16> {
        self.take(2)?.first_chunk().map(|octets| u16::from_be_bytes(*octets))
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.octets.get(self.at..)?.get(..count)?;
        self.at += count;
        Some(taken)
    }

    /// Octets behind their number.
    fn counted(&mut self) -> Option<&'a [u8]> {
        let count = self.number()?;
        self.take(count.into())
    }

    fn record(&mut self) -> Option<Record<'a>> {
        self.name()?;
        let kind = Kind(self.number()?);
        let _class = self.number()?;
        let ttl = self.take(4)?.first_chunk().map(|octets| u32::from_be_bytes(*octets))?;
        let length = self.number()?;
        let reader = self.clone();
        let data = self.take(length.into())?;
        Some(Record { kind, ttl, data, reader })
    }

    /// A name: labels behind their lengths, up to an empty one or a pointer to where the rest stands (RFC 1035 section
    /// 4.1.4). Pointers lead backwards only, so that they come to an end.
    fn name(&mut self) -> Option<Box<str>> {
        let mut name = String::new();
        let mut at = self.at;
        let mut bound = self.at;
        let mut behind = None;
        loop {
            let length = *self.octets.get(at)?;
            match length {
                0 => {
                    at += 1;
                    break;
                }
                1..=63 => {
                    let label = self.octets.get(at + 1..)?.get(..length.into())?;
                    if !name.is_empty() {
                        name.push('.');
                    }
                    label.iter().for_each(|octet| push(&mut name, *octet));
                    if name.len() > LONGEST_NAME {
                        return None;
                    }
                    at += 1 + usize::from(length);
                }
                0xc0.. => {
                    let target = usize::from(u16::from_be_bytes([length & 0x3f, *self.octets.get(at + 1)?]));
                    behind = behind.or(Some(at + 2));
                    if target >= bound {
                        return None;
                    }
                    (at, bound) = (target, target);
                }
                _ => return None,
            }
        }
        self.at = behind.unwrap_or(at);
        Some(name.into_boxed_str())
    }
}

/// An octet of a label as RFC 1035 section 5.1 has it in text, in lower case.
fn push(name: &mut String, octet: u8) {
    match octet {
        b'.' | b'\\' => name.extend(['\\', octet.into()]),
        b'!'..=b'~' => name.push(octet.to_ascii_lowercase().into()),
        _ => name.push_str(&format!("\\{octet:03}")),
    }
}

const RESPONSE: u8 = 0x80;
const OPCODE: u8 = 0x78;
const TRUNCATED: u8 = 0x02;
const EXTENDED_ERROR: u16 = 15;
/// Characters of a name: 255 octets (RFC 1035 section 3.1), each four characters at most.
const LONGEST_NAME: usize = 1020;
/// Octets of an extended error's text that are kept.
const LONGEST_TEXT: usize = 200;

#[cfg(test)]
mod tests;
