//! What the analysis finds by number: connections, which it numbers itself in the order of first sight, without hashing; and
//! addresses, which are hashed in one step.

use std::net::IpAddr;

/// Values by numbers that are given in order, so that those in use at one time lie close together. 8 octets for every number of
/// a leaf in use, and 8 for every leaf that ever was.
#[derive(Debug)]
pub(crate) struct Numbered<T> {
    leaves: Vec<Option<Box<Leaf<T>>>>,
}

#[derive(Debug)]
struct Leaf<T> {
    taken: usize,
    values: [Option<T>; LEAF],
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { leaves: Vec::new() }
    }
}

impl<T> Numbered<T> {
    #[inline]
    pub(crate) fn get(&self, number: u64) -> Option<&T> {
        let (leaf, place) = split(number);
        self.leaves.get(leaf)?.as_ref()?.values.get(place)?.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let (leaf, place) = split(number);
        self.leaves.get_mut(leaf)?.as_mut()?.values.get_mut(place)?.as_mut()
    }

    pub(crate) fn insert(&mut self, number: u64, value: T) {
        let (leaf, place) = split(number);
        if self.leaves.len() <= leaf {
            self.leaves.resize_with(leaf + 1, || None);
        }
        let Some(leaf) = self.leaves.get_mut(leaf) else { return };
        let leaf = leaf.get_or_insert_with(|| Box::new(Leaf { taken: 0, values: [const { None }; LEAF] }));
        if let Some(slot) = leaf.values.get_mut(place) {
            leaf.taken += usize::from(slot.replace(value).is_none());
        }
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<T> {
        let (at, place) = split(number);
        let slot = self.leaves.get_mut(at)?;
        let leaf = slot.as_mut()?;
        let value = leaf.values.get_mut(place)?.take()?;
        leaf.taken -= 1;
        if leaf.taken == 0 {
            *slot = None;
        }
        Some(value)
    }

    /// All values in the order of their numbers.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.leaves.iter().flatten().flat_map(|leaf| leaf.values.iter().flatten())
    }

    /// The same, to keep.
    pub(crate) fn into_values(self) -> impl Iterator<Item = T> {
        self.leaves.into_iter().flatten().flat_map(|leaf| leaf.values.into_iter().flatten())
    }
}

/// The leaf of a number, and its place there.
#[inline]
fn split(number: u64) -> (usize, usize) {
    let leaf = usize::try_from(number / LEAF as u64).unwrap_or(usize::MAX);
    (leaf, (number % LEAF as u64) as usize)
}

const LEAF: usize = 64;

/// A map keyed by addresses.
pub(super) type ByAddress<V> = hashbrown::HashMap<u128, V>;

/// An address as a key: IPv4 as IPv6 writes it (RFC 4291 section 2.5.5.2).
#[inline]
pub(super) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => 0xffff << 32 | u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_number_until_they_are_removed() {
        let mut values = Numbered::default();
        for number in (0..1000).rev() {
            values.insert(number, number * 2);
        }
        assert_eq!(values.get(999), Some(&1998));
        assert_eq!(values.get(1000), None);
        for number in (0..1000).filter(|number| number % 200 > 0) {
            assert_eq!(values.remove(number), Some(number * 2));
            assert_eq!(values.remove(number), None);
        }
        *values.get_mut(400).unwrap() += 1;
        values.insert(400, 7);
        assert_eq!(values.values().copied().collect::<Vec<_>>(), [0, 400, 7, 1200, 1600]);
        assert_eq!(values.leaves.iter().flatten().count(), 5, "a leaf without values is given back");
        assert_eq!(values.into_values().count(), 5);
    }
}
