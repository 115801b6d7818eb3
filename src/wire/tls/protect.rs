//! The protection of records: from secrets to an [`Opener`] for each direction, which turns protected records into plaintext.
//! Nothing is opened whose tag or MAC is not right: what comes out is what was sent.

mod aead;
mod block;
mod schedule;
mod stream;
mod suite;

use std::fmt;
use std::ops::RangeInclusive;

use self::schedule::Hash;
use self::suite::{Cipher, Suite, suite};
use super::keylog::{Random, Secret};

/// A protected record, as it is on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Content type of its header; in TLS 1.3 that of application data, whatever is inside.
    pub content_type: u8,
    /// Version of its header.
    pub version: u16,
    /// What follows the header.
    pub fragment: &'a [u8],
}

impl Record<'_> {
    /// The record as it is on the wire.
    #[must_use]
    pub fn to_octets(&self) -> Vec<u8> {
        let length = u16::try_from(self.fragment.len()).unwrap_or(u16::MAX);
        [&[self.content_type], &self.version.to_be_bytes()[..], &length.to_be_bytes(), self.fragment].concat()
    }
}

/// What was agreed upon in a handshake of TLS 1.2 or before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The ServerHello's version.
    pub version: u16,
    /// The cipher suite's number.
    pub suite: u16,
    /// The randoms of ClientHello and ServerHello.
    pub randoms: [Random; 2],
    /// RFC 7366: the MAC covers the ciphertext.
    pub encrypt_then_mac: bool,
}

/// Opens the records of one direction, in their order. Memory: some 1 KiB.
pub struct Opener {
    protection: Protection,
    /// Sequence number of the next record.
    sequence: u64,
    /// TLS 1.3: where these keys come from, and the next ones.
    origin: Option<(Suite, Secret)>,
}

enum Protection {
    /// TLS 1.2: octets of the nonce that stand in the record.
    Aead {
        key: aead::Key,
        vector: [u8; 12],
        explicit: usize,
        tag: usize,
    },
    Block(Box<block::Key>),
    Stream(Box<stream::Key>),
    /// TLS 1.3: the content type is inside.
    Sealed {
        key: aead::Key,
        vector: [u8; 12],
        tag: usize,
    },
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

/// The openers of `[client, server]` for TLS 1.2 and before. `None` where the suite's records cannot be opened here.
#[must_use]
pub fn of_master(agreed: &Agreed, master: &Secret) -> Option<[Opener; 2]> {
    let Suite { cipher, hash } = suite(agreed.suite)?;
    let hash = match agreed.version {
        TLS_1_2 => hash,
        TLS_1_0 | TLS_1_1 => Hash::Md5Sha1,
        _ => return None,
    };
    let (mac_octets, key_octets, vector_octets) = match cipher {
        Cipher::Aead(aead) => (0, aead.key_octets(), implicit_octets(aead)),
        Cipher::Stream(key_octets, mac) => (mac.octets(), key_octets, 0),
        Cipher::Cbc(key_octets, mac) => {
            (mac.octets(), key_octets, if agreed.version == TLS_1_0 { block::BLOCK } else { 0 })
        }
    };
    // RFC 5246 section 6.3: the MAC keys, the keys and the initialization vectors of client and server, in this order.
    let [client_random, server_random] = &agreed.randoms;
    let mut block = vec![0; 2 * (mac_octets + key_octets + vector_octets)];
    hash.prf(master.octets(), &[b"key expansion", server_random, client_random], &mut block);
    let mut rest = block.as_slice();
    let mut next = |octets| {
        let (part, behind) = rest.split_at_checked(octets)?;
        rest = behind;
        Some(part)
    };
    let macs = [next(mac_octets)?, next(mac_octets)?];
    let keys = [next(key_octets)?, next(key_octets)?];
    let vectors = [next(vector_octets)?, next(vector_octets)?];
    let opener = |label: &[u8], [mac_key, key, part]: [&[u8]; 3]| {
        let protection = match cipher {
            Cipher::Aead(aead) if agreed.version == TLS_1_2 => {
                let mut vector = [0; 12];
                vector.get_mut(..part.len())?.copy_from_slice(part);
                let key = aead::Key::new(aead, key)?;
                Protection::Aead { key, vector, explicit: 12 - part.len(), tag: aead.tag_octets() }
            }
            Cipher::Aead(_) => return None,
            Cipher::Stream(MOST_EXPORTED, mac) => {
                let mut stretched = [0; 16];
                hash.prf(key, &[label, client_random, server_random], &mut stretched);
                Protection::Stream(Box::new(stream::Key::new(&stretched, mac_key, mac)?))
            }
            Cipher::Stream(_, mac) => Protection::Stream(Box::new(stream::Key::new(key, mac_key, mac)?)),
            Cipher::Cbc(_, mac) => Protection::Block(Box::new(block::Key {
                key: key.to_vec(),
                mac_key: mac_key.to_vec(),
                mac,
                encrypt_then_mac: agreed.encrypt_then_mac,
                chained: part.first_chunk().copied(),
            })),
        };
        Some(Opener { protection, sequence: 0, origin: None })
    };
    let [[client_mac, server_mac], [client_key, server_key], [client_vector, server_vector]] = [macs, keys, vectors];
    Some([
        opener(b"client write key", [client_mac, client_key, client_vector])?,
        opener(b"server write key", [server_mac, server_key, server_vector])?,
    ])
}

impl Opener {
    /// The opener of what a traffic secret of TLS 1.3 protects (RFC 8446 section 7.3). `None` where the suite's records cannot
    /// be opened here, or the secret is none of the suite's.
    #[must_use]
    pub fn of_traffic_secret(number: u16, secret: &Secret) -> Option<Self> {
        Self::sealed(suite(number).filter(|_| number >> 8 == 0x13)?, secret)
    }

    fn sealed(suite: Suite, secret: &Secret) -> Option<Self> {
        let Cipher::Aead(aead) = suite.cipher else { return None };
        if secret.octets().len() != suite.hash.octets() {
            return None;
        }
        let (mut key, mut vector) = ([0; 32], [0; 12]);
        let key = key.get_mut(..aead.key_octets())?;
        suite.hash.expand_label(secret.octets(), b"key", key)?;
        suite.hash.expand_label(secret.octets(), b"iv", &mut vector)?;
        let protection = Protection::Sealed { key: aead::Key::new(aead, key)?, vector, tag: aead.tag_octets() };
        Some(Self { protection, sequence: 0, origin: Some((suite, *secret)) })
    }

    /// Opens the next record into `plaintext`, which is overwritten. Returns its content type; `None` where it is not this
    /// direction's next one, which then still is to come.
    pub fn open(&mut self, record: &Record<'_>, plaintext: &mut Vec<u8>) -> Option<u8> {
        self.open_behind(0..=0, record, plaintext).map(|(content_type, _)| content_type)
    }

    /// Opens a record that stands behind `lost` others that did not come. Returns its content type, and how many they were.
    /// What cannot be opened may still be followed by what can.
    pub fn open_behind(
        &mut self,
        lost: RangeInclusive<u64>,
        record: &Record<'_>,
        plaintext: &mut Vec<u8>,
    ) -> Option<(u8, u64)> {
        let opened = lost.into_iter().find_map(|lost| {
            let sequence = self.sequence.checked_add(lost)?;
            self.open_as(sequence, record, plaintext).map(|content_type| (content_type, lost, sequence))
        });
        if let Protection::Block(key) = &mut self.protection {
            key.pass(record.fragment);
        }
        let (content_type, lost, sequence) = opened?;
        self.sequence = sequence.saturating_add(1);
        Some((content_type, lost))
    }

    /// The opener of what comes after a KeyUpdate (RFC 8446 section 7.2).
    #[must_use]
    pub fn updated(&self) -> Option<Self> {
        let (suite, secret) = &self.origin?;
        let mut next = [0; 48];
        let next = next.get_mut(..secret.octets().len())?;
        suite.hash.expand_label(secret.octets(), b"traffic upd", next)?;
        Self::sealed(*suite, &Secret::new(next)?)
    }

    /// Octets of a record of application data besides its plaintext, its header included, if there is no padding; `None` where
    /// there always is some.
    #[must_use]
    pub const fn overhead(&self) -> Option<usize> {
        match &self.protection {
            Protection::Aead { explicit, tag, .. } => Some(HEADER + *explicit + *tag),
            Protection::Block(_) | Protection::Stream(_) => None,
            Protection::Sealed { tag, .. } => Some(HEADER + 1 + *tag),
        }
    }

    fn open_as(&mut self, sequence: u64, record: &Record<'_>, plaintext: &mut Vec<u8>) -> Option<u8> {
        plaintext.clear();
        match &mut self.protection {
            Protection::Block(key) => {
                key.open(sequence, record, plaintext)?;
                Some(record.content_type)
            }
            Protection::Stream(key) => {
                key.open(sequence, record, plaintext)?;
                Some(record.content_type)
            }
            Protection::Aead { key, vector, explicit, tag } => {
                let (nonce, sealed) = record.fragment.split_at_checked(*explicit)?;
                let associated = associated(sequence, record, sealed.len().checked_sub(*tag)?)?;
                let mut vector = *vector;
                if *explicit == 0 {
                    add_sequence(&mut vector, sequence);
                } else {
                    vector.last_chunk_mut::<8>()?.copy_from_slice(nonce);
                }
                plaintext.extend_from_slice(sealed);
                key.open(&vector, &associated, plaintext)?;
                Some(record.content_type)
            }
            Protection::Sealed { key, vector, .. } => {
                let length = u16::try_from(record.fragment.len()).ok()?.to_be_bytes();
                let [major, minor] = record.version.to_be_bytes();
                let [high, low] = length;
                let mut vector = *vector;
                add_sequence(&mut vector, sequence);
                plaintext.extend_from_slice(record.fragment);
                key.open(&vector, &[record.content_type, major, minor, high, low], plaintext)?;
                // RFC 8446 section 5.4: zeros may follow the content type, which is none.
                let end = plaintext.iter().rposition(|octet| *octet != 0)?;
                let content_type = *plaintext.get(end)?;
                plaintext.truncate(end);
                Some(content_type)
            }
        }
    }
}

/// RFC 8446 section 5.3, RFC 7905 section 2: the nonce is the vector, the sequence number added to its end bit by bit.
fn add_sequence(vector: &mut [u8; 12], sequence: u64) {
    let [_, _, _, _, end @ ..] = vector;
    end.iter_mut().zip(sequence.to_be_bytes()).for_each(|(octet, of_sequence)| *octet ^= of_sequence);
}

/// RFC 5246 sections 6.2.3.1 and 6.2.3.3: sequence number, content type, version and length, which the MAC or tag covers.
fn associated(sequence: u64, record: &Record<'_>, length: usize) -> Option<[u8; 13]> {
    let [s0, s1, s2, s3, s4, s5, s6, s7] = sequence.to_be_bytes();
    let [v0, v1] = record.version.to_be_bytes();
    let [l0, l1] = u16::try_from(length).ok()?.to_be_bytes();
    Some([s0, s1, s2, s3, s4, s5, s6, s7, record.content_type, v0, v1, l0, l1])
}

/// Octets of the nonce that come from the key block (RFC 5288 section 3, RFC 6655 section 3, RFC 7905 section 2).
const fn implicit_octets(aead: suite::Aead) -> usize {
    match aead {
        suite::Aead::ChaCha20Poly1305 => 12,
        _ => 4,
    }
}

/// Octets of a key of export grade.
const MOST_EXPORTED: usize = 5;

/// Octets of a record's header.
const HEADER: usize = 5;

const TLS_1_0: u16 = 0x0301;
const TLS_1_1: u16 = 0x0302;
const TLS_1_2: u16 = 0x0303;

#[cfg(test)]
mod tests;
