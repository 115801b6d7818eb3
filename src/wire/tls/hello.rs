//! ClientHello and ServerHello (RFC 8446 section 4.1, RFC 5246 section 7.4.1), as far as they tell what is wanted and chosen.
//! An extension that cannot be read is one that is not there; the others are.

use smallvec::SmallVec;
use tls_parser::{
    TlsExtension, TlsMessageHandshake, parse_tls_client_hello_extension, parse_tls_server_hello_extension,
};

use super::{Error, Suite, Version, is_grease};

/// A ClientHello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHello<'a> {
    /// `legacy_version`.
    pub version: Version,
    /// Its random.
    pub random: &'a [u8],
    /// Identifier of the session that it would resume; in TLS 1.3 it means nothing.
    pub session_id: &'a [u8],
    /// The suites, GREASE included.
    pub suites: Vec<Suite>,
    /// Its extensions' numbers, GREASE included, in their order.
    pub extensions: Vec<u16>,
    /// The host that it asks for.
    pub server_name: Option<&'a [u8]>,
    /// The protocols for what is inside.
    pub alpn: Vec<&'a [u8]>,
    /// The versions that it lists, GREASE included.
    pub supported_versions: SmallVec<[Version; 4]>,
    /// The signature algorithms, in their order.
    pub signature_algorithms: Vec<u16>,
    /// Whether it shows a session ticket (RFC 5077).
    pub ticket: bool,
}

impl ClientHello<'_> {
    /// Whether it has an extension.
    #[must_use]
    pub fn has(&self, extension: u16) -> bool {
        self.extensions.contains(&extension)
    }

    /// The versions that it offers, without GREASE; that of the hello itself where it lists none.
    #[must_use]
    pub fn versions(&self) -> SmallVec<[Version; 4]> {
        let listed: SmallVec<[Version; 4]> =
            self.supported_versions.iter().copied().filter(|version| !is_grease(version.0)).collect();
        if listed.is_empty() { SmallVec::from_slice(&[self.version]) } else { listed }
    }
}

/// A ServerHello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHello<'a> {
    /// The version that it chose.
    pub version: Version,
    /// Its random.
    pub random: &'a [u8],
    /// Identifier of the session.
    pub session_id: &'a [u8],
    /// The suite that it chose.
    pub suite: Suite,
    /// The protocol for what is inside.
    pub alpn: Option<&'a [u8]>,
    /// Whether it uses a key that was shared before: in TLS 1.3 this resumes a session.
    pub pre_shared_key: bool,
    /// Whether the MAC covers what is encrypted (RFC 7366).
    pub encrypt_then_mac: bool,
}

impl ServerHello<'_> {
    /// Whether it asks for another ClientHello (RFC 8446 section 4.1.4).
    #[must_use]
    pub fn is_retry(&self) -> bool {
        self.random == RETRY_RANDOM
    }
}

/// Reads a ClientHello's body.
///
/// # Errors
///
/// `Malformed` where its fixed parts do not fit into it.
pub fn client(body: &[u8]) -> Result<ClientHello<'_>, Error> {
    let Ok((_, TlsMessageHandshake::ClientHello(hello))) = tls_parser::parse_tls_handshake_msg_client_hello(body)
    else {
        return Err(Error::Malformed("not a ClientHello, RFC 8446 section 4.1.2"));
    };
    let mut read = ClientHello {
        version: Version(hello.version.0),
        random: hello.random,
        session_id: hello.session_id.unwrap_or_default(),
        suites: hello.ciphers.iter().map(|suite| Suite(suite.0)).collect(),
        extensions: Vec::new(),
        server_name: None,
        alpn: Vec::new(),
        supported_versions: SmallVec::new(),
        signature_algorithms: Vec::new(),
        ticket: false,
    };
    for (number, octets) in extensions(hello.ext.unwrap_or_default()) {
        read.extensions.push(number);
        match parse_tls_client_hello_extension(octets).map(|(_, extension)| extension) {
            Ok(TlsExtension::SNI(names)) => {
                read.server_name = names.iter().find(|(kind, _)| kind.0 == 0).map(|(_, name)| *name);
            }
            Ok(TlsExtension::ALPN(protocols)) => read.alpn = protocols,
            Ok(TlsExtension::SupportedVersions(versions)) => {
                read.supported_versions = versions.iter().map(|version| Version(version.0)).collect();
            }
            Ok(TlsExtension::SignatureAlgorithms(algorithms)) => read.signature_algorithms = algorithms,
            Ok(TlsExtension::SessionTicket(ticket)) => read.ticket = !ticket.is_empty(),
            _ => {}
        }
    }
    Ok(read)
}

/// Reads a ClientHello in SSL 2.0's form, from behind its message type (RFC 5246 appendix E.2). Its suites have three octets;
/// those that have a zero first are TLS's.
///
/// # Errors
///
/// `Malformed` where its parts do not fit into it.
pub fn sslv2_client(body: &[u8]) -> Result<ClientHello<'_>, Error> {
    const MALFORMED: Error = Error::Malformed("not a ClientHello of SSL 2.0, RFC 5246 appendix E.2");
    let [v0, v1, c0, c1, s0, s1, r0, r1, rest @ ..] = body else { return Err(MALFORMED) };
    let lengths = [[*c0, *c1], [*s0, *s1], [*r0, *r1]].map(|length| usize::from(u16::from_be_bytes(length)));
    let [suites, session_id, challenge] = lengths;
    let (suites, rest) = rest.split_at_checked(suites).ok_or(MALFORMED)?;
    let (session_id, rest) = rest.split_at_checked(session_id).ok_or(MALFORMED)?;
    let random = rest.get(..challenge).ok_or(MALFORMED)?;
    let suites = suites.as_chunks().0.iter().filter_map(|suite| match *suite {
        [0, high, low] => Some(Suite(u16::from_be_bytes([high, low]))),
        _ => None,
    });
    Ok(ClientHello {
        version: Version(u16::from_be_bytes([*v0, *v1])),
        random,
        session_id,
        suites: suites.collect(),
        extensions: Vec::new(),
        server_name: None,
        alpn: Vec::new(),
        supported_versions: SmallVec::new(),
        signature_algorithms: Vec::new(),
        ticket: false,
    })
}

/// Reads a ServerHello's body.
///
/// # Errors
///
/// `Malformed` where its fixed parts do not fit into it.
pub fn server(body: &[u8]) -> Result<ServerHello<'_>, Error> {
    let Ok(hello) = tls_parser::parse_tls_handshake_server_hello(body).map(|(_, hello)| hello) else {
        return Err(Error::Malformed("not a ServerHello, RFC 8446 section 4.1.3"));
    };
    let mut read = ServerHello {
        version: Version(hello.version.0),
        random: hello.random,
        session_id: hello.session_id.unwrap_or_default(),
        suite: Suite(hello.cipher.0),
        alpn: None,
        pre_shared_key: false,
        encrypt_then_mac: false,
    };
    for (number, octets) in extensions(hello.ext.unwrap_or_default()) {
        match parse_tls_server_hello_extension(octets).map(|(_, extension)| extension) {
            Ok(TlsExtension::ALPN(protocols)) => read.alpn = protocols.first().copied(),
            Ok(TlsExtension::SupportedVersions(versions)) => {
                read.version = versions.first().map_or(read.version, |version| Version(version.0));
            }
            Ok(TlsExtension::EncryptThenMac) => read.encrypt_then_mac = true,
            _ => read.pre_shared_key |= number == extension::PRE_SHARED_KEY,
        }
    }
    Ok(read)
}

/// Numbers and octets (headers included) of the extensions in a list, up to the first that is not all there.
fn extensions(list: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let [n0, n1, l0, l1, ..] = rest else { return None };
        let number = u16::from_be_bytes([*n0, *n1]);
        let (extension, behind) = rest.split_at_checked(4 + usize::from(u16::from_be_bytes([*l0, *l1])))?;
        rest = behind;
        Some((number, extension))
    })
}

/// Numbers of extensions that mean something here.
pub mod extension {
    /// The host (RFC 6066 section 3).
    pub const SERVER_NAME: u16 = 0;
    /// Shorter records (RFC 6066 section 4).
    pub const MAX_FRAGMENT_LENGTH: u16 = 1;
    /// The protocol for what is inside (RFC 7301).
    pub const ALPN: u16 = 16;
    /// Shorter records (RFC 8449).
    pub const RECORD_SIZE_LIMIT: u16 = 28;
    /// Sessions to resume (RFC 8446 section 4.2.11).
    pub const PRE_SHARED_KEY: u16 = 41;
    /// Data before the handshake is done (RFC 8446 section 4.2.10).
    pub const EARLY_DATA: u16 = 42;
}

/// The random of a HelloRetryRequest: SHA-256 of "HelloRetryRequest".
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    /// A hello without extensions but these.
    fn hello(extensions: &[u8]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 4, 0x13, 0x01, 0xc0, 0x2f, 1, 0]);
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        body
    }

    #[test]
    fn the_random_of_a_retry_is_a_hash() {
        assert_eq!(Sha256::digest(b"HelloRetryRequest")[..], RETRY_RANDOM);
    }

    #[test]
    fn a_broken_extension_does_not_hide_the_others() {
        let body = hello(&[
            0, 0, 0, 3, 0xff, 0xff, 0xff, 0, 16, 0, 5, 0, 3, 2, b'h', b'2', 0x2a, 0x2a, 0, 0, 0, 43, 0, 5, 4, 0x7a,
            0x7a, 3, 4,
        ]);
        let read = client(&body).unwrap();
        assert_eq!(read.extensions, [0, 16, 0x2a2a, 43]);
        assert_eq!(read.server_name, None);
        assert_eq!(read.alpn, [b"h2"]);
        assert_eq!(read.versions().as_slice(), [Version::TLS_1_3]);
        assert_eq!(read.suites, [Suite(0x1301), Suite(0xc02f)]);
    }

    #[test]
    fn a_hello_without_a_list_of_versions_offers_its_own() {
        assert_eq!(client(&hello(&[])).unwrap().versions().as_slice(), [Version::TLS_1_2]);
    }

    #[test]
    fn a_hello_of_ssl_2_is_read() {
        let body = [3, 1, 0, 6, 0, 0, 0, 4, 0, 0, 0x2f, 1, 0, 0x80, 9, 9, 9, 9];
        let read = sslv2_client(&body).unwrap();
        assert_eq!((read.version, read.suites.as_slice()), (Version::TLS_1_0, &[Suite(0x2f)][..]));
        assert_eq!(read.random, [9; 4]);
        assert!(sslv2_client(&body[..17]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_octets_make_it_panic(octets in proptest::collection::vec(proptest::num::u8::ANY, 0..200), cut in 0_usize..120) {
            let _ = (client(&octets), server(&octets), sslv2_client(&octets));
            let body = hello(&octets);
            let _ = client(&body[..body.len().min(cut)]);
            proptest::prop_assert!(client(&body).is_ok());
        }
    }
}
