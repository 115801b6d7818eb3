//! What the kernel counted: in come libpcap's counters, which wrap around, out come sums, and what they mean.

/// Counters of one interface since it was opened.
///
/// **On loopback libpcap may count every packet twice**: the kernel shows it on its way out and on its way in, and counts
/// both; libpcap leaves the first out after that. This holds for `lo`, and for that part of `any` which is loopback, until
/// a filter is attached that leaves it out before, and where the kernel cannot run the filter.
/// `received` and `dropped` are the kernel's numbers as they are; [`lost`](Self::lost) corrects for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that passed the filter, with those that were dropped; those on loopback perhaps twice.
    pub received: u64,
    /// Of these, packets for which the ring had no room; either of the two copies on loopback, or both.
    pub dropped: u64,
    /// Packets that the interface or its driver dropped, where it counts them; always 0 on `any`.
    pub interface_dropped: u64,
    /// Frames that were read from the ring, counted here: each once.
    pub delivered: u64,
    last: Last,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Last {
    received: u32,
    dropped: u32,
    interface_dropped: u32,
}

impl Counters {
    /// Frames that are missing for want of room in the ring. Exact where no packet is on loopback. Where some are, the
    /// kernel does not say which of its copies it dropped; then this is what is missing if drops struck all copies alike,
    /// which at worst is half of what it is.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let read = self.received.saturating_sub(self.dropped);
        if self.dropped == 0 || self.delivered >= read {
            return self.dropped;
        }
        let share = u128::from(self.dropped) * u128::from(self.delivered);
        let lost = u64::try_from(share.div_ceil(u128::from(read))).unwrap_or(self.dropped);
        // A packet is counted twice at most.
        lost.clamp(self.dropped.div_ceil(2), self.dropped)
    }

    /// Takes over libpcap's sums, which have 32 bits.
    pub(super) fn update(&mut self, seen: pcap::Stat) {
        let now = Last { received: seen.received, dropped: seen.dropped, interface_dropped: seen.if_dropped };
        self.received += u64::from(now.received.wrapping_sub(self.last.received));
        self.dropped += u64::from(now.dropped.wrapping_sub(self.last.dropped));
        self.interface_dropped += u64::from(now.interface_dropped.wrapping_sub(self.last.interface_dropped));
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(received: u64, dropped: u64, delivered: u64) -> u64 {
        Counters { received, dropped, delivered, ..Counters::default() }.lost()
    }

    #[test]
    fn what_was_lost_is_corrected_for_copies_on_loopback() {
        assert_eq!(lost(1000, 0, 1000), 0);
        assert_eq!(lost(1000, 100, 900), 100, "no loopback");
        assert_eq!(lost(2000, 200, 900), 100, "all of it");
        assert_eq!(lost(1500, 150, 900), 100, "half of the packets");
        assert_eq!(lost(1000, 1000, 0), 1000, "nothing came through");
        assert_eq!(lost(1000, 100, 3), 50, "frames still in the ring, never less than half");
    }

    #[test]
    fn sums_of_32_bits_may_wrap() {
        let mut counters = Counters::default();
        for (received, expected) in [(u32::MAX, u64::from(u32::MAX)), (4, u64::from(u32::MAX) + 5)] {
            counters.update(pcap::Stat { received, dropped: 0, if_dropped: 0 });
            assert_eq!(counters.received, expected);
        }
    }
}
