//! What a cipher suite says of the protection of records: its cipher, and the hash of its key schedule.

use super::schedule::Hash;

/// The protection that a suite stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Suite {
    pub(super) cipher: Cipher,
    /// The hash of the pseudorandom function of TLS 1.2, and of TLS 1.3's key schedule.
    pub(super) hash: Hash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cipher {
    Aead(Aead),
    /// A block cipher with a MAC (RFC 5246 section 6.2.3.2); octets of the key.
    Cbc(usize, Mac),
    /// RC4 with a MAC; octets of the key in the key block. Those of export grade are stretched (RFC 2246 section 6.3.1).
    Stream(usize, Mac),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aead {
    Aes128Gcm,
    Aes256Gcm,
    Aes128Ccm,
    Aes256Ccm,
    /// With a tag of 8 octets.
    Aes128Ccm8,
    Aes256Ccm8,
    ChaCha20Poly1305,
}

impl Aead {
    pub(super) const fn key_octets(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::Aes128Ccm | Self::Aes128Ccm8 => 16,
            Self::Aes256Gcm | Self::Aes256Ccm | Self::Aes256Ccm8 | Self::ChaCha20Poly1305 => 32,
        }
    }

    pub(super) const fn tag_octets(self) -> usize {
        match self {
            Self::Aes128Ccm8 | Self::Aes256Ccm8 => 8,
            _ => 16,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mac {
    Md5,
    Sha1,
    Sha256,
    Sha384,
}

impl Mac {
    /// Octets of the tag, which are as many as those of the key (RFC 5246 appendix C).
    pub(super) const fn octets(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }
}

/// The protection of a suite by its number in IANA's registry; `None` where its records cannot be opened here.
#[rustfmt::skip]
pub(super) const fn suite(number: u16) -> Option<Suite> {
    let (cipher, hash) = match number {
        // TLS 1.3 (RFC 8446 appendix B.4).
        0x1301 => (Cipher::Aead(Aead::Aes128Gcm), Hash::Sha256),
        0x1302 => (Cipher::Aead(Aead::Aes256Gcm), Hash::Sha384),
        0x1303 => (Cipher::Aead(Aead::ChaCha20Poly1305), Hash::Sha256),
        0x1304 => (Cipher::Aead(Aead::Aes128Ccm), Hash::Sha256),
        0x1305 => (Cipher::Aead(Aead::Aes128Ccm8), Hash::Sha256),
        // GCM (RFC 5288, 5289, 5487, 8442).
        0x009c | 0x009e | 0x00a0 | 0x00a2 | 0x00a4 | 0x00a6 | 0x00a8 | 0x00aa | 0x00ac
        | 0xc02b | 0xc02d | 0xc02f | 0xc031 | 0xd001 => (Cipher::Aead(Aead::Aes128Gcm), Hash::Sha256),
        0x009d | 0x009f | 0x00a1 | 0x00a3 | 0x00a5 | 0x00a7 | 0x00a9 | 0x00ab | 0x00ad
        | 0xc02c | 0xc02e | 0xc030 | 0xc032 | 0xd002 => (Cipher::Aead(Aead::Aes256Gcm), Hash::Sha384),
        // ChaCha20-Poly1305 (RFC 7905).
        0xcca8..=0xccae => (Cipher::Aead(Aead::ChaCha20Poly1305), Hash::Sha256),
        // CCM (RFC 6655, 7251, 8442).
        0xc09c | 0xc09e | 0xc0a4 | 0xc0a6 | 0xc0ac | 0xd005 => (Cipher::Aead(Aead::Aes128Ccm), Hash::Sha256),
        0xc09d | 0xc09f | 0xc0a5 | 0xc0a7 | 0xc0ad => (Cipher::Aead(Aead::Aes256Ccm), Hash::Sha256),
        0xc0a0 | 0xc0a2 | 0xc0a8 | 0xc0aa | 0xc0ae | 0xd003 => (Cipher::Aead(Aead::Aes128Ccm8), Hash::Sha256),
        0xc0a1 | 0xc0a3 | 0xc0a9 | 0xc0ab | 0xc0af => (Cipher::Aead(Aead::Aes256Ccm8), Hash::Sha256),
        // CBC with HMAC-SHA-1 (RFC 5246, 4279, 4492, 4785, 5054, 5489).
        0x002f..=0x0034 | 0x008c | 0x0090 | 0x0094
        | 0xc004 | 0xc009 | 0xc00e | 0xc013 | 0xc018 | 0xc01d..=0xc01f | 0xc035 => (Cipher::Cbc(16, Mac::Sha1), Hash::Sha256),
        0x0035..=0x003a | 0x008d | 0x0091 | 0x0095
        | 0xc005 | 0xc00a | 0xc00f | 0xc014 | 0xc019 | 0xc020..=0xc022 | 0xc036 => (Cipher::Cbc(32, Mac::Sha1), Hash::Sha256),
        // CBC with HMAC-SHA-256 and HMAC-SHA-384 (RFC 5246, 5289, 5487, 5489).
        0x003c | 0x003e..=0x0040 | 0x0067 | 0x006c | 0x00ae | 0x00b2 | 0x00b6
        | 0xc023 | 0xc025 | 0xc027 | 0xc029 | 0xc037 => (Cipher::Cbc(16, Mac::Sha256), Hash::Sha256),
        0x003d | 0x0068..=0x006b | 0x006d => (Cipher::Cbc(32, Mac::Sha256), Hash::Sha256),
        0x00af | 0x00b3 | 0x00b7
        | 0xc024 | 0xc026 | 0xc028 | 0xc02a | 0xc038 => (Cipher::Cbc(32, Mac::Sha384), Hash::Sha384),
        // RC4 (RFC 5246, 4279, 4492, 5489), and that of export grade (RFC 2246).
        0x0003 | 0x0017 => (Cipher::Stream(5, Mac::Md5), Hash::Sha256),
        0x0004 | 0x0018 => (Cipher::Stream(16, Mac::Md5), Hash::Sha256),
        0x0005 | 0x008a | 0x008e | 0x0092 | 0xc002 | 0xc007 | 0xc00c | 0xc011 | 0xc016 | 0xc033 => (Cipher::Stream(16, Mac::Sha1), Hash::Sha256),
        _ => return None,
    };
    Some(Suite { cipher, hash })
}
