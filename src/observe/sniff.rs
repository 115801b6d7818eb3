//! What protocol a client speaks, from the first octets it sends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::event::{Endpoint, Opaque, Protocol};
use crate::wire::{fastcgi, http1, scgi, uwsgi};

/// What the first octets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    /// A PROXY protocol header of this many octets, and the client that it names.
    Proxy(usize, Option<Endpoint>),
    /// HTTP/1.
    Http1,
    /// Variables, as uwsgi or SCGI have them.
    Variables(Protocol),
    /// Something else.
    Opaque(Opaque),
    /// More octets are needed.
    Undecided,
}

/// What the client's first octets are.
#[must_use]
pub fn client(octets: &[u8]) -> Guess {
    // Most are: so that is asked first.
    if let [b'G', b'E', b'T', b' ', b'!'..=b'~', ..] | [b'P', b'O', b'S', b'T', b' ', b'!'..=b'~', ..] = octets {
        return Guess::Http1;
    }
    if let Some(guess) = proxy(octets) {
        return guess;
    }
    match octets {
        [0x16, 0x03, ..] | [0x16] => return Guess::Opaque(Opaque::Tls),
        // SSLv2 ClientHello: length with the high bit set, type 1, version 3.x or 2.0.
        [0x80..=0xff, _, 1, 3 | 0, 0..=3, ..] => return Guess::Opaque(Opaque::Tls),
        octets if fastcgi::begins_request(octets) => return Guess::Opaque(Opaque::FastCgi),
        _ => {}
    }
    if octets.starts_with(b"PRI * HTTP/2") {
        return Guess::Opaque(Opaque::Http2);
    }
    if let Some(guess) = variables(octets) {
        return guess;
    }
    let trimmed = octets.trim_ascii_start();
    let token = trimmed.iter().position(|octet| !http1::is_token_octet(*octet));
    match token {
        None if trimmed.len() < LONGEST_METHOD => Guess::Undecided,
        Some(end) if end > 0 && trimmed.get(end) == Some(&b' ') => request_line(trimmed, end),
        _ => Guess::Opaque(Opaque::Other),
    }
}

/// Variables, or what may become some.
fn variables(octets: &[u8]) -> Option<Guess> {
    match (uwsgi::begin(octets), scgi::begins_request(octets)) {
        (uwsgi::Begin::Request, _) => Some(Guess::Variables(Protocol::Uwsgi)),
        (_, Some(true)) => Some(Guess::Variables(Protocol::Scgi)),
        (uwsgi::Begin::Undecided, _) | (_, None) => Some(Guess::Undecided),
        (uwsgi::Begin::Other, Some(false)) => None,
    }
}

/// A token and a space: a request, if the method is known or the line ends in a version.
fn request_line(octets: &[u8], method_end: usize) -> Guess {
    let known = octets.get(..method_end).is_some_and(|method| KNOWN_METHODS.contains(&method));
    let target = octets.get(method_end + 1);
    if known && target.is_some_and(|octet| octet.is_ascii_graphic() || *octet >= 0x80) {
        return Guess::Http1;
    }
    match memchr::memchr(b'\n', octets) {
        Some(end) => {
            let line = octets.get(..end).unwrap_or_default().trim_ascii_end();
            let version = line.len().checked_sub(8).and_then(|at| line.get(at..));
            if version.is_some_and(|version| version.starts_with(b"HTTP/")) {
                Guess::Http1
            } else {
                Guess::Opaque(Opaque::Other)
            }
        }
        None if octets.len() > LONGEST_LINE => Guess::Opaque(Opaque::Other),
        None => Guess::Undecided,
    }
}

/// A PROXY protocol header, version 1 or 2.
fn proxy(octets: &[u8]) -> Option<Guess> {
    const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
    if octets.starts_with(b"PROXY ") {
        let Some(end) = memchr::memchr(b'\n', octets) else {
            return Some(if octets.len() > 107 { Guess::Opaque(Opaque::Other) } else { Guess::Undecided });
        };
        return Some(Guess::Proxy(end + 1, octets.get(..end).and_then(proxy_line)));
    }
    if octets.starts_with(SIGNATURE) {
        let [_, family, high, low, addresses @ ..] = octets.get(SIGNATURE.len()..).unwrap_or_default() else {
            return Some(Guess::Undecided);
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if addresses.len() < length {
            return Some(Guess::Undecided);
        }
        return Some(Guess::Proxy(SIGNATURE.len() + 4 + length, proxy_addresses(*family, addresses)));
    }
    (octets.len() > 1 && SIGNATURE.starts_with(octets)).then_some(Guess::Undecided)
}

fn proxy_line(line: &[u8]) -> Option<Endpoint> {
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace().skip(2);
    let address: IpAddr = words.next()?.parse().ok()?;
    let port = words.nth(1)?.parse().ok()?;
    Some(SocketAddr::new(address, port))
}

fn proxy_addresses(family: u8, octets: &[u8]) -> Option<Endpoint> {
    match family {
        0x11 => {
            let address: [u8; 4] = octets.get(..4)?.try_into().ok()?;
            let port: [u8; 2] = octets.get(8..10)?.try_into().ok()?;
            Some(SocketAddr::new(Ipv4Addr::from(address).into(), u16::from_be_bytes(port)))
        }
        0x21 => {
            let address: [u8; 16] = octets.get(..16)?.try_into().ok()?;
            let port: [u8; 2] = octets.get(32..34)?.try_into().ok()?;
            Some(SocketAddr::new(Ipv6Addr::from(address).into(), u16::from_be_bytes(port)))
        }
        _ => None,
    }
}

const KNOWN_METHODS: &[&[u8]] =
    &[b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT", b"PROPFIND", b"REPORT"];
const LONGEST_METHOD: usize = 64;
const LONGEST_LINE: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_recognised_by_content() {
        assert_eq!(client(b"GET / HTTP/1.1\r\n"), Guess::Http1);
        assert_eq!(client(b"\r\nGET /x"), Guess::Http1);
        assert_eq!(client(b"M-SEARCH * HTTP/1.1\r\n"), Guess::Http1);
        assert_eq!(client(b"G"), Guess::Undecided);
        assert_eq!(client(b"MAIL FROM:<a@b>\r\n"), Guess::Opaque(Opaque::Other));
        assert_eq!(client(b"EHLO there\r\n"), Guess::Opaque(Opaque::Other));
        assert_eq!(client(b"\x16\x03\x01\x02\x00"), Guess::Opaque(Opaque::Tls));
        assert_eq!(client(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Guess::Opaque(Opaque::Http2));
        assert_eq!(client(b"\x01\x01\x00\x01\x00\x08\x00\x00"), Guess::Opaque(Opaque::FastCgi));
    }

    #[test]
    fn a_proxy_protocol_header_names_the_client() {
        let named = Some("192.0.2.1:56324".parse().unwrap());
        assert_eq!(client(b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\nGET"), Guess::Proxy(42, named));
        assert_eq!(client(b"PROXY UNKNOWN\r\n"), Guess::Proxy(15, None));
        let mut binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
        binary.extend([192, 0, 2, 1, 192, 0, 2, 2]);
        binary.extend([0xdc, 0x04, 0x01, 0xbb]);
        assert_eq!(client(&binary), Guess::Proxy(28, named));
        assert_eq!(client(&binary[..20]), Guess::Undecided);
    }
}
