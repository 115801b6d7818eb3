//! TLS as it stands on the wire (RFC 5246, RFC 8446, and before them RFC 2246 and SSL): octets to records,
//! records to handshake messages and alerts, messages to what is needed of them; and with keys what is inside of records.

pub mod agreed;
pub mod alert;
pub mod certificate;
pub mod handshake;
pub mod hello;
pub mod ja4;
pub mod keylog;
pub mod protect;
pub mod record;
pub mod suite;

use std::fmt;

pub use crate::wire::tls::alert::{Alert, AlertDescription, AlertLevel};
pub use crate::wire::tls::record::{ContentType, Header};
pub use crate::wire::tls::suite::Suite;

/// Why octets cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// More octets may help.
    Truncated,
    /// They break a rule, and more octets do not help.
    Malformed(&'static str),
}

/// A protocol version, as two octets on the wire (RFC 8446 section 4.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u16);

impl Version {
    /// SSL 2.0.
    pub const SSL_2: Self = Self(0x0002);
    /// SSL 3.0 (RFC 6101).
    pub const SSL_3: Self = Self(0x0300);
    /// TLS 1.0 (RFC 2246).
    pub const TLS_1_0: Self = Self(0x0301);
    /// TLS 1.1 (RFC 4346).
    pub const TLS_1_1: Self = Self(0x0302);
    /// TLS 1.2 (RFC 5246).
    pub const TLS_1_2: Self = Self(0x0303);
    /// TLS 1.3 (RFC 8446).
    pub const TLS_1_3: Self = Self(0x0304);

    /// Whether most of the handshake is encrypted, and what is encrypted looks like application data: TLS 1.3 and its drafts.
    #[must_use]
    pub const fn is_1_3(self) -> bool {
        self.0 == Self::TLS_1_3.0 || self.0 >> 8 == 0x7f
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::SSL_2 => f.write_str("SSL 2.0"),
            Self::SSL_3 => f.write_str("SSL 3.0"),
            Self(version @ 0x0301..=0x0304) => write!(f, "TLS 1.{}", version - 0x0301),
            Self(draft @ 0x7f00..=0x7fff) => write!(f, "TLS 1.3 draft {}", draft & 0xff),
            Self(other) => write!(f, "version {other:#06x}"),
        }
    }
}

/// Whether a code point is one of those that mean nothing and keep servers from choking on new ones (RFC 8701).
#[must_use]
pub const fn is_grease(code: u16) -> bool {
    code & 0x0f0f == 0x0a0a && code >> 8 == code & 0xff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_names() {
        let names = [0x0002, 0x0300, 0x0301, 0x0304, 0x7f1c, 0x0506].map(|version| Version(version).to_string());
        assert_eq!(names, ["SSL 2.0", "SSL 3.0", "TLS 1.0", "TLS 1.3", "TLS 1.3 draft 28", "version 0x0506"]);
    }

    #[test]
    fn grease_has_two_like_octets() {
        assert!((0..16).all(|n| is_grease(n << 12 | n << 4 | 0x0a0a)));
        assert!(![0x1301, 0x0a1a, 0x0a0b, 0x0000].into_iter().any(is_grease));
    }
}
