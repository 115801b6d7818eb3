//! Which shard a connection is dealt to. Few connections often carry nearly all there is, so that chance alone would divide the
//! work badly: connections go by slots, of which each goes, when it is first asked for, to the shard that has had the least so far
//! for its share. No shard gets more than its share of all slots: where there are many connections they are divided as what bounds
//! them is.

/// What was dealt so far.
#[derive(Debug)]
pub(super) struct Dealing {
    /// Whose each slot is.
    slots: Box<[Option<u8>; SLOTS]>,
    shards: Vec<Dealt>,
}

/// What a shard was dealt.
#[derive(Clone, Copy, Debug)]
struct Dealt {
    share: u64,
    octets: u64,
    /// Slots that it may still get.
    slots: usize,
}

impl Dealing {
    /// To shards with such shares.
    pub(super) fn new(shares: &[usize]) -> Self {
        let all = shares.iter().sum::<usize>().max(1);
        let dealt = |share: &usize| Dealt { share: *share as u64, octets: 0, slots: (SLOTS * share).div_ceil(all) };
        Self { slots: Box::new([None; SLOTS]), shards: shares.iter().map(dealt).collect() }
    }

    /// Whose a packet of so many octets is.
    pub(super) fn shard(&mut self, key: u64, octets: u32) -> u8 {
        let slot = (key >> 32) as usize % SLOTS;
        let shard = self.slots.get(slot).copied().flatten().unwrap_or_else(|| self.give(slot));
        if let Some(dealt) = self.shards.get_mut(usize::from(shard)) {
            dealt.octets += u64::from(octets);
        }
        shard
    }

    #[cold]
    fn give(&mut self, slot: usize) -> u8 {
        let may_have = self.shards.iter_mut().zip(0_u8..).filter(|(dealt, _)| dealt.slots > 0);
        let least = may_have.min_by(|(one, _), (other, _)| {
            let weighed = |one: &Dealt, other: &Dealt| u128::from(one.octets) * u128::from(other.share);
            weighed(one, other).cmp(&weighed(other, one))
        });
        let Some((dealt, shard)) = least else { return 0 };
        dealt.slots -= 1;
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = Some(shard);
        }
        shard
    }
}

/// Many times more than the connections of which one alone is much.
const SLOTS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys of so many connections.
    fn keys(count: u64) -> impl Iterator<Item = u64> {
        (0..count).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    #[test]
    fn few_connections_are_dealt_by_what_they_carry() {
        let mut dealing = Dealing::new(&[8, 5]);
        let mut octets = [0_u32; 2];
        for (number, key) in keys(52).enumerate() {
            let size = if number % 2 == 0 { 60_000 } else { 1_000 };
            octets[usize::from(dealing.shard(key, size))] += size;
        }
        let all = 26 * 61_000;
        assert!(octets[0].abs_diff(all / 13 * 8) <= 60_000, "{octets:?}");
        assert_eq!(octets[0] + octets[1], all);
    }

    #[test]
    fn many_connections_are_dealt_by_their_number() {
        let mut dealing = Dealing::new(&[8, 8, 5]);
        let first = keys(1).next().unwrap();
        // One carries nearly all.
        dealing.shard(first, 1 << 30);
        let mut counts = [0_u32; 3];
        keys(21_000).for_each(|key| counts[usize::from(dealing.shard(key, 60))] += 1);
        assert!(counts.iter().zip([8_000_u32, 8_000, 5_000]).all(|(count, share)| count.abs_diff(share) < share / 10));
    }

    #[test]
    fn a_connection_stays_with_its_shard() {
        let mut dealing = Dealing::new(&[1; 16]);
        let first: Vec<u8> = keys(9_000).map(|key| dealing.shard(key, 60)).collect();
        let again: Vec<u8> = keys(9_000).map(|key| dealing.shard(key, 60_000)).collect();
        assert_eq!(first, again);
        assert!((0..16).all(|shard| first.contains(&shard)));
    }
}
