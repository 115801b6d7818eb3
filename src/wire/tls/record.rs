//! Record headers (RFC 8446 section 5.1), and the ClientHello that SSL 2.0 knew, which has none (RFC 5246 appendix E.2).
//!
//! ```text
//!   0       1       2       3       4       5
//!  +-------+-------+-------+-------+-------+------------ - -
//!  | type  |    version    |    length     | fragment
//!  +-------+-------+-------+-------+-------+------------ - -
//! ```

use super::{Error, Version};

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentType(pub u8);

impl ContentType {
    /// From here on the sender encrypts, up to TLS 1.2; in TLS 1.3 it means nothing.
    pub const CHANGE_CIPHER_SPEC: Self = Self(20);
    /// An alert.
    pub const ALERT: Self = Self(21);
    /// Handshake messages, or parts of them.
    pub const HANDSHAKE: Self = Self(22);
    /// Application data; in TLS 1.3 all that is encrypted.
    pub const APPLICATION_DATA: Self = Self(23);
    /// Heartbeats (RFC 6520).
    pub const HEARTBEAT: Self = Self(24);

    /// Whether it is one of the above.
    #[must_use]
    pub const fn is_known(self) -> bool {
        matches!(self.0, 20..=24)
    }
}

/// A record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it holds.
    pub content_type: ContentType,
    /// Version of the record layer, which says little: `legacy_record_version`.
    pub version: Version,
    /// Octets that follow the header.
    pub length: u16,
}

impl Header {
    /// Octets of a header.
    pub const LENGTH: usize = 5;

    /// Reads the header that begins `octets`.
    ///
    /// # Errors
    ///
    /// `Truncated` below five octets that may begin a header, `Malformed` where they cannot.
    pub fn parse(octets: &[u8]) -> Result<Self, Error> {
        match *octets {
            [content_type, ..] if !ContentType(content_type).is_known() => {
                Err(Error::Malformed("unknown content type, RFC 8446 section 5.1"))
            }
            [_, major, ..] if major != 3 && major != 0x7f => {
                Err(Error::Malformed("unknown record version, RFC 8446 section 5.1"))
            }
            [content_type, major, minor, high, low, ..] => {
                let length = u16::from_be_bytes([high, low]);
                // RFC 5246 section 6.2.3 allows 2048 octets more than the plaintext may have, and no later one allows more.
                if length > MOST_PLAINTEXT + 2048 {
                    return Err(Error::Malformed("record overflow, RFC 5246 section 6.2.3"));
                }
                let version = Version(u16::from_be_bytes([major, minor]));
                Ok(Self { content_type: ContentType(content_type), version, length })
            }
            _ => Err(Error::Truncated),
        }
    }
}

/// Octets of the ClientHello in SSL 2.0's form that begins `octets`: its header, and what follows. `None` for anything else.
#[must_use]
pub fn sslv2_client_hello(octets: &[u8]) -> Option<(usize, usize)> {
    match *octets {
        [high @ 0x80..=0xff, low, 1, 0 | 3, minor, ..] if minor <= 4 => {
            Some((2, usize::from(u16::from_be_bytes([high & 0x7f, low]))))
        }
        _ => None,
    }
}

/// Octets of plaintext that a record may hold (RFC 8446 section 5.1).
pub const MOST_PLAINTEXT: u16 = 1 << 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_five_octets() {
        let header = Header { content_type: ContentType::HANDSHAKE, version: Version::TLS_1_0, length: 512 };
        assert_eq!(Header::parse(&[22, 3, 1, 2, 0, 1, 0]), Ok(header));
        assert_eq!(Header::parse(&[22, 3, 1, 2]), Err(Error::Truncated));
        assert_eq!(Header::parse(&[]), Err(Error::Truncated));
    }

    #[test]
    fn what_is_no_header_is_told_at_the_first_octet_that_says_so() {
        assert!(matches!(Header::parse(b"H"), Err(Error::Malformed(_))));
        assert!(matches!(Header::parse(&[22, 9]), Err(Error::Malformed(_))));
        assert!(matches!(Header::parse(&[23, 3, 3, 0x48, 1]), Err(Error::Malformed(_))));
        assert!(Header::parse(&[23, 3, 3, 0x48, 0]).is_ok());
    }

    #[test]
    fn the_hello_of_ssl_2_has_a_header_of_its_own() {
        assert_eq!(sslv2_client_hello(&[0x80, 0x2e, 1, 3, 1, 0]), Some((2, 46)));
        assert_eq!(sslv2_client_hello(&[0x80, 0x2e, 4, 0, 2]), None);
    }
}
