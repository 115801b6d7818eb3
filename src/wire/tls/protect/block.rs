//! Records under a block cipher in CBC mode with an HMAC (RFC 5246 section 6.2.3.2), the HMAC within the ciphertext or, where
//! it was agreed so (RFC 7366), behind it:
//!
//! ```text
//! | IV, from TLS 1.1 on | encrypted: fragment | MAC | padding, its length in each octet |
//! | IV, from TLS 1.1 on | encrypted: fragment | padding | MAC of all before |             encrypt-then-MAC
//! ```

use aes::{Aes128, Aes256};
use cbc::Decryptor;
use cbc::cipher::{Block, BlockModeDecrypt, KeyIvInit};
use hmac::{EagerHash, Hmac, KeyInit, Mac as _};
use sha1::Sha1;
use sha2::{Sha256, Sha384};

use super::Record;
use super::suite::Mac;

/// The cipher's keys in one direction.
pub(super) struct Key {
    pub(super) key: Vec<u8>,
    pub(super) mac_key: Vec<u8>,
    pub(super) mac: Mac,
    pub(super) encrypt_then_mac: bool,
    /// TLS 1.0: the last block of the record before is the initialization vector.
    pub(super) chained: Option<[u8; BLOCK]>,
}

impl Key {
    /// Appends the fragment to `out`. `None` where its MAC is another one.
    pub(super) fn open(&mut self, sequence: u64, record: &Record<'_>, out: &mut Vec<u8>) -> Option<()> {
        let (covered, tag) = if self.encrypt_then_mac {
            record.fragment.split_at_checked(record.fragment.len().checked_sub(self.mac.octets())?)?
        } else {
            (record.fragment, [].as_slice())
        };
        if self.encrypt_then_mac {
            self.verify(sequence, record, covered, tag)?;
        }
        let (vector, encrypted) = match self.chained {
            Some(vector) => (vector, covered),
            None => covered.split_first_chunk().map(|(vector, encrypted)| (*vector, encrypted))?,
        };
        let start = out.len();
        out.extend_from_slice(encrypted);
        self.decrypt(&vector, out.get_mut(start..)?)?;
        let padded = out.get(start..)?;
        // RFC 5246 section 6.2.3.2: "Each uint8 in the padding data vector MUST be filled with the padding length value."
        let padding = *padded.last()?;
        let unpadded = padded.len().checked_sub(usize::from(padding) + 1)?;
        if !padded.get(unpadded..)?.iter().all(|octet| *octet == padding) {
            return None;
        }
        let length = if self.encrypt_then_mac {
            unpadded
        } else {
            let (fragment, tag) = padded.get(..unpadded)?.split_at_checked(unpadded.checked_sub(self.mac.octets())?)?;
            self.verify(sequence, record, fragment, tag)?;
            fragment.len()
        };
        out.truncate(start + length);
        Some(())
    }

    /// A record went by: what follows may need its last block.
    pub(super) fn pass(&mut self, fragment: &[u8]) {
        let behind = if self.encrypt_then_mac { self.mac.octets() } else { 0 };
        let encrypted = fragment.len().checked_sub(behind).and_then(|octets| fragment.get(..octets));
        if let (Some(vector), Some(last)) = (&mut self.chained, encrypted.and_then(|octets| octets.last_chunk())) {
            *vector = *last;
        }
    }

    fn decrypt(&self, vector: &[u8; BLOCK], octets: &mut [u8]) -> Option<()> {
        match self.key.len() {
            16 => decrypt::<Decryptor<Aes128>>(&self.key, vector, octets),
            _ => decrypt::<Decryptor<Aes256>>(&self.key, vector, octets),
        }
    }

    fn verify(&self, sequence: u64, record: &Record<'_>, covered: &[u8], tag: &[u8]) -> Option<()> {
        let header = super::associated(sequence, record, covered.len())?;
        match self.mac {
            Mac::Md5 => None,
            Mac::Sha1 => verify::<Sha1>(&self.mac_key, &header, covered, tag),
            Mac::Sha256 => verify::<Sha256>(&self.mac_key, &header, covered, tag),
            Mac::Sha384 => verify::<Sha384>(&self.mac_key, &header, covered, tag),
        }
    }
}

fn decrypt<C: KeyIvInit + BlockModeDecrypt>(key: &[u8], vector: &[u8], octets: &mut [u8]) -> Option<()> {
    let mut cipher = C::new_from_slices(key, vector).ok()?;
    let (blocks, rest) = Block::<C>::slice_as_chunks_mut(octets);
    if !rest.is_empty() || blocks.is_empty() {
        return None;
    }
    cipher.decrypt_blocks(blocks);
    Some(())
}

fn verify<D: EagerHash>(key: &[u8], header: &[u8], covered: &[u8], tag: &[u8]) -> Option<()>
where
    Hmac<D>: hmac::Mac + KeyInit,
{
    let mac = <Hmac<D> as KeyInit>::new_from_slice(key).ok()?;
    mac.chain_update(header).chain_update(covered).verify_slice(tag).ok()
}

/// Octets of a block of AES.
pub(super) const BLOCK: usize = 16;
