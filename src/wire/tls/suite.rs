//! Cipher suites: their names, and what they add to the octets that they protect.

use std::fmt;

use tls_parser::{TlsCipherAu, TlsCipherEnc, TlsCipherEncMode, TlsCipherSuite, TlsPRF};

use super::{Version, is_grease};

/// A cipher suite (RFC 8446 appendix B.4, and the registry).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Suite(pub u16);

impl Suite {
    /// Not a suite: the client asks for secure renegotiation (RFC 5746 section 3.3).
    pub const EMPTY_RENEGOTIATION_INFO: Self = Self(0x00ff);
    /// Not a suite: the client tries again with less than it can (RFC 7507).
    pub const FALLBACK: Self = Self(0x5600);

    /// Its name in the registry, where it has one.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::EMPTY_RENEGOTIATION_INFO => Some("TLS_EMPTY_RENEGOTIATION_INFO_SCSV"),
            Self::FALLBACK => Some("TLS_FALLBACK_SCSV"),
            Self(code) => TlsCipherSuite::from_id(code).map(|suite| suite.name),
        }
    }

    /// Whether the server shows no certificate: it is known by a key, by a password, or not at all.
    #[must_use]
    pub fn is_anonymous(self) -> bool {
        use TlsCipherAu::{Eccpwd, Krb5, Null, Psk, Srp};
        TlsCipherSuite::from_id(self.0).is_none_or(|suite| matches!(suite.au, Eccpwd | Krb5 | Null | Psk | Srp))
    }

    /// Octets of a TLS 1.3 Finished message's `verify_data`: those of the suite's hash. `None` for suites of before.
    #[must_use]
    pub fn hash_octets(self) -> Option<u16> {
        if self.0 >> 8 != 0x13 {
            return None;
        }
        TlsCipherSuite::from_id(self.0).map(|suite| match suite.prf {
            TlsPRF::Sha384 => 48,
            TlsPRF::Sha512 => 64,
            _ => 32,
        })
    }

    /// Octets that protection adds to a record's content; the fewest, where padding makes them vary. `None` where it is not known.
    #[must_use]
    pub fn overhead(self, version: Version) -> Option<u16> {
        let suite = TlsCipherSuite::from_id(self.0)?;
        let short_tag = suite.name.contains("CCM_8");
        if version.is_1_3() {
            // RFC 8446 section 5.2: the content type stands behind the content.
            return Some(1 + if short_tag { 8 } else { 16 });
        }
        let block = if matches!(
            suite.enc,
            TlsCipherEnc::Des | TlsCipherEnc::TripleDes | TlsCipherEnc::Idea | TlsCipherEnc::Rc2
        ) {
            8
        } else {
            16
        };
        Some(match (suite.enc, suite.enc_mode) {
            // RFC 7905: its nonce does not stand in the record.
            (TlsCipherEnc::Chacha20_Poly1305, _) => 16,
            (_, TlsCipherEncMode::Gcm) => 8 + 16,
            (_, TlsCipherEncMode::Ccm) => 8 + if short_tag { 8 } else { 16 },
            // RFC 4346 section 6.2.3.2: since TLS 1.1 the vector stands before the content. At least one octet of padding.
            (_, TlsCipherEncMode::Cbc) => suite.mac_size / 8 + 1 + if version >= Version::TLS_1_1 { block } else { 0 },
            (_, TlsCipherEncMode::Null) => suite.mac_size / 8,
        })
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None if is_grease(self.0) => write!(f, "GREASE {:#06x}", self.0),
            None => write!(f, "{:#06x}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_have_names() {
        assert_eq!(Suite(0x1301).to_string(), "TLS_AES_128_GCM_SHA256");
        assert_eq!(Suite(0xc02f).to_string(), "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
        assert_eq!(Suite(0x5600).to_string(), "TLS_FALLBACK_SCSV");
        assert_eq!(Suite(0x2a2a).to_string(), "GREASE 0x2a2a");
        assert_eq!(Suite(0xfff1).to_string(), "0xfff1");
    }

    #[test]
    fn protection_adds_what_the_suite_says() {
        let added = |suite, version| Suite(suite).overhead(version);
        assert_eq!(added(0x1301, Version::TLS_1_3), Some(17));
        assert_eq!(added(0x1305, Version::TLS_1_3), Some(9));
        assert_eq!(added(0xc02f, Version::TLS_1_2), Some(24));
        assert_eq!(added(0xcca8, Version::TLS_1_2), Some(16));
        assert_eq!(added(0xc0ac, Version::TLS_1_2), Some(24));
        assert_eq!(added(0x002f, Version::TLS_1_0), Some(21));
        assert_eq!(added(0x002f, Version::TLS_1_2), Some(37));
        assert_eq!(added(0x003c, Version::TLS_1_2), Some(49));
        assert_eq!(added(0x000a, Version::TLS_1_1), Some(29));
        assert_eq!(added(0x0005, Version::TLS_1_2), Some(20));
        assert_eq!(added(0xfff1, Version::TLS_1_2), None);
    }

    #[test]
    fn a_finished_message_is_as_long_as_the_hash() {
        assert_eq!(
            [0x1301, 0x1302, 0x1303, 0xc02f].map(|suite| Suite(suite).hash_octets()),
            [Some(32), Some(48), Some(32), None]
        );
    }
}
