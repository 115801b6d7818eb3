//! Handshake messages (RFC 8446 section 4): they run on over records, which hold several of them or a part of one.
//!
//! ```text
//!   0       1       2       3       4
//!  +-------+-------+-------+-------+-------- - -
//!  | type  |        length         | body
//!  +-------+-------+-------+-------+-------- - -
//! ```

use super::Error;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageType(pub u8);

impl MessageType {
    /// The server asks for a new handshake, up to TLS 1.2.
    pub const HELLO_REQUEST: Self = Self(0);
    /// The client opens.
    pub const CLIENT_HELLO: Self = Self(1);
    /// The server chose.
    pub const SERVER_HELLO: Self = Self(2);
    /// A ticket to resume the session with.
    pub const NEW_SESSION_TICKET: Self = Self(4);
    /// Extensions of the server that TLS 1.3 encrypts.
    pub const ENCRYPTED_EXTENSIONS: Self = Self(8);
    /// A side's certificates.
    pub const CERTIFICATE: Self = Self(11);
    /// The server wants the client's certificate.
    pub const CERTIFICATE_REQUEST: Self = Self(13);
    /// The server has said all that it has to, up to TLS 1.2.
    pub const SERVER_HELLO_DONE: Self = Self(14);
    /// The client's part of the secret, up to TLS 1.2.
    pub const CLIENT_KEY_EXCHANGE: Self = Self(16);
    /// The last message of a side's handshake.
    pub const FINISHED: Self = Self(20);
    /// New keys from here on, in TLS 1.3.
    pub const KEY_UPDATE: Self = Self(24);
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// What it is.
    pub kind: MessageType,
    /// What follows its header.
    pub body: &'a [u8],
}

/// Octets of a message's header.
pub const HEADER: usize = 4;

impl<'a> Message<'a> {
    /// Reads the message that begins `octets`, and what it is followed by.
    ///
    /// # Errors
    ///
    /// `Truncated` where it is not all there.
    pub fn parse(octets: &'a [u8]) -> Result<(Self, &'a [u8]), Error> {
        let [kind, l0, l1, l2, rest @ ..] = octets else { return Err(Error::Truncated) };
        let length = u32::from_be_bytes([0, *l0, *l1, *l2]) as usize;
        let (body, rest) = rest.split_at_checked(length).ok_or(Error::Truncated)?;
        Ok((Self { kind: MessageType(*kind), body }, rest))
    }

    /// Octets of the message that begins `octets`, its header included, where that is there.
    #[must_use]
    pub fn length(octets: &[u8]) -> Option<usize> {
        let [_, l0, l1, l2, ..] = octets else { return None };
        Some(HEADER + u32::from_be_bytes([0, *l0, *l1, *l2]) as usize)
    }
}

/// The certificates that a Certificate message of TLS 1.2 or before holds (RFC 5246 section 7.4.2), each as its own octets.
///
/// # Errors
///
/// `Malformed` where the list is longer than the message.
pub fn certificates(body: &[u8]) -> Result<Vec<&[u8]>, Error> {
    let (mut list, _) = length_prefixed(body)?;
    let mut certificates = Vec::new();
    while !list.is_empty() {
        let (certificate, rest) = length_prefixed(list)?;
        certificates.push(certificate);
        list = rest;
    }
    Ok(certificates)
}

fn length_prefixed(octets: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let [l0, l1, l2, rest @ ..] = octets else { return Err(OVERRUN) };
    rest.split_at_checked(u32::from_be_bytes([0, *l0, *l1, *l2]) as usize).ok_or(OVERRUN)
}

const OVERRUN: Error = Error::Malformed("a length beyond the message, RFC 5246 section 7.4.2");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_follow_one_another() {
        let octets = [14, 0, 0, 0, 20, 0, 0, 2, 7, 8, 1];
        let (first, rest) = Message::parse(&octets).unwrap();
        assert_eq!(first, Message { kind: MessageType::SERVER_HELLO_DONE, body: &[] });
        let (second, rest) = Message::parse(rest).unwrap();
        assert_eq!(second, Message { kind: MessageType::FINISHED, body: &[7, 8] });
        assert_eq!(Message::parse(rest), Err(Error::Truncated));
        assert_eq!(Message::length(&octets[4..]), Some(6));
    }

    #[test]
    fn a_list_of_certificates_is_taken_apart() {
        assert_eq!(certificates(&[0, 0, 9, 0, 0, 2, 1, 2, 0, 0, 1, 3]), Ok(vec![&[1, 2][..], &[3][..]]));
        assert_eq!(certificates(&[0, 0, 0]), Ok(vec![]));
        assert_eq!(certificates(&[0, 0, 9, 0, 0, 2, 1, 2, 0, 0, 7, 3]), Err(OVERRUN));
    }
}
