//! HTTP/2 frames (RFC 9113 sections 4 and 6): octets in, what they say out. Nothing here remembers anything.
//!
//! ```text
//!   | length, 24 bits | type, 8 | flags, 8 | 0 | stream, 31 | payload … |
//! ```

use std::fmt;

/// What a client begins a connection with (section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is carried by a frame, by its number; there may be others (section 4.1: these are ignored).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(pub u8);

impl Kind {
    /// Content.
    pub const DATA: Self = Self(0);
    /// The beginning of a header block, or of trailers.
    pub const HEADERS: Self = Self(1);
    /// A stream is given up.
    pub const RST_STREAM: Self = Self(3);
    /// What the sender can take.
    pub const SETTINGS: Self = Self(4);
    /// A header block of a request that the server makes up itself.
    pub const PUSH_PROMISE: Self = Self(5);
    /// The sender takes no new streams.
    pub const GOAWAY: Self = Self(7);
    /// More of a header block.
    pub const CONTINUATION: Self = Self(9);
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Octets of the payload.
    pub length: u32,
    /// What it is.
    pub kind: Kind,
    /// Flags, which mean something else in each kind.
    pub flags: u8,
    /// The stream, 0 for the connection.
    pub stream: u32,
}

impl Header {
    /// Octets of a header.
    pub const OCTETS: usize = 9;

    /// The header that octets begin with; `None` where they are too few.
    #[must_use]
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let [l0, l1, l2, kind, flags, stream @ ..] = octets.first_chunk::<{ Self::OCTETS }>()?;
        Some(Self {
            length: u32::from_be_bytes([0, *l0, *l1, *l2]),
            kind: Kind(*kind),
            flags: *flags,
            stream: u32::from_be_bytes(*stream) & STREAM,
        })
    }

    /// Whether the sender's side of the stream ends with it.
    #[must_use]
    pub const fn ends_stream(&self) -> bool {
        matches!(self.kind, Kind::DATA | Kind::HEADERS) && self.flags & END_STREAM != 0
    }

    /// Whether a header block ends with it.
    #[must_use]
    pub const fn ends_headers(&self) -> bool {
        self.flags & END_HEADERS != 0
    }

    /// The part of a header block that a frame of HEADERS, PUSH_PROMISE or CONTINUATION holds, without padding, priority and
    /// the promised stream; `None` where there is not room for these (section 6.2: a PROTOCOL_ERROR).
    #[must_use]
    pub fn fragment<'a>(&self, payload: &'a [u8]) -> Option<&'a [u8]> {
        let mut rest = payload;
        let is_padded = self.kind != Kind::CONTINUATION && self.flags & PADDED != 0;
        let mut padding = 0;
        if is_padded {
            let (first, behind) = rest.split_first()?;
            (padding, rest) = (usize::from(*first), behind);
        }
        match self.kind {
            Kind::HEADERS if self.flags & PRIORITY != 0 => rest = rest.get(5..)?,
            Kind::PUSH_PROMISE => rest = rest.get(4..)?,
            _ => {}
        }
        rest.get(..rest.len().checked_sub(padding)?)
    }

    /// Octets of content before those that fill a DATA frame up, of which the first octet is there where it is padded.
    #[must_use]
    pub fn content(&self, first: u8) -> u32 {
        if self.flags & PADDED == 0 { self.length } else { self.length.saturating_sub(1 + u32::from(first)) }
    }

    /// Whether a DATA frame begins with the length of what fills it up.
    #[must_use]
    pub const fn is_padded(&self) -> bool {
        self.flags & PADDED != 0
    }
}

/// Whether octets begin as a server's must: with SETTINGS that acknowledge nothing (section 3.4). `None` where they are too few.
#[must_use]
pub fn is_server_preface(octets: &[u8]) -> Option<bool> {
    let expected = [Some(0), None, None, Some(Kind::SETTINGS.0), Some(0), Some(0), Some(0), Some(0), Some(0)];
    let fits = octets.iter().zip(expected).all(|(octet, expected)| expected.is_none_or(|expected| expected == *octet));
    (!fits || octets.len() >= Header::OCTETS).then_some(fits)
}

/// Whether octets are frames from their first one to their last, as each of a client's segments may be of a connection whose
/// preface was not seen.
#[must_use]
pub fn is_chain(octets: &[u8]) -> bool {
    let mut rest = octets;
    while let Some(header) = Header::parse(rest) {
        let of_stream = header.stream % 2 == 1;
        let fits = match (header.kind, header.length) {
            (Kind::DATA | Kind::HEADERS | Kind::CONTINUATION, length) => of_stream && length <= LEAST_MOST,
            (Kind::RST_STREAM, 4) => of_stream,
            (Kind(WINDOW_UPDATE), 4) => of_stream || header.stream == 0,
            (Kind::SETTINGS, length) => header.stream == 0 && length % 6 == 0 && length <= LEAST_MOST,
            (Kind(PING), 8) => header.stream == 0,
            _ => false,
        };
        let end = Header::OCTETS + header.length as usize;
        let Some(behind) = rest.get(end..).filter(|_| fits) else { return false };
        rest = behind;
    }
    rest.is_empty() && !octets.is_empty()
}

/// Kinds that nothing else asks for.
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
/// Who has not allowed more gets no longer payload (section 4.2).
const LEAST_MOST: u32 = 16_384;

/// What a payload of RST_STREAM says.
#[must_use]
pub fn reset(payload: &[u8]) -> Option<ErrorCode> {
    payload.first_chunk().map(|code| ErrorCode(u32::from_be_bytes(*code)))
}

/// What a payload of GOAWAY says: the last stream that was or might be taken, and why.
#[must_use]
pub fn goaway(payload: &[u8]) -> Option<(u32, ErrorCode)> {
    let (last, rest) = payload.split_first_chunk()?;
    Some((u32::from_be_bytes(*last) & STREAM, reset(rest)?))
}

/// Why a stream or a connection is given up (section 7). The space is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// Nothing went wrong.
    pub const NO_ERROR: Self = Self(0);
    /// The peer broke a rule.
    pub const PROTOCOL_ERROR: Self = Self(1);
    /// The peer sent more than it was allowed to.
    pub const FLOW_CONTROL_ERROR: Self = Self(3);
    /// Settings were not acknowledged.
    pub const SETTINGS_TIMEOUT: Self = Self(4);
    /// A frame came for a stream that was half-closed.
    pub const STREAM_CLOSED: Self = Self(5);
    /// A frame had a size that it cannot have.
    pub const FRAME_SIZE_ERROR: Self = Self(6);
    /// The stream was refused before anything was done for it.
    pub const REFUSED_STREAM: Self = Self(7);
    /// It is not wanted any more.
    pub const CANCEL: Self = Self(8);
    /// Header blocks cannot be decoded any more.
    pub const COMPRESSION_ERROR: Self = Self(9);

    /// Its name in the RFC; `None` for one that is not there.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        NAMES.get(self.0 as usize).copied()
    }

    /// Whether it says that the peer broke a rule of HTTP/2.
    #[must_use]
    pub const fn is_violation(self) -> bool {
        matches!(
            self,
            Self::PROTOCOL_ERROR
                | Self::FLOW_CONTROL_ERROR
                | Self::SETTINGS_TIMEOUT
                | Self::STREAM_CLOSED
                | Self::FRAME_SIZE_ERROR
                | Self::COMPRESSION_ERROR
        )
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "code {:#x}", self.0),
        }
    }
}

const NAMES: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

const STREAM: u32 = 0x7fff_ffff;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read() {
        let header = Header::parse(b"\0\x01\x02\x01\x25\x80\0\0\x03rest").unwrap();
        assert_eq!((header.length, header.kind, header.stream), (258, Kind::HEADERS, 3));
        assert!(header.ends_stream() && header.ends_headers());
        assert_eq!(Header::parse(b"\0\0\0\x04\0\0\0\0"), None);
    }

    #[test]
    fn padding_and_priority_are_no_part_of_a_block() {
        let header = |kind, flags| Header { length: 0, kind, flags, stream: 1 };
        let whole = b"\x02ppppPblock\0\0";
        assert_eq!(header(Kind::HEADERS, PADDED | PRIORITY).fragment(whole), Some(&b"block"[..]));
        assert_eq!(header(Kind::HEADERS, PADDED).fragment(b"\x05abc"), None, "more padding than octets");
        assert_eq!(header(Kind::HEADERS, PRIORITY).fragment(b"abc"), None);
        assert_eq!(header(Kind::PUSH_PROMISE, 0).fragment(b"\0\0\0\x02block"), Some(&b"block"[..]));
        assert_eq!(header(Kind::CONTINUATION, PADDED).fragment(b"\x02bl"), Some(&b"\x02bl"[..]));
    }

    #[test]
    fn a_server_begins_with_its_settings() {
        assert_eq!(is_server_preface(b"\0\0\x06\x04\0\0\0\0\0"), Some(true));
        assert_eq!(is_server_preface(b"\0\0\x06\x04"), None);
        assert_eq!(is_server_preface(b"HTTP/1.1"), Some(false));
        assert_eq!(is_server_preface(b"\0\0\0\x04\x01\0\0\0\0"), Some(false), "an acknowledgement");
    }

    #[test]
    fn errors_have_names() {
        assert_eq!(goaway(b"\0\0\0\x05\0\0\0\x01why"), Some((5, ErrorCode::PROTOCOL_ERROR)));
        assert_eq!(reset(b"\0\0\0\x07").map(|code| code.to_string()).as_deref(), Some("REFUSED_STREAM"));
        assert_eq!(ErrorCode(99).to_string(), "code 0x63");
        assert_eq!((reset(b"\0\0"), goaway(b"\0\0\0\x05\0")), (None, None));
    }
}
