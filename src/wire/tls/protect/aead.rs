//! Records under authenticated encryption: AES-GCM, AES-CCM, ChaCha20-Poly1305.

use aes::{Aes128, Aes256};
use aes_gcm::aead::array::Array;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use ccm::Ccm;
use ccm::consts::{U8, U12, U16};
use chacha20poly1305::ChaCha20Poly1305;

use super::suite::Aead;

/// A cipher with its key.
pub(super) enum Key {
    Aes128Gcm(Box<Aes128Gcm>),
    Aes256Gcm(Box<Aes256Gcm>),
    Aes128Ccm(Box<Ccm<Aes128, U16, U12>>),
    Aes256Ccm(Box<Ccm<Aes256, U16, U12>>),
    Aes128Ccm8(Box<Ccm<Aes128, U8, U12>>),
    Aes256Ccm8(Box<Ccm<Aes256, U8, U12>>),
    ChaCha20Poly1305(Box<ChaCha20Poly1305>),
}

impl Key {
    /// `None` where the key has not the cipher's length.
    pub(super) fn new(aead: Aead, key: &[u8]) -> Option<Self> {
        fn keyed<A: KeyInit>(key: &[u8]) -> Option<Box<A>> {
            A::new_from_slice(key).ok().map(Box::new)
        }
        Some(match aead {
            Aead::Aes128Gcm => Self::Aes128Gcm(keyed(key)?),
            Aead::Aes256Gcm => Self::Aes256Gcm(keyed(key)?),
            Aead::Aes128Ccm => Self::Aes128Ccm(keyed(key)?),
            Aead::Aes256Ccm => Self::Aes256Ccm(keyed(key)?),
            Aead::Aes128Ccm8 => Self::Aes128Ccm8(keyed(key)?),
            Aead::Aes256Ccm8 => Self::Aes256Ccm8(keyed(key)?),
            Aead::ChaCha20Poly1305 => Self::ChaCha20Poly1305(keyed(key)?),
        })
    }

    /// Turns ciphertext and tag into plaintext, in place, and cuts the tag off. `None` where the tag is not theirs; what is in
    /// the buffer then means nothing.
    pub(super) fn open(&self, nonce: &[u8; 12], associated: &[u8], buffer: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Aes128Gcm(key) => open(&**key, nonce, associated, buffer),
            Self::Aes256Gcm(key) => open(&**key, nonce, associated, buffer),
            Self::Aes128Ccm(key) => open(&**key, nonce, associated, buffer),
            Self::Aes256Ccm(key) => open(&**key, nonce, associated, buffer),
            Self::Aes128Ccm8(key) => open(&**key, nonce, associated, buffer),
            Self::Aes256Ccm8(key) => open(&**key, nonce, associated, buffer),
            Self::ChaCha20Poly1305(key) => open(&**key, nonce, associated, buffer),
        }
    }
}

fn open<A: AeadInOut>(aead: &A, nonce: &[u8; 12], associated: &[u8], buffer: &mut Vec<u8>) -> Option<()> {
    let nonce = Array::try_from(nonce.as_slice()).ok()?;
    aead.decrypt_in_place(&nonce, associated, buffer).ok()
}
