//! When endpoints accepted connections.

use crate::time::Timestamp;

/// When an endpoint accepted connections: a bit for each quarter of a second, the latest 32 seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Accepts {
    latest: i64,
    bits: u128,
}

impl Accepts {
    fn slot(at: Timestamp) -> i64 {
        at.as_nanos().div_euclid(250_000_000)
    }

    /// A connection was accepted.
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

    /// Whether a connection was accepted for certain between two instants: in a slot that lies between them as a whole.
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
        let mut accepts = Accepts::default();
        accepts.note(at(1_000_000));
        accepts.note(at(1_002_600));
        assert!(accepts.any_within(at(1_002_000), at(1_003_500)));
        assert!(!accepts.any_within(at(1_003_000), at(1_006_000)));
        assert!(!accepts.any_within(at(1_002_590), at(1_002_700)));
        accepts.note(at(9_000_000));
        assert!(!accepts.any_within(at(1_002_000), at(1_003_500)), "long ago is forgotten");
    }
}
