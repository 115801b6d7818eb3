//! From secrets to keys: the pseudorandom function of TLS 1.2 and before (RFC 5246 section 5, RFC 4346 section 5), and
//! HKDF-Expand-Label of TLS 1.3 (RFC 8446 section 7.1).

use hkdf::Hkdf;
use hmac::{EagerHash, Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Sha256, Sha384};

/// The hash that keys are derived with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    /// TLS 1.0 and 1.1: both, and their sum.
    Md5Sha1,
    Sha256,
    Sha384,
}

impl Hash {
    /// Octets of TLS 1.3's secrets.
    pub(super) const fn octets(self) -> usize {
        match self {
            Self::Md5Sha1 => 36,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }

    /// RFC 5246 section 5, RFC 4346 section 5: `PRF(secret, label, seed)`.
    pub(super) fn prf(self, secret: &[u8], seed: &[&[u8]], out: &mut [u8]) {
        match self {
            Self::Sha256 => p_hash::<Sha256>(secret, seed, out),
            Self::Sha384 => p_hash::<Sha384>(secret, seed, out),
            Self::Md5Sha1 => {
                // The halves share the middle octet of a secret of odd length.
                let (first, _) = secret.split_at_checked(secret.len().div_ceil(2)).unwrap_or_default();
                let (_, second) = secret.split_at_checked(secret.len() / 2).unwrap_or_default();
                let mut other = vec![0; out.len()];
                p_hash::<Md5>(first, seed, out);
                p_hash::<Sha1>(second, seed, &mut other);
                out.iter_mut().zip(&other).for_each(|(octet, other)| *octet ^= other);
            }
        }
    }

    /// RFC 8446 section 7.1: `HKDF-Expand-Label(secret, label, "", length)`. `None` where the secret is none of this hash.
    pub(super) fn expand_label(self, secret: &[u8], label: &[u8], out: &mut [u8]) -> Option<()> {
        let mut info = Vec::with_capacity(20);
        info.extend(u16::try_from(out.len()).ok()?.to_be_bytes());
        info.push(u8::try_from(PREFIX.len() + label.len()).ok()?);
        info.extend([PREFIX, label].concat());
        info.push(0);
        match self {
            Self::Md5Sha1 => None,
            Self::Sha256 => Hkdf::<Sha256>::from_prk(secret).ok()?.expand(&info, out).ok(),
            Self::Sha384 => Hkdf::<Sha384>::from_prk(secret).ok()?.expand(&info, out).ok(),
        }
    }
}

/// RFC 5246 section 5: A(0) = seed, A(i) = HMAC(secret, A(i-1)); the output is HMAC(secret, A(1) + seed), HMAC(secret, A(2) +
/// seed), and so on.
fn p_hash<D: EagerHash>(secret: &[u8], seed: &[&[u8]], out: &mut [u8])
where
    Hmac<D>: Mac + KeyInit + Clone,
{
    let Ok(keyed) = <Hmac<D> as KeyInit>::new_from_slice(secret) else { return };
    let mut a = seed.concat();
    let mut rest = out;
    while !rest.is_empty() {
        a = keyed.clone().chain_update(&a).finalize().into_bytes().to_vec();
        let mut mac = keyed.clone().chain_update(&a);
        seed.iter().for_each(|part| mac.update(part));
        let block = mac.finalize().into_bytes();
        let taken = rest.len().min(block.len());
        let (now, later) = rest.split_at_mut_checked(taken).unwrap_or_default();
        now.iter_mut().zip(block.iter()).for_each(|(octet, from)| *octet = *from);
        rest = later;
    }
}

const PREFIX: &[u8] = b"tls13 ";
