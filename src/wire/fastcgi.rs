//! FastCGI (specification 1.0): records, and what stands in those that are not content.
//!
//! ```text
//!   0        1      2          4               6               7
//!   version  type   requestId  contentLength   paddingLength   reserved   content …  padding …
//! ```

/// Octets of a record's header.
pub const HEADER: usize = 8;
/// The only version.
pub const VERSION: u8 = 1;

/// The type of a record (section 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(pub u8);

impl Kind {
    /// A request begins.
    pub const BEGIN_REQUEST: Self = Self(1);
    /// The web server gives a request up.
    pub const ABORT_REQUEST: Self = Self(2);
    /// The application is done with a request.
    pub const END_REQUEST: Self = Self(3);
    /// Name-value pairs; an empty one ends them.
    pub const PARAMS: Self = Self(4);
    /// Content of the request; an empty one ends it.
    pub const STDIN: Self = Self(5);
    /// The response: CGI's header section and content.
    pub const STDOUT: Self = Self(6);
    /// What the application says of errors.
    pub const STDERR: Self = Self(7);
    /// Answer to a question for the application's limits.
    pub const GET_VALUES_RESULT: Self = Self(10);
    /// Answer to a record of a type that the application does not know.
    pub const UNKNOWN_TYPE: Self = Self(11);

    /// Whether an application may send it.
    #[must_use]
    pub const fn is_of_application(self) -> bool {
        matches!(self, Self::END_REQUEST | Self::STDOUT | Self::STDERR | Self::GET_VALUES_RESULT | Self::UNKNOWN_TYPE)
    }
}

/// A record's header (section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it holds.
    pub kind: Kind,
    /// Of which request; 0 for the connection as a whole.
    pub request: u16,
    /// Octets of content.
    pub content: u16,
    /// Octets of padding behind it.
    pub padding: u8,
}

impl Header {
    /// Reads one; `None` where the version is another one.
    #[must_use]
    pub fn read(octets: &[u8; HEADER]) -> Option<Self> {
        let [version, kind, id @ .., _, _, _, _] = octets;
        let [_, _, _, _, high, low, padding, _] = octets;
        let content = u16::from_be_bytes([*high, *low]);
        (*version == VERSION).then_some(Self {
            kind: Kind(*kind),
            request: u16::from_be_bytes(*id),
            content,
            padding: *padding,
        })
    }
}

/// Whether octets begin as a BEGIN_REQUEST record does.
#[must_use]
pub const fn begins_request(octets: &[u8]) -> bool {
    matches!(octets, [VERSION, 1, _, _, 0, 8, ..])
}

/// Whether the octets so far can become the header of a record that an application may send; the offset of the first one that
/// cannot stand.
#[must_use]
pub fn answer_defect(octets: &[u8]) -> Option<usize> {
    match octets {
        [] | [VERSION] => None,
        [VERSION, kind, ..] => (!Kind(*kind).is_of_application()).then_some(1),
        _ => Some(0),
    }
}

/// What begins a request (section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// 1 for a responder.
    pub role: u16,
    /// Whether the application is to keep the connection.
    pub keeps: bool,
}

impl Begin {
    /// Reads the content of a BEGIN_REQUEST record.
    #[must_use]
    pub fn read(content: &[u8]) -> Option<Self> {
        let [high, low, flags, ..] = *content else { return None };
        Some(Self { role: u16::from_be_bytes([high, low]), keeps: flags & 1 == 1 })
    }
}

/// How a request ended (section 5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// What the application says: CGI's exit status.
    pub app_status: u32,
    /// What its FastCGI library says.
    pub protocol_status: u8,
}

impl End {
    /// Reads the content of an END_REQUEST record.
    #[must_use]
    pub fn read(content: &[u8]) -> Option<Self> {
        let ([app @ .., protocol_status], _) = content.split_first_chunk::<5>()?;
        Some(Self { app_status: u32::from_be_bytes(*app), protocol_status: *protocol_status })
    }

    /// The name of its protocolStatus, where the specification has one.
    #[must_use]
    pub const fn protocol_status_name(self) -> Option<&'static str> {
        match self.protocol_status {
            0 => Some("REQUEST_COMPLETE"),
            1 => Some("CANT_MPX_CONN"),
            2 => Some("OVERLOADED"),
            3 => Some("UNKNOWN_ROLE"),
            _ => None,
        }
    }
}

/// The name-value pairs that octets begin with (section 3.4), up to the first that is not whole.
#[must_use]
pub fn pairs(octets: &[u8]) -> Pairs<'_> {
    Pairs { rest: octets }
}

/// Name-value pairs.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = length(self.rest)?;
        let (value, rest) = length(rest)?;
        let (name, rest) = rest.split_at_checked(name)?;
        let (value, rest) = rest.split_at_checked(value)?;
        self.rest = rest;
        Some((name, value))
    }
}

/// A length of one octet, or of four with the topmost bit set.
fn length(octets: &[u8]) -> Option<(usize, &[u8])> {
    match octets {
        [short @ ..0x80, rest @ ..] => Some((usize::from(*short), rest)),
        [a, b, c, d, rest @ ..] => Some((u32::from_be_bytes([a & 0x7f, *b, *c, *d]) as usize, rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_tells_its_record() {
        let header = Header::read(&[1, 6, 0, 1, 0x12, 0x34, 4, 0]);
        assert_eq!(header, Some(Header { kind: Kind::STDOUT, request: 1, content: 0x1234, padding: 4 }));
        assert_eq!(Header::read(b"HTTP/1.1"), None);
    }

    #[test]
    fn what_begins_and_ends_a_request_is_read() {
        assert_eq!(Begin::read(&[0, 1, 1, 0, 0, 0, 0, 0]), Some(Begin { role: 1, keeps: true }));
        assert_eq!(Begin::read(&[0, 1]), None);
        assert!(begins_request(&[1, 1, 0, 1, 0, 8, 0, 0]) && !begins_request(&[1, 4, 0, 1, 0, 8, 0, 0]));
        let end = End::read(&[0, 0, 0, 255, 2, 0, 0, 0]).unwrap();
        assert_eq!((end.app_status, end.protocol_status_name()), (255, Some("OVERLOADED")));
        assert_eq!(End::read(&[0; 4]), None);
    }

    #[test]
    fn pairs_are_read_up_to_the_first_that_is_not_whole() {
        let mut octets = b"\x03\x03KEYone\x04\x80\0\x01\0LONG".to_vec();
        octets.extend([b'x'; 256]);
        let whole: Vec<_> = pairs(&octets).map(|(name, value)| (name, value.len())).collect();
        assert_eq!(whole, [(&b"KEY"[..], 3), (b"LONG", 256)]);
        for cut in 0..octets.len() {
            let found = pairs(&octets[..cut]).count();
            assert_eq!(found, usize::from(cut >= 8), "{cut} octets");
        }
    }

    #[test]
    fn what_no_application_sends_is_told_from_the_first_octet_on() {
        assert_eq!(answer_defect(b""), None);
        assert_eq!(answer_defect(&[1]), None);
        assert_eq!(answer_defect(&[1, 6, 0]), None);
        assert_eq!(answer_defect(&[1, 5]), Some(1));
        assert_eq!(answer_defect(b"H"), Some(0));
    }
}
