//! What of a handshake decides how records are protected: of ClientHello and ServerHello (RFC 8446 section 4.1, RFC 5246
//! section 7.4.1) the randoms, the version, the suite, and whether the MAC covers the ciphertext.

use super::keylog::{self, Random};

/// What a ServerHello chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Its random.
    pub random: Random,
    /// What its session's id names secrets by, where it has one.
    pub session: Option<Random>,
    /// The version, by its extension where there is one.
    pub version: u16,
    /// The cipher suite's number.
    pub suite: u16,
    /// RFC 7366: the MAC covers the ciphertext.
    pub encrypt_then_mac: bool,
    /// Whether records are compressed before they are protected (RFC 3749).
    pub compressed: bool,
}

/// The random of a ClientHello, whose handshake message `message` is; `None` where it is another one, or cut.
#[must_use]
pub fn client_random(message: &[u8]) -> Option<Random> {
    let (CLIENT_HELLO, body) = split(message)? else { return None };
    body.get(2..)?.first_chunk().copied()
}

/// What a ServerHello chose; `None` where the message is another one, a HelloRetryRequest, or cut.
#[must_use]
pub fn chosen(message: &[u8]) -> Option<Chosen> {
    let (SERVER_HELLO, body) = split(message)? else { return None };
    let (version, rest) = number(body)?;
    let (random, rest) = rest.split_first_chunk::<32>()?;
    let (session_octets, rest) = rest.split_first()?;
    let (session, rest) = rest.split_at_checked(usize::from(*session_octets))?;
    let (suite, rest) = number(rest)?;
    let (compression, rest) = rest.split_first()?;
    let session = keylog::session(session);
    let compressed = *compression != 0;
    let mut chosen = Chosen { random: *random, session, version, suite, encrypt_then_mac: false, compressed };
    for (code, value) in extensions(rest) {
        match (code, value) {
            (SUPPORTED_VERSIONS, [v0, v1]) => chosen.version = u16::from_be_bytes([*v0, *v1]),
            (ENCRYPT_THEN_MAC, _) => chosen.encrypt_then_mac = true,
            _ => {}
        }
    }
    (*random != HELLO_RETRY_REQUEST).then_some(chosen)
}

/// Whether the message is a HelloRetryRequest.
#[must_use]
pub fn is_retry(message: &[u8]) -> bool {
    split(message).is_some_and(|(kind, body)| {
        kind == SERVER_HELLO && body.get(2..).is_some_and(|rest| rest.starts_with(&HELLO_RETRY_REQUEST))
    })
}

/// Whether EncryptedExtensions accept early data (RFC 8446 section 4.2.10); `None` where the message is another one, or cut.
#[must_use]
pub fn accepts_early_data(message: &[u8]) -> Option<bool> {
    let (ENCRYPTED_EXTENSIONS, body) = split(message)? else { return None };
    Some(extensions(body).any(|(code, _)| code == EARLY_DATA))
}

/// Octets of the handshake message that begins here, its header included.
#[must_use]
pub fn message_octets(octets: &[u8]) -> Option<usize> {
    let [_, l0, l1, l2, ..] = octets else { return None };
    Some(4 + u32::from_be_bytes([0, *l0, *l1, *l2]) as usize)
}

/// RFC 8446 section 4: type, length, body.
fn split(message: &[u8]) -> Option<(u8, &[u8])> {
    let length = message_octets(message)?;
    Some((*message.first()?, message.get(4..length)?))
}

fn number(octets: &[u8]) -> Option<(u16, &[u8])> {
    octets.split_first_chunk().map(|(number, rest)| (u16::from_be_bytes(*number), rest))
}

/// Code and value of each extension, behind the length of all; none where they are missing.
fn extensions(octets: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = number(octets).map_or(&[] as &[u8], |(_, rest)| rest);
    std::iter::from_fn(move || {
        let (code, behind) = number(rest)?;
        let (length, behind) = number(behind)?;
        let (value, behind) = behind.split_at_checked(usize::from(length))?;
        rest = behind;
        Some((code, value))
    })
}

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const ENCRYPTED_EXTENSIONS: u8 = 8;

const ENCRYPT_THEN_MAC: u16 = 22;
const EARLY_DATA: u16 = 42;
const SUPPORTED_VERSIONS: u16 = 43;

/// RFC 8446 section 4.1.3: the random of a HelloRetryRequest, the SHA-256 of its name.
const HELLO_RETRY_REQUEST: Random = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];
