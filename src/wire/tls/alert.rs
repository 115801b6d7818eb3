//! Alerts (RFC 8446 section 6): why a side will not go on, or that it has nothing more to say.

use std::fmt;

use super::{ContentType, Error, Header};

/// An alert in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Alert {
    /// How bad it is.
    pub level: AlertLevel,
    /// What it is.
    pub description: AlertDescription,
}

impl Alert {
    /// Reads the fragment of an alert record.
    ///
    /// # Errors
    ///
    /// `Truncated` below two octets; `Malformed` for more, or for a level that there is none of, which both mean that it is
    /// encrypted.
    pub fn parse(fragment: &[u8]) -> Result<Self, Error> {
        match *fragment {
            [level @ 1..=2, description] => {
                Ok(Self { level: AlertLevel(level), description: AlertDescription(description) })
            }
            [] | [_] => Err(Error::Truncated),
            _ => Err(Error::Malformed("not an alert, RFC 8446 section 6")),
        }
    }

    /// Reads an alert record, header and all, which begins `octets`.
    ///
    /// # Errors
    ///
    /// As for its header and its fragment.
    pub fn parse_record(octets: &[u8]) -> Result<Self, Error> {
        let header = Header::parse(octets)?;
        if header.content_type != ContentType::ALERT {
            return Err(Error::Malformed("not an alert record"));
        }
        let end = Header::LENGTH + usize::from(header.length);
        Self::parse(octets.get(Header::LENGTH..end).ok_or(Error::Truncated)?)
    }
}

/// How bad it is: in TLS 1.3 the description alone decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AlertLevel(pub u8);

impl AlertLevel {
    /// The connection may go on.
    pub const WARNING: Self = Self(1);
    /// The connection is over.
    pub const FATAL: Self = Self(2);
}

impl fmt::Display for AlertLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::WARNING => f.write_str("warning"),
            Self::FATAL => f.write_str("fatal"),
            Self(other) => write!(f, "level {other}"),
        }
    }
}

/// What it is: the registry of alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AlertDescription(pub u8);

macro_rules! descriptions {
    ($($name:ident = $code:literal, $text:literal;)*) => {
        impl AlertDescription {
            $(#[doc = concat!("`", $text, "`.")] pub const $name: Self = Self($code);)*

            /// Its name in the registry.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($code => Some($text),)* _ => None }
            }
        }
    };
}

descriptions! {
    CLOSE_NOTIFY = 0, "close_notify";
    UNEXPECTED_MESSAGE = 10, "unexpected_message";
    BAD_RECORD_MAC = 20, "bad_record_mac";
    DECRYPTION_FAILED = 21, "decryption_failed";
    RECORD_OVERFLOW = 22, "record_overflow";
    DECOMPRESSION_FAILURE = 30, "decompression_failure";
    HANDSHAKE_FAILURE = 40, "handshake_failure";
    NO_CERTIFICATE = 41, "no_certificate";
    BAD_CERTIFICATE = 42, "bad_certificate";
    UNSUPPORTED_CERTIFICATE = 43, "unsupported_certificate";
    CERTIFICATE_REVOKED = 44, "certificate_revoked";
    CERTIFICATE_EXPIRED = 45, "certificate_expired";
    CERTIFICATE_UNKNOWN = 46, "certificate_unknown";
    ILLEGAL_PARAMETER = 47, "illegal_parameter";
    UNKNOWN_CA = 48, "unknown_ca";
    ACCESS_DENIED = 49, "access_denied";
    DECODE_ERROR = 50, "decode_error";
    DECRYPT_ERROR = 51, "decrypt_error";
    EXPORT_RESTRICTION = 60, "export_restriction";
    PROTOCOL_VERSION = 70, "protocol_version";
    INSUFFICIENT_SECURITY = 71, "insufficient_security";
    INTERNAL_ERROR = 80, "internal_error";
    INAPPROPRIATE_FALLBACK = 86, "inappropriate_fallback";
    USER_CANCELED = 90, "user_canceled";
    NO_RENEGOTIATION = 100, "no_renegotiation";
    MISSING_EXTENSION = 109, "missing_extension";
    UNSUPPORTED_EXTENSION = 110, "unsupported_extension";
    CERTIFICATE_UNOBTAINABLE = 111, "certificate_unobtainable";
    UNRECOGNIZED_NAME = 112, "unrecognized_name";
    BAD_CERTIFICATE_STATUS_RESPONSE = 113, "bad_certificate_status_response";
    BAD_CERTIFICATE_HASH_VALUE = 114, "bad_certificate_hash_value";
    UNKNOWN_PSK_IDENTITY = 115, "unknown_psk_identity";
    CERTIFICATE_REQUIRED = 116, "certificate_required";
    GENERAL_ERROR = 117, "general_error";
    NO_APPLICATION_PROTOCOL = 120, "no_application_protocol";
    ECH_REQUIRED = 121, "ech_required";
}

impl fmt::Display for AlertDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "alert {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_two_octets_and_an_encrypted_one_is_not() {
        let alert = Alert { level: AlertLevel::FATAL, description: AlertDescription::UNKNOWN_CA };
        assert_eq!(Alert::parse_record(&[21, 3, 3, 0, 2, 2, 48]), Ok(alert));
        assert_eq!(Alert::parse_record(&[21, 3, 3, 0, 2, 2]), Err(Error::Truncated));
        assert!(matches!(Alert::parse_record(&[22, 3, 3, 0, 2, 2, 48]), Err(Error::Malformed(_))));
        assert!(matches!(Alert::parse(&[0x7b; 26]), Err(Error::Malformed(_))));
        assert_eq!(format!("{} {}", alert.level, alert.description), "fatal unknown_ca");
        assert_eq!(AlertDescription(200).to_string(), "alert 200");
    }
}
