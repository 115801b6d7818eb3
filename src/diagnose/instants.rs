//! When something happened, as far back as it matters.

use crate::time::Timestamp;

/// When something happened: a bit for each quarter of a second, the latest 32 seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Instants {
    latest: i64,
    bits: u128,
}

impl Instants {
    fn slot(at: Timestamp) -> i64 {
        at.as_nanos().div_euclid(250_000_000)
    }

    /// It happened.
    pub(super) fn note(&mut self, at: Timestamp) {
        let slot = Self::slot(at);
        let ahead = u32::try_from(slot.saturating_sub(self.latest)).unwrap_or(u32::MAX);
        if slot > self.latest {
            self.bits = self.bits.checked_shl(ahead).unwrap_or(0);
            self.latest = slot;
        }
        let back = u32::try_from(self.latest - slot).unwrap_or(u32::MAX);
        self.bits |= 1_u128.checked_shl(back).unwrap_or(0);
    }

    /// Whether it happened for certain between two instants: in a slot that lies between them as a whole.
    pub(super) fn any_within(self, from: Timestamp, until: Timestamp) -> bool {
        let (first, last) = (Self::slot(from) + 1, Self::slot(until) - 1);
        (first..=last).rev().take(128).any(|slot| {
            let back = u32::try_from(self.latest - slot).ok();
            back.is_some_and(|back| self.bits & 1_u128.checked_shl(back).unwrap_or(0) != 0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_between_for_certain_counts() {
        let at = |millis: i64| Timestamp::from_nanos(millis * 1_000_000);
        let mut instants = Instants::default();
        instants.note(at(1_000_000));
        instants.note(at(1_002_600));
        assert!(instants.any_within(at(1_002_000), at(1_003_500)));
        assert!(!instants.any_within(at(1_003_000), at(1_006_000)));
        assert!(!instants.any_within(at(1_002_590), at(1_002_700)));
        instants.note(at(9_000_000));
        assert!(!instants.any_within(at(1_002_000), at(1_003_500)), "long ago is forgotten");
    }
}
