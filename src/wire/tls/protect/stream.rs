//! Records under RC4 with an HMAC (RFC 5246 section 6.2.3.1), which RFC 7465 prohibits and old captures have. The key stream
//! runs on from record to record: behind one that is missing nothing can be opened.

use hmac::{Hmac, KeyInit, Mac as _};
use md5::Md5;
use rc4::{Rc4, StreamCipher};
use sha1::Sha1;

use super::Record;
use super::suite::Mac;

/// The cipher's keys in one direction, and how far the key stream is.
pub(super) struct Key {
    cipher: Rc4,
    mac_key: Vec<u8>,
    mac: Mac,
    broken: bool,
}

impl Key {
    pub(super) fn new(key: &[u8], mac_key: &[u8], mac: Mac) -> Option<Self> {
        let cipher = Rc4::new_from_slice(key).ok()?;
        Some(Self { cipher, mac_key: mac_key.to_vec(), mac, broken: false })
    }

    /// Writes the fragment to `out`. `None` where its MAC is another one; then nothing behind it can be opened either.
    pub(super) fn open(&mut self, sequence: u64, record: &Record<'_>, out: &mut Vec<u8>) -> Option<()> {
        if self.broken {
            return None;
        }
        self.broken = true;
        out.extend_from_slice(record.fragment);
        self.cipher.try_apply_keystream(out).ok()?;
        let length = out.len().checked_sub(self.mac.octets())?;
        let (fragment, tag) = out.split_at_checked(length)?;
        let header = super::associated(sequence, record, length)?;
        match self.mac {
            Mac::Md5 => {
                let mac = <Hmac<Md5> as KeyInit>::new_from_slice(&self.mac_key).ok()?;
                mac.chain_update(header).chain_update(fragment).verify_slice(tag).ok()?;
            }
            Mac::Sha1 => {
                let mac = <Hmac<Sha1> as KeyInit>::new_from_slice(&self.mac_key).ok()?;
                mac.chain_update(header).chain_update(fragment).verify_slice(tag).ok()?;
            }
            Mac::Sha256 | Mac::Sha384 => return None,
        }
        out.truncate(length);
        self.broken = false;
        Some(())
    }
}
