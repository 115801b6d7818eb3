//! JA4: a name for the kind of client that sends a ClientHello, by what it offers and whatever order it offers it in.
//!
//! ```text
//!   t13d1516h2_8daaf6152771_e5627efa2ab1
//!   |||  | |   |            extensions but server name and ALPN, sorted, and signature algorithms as sent: SHA-256, cut
//!   |||  | |   suites, sorted: SHA-256, cut
//!   |||  | first and last letter of the first ALPN value
//!   |||  number of suites, of extensions
//!   ||d: names a server; i: does not
//!   |greatest version
//!   t: over TCP
//! ```

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::hello::{ClientHello, extension};
use super::{Version, is_grease};

/// The fingerprint of a client.
#[must_use]
pub fn fingerprint(hello: &ClientHello<'_>) -> String {
    let version = hello.versions().iter().max().copied().unwrap_or(hello.version);
    let mut suites: Vec<u16> = hello.suites.iter().map(|suite| suite.0).filter(|code| !is_grease(*code)).collect();
    let mut extensions: Vec<u16> = hello.extensions.iter().copied().filter(|code| !is_grease(*code)).collect();
    let counts = [suites.len().min(99), extensions.len().min(99)];
    extensions.retain(|code| ![extension::SERVER_NAME, extension::ALPN].contains(code));
    suites.sort_unstable();
    extensions.sort_unstable();
    let algorithms: Vec<u16> = hello.signature_algorithms.iter().copied().filter(|code| !is_grease(*code)).collect();
    let mut told = listed(&extensions);
    if !told.is_empty() && !algorithms.is_empty() {
        told.push('_');
        told.push_str(&listed(&algorithms));
    }
    let named = if hello.has(extension::SERVER_NAME) { 'd' } else { 'i' };
    let [suites_count, extensions_count] = counts;
    let alpn = ends(hello.alpn.first().copied().unwrap_or_default());
    format!(
        "t{}{named}{suites_count:02}{extensions_count:02}{alpn}_{}_{}",
        short(version),
        hash(&listed(&suites)),
        hash(&told)
    )
}

fn short(version: Version) -> &'static str {
    match version {
        Version::TLS_1_3 => "13",
        Version::TLS_1_2 => "12",
        Version::TLS_1_1 => "11",
        Version::TLS_1_0 => "10",
        Version::SSL_3 => "s3",
        Version::SSL_2 => "s2",
        _ => "00",
    }
}

/// First and last letter; of octets that are none, the first digit of the first and the last one of the last.
fn ends(value: &[u8]) -> String {
    match (value.first(), value.last()) {
        (Some(first), Some(last)) if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() => {
            format!("{}{}", char::from(*first), char::from(*last))
        }
        (Some(first), Some(last)) => format!("{:x}{:x}", first >> 4, last & 0x0f),
        _ => "00".to_owned(),
    }
}

fn listed(codes: &[u16]) -> String {
    let mut text = String::with_capacity(codes.len() * 5);
    for code in codes {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{code:04x}");
    }
    text
}

/// The first twelve digits of a list's SHA-256; zeros for an empty one.
fn hash(text: &str) -> String {
    if text.is_empty() {
        return "0".repeat(12);
    }
    let mut digits = String::with_capacity(12);
    for octet in Sha256::digest(text).iter().take(6) {
        let _ = write!(digits, "{octet:02x}");
    }
    digits
}

#[cfg(test)]
mod tests {
    use smallvec::SmallVec;

    use super::*;
    use crate::wire::tls::Suite;

    fn hello<'a>(suites: &[u16], extensions: &[u16], algorithms: &[u16], alpn: &[&'a [u8]]) -> ClientHello<'a> {
        ClientHello {
            version: Version::TLS_1_2,
            random: &[],
            session_id: &[],
            suites: suites.iter().map(|code| Suite(*code)).collect(),
            extensions: extensions.to_vec(),
            server_name: None,
            alpn: alpn.to_vec(),
            supported_versions: SmallVec::from_slice(&[Version(0x5a5a), Version::TLS_1_3, Version::TLS_1_2]),
            signature_algorithms: algorithms.to_vec(),
            ticket: false,
        }
    }

    /// The lists of a browser that was in use when the fingerprint was defined, and the fingerprint that its definition gives.
    #[test]
    fn a_known_client_has_its_known_fingerprint() {
        let suites = [
            0x1a1a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c,
            0x009d, 0x002f, 0x0035,
        ];
        let extensions = [
            0x2a2a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b,
            0xff01, 0x000b, 0x000a, 0x0015, 0x3a3a,
        ];
        let algorithms = [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601];
        let read = hello(&suites, &extensions, &algorithms, &[b"h2", b"http/1.1"]);
        assert_eq!(fingerprint(&read), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    #[test]
    fn empty_lists_are_zeros_and_odd_names_are_digits() {
        assert_eq!(fingerprint(&hello(&[], &[], &[], &[])), "t13i000000_000000000000_000000000000");
        assert_eq!([&b"http/1.1"[..], b"\xabc", b"x"].map(ends), ["h1", "a3", "xx"]);
    }
}
