//! A number that stands for octets: by it a value is found again on another connection, without being kept.

/// The mark of a value: equal octets, equal mark. A multiply-fold hash, the same on every machine.
#[must_use]
pub fn mark(octets: &[u8]) -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ octets.len() as u64;
    let mut add = |word: u64| {
        let product = u128::from(state ^ word) * u128::from(0xa076_1d64_78bd_642f_u64);
        state = (product as u64) ^ ((product >> 64) as u64);
    };
    let (words, rest) = octets.as_chunks::<8>();
    words.iter().for_each(|word| add(u64::from_le_bytes(*word)));
    if !rest.is_empty() {
        add(match octets.last_chunk() {
            Some(last) => u64::from_le_bytes(*last) >> (64 - 8 * rest.len()),
            None => rest.iter().rev().fold(0, |word, octet| word << 8 | u64::from(*octet)),
        });
    }
    state
}

/// The marks of a path: as it stands, and without its first one and two segments, since gateways strip prefixes. None of what is
/// so short that it stands in many.
pub fn of_path(path: &[u8]) -> impl Iterator<Item = u64> {
    let ends = std::iter::successors(Some(path), |path| without_segment(path)).take(3);
    ends.take_while(|end| end.len() >= SHORTEST).map(mark)
}

fn without_segment(path: &[u8]) -> Option<&[u8]> {
    let slash = path.iter().skip(1).position(|octet| *octet == b'/')?;
    path.get(slash + 1..)
}

/// Octets of the shortest value that tells one request from others.
pub const SHORTEST: usize = 6;
