//! What a server speaks that answers a ClientHello with something else than TLS.

use crate::event::tls::Spoken;
use crate::wire::http1;

/// What the first octets are.
pub(super) fn spoken(octets: &[u8]) -> Spoken {
    match octets {
        [b'H', b'T', b'T', b'P', b'/', ..] => Spoken::Http1(status(octets)),
        [b'S', b'S', b'H', b'-', ..] => Spoken::Ssh,
        [a, b, c, b' ' | b'-', ..] if [a, b, c].iter().all(|digit| digit.is_ascii_digit()) => Spoken::Greeting,
        // RFC 9113 section 3.4: the server's first frame is SETTINGS, on stream 0.
        [0, _, _, 4, 0, 0, 0, 0, 0, ..] => Spoken::Http2,
        _ if octets.iter().take(FIRST).all(|octet| octet.is_ascii_graphic() || octet.is_ascii_whitespace()) => {
            Spoken::Text
        }
        _ => Spoken::Other,
    }
}

fn status(octets: &[u8]) -> Option<u16> {
    let line = octets.split(|octet| *octet == b'\n').next().unwrap_or_default();
    http1::response(&[line, b"\n\r\n"].concat(), &mut http1::Fields::new()).status
}

const FIRST: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_known_by_their_first_octets() {
        assert_eq!(spoken(b"HTTP/1.1 400 Bad Request\r\nServer: x"), Spoken::Http1(Some(400)));
        assert_eq!(spoken(b"HTTP/1.1"), Spoken::Http1(None));
        assert_eq!(spoken(b"SSH-2.0-OpenSSH_9.2p1\r\n"), Spoken::Ssh);
        assert_eq!(spoken(b"220 mail.example ESMTP\r\n"), Spoken::Greeting);
        assert_eq!(spoken(b"\0\0\x12\x04\0\0\0\0\0\0\x03"), Spoken::Http2);
        assert_eq!(spoken(b"<!DOCTYPE HTML>\n"), Spoken::Text);
        assert_eq!(spoken(b"\x05\x00"), Spoken::Other);
    }
}
