//! Hashing of what the analysis numbers itself. Nobody outside chooses these numbers, so nothing need be seeded.

use std::hash::{BuildHasherDefault, Hasher};

/// A map keyed by connections or exchanges.
pub(super) type ByNumber<K, V> = hashbrown::HashMap<K, V, BuildHasherDefault<Numbers>>;

/// Multiply and fold.
#[derive(Debug, Default)]
pub(super) struct Numbers(u64);

impl Hasher for Numbers {
    fn write(&mut self, octets: &[u8]) {
        octets.iter().for_each(|octet| self.write_u64(u64::from(*octet)));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.0.rotate_left(32) ^ number ^ KEY) * u128::from(KEY);
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

const KEY: u64 = 0x9e37_79b9_7f4a_7c15;
